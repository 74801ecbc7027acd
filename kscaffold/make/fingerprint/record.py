"""Write down what a successful build depended on, for compare.py to compare with."""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kscaffold.files import paths, reader
from kscaffold.files.atomic import write_whole
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.kernel.compiler import Toolchain
from kscaffold.make.fingerprint import compare
from kscaffold.make.fingerprint.cmd_file import Command, command_file, read_command
from kscaffold.make.fingerprint.kbuild_text import unjudgeable
from kscaffold.make.fingerprint.other_kernel import kernel_identity
from kscaffold.project.project import ModuleTarget, Project

# Of the build tree and its source: what every build reads, besides what the .cmd files name.
_TREE = (
    "Makefile",
    ".kernelvariables",
    ".config",
    "Module.symvers",
    "vmlinux",
    "include/config/auto.conf",
    "include/config/kernel.release",
    "include/generated/autoconf.h",
    "include/generated/utsrelease.h",
    "scripts/basic/fixdep",
    "scripts/mod/modpost",
    "scripts/module.lds",
    "tools/objtool/objtool",
    "tools/bpf/resolve_btfids/resolve_btfids",
)
_OTHER_CLOCK = 2_000_000_000  # ns that another machine's or file system's clock may differ


def stamp(state: Path) -> int:
    """The file system's own time now, in ns: coarser than the clock, and what files will be dated with."""
    file = state / "started"
    file.touch()
    return file.stat().st_mtime_ns


def begin_record(tree: BuildTree, state: Path) -> None:
    """Record, before make starts, whose objects there will be from now on."""
    write_facts({**head_of(tree), "directory": None}, state)


def write_record(
    project: Project, tree: BuildTree, tools: Toolchain, state: Path, started: int
) -> str | None:
    """Record a successful build that began at `started` (from `stamp`).

    Where freshness can't be judged from outside nothing more than `begin` did is recorded, and the reason
    returned.
    """
    record = head_of(tree)
    try:
        record |= _facts(project, tree, tools)
        _refuse_moving(record, project, state, started)
    except _Unjudgeable as found:
        return str(found)
    write_facts(record, state)
    return None


def recorded_facts(ko: Path) -> list[int] | None:
    """The facts of a .ko that a record has, to be handed to `retake`."""
    return compare.facts_of(str(ko.resolve()))


def retake(ko: Path, before: list[int] | None) -> None:
    """A .ko was replaced by ourselves (signed): where the record of its project had it as `before`, it is
    as fresh as it was. make agrees: the file is newer than what it is made of.
    """
    name = str(ko.resolve())
    for directory in Path(name).parents:
        file = paths.project_state(directory) / compare.RECORD
        try:
            record = paths.recorded(file)
            files = record.get("files", {})
        except (OSError, ValueError, AttributeError):
            continue
        if before is not None and files.get(name) == before:
            files[name] = compare.facts_of(name)
            write_facts(record, file.parent)
        return


def head_of(tree: BuildTree) -> dict[str, Any]:
    """The entries that each record begins with."""
    return {"schema": compare.SCHEMA, "kernel": str(tree.directory), "tree": kernel_identity(tree)}


def write_facts(record: dict[str, Any], state: Path) -> None:
    """Put a record in its place."""
    write_whole(state / compare.RECORD, json.dumps(record, separators=(",", ":")))


class _Unjudgeable(Exception):
    """Something that can't be judged without make."""


def _facts(project: Project, tree: BuildTree, tools: Toolchain) -> dict[str, Any]:
    for file in project.read:
        bad = unjudgeable(reader.read_text(file))
        if bad:
            raise _Unjudgeable(f"{file.name}: {bad}")
    commands = {f: _command(f) for t in project.targets for f in _objects(t)}
    for target in project.targets:
        _refuse_other_sources(commands[target.directory / o] for o in target.objects)
    own = [project.directory / "modules.order", project.directory / "Module.symvers"]
    common = project.directory / ".module-common.o"
    if command_file(common).exists():  # 6.6 and later; without a command: left by another kernel
        commands[common] = _command(common)
    made = [*commands, *own, *(f.parent / "modules.order" for f in project.read)]
    symvers = read_command(command_file(own[1]))
    if symvers is None:
        raise _Unjudgeable(f"no {command_file(own[1])}")
    # KBUILD_EXTRA_SYMBOLS: Module.symvers of other projects.
    extra = re.findall(r"-i (\S+)", symvers.line)
    where = project.directory if tree.reads_kbuild_in_place else tree.directory
    files = {*map(str, made), *(str(command_file(f)) for f in made)}
    files |= {f"{_stem(t)}.mod.c" for t in project.targets}
    files |= {str(f) for f in project.read} | {str(f.with_name("Kbuild")) for f in project.read}
    read = {f for c in commands.values() for f in (c.source, *c.dependencies, *c.markers) if f}
    files |= {str(where / f) for f in read}
    files |= {str(where / f) for f in extra} | set(tree_files(tree))
    places = {f.parent for f in made} | {f.parent for f in project.read}
    programs = _programs(commands.values(), tools)
    files |= {p for p in programs.values() if p}
    return {
        "directory": str(project.directory),
        "kbuild": str(project.kbuild_file),
        "read": [str(f) for f in project.read],
        "targets": [
            {"name": t.name, "objects": t.objects, "directory": str(t.directory), "ko": str(t.ko)}
            for t in project.targets
        ],
        "environment": compare.environment_digest(),
        "machine": compare.machine(),
        "programs": programs,
        "names": {str(p): compare.names_in(str(p)) for p in sorted(places)},
        "files": {f: compare.facts_of(f) for f in sorted(files)},
    }


def _stem(target: ModuleTarget) -> str:
    return str(target.ko).removesuffix(".ko")


def _objects(target: ModuleTarget) -> list[Path]:
    """The files that Kbuild makes of a module, each with a command of its own."""
    made = [f"{_stem(target)}{suffix}" for suffix in (".o", ".mod", ".mod.o", ".ko")]
    return list(dict.fromkeys([*(target.directory / o for o in target.objects), *map(Path, made)]))


def _command(target: Path) -> Command:
    command = read_command(command_file(target))
    if command is None:
        raise _Unjudgeable(f"no {command_file(target)}")
    return command


def _refuse_other_sources(commands: Iterable[Command]) -> None:
    for command in commands:
        if command.source is None or not command.source.endswith((".c", ".S")):
            raise _Unjudgeable(f"{command.target} is not made from a .c or .S file")


def tree_files(tree: BuildTree) -> list[str]:
    """Files of the kernel's tree that steer a build: its makefiles, scripts and what is named above."""
    found = [str(base / name) for base in {tree.directory, tree.source} for name in _TREE]
    for place in (tree.source / "scripts", tree.source / "arch" / tree.srcarch):
        for name in compare.names_in(str(place)):
            file = place / name
            if name.startswith(("Makefile", "Kbuild")) or (place.name == "scripts" and file.is_file()):
                found.append(str(file))
    return found


def _programs(commands: Iterable[Command], tools: Toolchain) -> dict[str, str | None]:
    """The programs a build runs and where they are found; a compiler that is a script can't be judged."""
    names = {*tools.programs, "make", "as", "ld", "objcopy"}
    for command in commands:
        if command.source:
            names.add(command.line.split(maxsplit=1)[0])
    programs = {name: compare.find_program(name) for name in sorted(names)}
    for name, path in programs.items():
        real = os.path.realpath(path) if path else None
        if real and re.search(r"gcc|clang|cc", name) and not _is_compiler(Path(real)):
            raise _Unjudgeable(f"{name} is a wrapper")
    return programs


def _is_compiler(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF" and bool(re.search(r"gcc|clang", path.name))


def _refuse_moving(record: dict[str, Any], project: Project, state: Path, started: int) -> None:
    """Refuse what changed during the build, or is dated in the future: make may or may not have seen it."""
    same_clock = project.directory.stat().st_dev == state.stat().st_dev
    limit = started if same_clock else started - _OTHER_CLOCK
    made = {t["ko"] for t in record["targets"]}
    directories = tuple(f"{d}/" for d in record["names"])
    for file, facts in record["files"].items():
        if facts is None or file in made:
            continue
        if facts[0] >= limit or facts[1] >= limit:
            if file.startswith(directories) and is_made(file):
                continue
            raise _Unjudgeable(f"{file} changed during the build")


def is_made(file: str) -> bool:
    """Whether Kbuild makes files of that name."""
    return file.endswith((".o", ".ko", ".mod", ".mod.c", ".cmd", "/modules.order", "/Module.symvers"))

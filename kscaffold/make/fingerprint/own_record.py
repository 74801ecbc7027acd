"""Write down what a build by the project's own make may have depended on: every file of the project's."""

import os
from pathlib import Path
from typing import Any

from kscaffold.kernel.buildtree import BuildTree
from kscaffold.kernel.compiler import Toolchain
from kscaffold.make.fingerprint import compare
from kscaffold.make.fingerprint.cmd_file import command_file, read_command
from kscaffold.make.fingerprint.record import head_of, is_made, tree_files, write_facts
from kscaffold.project.project import Project

_MOST = 5000  # files; of more make is asked
# What git describe and git log say hangs on these; the index changes when somebody only looks.
_OF_GIT = ("HEAD", "packed-refs", "logs/HEAD")


Facts = dict[str, list[int] | None]
"""Files, and of each what `compare.facts_of` says."""


def files_of(directory: Path) -> Facts | None:
    """The facts of every file below a project; None where there are too many."""
    found: Facts = {}
    for place, inside, names in os.walk(directory):
        inside[:] = [d for d in inside if d != ".git"]
        for name in names:
            file = f"{place}/{name}"
            found[file] = compare.facts_of(file)
        if len(found) > _MOST:
            return None
    return found


def changed_files(before: Facts | None, after: Facts | None) -> frozenset[str]:
    """The files that came, went or changed between two answers of `files_of`."""
    return frozenset(f for f in {**(before or {}), **(after or {})} if _differs(f, before or {}, after or {}))


def _differs(file: str, before: Facts, after: Facts) -> bool:
    return before.get(file) != after.get(file)


def write_own_record(
    project: Project,
    tree: BuildTree,
    tools: Toolchain,
    state: Path,
    facts: tuple[Facts | None, Facts | None],
    made: frozenset[str],
) -> str | None:
    """Record a successful build by the project's own make. `facts`: `files_of` when it began, and now. Where
    a file that was there has changed meanwhile, by that make or by somebody, nothing is recorded, and the
    reason returned. `made`: what changed in the build before as well, and is taken for that make's work.
    """
    before, after = facts
    if before is None or after is None:
        return f"{project.directory.name} has more than {_MOST} files"
    for file in before:
        if _differs(file, before, after) and not is_made(file) and file not in made:
            return f"{file} changed during the build"
    files: dict[str, Any] = {**after}
    for target in project.targets:
        for name in target.objects:
            command = read_command(command_file(target.directory / name))
            where = target.directory if tree.reads_kbuild_in_place else tree.directory
            for read in (*command.dependencies, *command.markers) if command else ():
                files[str(where / read)] = compare.facts_of(str(where / read))
    named = [*tree_files(tree), *(str(project.directory / ".git" / name) for name in _OF_GIT)]
    files |= {name: compare.facts_of(name) for name in named}
    places = {str(Path(file).parent) for file in after}
    programs = {*tools.programs, "make", "as", "ld", "objcopy", "gcc"}
    write_facts(
        {
            **head_of(tree),
            "directory": str(project.directory),
            "kbuild": str(project.kbuild_file),
            "read": [],
            "targets": [
                {"name": t.name, "objects": t.objects, "directory": str(t.directory), "ko": str(t.ko)}
                for t in project.targets
            ],
            "environment": compare.environment_digest(),
            "machine": compare.machine(),
            "programs": {name: compare.find_program(name) for name in sorted(programs)},
            "names": {place: compare.names_in(place) for place in sorted(places)},
            "files": files,
        },
        state,
    )
    return None

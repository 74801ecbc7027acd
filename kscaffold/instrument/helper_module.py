"""The helper modules: kernel modules of ours, built by Kbuild for each kernel once and kept in the cache."""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from kscaffold import process
from kscaffold.errors import KscaffoldError
from kscaffold.files import paths, reader
from kscaffold.files.lock import locked
from kscaffold.files.scratch import scratch_directory
from kscaffold.instrument import plan
from kscaffold.instrument.fault_calls import calls_header
from kscaffold.kernel.buildable import build_problem
from kscaffold.kernel.buildtree import BuildTree, read_tree
from kscaffold.kernel.compiler import Toolchain, toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.command_line import make_argv
from kscaffold.progress import Progress
from kscaffold.records import dataclass

SOURCES = Path(__file__).with_name("helpers")
_TIMEOUT = 300.0  # seconds
# A source of a helper's that is made of what the kernel exports.
_MADE: Mapping[str, tuple[str, Callable[[Collection[str]], str]]] = {"faults": ("calls.h", calls_header)}
_ASKED = re.compile(r"\bHAVE_(\w+)")


@dataclass(frozen=True, slots=True)
class Helper:
    """A helper module, built. `crcs`: the version of each symbol it exports; `symvers`: their lines."""

    ko: Path
    symvers: str
    crcs: Mapping[str, int]


def helper(name: str, kernel: Kernel, progress: Progress) -> Helper:
    """The helper module of that name for `kernel`; from the cache, or built there now.

    Raises KscaffoldError: what `build_problem` and `toolchain` say, KS730 where it can't be built.
    """
    problem = build_problem(kernel)
    if problem:
        raise problem
    assert kernel.build is not None
    tree = read_tree(kernel.build, kernel.arch)
    tools = toolchain(tree)
    place = paths.cache() / "helpers" / f"{name}-{tree.release}-{_digest(name, tree, tools)}"
    if not (place / "Module.symvers").exists():
        with locked(paths.cache() / "locks" / f"helper-{place.name}.lock"):
            if not (place / "Module.symvers").exists():
                progress.step("Building", f"kscaffold's {name} helper for {tree.name}, once")
                _build(name, tree, tools, place)
    return _read(name, place)


def _read(name: str, place: Path) -> Helper:
    symvers = reader.read_text(place / "Module.symvers")
    lines = [line.split("\t") for line in symvers.splitlines()]
    crcs = {words[1]: int(words[0], 16) for words in lines if len(words) > 1}
    return Helper(place / f"ks_{name}.ko", symvers, crcs)


def _digest(name: str, tree: BuildTree, tools: Toolchain) -> str:
    """A digest of all that decides how the helper is built: its sources, the kernel's tree, the compiler."""
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted((SOURCES / name).iterdir()):
        digest.update(file.name.encode() + b"\0" + reader.read_bytes(file))
    for file in (tree.directory / "Module.symvers", tree.directory / "include/generated/autoconf.h"):
        stat = file.stat()
        digest.update(f"{file} {stat.st_mtime_ns} {stat.st_size}".encode())
    for program in tools.programs:
        digest.update(f"{program} {os.path.realpath(process.which(program) or '')}".encode())
    digest.update(" ".join(tools.variables).encode())
    return digest.hexdigest()


def _build(name: str, tree: BuildTree, tools: Toolchain, place: Path) -> None:
    exports = {words[1] for words in _symvers(tree)}
    with scratch_directory() as work:
        directory = work / name
        shutil.copytree(SOURCES / name, directory)
        texts = [reader.read_text(file) for file in directory.glob("*.[ch]")]
        asked = {found for text in texts for found in _ASKED.findall(text)}
        (directory / "have.h").write_text(plan.needed_symbols(asked, exports))
        if name in _MADE:
            file, make = _MADE[name]
            (directory / file).write_text(make(_of_the_kernel_itself(tree)))
        done = process.run(make_argv(directory, tree, tools, "modules"), timeout=_TIMEOUT)
        ko = directory / f"ks_{name}.ko"
        if done.returncode or not ko.exists():
            raise _unbuilt(name, tree, done.stdout + done.stderr)
        result = work / "result"
        result.mkdir()
        shutil.move(ko, result / ko.name)
        (result / "Module.symvers").write_text(reader.read_text(directory / "Module.symvers"))
        paths.make_own(place.parent)
        shutil.rmtree(place, ignore_errors=True)
        result.rename(place)


def _symvers(tree: BuildTree) -> list[list[str]]:
    """The words of each line of the kernel's Module.symvers: version, symbol, who exports it."""
    lines = reader.read_text(tree.directory / "Module.symvers").splitlines()
    return [words for line in lines if len(words := line.split("\t")) > 2]


def _of_the_kernel_itself(tree: BuildTree) -> frozenset[str]:
    """The symbols that the kernel itself exports: they are there when a helper is loaded."""
    return frozenset(words[1] for words in _symvers(tree) if words[2] == "vmlinux")


def _unbuilt(name: str, tree: BuildTree, said: str) -> KscaffoldError:
    errors = [line for line in said.splitlines() if re.search(r"\berror\b|undefined!|\*\*\*", line)]
    return KscaffoldError(
        "KS730",
        f"kscaffold's {name} helper can't be built for {tree.name}",
        cause=errors[0] if errors else "make ended with an error",
        fix="kscaffold kernel add 6.1, for a kernel that it is known to build for",
    )

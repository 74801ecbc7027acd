"""Which compiler Kbuild is to use: the one the tree names, else the nearest that is installed."""

import os
import re
from pathlib import Path

from kscaffold import process
from kscaffold.arch import table
from kscaffold.errors import ToolMissingError
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.records import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Toolchain:
    """How make is called for a tree: `variables` for its command line, `notes` to tell the user.

    `programs`: names that were looked for, there or not; another answer to one of them means other variables.
    """

    variables: tuple[str, ...]
    notes: tuple[str, ...] = ()
    programs: tuple[str, ...] = field(default=())


def toolchain(tree: BuildTree) -> Toolchain:
    """The variables a build for `tree` needs on this machine.

    Raises ToolMissingError KS001 without make or linker, KS106 without a compiler that can do it.
    """
    process.need("make")
    suite = _of_suite(tree)
    chosen = suite or (_clang(tree) if tree.clang else _gcc(tree))
    if tree.cross:
        # Some headers set both themselves (`override`), and are deaf to these.
        words = (f"ARCH={tree.kbuild}", f"CROSS_COMPILE={tree.cross}")
        chosen = replace(chosen, variables=(*words, *chosen.variables))
    # With a vmlinux in the tree Kbuild adds BTF to each module, by pahole. Only BPF programs want it.
    if (tree.directory / "vmlinux").exists():
        without = process.which("pahole") is None
        return Toolchain(
            (*chosen.variables, *(["CONFIG_DEBUG_INFO_BTF_MODULES="] if without else [])),
            (
                *chosen.notes,
                *(["pahole is not installed: built without BTF, which only BPF wants"] if without else []),
            ),
            (*chosen.programs, "pahole"),
        )
    return chosen


# Kbuild's variables and the programs that they stand for.
_TOOLS = {"LD": "ld", "AR": "ar", "NM": "nm", "STRIP": "strip"} | {
    name.upper(): name for name in ("objcopy", "objdump", "readelf")
}


def _of_suite(tree: BuildTree) -> Toolchain | None:
    """The compiler that was unpacked beside the kernel, where one was."""
    if tree.programs is None:
        return None
    # Not out of the package's name, which has a hyphen for the underscore of x86_64-linux-gnu-gcc.
    architecture = table.by_uname(tree.arch)
    triple = architecture.triple if architecture else ""
    compiler = next(iter(sorted(tree.programs.glob(f"{triple}-gcc-*"))), None)
    if compiler is None:
        return None
    tools = (f"{name}={tree.programs}/{triple}-{program}" for name, program in _TOOLS.items())
    return Toolchain((f"CC={compiler}", *tools), programs=("make",))


def _gcc(tree: BuildTree) -> Toolchain:
    wanted = tree.compiler or (tree.cross or os.environ.get("CROSS_COMPILE", "")) + "gcc"
    if tree.cross and not wanted.startswith(tree.cross):
        wanted = tree.cross + wanted
    linker = f"{tree.cross}ld"
    if process.which(wanted):
        return Toolchain((), programs=("make", wanted, linker))
    prefix, major = _parts(wanted)
    if not major:
        prefix_of_text, major = _parts(tree.built_by.partition(" ")[0])
        prefix = prefix or prefix_of_text
    # A compiler of this machine's makes nothing for another one.
    prefixes = (tree.cross,) if tree.cross else dict.fromkeys((prefix, ""))
    candidates = [f"{p}gcc{v}" for p in prefixes for v in _versions(major)]
    found = next((c for c in candidates if process.which(c)), None)
    if found is None:
        raise ToolMissingError(
            "KS106",
            f"{wanted} is not installed, nor another gcc" + (" for that machine" if tree.cross else ""),
            cause=f"the kernel tree {tree.directory} is built with it",
            fix=f"sudo apt-get install --no-install-recommends "
            f"{tree.compiler_package if tree.cross else wanted if major else 'gcc'}",
        )
    note = f"{wanted}, which the kernel names, is not installed: using {found}"
    return Toolchain((f"CC={found}",), (note,), ("make", wanted, *candidates, linker))


def _parts(name: str) -> tuple[str, int | None]:
    """`x86_64-linux-gnu-gcc-12` is ("x86_64-linux-gnu-", 12)."""
    match = re.fullmatch(r"(.*-)?gcc(?:-(\d+)(?:\.\d+)*)?", Path(name).name)
    if match is None:
        return "", None
    return match[1] or "", int(match[2]) if match[2] else None


def _versions(major: int | None) -> list[str]:
    """Suffixes to try, the nearest version first (newer before older: it knows all the flags)."""
    if major is None:
        return ["", *(f"-{v}" for v in range(20, 7, -1))]
    near = sorted(range(8, 21), key=lambda v: (abs(v - major), -v))
    return [*(f"-{v}" for v in near), ""]


def _clang(tree: BuildTree) -> Toolchain:
    """A kernel built by clang takes flags that gcc does not know: LLVM=1, and the whole LLVM family."""
    version = re.search(r"clang version (\d+)", tree.built_by)
    suffixes = ["", *([f"-{version[1]}"] if version else [])]
    for suffix in suffixes:
        if process.which(f"clang{suffix}") and process.which(f"ld.lld{suffix}"):
            value = suffix or "1"
            return Toolchain((f"LLVM={value}",), programs=("make", f"clang{suffix}", f"ld.lld{suffix}"))
    missing = [p for p in ("clang", "ld.lld") if not process.which(p)]
    raise ToolMissingError(
        "KS106",
        f"{' and '.join(missing)} missing, and this kernel was built by clang",
        cause="gcc does not know the flags such a kernel is built with (CONFIG_CC_IS_CLANG=y)",
        fix="sudo apt-get install --no-install-recommends clang lld llvm",
    )

"""Plans, before anything is built, which symbols get other names and which flags a compiler gets."""

from collections.abc import Collection, Iterable
from pathlib import Path

PREFIX = "ks_"
"""A hook's name is the kernel function's with this before it."""

# Calls that the compiler, the linker or the kernel patches while it runs, or that must reach their end as
# they are: a detour would be patched over, or its stack would be wrong.
_NEVER = frozenset({"__fentry__", "mcount", "_mcount", "__stack_chk_fail", "__stack_chk_guard"})
_NEVER_BEGIN = ("__x86_indirect_", "__x86_return_", "__SCT__", "__SCK__", "__static_call_", "__tracepoint_")

# A lock whose unlock is compiled into the module can't be followed: each would stay held for ever.
_SPINNING = ("_raw_spin_", "_raw_read_", "_raw_write_")
_UNLOCK = "_raw_spin_unlock"

_ADDRESS = {
    "gcc": (
        "-fsanitize=kernel-address",
        "--param asan-instrumentation-with-call-threshold=0",
        "--param asan-stack=0",  # its shadow is written inline, and there is none
        "--param asan-globals=1",
    ),
    "clang": (
        "-fsanitize=kernel-address",
        "-mllvm -asan-instrumentation-with-call-threshold=0",
        "-mllvm -asan-stack=0",
        "-mllvm -asan-globals=1",
    ),
}
# gcc makes one call of those that several paths end with: it would have the line of another path.
_LINES = {"gcc": ("-fno-crossjumping", "-fno-tree-tail-merge"), "clang": ()}
_COMPILERS = ("__asan_", "__hwasan_", "__kasan_", "__ubsan_")
_UNDEFINED = "-fsanitize=bounds,shift,integer-divide-by-zero,bool,enum,unreachable,alignment"


# The counters of gcov, beside the code that they count: no call, and no sampling. A function that is inlined
# before the counters come has none of its own; those that are moved out of a loop miss what a crash leaves.
_COVERAGE = ("-fprofile-arcs", "-ftest-coverage", "-fno-early-inlining", "-fno-tree-loop-im")


def compiler_flags(compiler: str, parts: Collection[str], header: Path, copied: Path, original: Path) -> str:
    """The flags of a module's own objects, for `gcc` or `clang`. `parts`: `sanitize`, `coverage` or both.

    `header`: what each source reads first. Debug information names files below `original` where the compiler
    is given those below `copied`.
    """
    flags = [f"-ffile-prefix-map={copied}={original}"]
    if "sanitize" in parts:
        # A hook knows its caller by the address it returns to: a call at a function's end must not be a jump.
        own = (*_ADDRESS[compiler], _UNDEFINED, "-fno-optimize-sibling-calls", *_LINES[compiler])
        flags = [*own, *flags, f"-include {header}"]
    if "coverage" in parts:
        flags += _COVERAGE
    return " ".join(flags)


def renames(
    imports: Iterable[str], hooks: Collection[str], *, hears_unlocks: bool, prefix: str = PREFIX
) -> dict[str, str]:
    """The new name of each import that there is a hook for. `hooks`: what the helper exports, under names
    that begin with `prefix`.

    `hears_unlocks`: whether every unlock of a spinlock is a call.
    """
    return {
        name: prefix + name
        for name in imports
        if prefix + name in hooks and _may(name) and (hears_unlocks or not name.startswith(_SPINNING))
    }


def compilers_own(imports: Iterable[str]) -> list[str]:
    """The imports that a sanitizing compiler made: no kernel without a sanitizer has them."""
    return [name for name in imports if name.startswith(_COMPILERS)]


def unlocks_are_calls(exports: Collection[str]) -> bool:
    """Whether a kernel's modules unlock by a call, also where they were not compiled to be instrumented."""
    return _UNLOCK in exports


def _may(name: str) -> bool:
    return name not in _NEVER and not name.startswith(_NEVER_BEGIN)


def needed_symbols(names: Iterable[str], exports: Collection[str]) -> str:
    """The text of have.h: which of these symbols the kernel exports."""
    return "".join(f"#define HAVE_{name} 1\n" for name in sorted(set(names)) if name in exports)

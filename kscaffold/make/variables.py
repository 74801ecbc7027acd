"""Variables for make's command line: the user's words, and what Kbuild does not take from the environment."""

import os
import re
import shlex

from kscaffold import lazy, process
from kscaffold.errors import ToolMissingError, UsageError
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.kernel.compiler import Toolchain
from kscaffold.records import replace

_WORD = lazy.pattern(r"(?P<name>[A-Za-z_][\w.-]*)(?:[:+?]?=)(?P<value>.*)", re.S)
# Kbuild looks at the origin of these, or sets them itself: the environment's would be passed over. Other
# values than these are somebody else's variable.
_FROM_ENVIRONMENT = {
    "W": re.compile(r"[123ce]+"),
    "C": re.compile(r"[12]"),
    "V": re.compile(r"[12]+"),
    "CC": re.compile(r".+", re.S),
    "LLVM": re.compile(r"1|-\d+|/.*/"),
}
# What says where is ours: of the project, of a kernel's tree, of a kernel by its release. The last ones are
# what Makefiles of modules call theirs; Kbuild itself has never heard of them, and would pass them over.
_PROJECT = frozenset(("M", "SUBDIRS", "KBUILD_EXTMOD"))
_TREE = frozenset(
    ("O", "KBUILD_OUTPUT", "KDIR", "KERNELDIR", "KERNEL_DIR", "KERNEL_SRC", "KSRC", "KERNEL_SOURCE_DIR")
)
_RELEASE = frozenset(("KVER", "KVERSION", "KERNELRELEASE", "KERNEL_VERSION", "TARGET_KERNEL"))
# The programs LLVM=1 stands for, by Kbuild's variables: its top Makefile's.
_LLVM = {
    "CC": "clang",
    "LD": "ld.lld",
    "AR": "llvm-ar",
    "NM": "llvm-nm",
    "OBJCOPY": "llvm-objcopy",
    "OBJDUMP": "llvm-objdump",
    "READELF": "llvm-readelf",
    "STRIP": "llvm-strip",
}


def make_variables(words: list[str]) -> tuple[str, ...]:
    """The VARIABLE=VALUE words of a command line. Raises UsageError KS004 for another word and for a variable
    that says where to build."""
    for word in words:
        match = _WORD.fullmatch(word)
        if match is None:
            raise UsageError(
                "KS004",
                f"build takes VARIABLE=VALUE for make, not {word!r}",
                cause="it builds the project's modules; make's other goals are not its own",
                fix=f"kscaffold build --module {word}, where a module of that name is meant",
            )
        if fix := _way(match["name"], match["value"]):
            raise UsageError("KS004", f"{match['name']}= is given by kscaffold itself", fix=fix)
    return tuple(words)


def _way(name: str, value: str) -> str | None:
    """The command that does what a variable of make's says where; None for one that says what."""
    given = shlex.quote(value) if value else "DIR"
    if name in _PROJECT:
        here = value and os.path.realpath(value) == os.path.realpath(".")
        return "kscaffold build" if here else f"kscaffold build -C {given}"
    if name not in _TREE | _RELEASE:
        return None
    if name in _TREE or "/" in value:
        return f"kscaffold kernel add --build {given}, then kscaffold build --kernel RELEASE"
    return f"kscaffold build --kernel {given if value else 'RELEASE'}"


def show_commands(words: tuple[str, ...]) -> bool:
    """Whether the user's variables, or the environment, ask for make's commands (V=1)."""
    names = ("V", "KBUILD_VERBOSE")
    given = [value for name, _, value in (word.partition("=") for word in words) if name in names]
    return any("1" in value for value in given or [os.environ.get(names[0], "")])


def with_variables(tools: Toolchain, tree: BuildTree, words: tuple[str, ...]) -> Toolchain:
    """The toolchain with the user's variables behind its own, so that they win; LLVM=1 as what it stands for
    where the tree's makefiles set CC again. Raises ToolMissingError KS106 for a compiler that is missing."""
    given = {word.partition("=")[0]: word.partition("=")[2] for word in words}
    for name, rule in _FROM_ENVIRONMENT.items():
        value = os.environ.get(name, "")
        if name not in given and rule.fullmatch(value):
            given[name] = value
    extra = [f"{n}={v}" for n, v in given.items()]
    names: list[str] = []
    llvm = given.get("LLVM", "0")
    if llvm != "0" and not tree.clang:
        # Debian's headers set CC again (.kernelvariables): with LLVM=1 alone gcc compiles, and says nothing.
        extra += [f"{n}={_of_llvm(p, llvm)}" for n, p in _LLVM.items() if n not in given]
        names += [_of_llvm(p, llvm) for p in _LLVM.values()]
    if "CC" in given:
        names.append(_program(given["CC"]))
    for name in names:
        if process.which(name) is None:
            why = "LLVM" if name != _program(given.get("CC", "")) else "CC"
            raise ToolMissingError(
                "KS106",
                f"{name} is not installed",
                cause=f"{why}={given[why]} asks for it",
                fix=f"sudo apt-get install --no-install-recommends {_package(name)}",
            )
    variables = [v for v in tools.variables if v.partition("=")[0] not in given]
    return replace(tools, variables=(*variables, *extra), programs=(*tools.programs, *names))


def _of_llvm(program: str, llvm: str) -> str:
    """A program of the family: LLVM=-14 is a suffix, LLVM=/usr/lib/llvm-14/bin/ a prefix."""
    if llvm.startswith("-"):
        return f"{program}{llvm}"
    return f"{llvm}{program}" if llvm.startswith("/") else program


def _program(compiler: str) -> str:
    words = [w for w in compiler.split() if w not in ("ccache", "distcc")]
    return words[0] if words else compiler


def _package(program: str) -> str:
    base = program.rpartition("/")[2]
    version = re.search(r"-\d+$", base)
    suffix = version[0] if version else ""
    if base.startswith("ld.lld"):
        return f"lld{suffix}"
    return f"llvm{suffix}" if base.startswith("llvm-") else base

"""make's output, told short: what the compiler and modpost complain about, without the noise around it."""

import re
from collections.abc import Callable
from pathlib import Path

from kscaffold.make.report import CompilerMessage, Level
from kscaffold.records import dataclass, field

# Progress of Kbuild (`  CC [M]  /x/hello.o`), make's comings and goings, and what means nothing.
_PROGRESS = re.compile(r"  ([A-Z][A-Z0-9+]*)\s+(?:\[M\]\s+)?\S")
_NOISE = re.compile(
    r"make(?:\[\d+\])?: (?:Entering|Leaving) directory"
    r"|Skipping BTF generation for \S+ due to unavailability of vmlinux"
    r"|warning: the compiler differs from the one used to build the kernel"
    r"|  The kernel was built by: |  You are using: "
    r"|warning: pahole version differs from the one used to build the kernel|  The kernel was built with: "
    r"|make(?:\[\d+\])?: Nothing to be done"
    r"|make(?:\[\d+\])?: \*\*\* Waiting for unfinished jobs"
    r"|make(?:\[\d+\])?: \*\*\* Deleting file "
    r"|\s*$"
)
# Kbuild's commands, as KBUILD_VERBOSE=1 has them shown; many Makefiles set it themselves.
_COMMAND = re.compile(
    r"# (?:cmd_\w+|[A-Z][A-Z0-9_+]*(?: +\[M\])?) +\S+$"
    r"|\S*/make (?:-f |--no-print-directory )|-f \S+/Makefile \w+$|'   ?\S+\.o "
    r"|  +(?:if )?(?:\S*?(?:gcc|clang|ld|nm|ar|objcopy)(?:-\d+)? |\S*(?:scripts|tools)/\S)"
    r"|  +(?:printf '|\{ ?echo |set -e; |: +\S+\.o|echo |cat |sh )"
)
# gcc's way from the file it compiles to the header with the complaint, innermost first.
_INCLUDED = re.compile(r"(?:In file included from|\s+from) (?P<place>\S+?)(?P<end>[,:])$")
# A whole path; and of one, what leads to the headers of a distribution's kernel. In two steps, as one
# expression for both would try a long path again from each of its slashes.
_PATH = re.compile(r"(?:/[^/\s:]+)+/?")
_HEADERS = re.compile(r".+/linux-headers-[^/]+/")
# Macros of headers on the way from a complaint in a header to the source that used the outermost.
_EXPANDED = re.compile(r"/\S+: note: in (?:expansion|definition) of macro ")
# What a configure script, or a driver's own tests of the kernel's interface, say of each thing they try.
_PROBE = re.compile(r"(?:checking |Checking |config\.status: |configure: creating |\s*CONFTEST: )")
# make telling upwards that a program failed: the program has said why.
_ECHO = re.compile(r"make(?:\[\d+\])?: \*\*\* \[.*\] Error \d+")

_LONGEST = 4000  # characters of a line that are looked at
_COMPILER = re.compile(
    # The assembler's begins with a capital.
    r"(?P<file>[^\s:][^:]*):(?P<line>\d+)(?::\d+)?: (?P<level>fatal error|[Ee]rror|[Ww]arning): (?P<text>.*)"
)
_MAKEFILE = re.compile(r"(?P<file>/[^:\s]+):(?P<line>\d+): \*\*\* (?P<text>.*)")
_MODPOST = re.compile(r"(?P<level>ERROR|WARNING|FATAL): (?:modpost: )?(?P<text>.*)")
_LINKER = re.compile(r"(?:\S*ld(?:\.\w+)?: )(?P<text>.*[^:])$")
_TWICE = re.compile(
    r"(?P<file>[^\s:]+):(?P<line>\d+): (?P<text>(?:multiple definition of|undefined reference to) .*)"
)
_OBJTOOL = re.compile(r"(?P<file>\S+\.o): (?P<level>warning|error): (?P<text>objtool: .*)")
# What make does about an error is none; with -O it may stand before it.
_MAKE = re.compile(r"make(?:\[\d+\])?: \*\*\* (?P<text>(?!\[|Deleting |Waiting for ).*)")
_CC1 = re.compile(
    r"(?:cc1|gcc|clang|\S+-gcc|as|\S*/(?:cc1|as))\S*: (?P<level>fatal error|error|warning): (?P<text>.*)"
)
_CIRCULAR = re.compile(r"make(?:\[\d+\])?: (?P<text>Circular .* dependency dropped\.)")
_PLAIN = re.compile(r"(?P<level>error|warning): (?P<text>.*)")
_SHELL = re.compile(r"(?:/bin/)?(?:ba|da)?sh: (?:line )?\d+: (?P<text>.*)")


@dataclass(slots=True)
class Output:
    """A build's output as it comes.

    `show` gets the lines worth showing, with `commands` make's commands among them; with `everything` set,
    all of them. `on_work` is called once, at
    the first thing that make really does. `made`: the files that make has told of.
    """

    directory: Path
    show: Callable[[str], None]
    everything: bool = False
    commands: bool = False
    on_work: Callable[[], object] = lambda: None
    made: int = 0
    complaints: list[CompilerMessage] = field(default_factory=list)
    echoes: list[str] = field(default_factory=list)
    worked: bool = False
    _included: list[str] = field(default_factory=list)
    _probes: int = 0
    _in_macro: bool = False

    def feed(self, line: str) -> None:
        """Take the next line."""
        progress = bool(_PROGRESS.match(line))
        self.made += progress or line.startswith(("# CC", "# LD"))
        if not self.worked and (progress or not _NOISE.match(line)):
            self.worked = True
            self.on_work()
        if self.everything:
            self.show(line)
        if progress or _NOISE.match(line) or (not self.commands and _COMMAND.match(line)):
            return
        if _ECHO.match(line):
            self.echoes.append(line)
            return
        complaint = read_complaint(line, self.directory)
        if complaint and complaint not in self.complaints:
            self.complaints.append(complaint)
        if not self.everything and not self._folds(line):
            self.show(short(line, self.directory))

    def _folds(self, line: str) -> bool:
        """Whether a line belongs to a block that is shown in fewer words: of a long way of includes the
        source it began at, of macros in headers none, of probes the first and their number.
        """
        if included := _INCLUDED.match(line):
            self._included.append(included["place"])
            if included["end"] == ":":
                headers, self._included = len(self._included) - 1, []
                # gcc leaves out what it has told before: a way that ends in other headers says nothing.
                if not included["place"].startswith(f"{self.directory}/"):
                    return True
                through = f" (through {headers} more header{'s' * (headers > 1)})" if headers else ""
                self.show(short(f"In file included from {included['place']}{through}:", self.directory))
            return True
        if _PROBE.match(line):
            self._probes += 1
            return self._probes > 1
        if self._probes > 1:
            self.show(f"(and {self._probes - 1} more such lines; the whole output is in the build's log)")
        self._probes = 0
        in_header = not line.startswith(f"{self.directory}/")
        shown = re.match(r" *(?:\d+ )?\|", line) is not None
        self._in_macro = (in_header and bool(_EXPANDED.match(line))) or (self._in_macro and shown)
        return self._in_macro


def short(line: str, directory: Path) -> str:
    """The line with paths below `directory` relative to it, and those of the kernel's headers to these."""
    if "/linux-headers-" in line:
        line = _PATH.sub(_beside_headers, line)
    return re.sub(rf"{re.escape(str(directory))}/(?=[\w.])", "", line)


def _beside_headers(path: re.Match[str]) -> str:
    headers = _HEADERS.match(path[0])
    return f"…/{path[0][headers.end() :]}" if headers else path[0]


def read_complaint(line: str, directory: Path) -> CompilerMessage | None:
    """The complaint that a line is, or None for context and other talk."""
    for pattern in (
        _COMPILER,
        _TWICE,
        _MAKEFILE,
        _OBJTOOL,
        _MODPOST,
        _CC1,
        _MAKE,
        _CIRCULAR,
        _LINKER,
        _SHELL,
        _PLAIN,
    ):
        match = pattern.match(line[:_LONGEST])
        if match is None:
            continue
        groups = match.groupdict()
        level: Level = "warning" if groups.get("level", "").lower() == "warning" else "error"
        if pattern is _LINKER and "warning:" in groups["text"]:
            level = "warning"
        number = groups.get("line")
        text = short(groups["text"], directory).removesuffix("  Stop.").strip()
        return CompilerMessage(
            level, _relative(groups.get("file"), directory), int(number) if number else None, text
        )
    return None


def _relative(file: str | None, directory: Path) -> str | None:
    return file.removeprefix(f"{directory}/") if file else None

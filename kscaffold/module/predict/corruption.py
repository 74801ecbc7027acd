"""Damage that a kernel does not look for before it trusts it: nobody can say how such a load ends."""

from collections import Counter
from collections.abc import Callable, Iterator

from kscaffold.arch import table
from kscaffold.elf.model import SHF_WRITE, Section
from kscaffold.elf.validity import THIS_MODULE
from kscaffold.module.predict.finding import REBUILD, UNSURE, Finding
from kscaffold.module.predict.question import Question
from kscaffold.records import dataclass

# More than any section wants: alignments beyond it, or that are no power of two, let sizes run over.
_MOST_ALIGNED = 1 << 20
_OUT_OF_BOUNDS = "symbol name out of bounds in string table"


def findings(stage: str, question: Question) -> list[Finding]:
    """The damage that shows at this stage, in a file that passed the checks every kernel makes."""
    rows = (row for row in _ROWS if row.stage == stage)
    found = ((row, message) for row in rows if (message := row.describe(question)))
    return [Finding("KS406", "error", stage, message, REBUILD, row.errno) for row, message in found]


@dataclass(frozen=True, slots=True)
class _Row:
    """`describe` says what is damaged; None where nothing is."""

    stage: str
    describe: Callable[[Question], str | None]
    errno: str = UNSURE


def _names_refused(question: Question) -> str | None:
    # 6.18 refuses it; before, the loader reads what is there, or crashes.
    return _names(question) if question.ko.misnamed and question.kernel.says(_OUT_OF_BOUNDS) else None


def _names_believed(question: Question) -> str | None:
    return _names(question) if question.ko.misnamed and not question.kernel.says(_OUT_OF_BOUNDS) else None


def _names(question: Question) -> str:
    return f"{question.ko.misnamed} of its symbols have their names outside the file's names"


def _alignment(question: Question) -> str | None:
    for section in _laid_out(question):
        if section.alignment & (section.alignment - 1) or section.alignment > _MOST_ALIGNED:
            return f"its section {section.name or section.index} is aligned to {section.alignment} bytes"
    return None


def _read_only_struct(question: Question) -> str | None:
    writable = _this_module(question).flags & SHF_WRITE
    return None if writable else f"its section {THIS_MODULE} can't be written, and the kernel writes there"


def _nameless_struct(question: Question) -> str | None:
    if question.ko.struct_name is None and question.kernel.has("RANDSTRUCT") is False:
        return "its struct module has no name where the kernel looks for it"
    return None


def _filled_struct(question: Question) -> str | None:
    ko, kernel = question.ko, question.kernel
    architecture = table.by_uname(ko.arch)
    known = bool(architecture and architecture.rela) and kernel.has("RANDSTRUCT") is False
    size = kernel.struct_size or _this_module(question).size
    if known and ko.struct_filled is not None and ko.struct_filled < size:
        return "its struct module is filled already, where the kernel believes what it finds"
    return None


def _bare_table(question: Question) -> str | None:
    bare = question.ko.bare
    return f"its table {bare[0]} leads nowhere in places, and the kernel follows it" if bare else None


def _empty_struct(question: Question) -> str | None:
    if _this_module(question).type == "SHT_NOBITS" and not question.kernel.since_6_4:
        return f"its section {THIS_MODULE} has no content"
    return None


def _short_struct(question: Question) -> str | None:
    kernel = question.kernel
    if kernel.since_6_4 or kernel.struct_size is None or _this_module(question).size >= kernel.struct_size:
        return None
    return f"its struct module is smaller than that of {kernel.name}, which writes beyond it"


def _doubled_section(question: Question) -> str | None:
    if not question.kernel.since_6_4:
        return None
    # Their names become files in /sys/module, and the newer of these kernels want all of them.
    names = Counter(s.name for s in _laid_out(question) if s.size and s.name and s.name != ".shstrtab")
    twice = next((name for name, count in names.items() if count > 1), None)
    return f"two of its sections are called {twice}" if twice is not None else None


def _laid_out(question: Question) -> Iterator[Section]:
    """The sections that the kernel gives memory to."""
    return (s for s in question.ko.sections if s.alloc or s.type in ("SHT_SYMTAB", "SHT_STRTAB"))


def _this_module(question: Question) -> Section:
    return next(s for s in question.ko.sections if s.alloc and s.name == THIS_MODULE)


# The loader asks of such a file, up to the stage `layout`, as of any other.
_ROWS = (
    _Row("elf", _names_refused, "ENOEXEC"),
    _Row("layout", _names_believed),
    _Row("layout", _alignment),
    _Row("layout", _read_only_struct),
    _Row("layout", _nameless_struct),
    _Row("layout", _filled_struct),
    _Row("layout", _bare_table),
    _Row("layout", _empty_struct),
    _Row("layout", _short_struct),
    _Row("sysfs", _doubled_section),
)

"""Damage that a kernel does not look for before it trusts it: nobody can say how such a load ends."""

from collections import Counter
from collections.abc import Iterator

from kscaffold.elf.model import DamagedModule, KoFile
from kscaffold.elf.validity import THIS_MODULE
from kscaffold.kernel.facts import KernelFacts
from kscaffold.module.predict.finding import UNSURE, Finding, Prediction

_REBUILD = "kscaffold clean && kscaffold build"
# More than any section wants: alignments beyond it, or that are no power of two, let sizes run over.
_MOST_ALIGNED = 1 << 20
_WRITE = 0x1


def damage(ko: KoFile, facts: KernelFacts) -> Iterator[Finding]:
    """What is damaged in a file that passed the checks every kernel makes."""
    if ko.misnamed:
        message = f"{ko.misnamed} of its symbols have their names outside the file's names"
        # 6.18 refuses it; before, the loader reads what is there, or crashes.
        if facts.says("symbol name out of bounds in string table"):
            yield Finding("KS406", "error", "elf", message, _REBUILD, "ENOEXEC")
        else:
            yield _unsure(message)
    laid_out = [s for s in ko.sections if s.alloc or s.type in ("SHT_SYMTAB", "SHT_STRTAB")]
    odd = next((s for s in laid_out if s.alignment & (s.alignment - 1) or s.alignment > _MOST_ALIGNED), None)
    if odd is not None:
        message = f"its section {odd.name or odd.index} is aligned to {odd.alignment} bytes"
        yield _unsure(message)
    this = next(s for s in ko.sections if s.alloc and s.name == THIS_MODULE)
    if not this.flags & _WRITE:
        yield _unsure(f"its section {THIS_MODULE} can't be written, and the kernel writes there")
    if ko.struct_name is None and facts.has("RANDSTRUCT") is False:
        yield _unsure("its struct module has no name where the kernel looks for it")
    filled, known = ko.struct_filled, ko.arch == "x86_64" and facts.has("RANDSTRUCT") is False
    if known and filled is not None and filled < (facts.struct_size or this.size):
        yield _unsure("its struct module is filled already, where the kernel believes what it finds")
    if ko.bare:
        yield _unsure(f"its table {ko.bare[0]} leads nowhere in places, and the kernel follows it")
    if this.type == "SHT_NOBITS" and not facts.since_6_4:
        yield _unsure(f"its section {THIS_MODULE} has no content")
    if facts.struct_size is not None and this.size < facts.struct_size and not facts.since_6_4:
        yield _unsure(f"its struct module is smaller than that of {facts.release}, which writes beyond it")
    if facts.since_6_4:
        names = Counter(s.name for s in laid_out if s.size and s.name and s.name != ".shstrtab")
        twice = next((name for name, count in names.items() if count > 1), None)
        if twice is not None:
            # Their names become files in /sys/module, and the newer of these kernels want all of them.
            message = f"two of its sections are called {twice}"
            yield Finding("KS406", "error", "sysfs", message, _REBUILD, UNSURE)


def _unsure(message: str) -> Finding:
    # The questions before it are asked of such a file as of any other.
    return Finding("KS406", "error", "layout", message, _REBUILD, UNSURE)


def predict_damaged(flaw: DamagedModule, facts: KernelFacts | None) -> Prediction:
    """The prediction for a file that is no module: what every kernel checks, and what only some do."""
    message = f"{flaw.what}: {flaw.cause}" if flaw.cause else flaw.what
    known = flaw.stage is not None
    if flaw.words and facts is not None and facts.says(flaw.words) is False:
        known = False
    stage, errno = (flaw.stage, flaw.errno) if known else (None, None)
    finding = Finding(flaw.code, "error", stage, message, flaw.fix, errno)
    return Prediction(False if known else None, stage, errno, (finding,))

"""Stage `formation`: may the module's exports join those of the kernel?

Source: verify_exported_symbols() in kernel/module/main.c.
"""

import contextlib
from collections.abc import Iterator

from kscaffold.elf import kofile
from kscaffold.elf.module_name import module_name_of
from kscaffold.errors import KscaffoldError
from kscaffold.module.predict.finding import Finding
from kscaffold.module.predict.question import Question, abbreviate

_THE_KERNEL = "the kernel"
_FIX = "rename it, or make it static"


def findings(question: Question) -> list[Finding]:
    """The symbols it exports that others export already: the kernel, its modules, or those it was built
    with, where modpost says nothing.
    """
    found = []
    for owner, symbols in _doubled(question).items():
        if owner == _THE_KERNEL or question.is_loaded(owner):
            message = f"it exports {abbreviate(symbols)}, which {owner} exports already"
            found.append(Finding("KS431", "error", "formation", message, _FIX, "ENOEXEC"))
        elif question.kernel.loaded is None:
            message = f"it exports {abbreviate(symbols)} as {owner} does: only one of the two can be loaded"
            found.append(Finding("KS431", "warn", "formation", message, _FIX))
    return found


def _doubled(question: Question) -> dict[str, list[str]]:
    """The symbols that the module and somebody else export, by the others' names."""
    ko, found = question.ko, dict[str, list[str]]()
    beside = dict(_loaded_beside(question)) if ko.exports else {}
    tables = [table for table in (question.kernel.exports, question.project) if table]
    for symbol in (export.symbol for export in ko.exports):
        others = [other for table in tables for other in table.all_of(symbol)]
        owners = [o.module or _THE_KERNEL for o in others if o.module != ko.name]
        # Older modposts note only one of several.
        owners += [name for name, theirs in beside.items() if symbol in theirs]
        for owner in dict.fromkeys(owners):
            found.setdefault(owner, []).append(symbol)
    return found


def _loaded_beside(question: Question) -> Iterator[tuple[str, frozenset[str]]]:
    """The modules that are loaded and whose files are in the same directory: name, exported symbols."""
    if not question.kernel.loaded:
        return
    for path in question.ko.path.absolute().parent.glob("*.ko"):
        name = module_name_of(path.name)
        if question.is_loaded(name) and name != question.ko.name:
            with contextlib.suppress(KscaffoldError):
                yield name, frozenset(e.symbol for e in kofile.read_ko(path).exports)

"""Why the kernel refused, where its log has a line that says so. errno_causes.py: where it has none."""

from collections.abc import Sequence

from kscaffold.diagnosis import catalogue, errnos
from kscaffold.diagnosis.catalogue import CatalogueMatch
from kscaffold.diagnosis.errno_causes import Reason, of_foreign
from kscaffold.diagnosis.evidence import Evidence
from kscaffold.diagnosis.stages import ORDER

_NAMED = 4


def matching_lines(e: Evidence, name: str) -> list[CatalogueMatch]:
    """The refusals in the log that this errno can come from, in the order of stages: the last one wins.

    A line counts only if it names this module or none, and was not written by a program.
    """
    own = [r for r in e.attempt.log if r.facility == 0]
    fits: list[CatalogueMatch] = []
    for finding in catalogue.match(own, "23"):
        entry = finding.entry
        if entry.noise or entry.stage not in ORDER or entry.code in ("KS202", "KS223", "KS264"):
            continue
        if entry.errno and name not in entry.errno and not _by_setter(finding):
            continue
        # Of a file that is no valid module the kernel may know another name than we do, or none.
        if entry.stage != "elf" and not names(finding, e.module):
            continue
        fits.append(finding)
    exact = [f for f in fits if not f.entry.vague]
    return sorted(exact or fits, key=lambda f: ORDER.index(f.entry.stage or ""))


def _by_setter(finding: CatalogueMatch) -> bool:
    """A parameter's own function may return any errno."""
    return finding.entry.code == "KS221"


def cause_of_line(e: Evidence, line: CatalogueMatch) -> Reason:
    """The reason that a line of the log gives, made more exact by what else is known."""
    name = errnos.name(e.attempt.errno or 0) or ""
    code, groups = line.entry.code, dict(line.groups)
    if line.entry.stage == "elf" and e.foreign:
        return of_foreign(e.foreign)
    if code == "KS221" and name in ("ERANGE", "ENOSPC"):
        return Reason("KS222", "parameters", groups=groups)
    if code == "KS221" and name != "EINVAL":
        return Reason("KS224", "parameters", groups=groups)
    if code in ("KS204", "KS205"):
        return _of_unknown_symbol(e, groups)
    return Reason(code, line.entry.stage, groups=groups)


def _of_unknown_symbol(e: Evidence, groups: dict[str, str]) -> Reason:
    names = groups.get("symbol", "").split(", ")
    known = {n: e.symbols[n] for n in names if n in e.symbols}
    if known and all(v == "gpl-only" for v in known.values()) and len(known) == len(names):
        return Reason("KS205", "symbols", groups=groups)
    owners = sorted({v for v in known.values() if v not in ("gpl-only", "missing")})
    if circle := next((v for v in owners if v.startswith("circle ")), None):
        cause = f"{circle[7:]} has {_short(names)}, and needs {e.module} in turn: neither can be loaded first"
        return Reason("KS295", "symbols", groups=groups, cause=cause)
    if owners:
        several = ", ".join(owners)
        return Reason(
            "KS204",
            "symbols",
            groups=groups,
            cause=f"{_short(names)} {'is' if len(names) == 1 else 'are'} exported by {several}, "
            f"which {'is' if len(owners) == 1 else 'are'} not loaded",
            fix=f"load {several} first",
        )
    if known and all(v == "missing" for v in known.values()) and len(known) == len(names):
        return Reason(
            "KS204",
            "symbols",
            groups=groups,
            cause=f"this kernel and its modules do not export {_short(names)}",
            fix="use another function, or add the object that defines it to the module's Kbuild",
        )
    return Reason("KS204", "symbols", groups=groups)


def _short(names: Sequence[str]) -> str:
    """The first names of what may be a hundred."""
    more = len(names) - _NAMED
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:_NAMED])} and {more} more"


def names(finding: CatalogueMatch, module: str) -> bool:
    """Whether a line names this module, or none."""
    return module in finding.groups.get("module", module).split(", ")

"""Gathers what is known of a load: the attempt itself, and after a failure what tells its causes apart."""

import errno
from collections.abc import Iterator

from kscaffold import lazy
from kscaffold.arch import table
from kscaffold.diagnosis import crash, power, trace
from kscaffold.diagnosis.attempt import Attempt, Listed
from kscaffold.diagnosis.evidence import Evidence
from kscaffold.diagnosis.stages import ORDER
from kscaffold.elf import quick
from kscaffold.elf.module_file import ModuleFile
from kscaffold.elf.quick import needed_back
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.kernel import Kernel
from kscaffold.records import replace
from kscaffold.targets.target import Target

# Where a task waits for a load or an unload of the same name to end: 6.1's function, and 6.4's.
_WAITS_FOR_NAME = lazy.pattern(r"\b(?:add_unformed_module|module_patient_check_exists)\b")
_UNKNOWN = lazy.pattern(r"^(?P<module>[\w-]{1,64}): Unknown symbol (?P<symbol>\S{1,255}) \(err -2\)$")
# Errors that have a cause in the state of the kernel, which its own files tell.
_ASKED = frozenset({errno.EPERM, errno.EACCES, errno.EINVAL, errno.EKEYREJECTED})

_NO_DEVICE = frozenset({errno.ENODEV, errno.ENXIO})


def gather(
    ko: ModuleFile, attempt: Attempt, target: Target, kernel: Kernel | None = None, *, plain: bool = False
) -> Evidence:
    """The evidence of an attempt to load `ko`. What only a failure needs is looked up only then.

    `kernel`: the one that was loaded into, to tell who exports a symbol that it did not find. `plain`:
    without a parameter.
    """
    timeline = trace.timeline(trace.parse_trace(attempt.trace)) if attempt.trace else None
    # A task that was killed on its way back can't say what the kernel told it, nor can one that was given up
    # a moment too early; the trace can.
    unsaid = attempt.killed_by is not None or attempt.late
    traced = timeline.errno if timeline and unsaid else None
    attempt = replace(attempt, errno=traced, answered=True, late=False) if traced is not None else attempt
    evidence = Evidence(
        ko.module, attempt, timeline=timeline, cmdline=target.cmdline, tainted=tainted(attempt, target)
    )
    if attempt.errno == 0:
        return evidence
    evidence = _of_failure(evidence, ko, target, kernel)
    return (
        replace(evidence, not_given=_parameters(ko)) if plain and attempt.errno == errno.EINVAL else evidence
    )


def _parameters(ko: ModuleFile) -> tuple[str, ...]:
    """The names of a module's parameters."""
    try:
        return tuple(p.name for p in ko.kofile().parameters)
    except KscaffoldError:
        return ()


def _of_failure(e: Evidence, ko: ModuleFile, target: Target, kernel: Kernel | None) -> Evidence:
    """The evidence with what tells the causes of a failure apart."""
    listed = _modules(target) if e.attempt.heard else None
    if e.attempt.heard and e.attempt.errno in _ASKED:
        e = replace(e, facts=target.facts(e.module))
    if listed is not None:
        e = _of_list(e, listed)
    e = _of_file(e, ko)
    if e.attempt.errno == errno.ENOEXEC:
        e = replace(e, foreign=_foreign(ko, target))
    unknown = _unknown_symbols(e)
    if unknown and kernel is not None:
        loaded = {m.name for m in listed or () if m.state == "Live"}
        e = replace(e, symbols=dict(_of_symbols(unknown, ko, kernel, loaded)))
    return e


def tainted(attempt: Attempt, target: Target) -> int | None:
    """kernel.tainted, asked only where the log has what may be a report of the kernel's own: the number tells
    such a report from one that the module printed.
    """
    return target.tainted() if attempt.heard and crash.may_have_complaint(attempt.log) else None


def _modules(target: Target) -> list[Listed] | None:
    try:
        return target.modules()
    except KscaffoldError:
        return None


def _of_list(e: Evidence, listed: list[Listed]) -> Evidence:
    """Whether a module of that name was there before: it still is, where this load was refused, and where
    its task waits for it.
    """
    mine = next((m for m in listed if m.name == e.module), None)
    state = mine.state if mine else None
    other = bool(e.attempt.errno) or (e.attempt.late and _waits_for_name(e))
    before = state if other else None
    if e.attempt.late and state == "Live" and not other:  # it came to its end after it was given up
        e = replace(e, attempt=replace(e.attempt, errno=0, answered=True, late=False))
    return replace(e, state_after=state, state_before=before, loaded_before=before == "Live")


def _waits_for_name(e: Evidence) -> bool:
    """Whether a load that does not end is not on the list itself. While it is not, nobody sees it there."""
    if e.timeline is not None and e.timeline.reached is not None:
        return ORDER.index(e.timeline.reached) <= ORDER.index("list")
    return bool(_WAITS_FOR_NAME.search(e.attempt.stack))


def _of_file(e: Evidence, ko: ModuleFile) -> Evidence:
    """The evidence with what the .ko itself says; without where it is damaged: the kernel's answer stands."""
    try:
        facts = ko.kofile()
    except KscaffoldError:
        return e
    looked: tuple[tuple[str, str], ...] = ()
    reset = power.resets(quick.imports(ko)) if e.attempt.reset else None
    if e.attempt.errno in _NO_DEVICE:
        from kscaffold.diagnosis.hardware import looked_for  # start-up time: few loads fail so

        looked = looked_for(quick.imports(ko))
    return replace(
        e,
        has_init=facts.init is not None,
        signed=facts.signed,
        layout_version="module_layout" in (facts.versions or {}),
        looked_for=looked,
        resets=reset,
    )


def _foreign(ko: ModuleFile, target: Target) -> str | None:
    """The machine that a .ko is for, where the target's kernel is of another one."""
    try:
        machine = table.of_elf(ko.read_bytes()[:64])
    except KscaffoldError:  # what compressed it is broken
        return None
    return machine.debian if machine and target.arch and target.arch not in machine.uname else None


def _unknown_symbols(e: Evidence) -> tuple[str, ...]:
    """The symbols that the kernel says it does not know, each once."""
    if e.attempt.errno != errno.ENOENT:
        return ()
    found = (_UNKNOWN.match(r.text[:512]) for r in e.attempt.log if r.facility == 0)
    return tuple(dict.fromkeys(f["symbol"] for f in found if f and f["module"] == e.module))


def _of_symbols(
    symbols: tuple[str, ...], ko: ModuleFile, kernel: Kernel, loaded: set[str]
) -> Iterator[tuple[str, str]]:
    """Why a symbol could not be had: `missing`, `gpl-only`, or the module to load for it, after `circle`
    where that needs this one in turn.
    """
    from kscaffold.elf.modinfo import gpl_compatible  # start-up time: a load that went well does not need it
    from kscaffold.kernel import symvers

    known = symvers.read_symvers(kernel.build / "Module.symvers") if kernel.build else None
    if known is None:
        return
    beside = symvers.beside(ko.path)
    try:
        free = gpl_compatible(ko.kofile().license)
    except KscaffoldError:
        free = True
    for symbol in symbols:
        exported = known.find_export(symbol) or (beside.find_export(symbol) if beside else None)
        if exported is None:
            yield symbol, "missing"
        elif exported.module and exported.module not in loaded:
            back = needed_back(ko.module, exported.module, ko.path.absolute().parent)
            yield symbol, f"circle {exported.module}" if back else exported.module
        elif exported.gpl and not free:
            yield symbol, "gpl-only"

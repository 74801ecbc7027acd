"""What is known of a load: the attempt itself, and after a failure what tells its causes apart."""

import errno
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from kscaffold.diagnosis import crash, trace
from kscaffold.diagnosis.evidence import Evidence
from kscaffold.diagnosis.stages import ORDER
from kscaffold.elf.quick import module_name, needed_back
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.kernel import Kernel
from kscaffold.targets.sandbox import SandboxTarget
from kscaffold.targets.target import Attempt, Facts, Listed, Target

_CAP_SYS_MODULE = 1 << 16
# Where a task waits for a load or an unload of the same name to end: 6.1's function, and 6.4's.
_WAITS_FOR_NAME = re.compile(r"\b(?:add_unformed_module|module_patient_check_exists)\b")
_UNKNOWN = re.compile(r"^(?P<module>[\w-]{1,64}): Unknown symbol (?P<symbol>\S{1,255}) \(err -2\)$")
# Errors that have a cause in the state of the kernel, which its own files tell.
_ASKED = frozenset({errno.EPERM, errno.EACCES, errno.EINVAL, errno.EKEYREJECTED})


def gather(name: str, ko: Path, attempt: Attempt, target: Target, kernel: Kernel | None = None) -> Evidence:
    """The evidence of an attempt. What only a failure needs is looked up only then.

    `kernel`: the one that was loaded into, to tell who exports a symbol that it did not find.
    """
    timeline = trace.timeline(trace.parse(attempt.trace)) if attempt.trace else None
    # A task that was killed on its way back can't say what the kernel told it; the trace can.
    traced = timeline.errno if timeline and attempt.killed_by is not None else None
    attempt = replace(attempt, errno=traced, answered=True) if traced is not None else attempt
    evidence = Evidence(
        module=name,
        errno=attempt.errno,
        answered=attempt.answered,
        alive=attempt.alive,
        reset=attempt.reset,
        late=attempt.late,
        killed_by=attempt.killed_by,
        records=attempt.records or (),
        log_seen=attempt.records is not None,
        timeline=timeline,
        cmdline=target.cmdline,
        tainted=tainted(attempt, target),
    )
    if attempt.errno == 0:
        return evidence
    facts = attempt.facts
    listed = _asked(target.modules) if attempt.heard else None
    if attempt.heard and attempt.errno in _ASKED and isinstance(target, SandboxTarget):
        facts = guest_facts(name, target)
    evidence = replace(evidence, **{f: getattr(facts, f) for f in Facts.__slots__})
    if listed is not None:
        evidence = _of_list(evidence, listed, attempt.stack)
    evidence = _of_file(evidence, ko)
    unknown = _unknown_symbols(evidence)
    if unknown and kernel is not None:
        loaded = {m.name for m in listed or () if m.state == "Live"}
        evidence = replace(evidence, symbols=dict(_of_symbols(unknown, ko, kernel, loaded)))
    return evidence


def tainted(attempt: Attempt, target: Target) -> int | None:
    """kernel.tainted of a guest, asked where it tells a report of the kernel's from one that is printed.
    A host may have been tainted long before.
    """
    if (
        isinstance(target, SandboxTarget)
        and attempt.heard
        and crash.may_have_complaint(attempt.records or ())
    ):
        return target.tainted()
    return None


def _asked(ask: Callable[[], list[Listed]]) -> list[Listed] | None:
    try:
        return ask()
    except KscaffoldError:
        return None


def _of_list(e: Evidence, listed: list[Listed], stack: str) -> Evidence:
    """Whether a module of that name was there before: it still is, where this load was refused, and where
    its task waits for it.
    """
    mine = next((m for m in listed if m.name == e.module), None)
    state = mine.state if mine else None
    other = bool(e.errno) or (e.late and _waits_for_name(e, stack))
    before = state if other else None
    return replace(e, state_after=state, state_before=before, loaded_before=before == "Live")


def _waits_for_name(e: Evidence, stack: str) -> bool:
    """Whether a load that does not end is not on the list itself. While it is not, nobody sees it there."""
    if e.timeline is not None and e.timeline.reached is not None:
        return ORDER.index(e.timeline.reached) <= ORDER.index("list")
    return bool(_WAITS_FOR_NAME.search(stack))


def _of_file(e: Evidence, ko: Path) -> Evidence:
    """What the .ko itself says; nothing where it can't be read: the kernel's answer stands."""
    from kscaffold.elf import kofile  # start-up time: a load that went well does not need it

    try:
        facts = kofile.read_ko(ko)
    except KscaffoldError:
        return e
    return replace(
        e,
        has_init=facts.init is not None,
        signed=facts.signed,
        layout_version="module_layout" in (facts.versions or {}),
    )


def guest_facts(name: str, target: SandboxTarget) -> Facts:
    """What a guest's kernel says of itself, now; the agent's own rights are those of the loading child."""
    status = _text(target, "/proc/self/status") or ""
    own = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    capabilities = own.get("CapEff", "").strip()
    disabled = _text(target, "/proc/sys/kernel/modules_disabled")
    lockdown = _text(target, "/sys/kernel/security/lockdown")
    enforce = _text(target, "/sys/module/module/parameters/sig_enforce")
    return Facts(
        capable=bool(int(capabilities, 16) & _CAP_SYS_MODULE) if capabilities else None,
        modules_disabled=disabled == "1" if disabled else None,
        lockdown="[none]" not in lockdown if lockdown else None,
        sig_enforce=enforce == "Y" if enforce else None,
        # Loadable ones have a state there.
        builtin=_is_directory(target, f"/sys/module/{name}")
        and _text(target, f"/sys/module/{name}/initstate") is None,
    )


def _text(target: SandboxTarget, path: str) -> str | None:
    try:
        return target.read(path).decode(errors="replace").strip()
    except (OSError, KscaffoldError):
        return None


def _is_directory(target: SandboxTarget, path: str) -> bool:
    try:
        target.read(f"{path}/.")  # nothing but a directory can be opened by that name
    except (OSError, KscaffoldError):
        return False
    return True


def _unknown_symbols(e: Evidence) -> tuple[str, ...]:
    """The symbols that the kernel says it does not know, each once."""
    if e.errno != errno.ENOENT:
        return ()
    found = (_UNKNOWN.match(r.text[:512]) for r in e.records if r.facility == 0)
    return tuple(dict.fromkeys(f["symbol"] for f in found if f and f["module"] == e.module))


def _of_symbols(
    symbols: tuple[str, ...], ko: Path, kernel: Kernel, loaded: set[str]
) -> Iterator[tuple[str, str]]:
    """Why a symbol could not be had: `missing`, `gpl-only`, or the module to load for it, after `circle`
    where that needs this one in turn.
    """
    # start-up time: a load that went well does not need it
    from kscaffold.elf import kofile
    from kscaffold.elf.modinfo import gpl_compatible
    from kscaffold.kernel import symvers

    known = symvers.read_symvers(kernel.build / "Module.symvers") if kernel.build else None
    if known is None:
        return
    beside = symvers.beside(ko)
    try:
        free = gpl_compatible(kofile.read_ko(ko).license)
    except KscaffoldError:
        free = True
    for symbol in symbols:
        exported = known.find(symbol) or (beside.find(symbol) if beside else None)
        if exported is None:
            yield symbol, "missing"
        elif exported.module and exported.module not in loaded:
            back = needed_back(module_name(ko), exported.module, ko.absolute().parent)
            yield symbol, f"circle {exported.module}" if back else exported.module
        elif exported.gpl and not free:
            yield symbol, "gpl-only"

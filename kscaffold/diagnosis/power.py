"""A kernel that was told to end: its last line says so, on every console (kernel/reboot.c, pr_emerg)."""

from collections.abc import Collection, Mapping, Sequence

from kscaffold.diagnosis.attempt import Attempt
from kscaffold.diagnosis.klog import Record

_ENDS: Mapping[str, tuple[str, str]] = {
    "reboot: Power down": ("was switched off", "kernel_power_off()"),
    "reboot: Restarting system": ("was restarted", "kernel_restart()"),
    "reboot: System halted": ("was halted", "kernel_halt()"),
}
# What the agent says on the console, where the kernel starts it as one of these.
_STARTED = {
    "the kernel started /sbin/poweroff": "orderly_poweroff()",
    "the kernel started /sbin/reboot": "orderly_reboot()",
}
# The functions that reset the machine at once, and without a word on the console.
_RESETS = {"emergency_restart": "emergency_restart()", "handle_sysrq": "handle_sysrq('b')"}

RESET = "kscaffold: the machine reset itself, and its kernel said nothing"
"""The console of a guest whose machine did that, as it is kept."""
ENDED = frozenset({"KS268", "KS619"})
"""The codes of a kernel that ended without a crash of its own: by a reset, or as it was told."""
ENDS_LATER = frozenset({"orderly_poweroff", "orderly_reboot"})
"""The functions that end the kernel some time after they returned."""


def told_to_end(seen: Attempt) -> dict[str, str] | None:
    """How a kernel that does not answer was ended by a call, as groups for KS619; None where it was not: a
    kernel that still answers has only a module that prints such a line.
    """
    return None if seen.answered or seen.outlived else last_words(seen.log)


def last_words(records: Sequence[Record]) -> dict[str, str] | None:
    """How a kernel that has ended was ended by a call, as groups for KS619; None where it does not say so."""
    started = next((call for r in records for line, call in _STARTED.items() if r.text[:100] == line), None)
    for record in reversed(records):
        for line, (how, call) in _ENDS.items():
            if record.text[:100].startswith(line):
                return {"line": line, "how": how, "call": started or call}
    return None


def resets(imports: Collection[str]) -> str | None:
    """The call by which a module with these imports may have reset the machine, None where it has none."""
    return next((call for name, call in _RESETS.items() if name in imports), None)


def likely_reset(call: str | None) -> str:
    """The words that follow "the processor reset", where the module has such a call."""
    return f"; likely: the module calls {call}, which does just that" if call else ""

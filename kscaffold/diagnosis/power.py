"""A kernel that was told to end: its last line says so, on every console (kernel/reboot.c, pr_emerg)."""

from collections.abc import Mapping

from kscaffold.diagnosis.attempt import Attempt

_ENDS: Mapping[str, tuple[str, str]] = {
    "reboot: Power down": ("was switched off", "kernel_power_off()"),
    "reboot: Restarting system": ("was restarted", "kernel_restart()"),
    "reboot: System halted": ("was halted", "kernel_halt()"),
}


def told_to_end(seen: Attempt) -> dict[str, str] | None:
    """How a kernel that does not answer was ended by a call, as groups for KS619; None where it was not: a
    kernel that still answers has only a module that prints such a line.
    """
    if seen.answered or seen.outlived:
        return None
    for record in reversed(seen.log):
        for line, (how, call) in _ENDS.items():
            if record.text[:100].startswith(line):
                return {"line": line, "how": how, "call": call}
    return None

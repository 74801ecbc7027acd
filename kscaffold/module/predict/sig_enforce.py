"""Whether a kernel's command line makes it want signatures. Imports little: every load asks."""

from kscaffold.diagnosis.cmdline import is_on, values


def enforced(cmdline: str) -> bool:
    """Whether module.sig_enforce is on. No later setting turns it off in a running kernel."""
    return any(map(is_on, values(cmdline, "module.sig_enforce")))


def locked_down(cmdline: str) -> bool:
    """Lockdown is asked for, which refuses unsigned modules too. It can't be taken back by a later word."""
    return any(level in ("integrity", "confidentiality") for level in values(cmdline, "lockdown"))

"""Stage `permission`: may this program load modules into this kernel at all?

Source: may_init_module() in kernel/module/main.c.
"""

from kscaffold.diagnosis.cmdline import is_on, values
from kscaffold.module.predict.finding import Finding
from kscaffold.module.predict.question import Question

# Two names of one switch; the kernel sets the second at the end of the boot.
_SWITCHES = ("nomodule", "sysctl.kernel.modules_disabled")


def findings(question: Question) -> list[Finding]:
    """A kernel that was started with module loading switched off."""
    cmdline = question.kernel.cmdline
    switch = next((s for s in _SWITCHES if any(map(is_on, values(cmdline, s)))), None)
    if switch is None:
        return []
    message = f"the kernel was started with {switch}"
    return [Finding("KS443", "error", "permission", message, "start it without", "EPERM")]

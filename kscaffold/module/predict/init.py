"""Stage `init`: will the kernel call the module's init function?

Source: do_one_initcall() in init/main.c. What the function returns nobody can predict.
"""

from kscaffold.diagnosis.cmdline import values
from kscaffold.module.predict.finding import Finding
from kscaffold.module.predict.question import Question


def findings(question: Question) -> list[Finding]:
    """An init function whose name is on initcall_blacklist=."""
    init, kernel = question.ko.init, question.kernel
    if init is None or kernel.has("KALLSYMS") is False:
        return []
    said = values(kernel.cmdline, "initcall_blacklist")
    if not any(init.listed in names.split(",") for names in said):
        return []
    message = f"the kernel was started with initcall_blacklist={init.listed}"
    return [Finding("KS443", "error", "init", message, "start it without", "EPERM")]

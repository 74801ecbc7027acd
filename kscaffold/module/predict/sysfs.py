"""Stage `sysfs`: can /sys/module/NAME be made?

Source: mod_sysfs_setup() in kernel/module/sysfs.c.
"""

from kscaffold.module.predict import corruption
from kscaffold.module.predict.finding import UNSURE, Finding
from kscaffold.module.predict.question import Question

_RENAME = "give the module another name"


def findings(question: Question) -> list[Finding]:
    """Names that are in the way below /sys/module."""
    taken = _taken(question)
    return [*([taken] if taken else []), *corruption.findings("sysfs", question)]


def _taken(question: Question) -> Finding | None:
    name, kernel = question.name, question.kernel
    path = f"/sys/module/{name}"
    if name in kernel.in_sysfs and not question.is_loaded(name):
        message = f"{kernel.name} has built-in code called {name}, whose {path} is in the way"
        return Finding("KS436", "error", "sysfs", message, _RENAME, "EINVAL")
    if question.ko.doubled:
        message = f"two of its files have a parameter {question.ko.doubled[0]}"
        return Finding("KS461", "error", "sysfs", message, "rename one of the two", "EEXIST")
    # Who builds a kernel sees to the names of its own modules.
    if name in kernel.perhaps_in_sysfs and not question.is_loaded(name) and not question.ko.info("intree"):
        message = f"{kernel.name} may have built-in code called {name}, with a {path} in the way"
        return Finding("KS436", "warn", "sysfs", message, _RENAME, UNSURE)
    if name in kernel.builtin:
        return Finding("KS436", "warn", "sysfs", f"{kernel.name} has {name} built in already", _RENAME)
    return None

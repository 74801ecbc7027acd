"""Stage `list`: is the module's name free?

Source: add_unformed_module() in kernel/module/main.c.
"""

from kscaffold.module.predict.finding import Finding
from kscaffold.module.predict.question import Question


def findings(question: Question) -> list[Finding]:
    """A module of that name which is loaded already."""
    name = question.name
    if not question.is_loaded(name):
        return []
    return [Finding("KS435", "error", "list", f"{name} is loaded already", "kscaffold reload", "EEXIST")]

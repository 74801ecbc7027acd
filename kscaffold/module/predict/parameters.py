"""Stage `parameters`: does the module take the parameters that it is given?

Source: parse_args() in kernel/params.c. The kernel reads all of them; the last error counts.
"""

from collections.abc import Iterator

from kscaffold.elf.model import KoFile, ModuleParameter
from kscaffold.module.predict.finding import UNSURE, Finding
from kscaffold.module.predict.param_values import refusal
from kscaffold.module.predict.question import Question

# The kernel takes these for every module.
_OF_THE_KERNEL = ("dyndbg", "async_probe")


def findings(question: Question) -> list[Finding]:
    """Parameters that the module does not have, and values that a parameter does not take."""
    known = {p.name.replace("-", "_"): p for p in question.ko.parameters}
    found: list[Finding] = []
    for name, value in _assignments(question.arguments):
        parameter = known.get(name.replace("-", "_"))
        if parameter is not None:
            found += _value(parameter, value, question)
        elif name not in _OF_THE_KERNEL:
            found.append(_unknown(name, question.ko))
    return found


def _assignments(arguments: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    """Name and value of each argument in front of a `--`; None for a name that stands alone."""
    for argument in arguments:
        if argument.startswith('"'):  # a quote before the name ends with the word
            argument = argument[1:].removesuffix('"')
        name, equals, value = argument.partition("=")
        if name == "--" and not equals:
            return
        if value.startswith('"'):
            value = value[1:].removesuffix('"')
        yield name, value if equals else None


def _unknown(name: str, ko: KoFile) -> Finding:
    known = ", ".join(p.name for p in ko.parameters) or "none"
    message = f"it has no parameter {name}: the kernel will ignore it (there are: {known})"
    return Finding("KS434", "warn", "parameters", message, "kscaffold info")


def _value(parameter: ModuleParameter, value: str | None, question: Question) -> Iterator[Finding]:
    errno = refusal(parameter, value, question.ko.bits, question.kernel.version)
    name, kind = parameter.name, parameter.type
    typed = f"{name} ({kind})" if kind else name
    if errno == UNSURE:
        message = f"whether {typed} takes {value or ''!r} only its own code knows"
        yield Finding("KS433", "info", "parameters", message, None, UNSURE)
    elif errno:
        message = f"{typed} needs a value" if value is None else f"{typed} does not take {value!r}"
        fix = f"{name}=VALUE, a value of type {kind}"
        yield Finding("KS433", "error", "parameters", message, fix, errno)

"""Which of several modules gets which parameter, and the name that was meant by one that no module has."""

import re
from collections.abc import Collection, Mapping, Sequence

from kscaffold.elf.module_file import ModuleFile
from kscaffold.elf.module_name import normalize_name
from kscaffold.errors import KscaffoldError
from kscaffold.module.arguments import Parameters
from kscaffold.records import replace

# The kernel takes these for every module.
_OF_THE_KERNEL = frozenset({"dyndbg", "async_probe"})


def assign(parameters: Parameters, kos: Sequence[ModuleFile]) -> Mapping[str, Parameters]:
    """The parameters of each module, by the kernel's name of it.

    `MODULE.NAME=VALUE` is for that module alone, as modprobe has it. Of several modules each gets what it
    has; what none of them has goes to those with a near name, else to all: the kernel's own word on it is
    heard.
    """
    names = [ko.module for ko in kos]
    if not parameters or (len(kos) == 1 and not any(_owner(word, names) for word in parameters.words)):
        return dict.fromkeys(names, parameters)
    having = {ko.module: known_names(ko) for ko in kos}
    given: dict[str, list[str]] = {name: [] for name in names}
    for word in parameters.words:
        owner = _owner(word, names)
        if owner:
            given[owner].append(word.partition(".")[2])
            continue
        name = _name(word)
        takers = (
            [m for m in names if name in having[m]] or [m for m in names if _near(name, having[m])] or names
        )
        for module in names if name in _OF_THE_KERNEL else takers:
            given[module].append(word)
    return {module: Parameters.parse(" ".join(words)) for module, words in given.items()}


def known_names(ko: ModuleFile) -> frozenset[str]:
    """The parameters that a module has, `-` as `_`; none where the file is damaged: the kernel says so."""
    try:
        return frozenset(p.name.replace("-", "_") for p in ko.kofile().parameters)
    except KscaffoldError:
        return frozenset()


def near_name(written: str, ko: ModuleFile) -> str:
    """The advice on a parameter that the module has not: a name much like it, or the names there are."""
    known = sorted(known_names(ko))
    near = _near(written.replace("-", "_"), known)
    if near:
        return f"{near[0]}=… where {near[0]} was meant; kscaffold info lists the parameters"
    return f"leave it out: {ko.name} has {', '.join(known) if known else 'no parameters'}"


def _near(written: str, known: Collection[str]) -> list[str]:
    import difflib  # start-up time: for a typing error

    return difflib.get_close_matches(written, known, 1)


def stray_module(written: str, parameters: Parameters, loaded: Sequence[str]) -> str | None:
    """The word of `MODULE.NAME=VALUE` whose module is none of those that are loaded: the kernel takes what is
    before the dot for a parameter.
    """
    words = (word.partition("=")[0] for word in parameters.words)
    return next(
        (w for w in words if "." in w and w.partition(".")[0] == written and written not in loaded), None
    )


def refused_value(said: str, parameters: Parameters, ko: ModuleFile) -> tuple[str, str] | None:
    """Cause and fix where the kernel did not take a value: of an array its log names the first element,
    whichever was wrong. `said`: the log. None where the file does not tell the parameter's type.
    """
    from kscaffold.module.predict.param_values import RANGES, refusal  # start-up time: few are refused

    line = re.search(r"' (?:invalid|too large) for parameter `([\w.-]{1,64})'", said)
    name, facts = line[1].replace("-", "_") if line else "", ko.kofile()
    known = next((p for p in facts.parameters if p.name.replace("-", "_") == name), None)
    values = [w.partition("=")[2] for w in parameters.words if _name(w) == name]
    if known is None or not known.type or not values:
        return None
    value, kind = values[-1].strip('"'), known.type.removeprefix("array of ")
    given = value.split(",") if kind != known.type else [value]
    cause = f"{known.name} ({known.type}) does not take {value!r}"
    if known.limit is not None and kind != known.type and len(given) > known.limit:
        cause = f"{known.name} ({known.type}) takes {known.limit} values at most, and {len(given)} were given"
        return cause, f"{known.name}={','.join(given[: known.limit])}"
    wrong = next((v for v in given if refusal(replace(known, type=kind), v, facts.bits)), None)
    if wrong is not None and len(given) > 1:
        cause += f": {wrong!r} is none"
    if kind in RANGES:
        cause += f" (it holds {RANGES[kind][0]} to {RANGES[kind][1]})"
    return cause, f"{known.name}=VALUE{',…' if kind != known.type else ''}, a value of type {kind}"


def _owner(word: str, modules: Sequence[str]) -> str | None:
    """The module that a word names before a dot."""
    owner, dot, _ = word.partition("=")[0].partition(".")
    name = normalize_name(owner)
    return name if dot and name in modules else None


def _name(word: str) -> str:
    return word.partition("=")[0].strip('"').replace("-", "_")

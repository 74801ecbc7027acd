"""`.kscaffold.toml`: what was chosen when a project was made, for people and for `kscaffold update`.

The template and its answers are two tables of plain values: those of kscaffold's own templates, or of any
other (`source`, `commit` and the answers it asks for).
"""

import datetime
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kscaffold import __version__
from kscaffold.errors import UsageError
from kscaffold.files import paths, reader
from kscaffold.records import dataclass, field

FILE = ".kscaffold.toml"
SCHEMA = 1

_HEAD = """\
# What this project was made from. `kscaffold update` needs it, to bring what is new in the template
# into the project (.kscaffold.base has the files as they were made); no build does.
"""

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


@dataclass(frozen=True, slots=True)
class ProjectAnswers:
    """The answers that a project was made with.

    `template`: `name` for one of kscaffold's own. `given`: the answers, as TOML can say them. `base`: the
    digest of the base that belongs to them. `kscaffold`: the version that rendered it.
    """

    template: Mapping[str, Any]
    given: Mapping[str, Any]
    base: str = ""
    kscaffold: str = field(default=__version__)


def text(answers: ProjectAnswers) -> str:
    """The file."""
    head = {"schema": SCHEMA, "kscaffold": answers.kscaffold, "base": answers.base}
    return _HEAD + "\n".join(
        [*_pairs(head), "", *_table("template", answers.template), "", *_table("answers", answers.given), ""]
    )


def find_answers(directory: Path) -> Path:
    """The project of a directory: it, or the nearest one above that has answers, within one repository.

    Raises UsageError KS050 where there is none.
    """
    start = directory.resolve()
    for above in (start, *start.parents):
        # A FIFO or a device there is an error when it is read; a directory holds no answers.
        if (above / FILE).exists() and not (above / FILE).is_dir():
            return above
        if above == paths.home() or (above / ".git").exists():
            break
    import shlex  # start-up time: for this error only

    name, place = shlex.quote(start.name), shlex.quote(str(start))
    raise UsageError(
        "KS050",
        f"{start} has no {FILE}",
        cause="it says which template a project is from; only kscaffold new writes it, adopt does not",
        fix="make it anew elsewhere and compare: "
        f"kscaffold new {name} -C /tmp && diff -ru /tmp/{name} {place}",
    )


def read_answers(project: Path) -> ProjectAnswers:
    """The answers of a project. Raises UsageError KS051 where they can't be understood, KS052 where a newer
    kscaffold wrote them."""
    try:
        found = tomllib.loads(reader.read_bytes(project / FILE).decode())
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, a number too long, a value too deep
        raise damaged(project, str(error)) from None
    schema, version = found.get("schema"), found.get("kscaffold")
    if not isinstance(schema, int) or not isinstance(version, str):
        raise damaged(project, "it does not say its schema and its kscaffold")
    if schema > SCHEMA or _number(version) > _number(__version__):
        raise UsageError(
            "KS052",
            f"this project was made by kscaffold {version}; this one is {__version__}",
            cause="an older template is no update",
            fix="install that version of kscaffold, or a newer one",
        )
    template, given = found.get("template"), found.get("answers")
    if not isinstance(template, dict) or not isinstance(given, dict):
        raise damaged(project, "it has no table [template] or none of [answers]")
    return ProjectAnswers(template, given, str(found.get("base", "")), version)


def damaged(project: Path, cause: str) -> UsageError:
    """The error for a file whose content does not serve."""
    return UsageError(
        "KS051",
        f"{project / FILE} can't be understood",
        cause=" ".join(cause.split()),
        fix=f"mend it, or take an older one from version control: git log -p {FILE}",
    )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d{1,9}", version)[:3])


def _table(name: str, values: Mapping[str, Any]) -> list[str]:
    """A table, the lists of tables in it last: what follows their heads would be theirs."""
    lists = {
        k: v for k, v in values.items() if isinstance(v, list) and v and all(isinstance(x, dict) for x in v)
    }
    lines = [f"[{name}]", *_pairs({k: v for k, v in values.items() if k not in lists})]
    for key, tables in lists.items():
        for each in tables:
            lines += ["", f"[[{name}.{_key(key)}]]", *_pairs(each)]
    return lines


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{_key(k)} = {_value(v)}" for k, v in values.items()]


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _string(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(v) for v in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(_pairs(value))}}}"
    raise TypeError(f"{type(value).__name__} is nothing TOML can say")


def _string(text: str) -> str:
    return f'"{"".join(_character(c) for c in text)}"'


def _character(c: str) -> str:
    if c in _ESCAPES:
        return _ESCAPES[c]
    if c.isprintable():
        return c
    return f"\\u{ord(c):04x}" if ord(c) <= 0xFFFF else f"\\U{ord(c):08x}"

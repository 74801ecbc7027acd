"""The templates, and the only user of cookiecutter.

A project is rendered in layers, each a cookiecutter template of templates/: `common`, then the one that
was chosen, then one `object` for each further source file. Only cookiecutter's renderer is used: its
front door would render the user's own texts as Jinja, and write to HOME.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kscaffold
from kscaffold.errors import UsageError
from kscaffold.records import dataclass

_FIRST = ("single", "multi", "params", "returns")


@dataclass(frozen=True, slots=True)
class Template:
    """A template to choose.

    `about`: one line. `takes`: which of the options objs and param it can use; obj: --objs with one file.
    `sources`: the files it brings, where they follow from nothing else; `modules`: what ends the names of
    further modules; `tries`: commands for the README; `needs`: an option that a kernel must be built with, or
    "". In `sources` and `tries` stand {name}, {kernel_name}
    and, in `sources`, {main}.
    """

    name: str
    about: str
    takes: tuple[str, ...]
    sources: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    tries: tuple[str, ...] = ()
    needs: str = ""


def templates_directory() -> Path:
    """Where the templates are: in the installed package, or beside it in a checkout."""
    package = Path(kscaffold.__file__).resolve().parent
    shipped = package / "templates"
    return shipped if shipped.is_dir() else package.parent / "templates"


def templates() -> list[Template]:
    """The templates a user can choose, simple ones first."""
    found = []
    for described in templates_directory().glob("*/cookiecutter.json"):
        facts = json.loads(described.read_text(encoding="utf-8"))
        if "_about" in facts:  # the others are layers only
            name, about, takes = described.parent.name, facts["_about"], tuple(facts["_takes"])
            sources, modules, tries = (tuple(facts.get(key, ())) for key in ("_sources", "_modules", "_try"))
            needs = facts.get("_needs", "")
            found.append(Template(name, about, takes, sources, modules, tries, needs))
    return sorted(found, key=lambda t: (_FIRST.index(t.name) if t.name in _FIRST else len(_FIRST), t.name))


def template(name: str) -> Template:
    """The template of that name. Raises UsageError that lists them."""
    known = templates()
    for one in known:
        if one.name == name:
            return one
    raise UsageError(
        "KS022", f"there is no template {name!a}", fix="one of: " + " ".join(t.name for t in known)
    )


def render(layer: str, values: Mapping[str, Any], into: Path) -> None:
    """Render one layer into the directory `into`/NAME. The values go in raw, whatever they hold."""
    from cookiecutter.generate import generate_files  # start-up time

    source = templates_directory() / layer
    facts = json.loads((source / "cookiecutter.json").read_text(encoding="utf-8"))
    generate_files(
        repo_dir=str(source),
        context={"cookiecutter": {**facts, **values}},
        output_dir=str(into),
        overwrite_if_exists=True,  # a further layer of a directory that nobody else has
        accept_hooks=False,
    )


def licence_text(texts: tuple[str, ...], author: str) -> str:
    """The text of the file LICENSE: one licence, or several of which one can be chosen."""
    directory = templates_directory() / "licences"
    whole = [(directory / t).read_text(encoding="utf-8").replace("@AUTHOR@", author) for t in texts]
    if len(whole) == 1:
        return whole[0]
    choice = "This is free software. You may use it under either of these licences, as you like:\n"
    return f"\n{'=' * 79}\n\n".join([choice + "".join(f"* {t}\n" for t in texts), *whole])

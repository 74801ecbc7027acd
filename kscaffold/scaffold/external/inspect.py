"""What a template is and what it would run, read without running or rendering any of it."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from kscaffold.errors import UsageError
from kscaffold.records import dataclass
from kscaffold.scaffold.external.copy import TemplateCopy
from kscaffold.scaffold.external.source import Origin

_LARGEST_JSON = 1 << 20  # bytes
_HOOKS = ("pre_prompt", "pre_gen_project", "post_gen_project")
# These come with Jinja and cookiecutter; every other one is a module that the template brings or imports.
KNOWN_EXTENSIONS = frozenset(
    [f"jinja2.ext.{name}" for name in ("do", "loopcontrols", "i18n", "debug", "autoescape", "with_")]
    + [f"jinja2.ext.{name}" for name in ("ExprStmtExtension", "LoopControlExtension", "DebugExtension")]
    + [
        f"cookiecutter.extensions.{name}Extension"
        for name in ("Jsonify", "RandomString", "Slugify", "Time", "UUID")
    ]
)


@dataclass(frozen=True, slots=True)
class Hook:
    """A program that the template wants run. `when`: pre_prompt, pre_gen_project or post_gen_project."""

    file: str
    when: str
    interpreter: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a template is. `source`: where it comes from; `kind`: directory, git or zip.

    `directory`: within the source, "" for its top. `variables`: what it asks for. `extensions`: Python
    modules of others that it wants imported. `left_out`: files not taken, with the reason. `choices`: the
    further templates of a source that has several.
    """

    source: str
    kind: str
    commit: str | None
    directory: str
    files: int
    bytes: int
    variables: tuple[str, ...]
    hooks: tuple[Hook, ...]
    extensions: tuple[str, ...]
    left_out: Mapping[str, str]
    choices: tuple[str, ...]

    @property
    def runs_code(self) -> bool:
        """Whether it has code of its own."""
        return bool(self.hooks or self.extensions)


def inner(name: str) -> PurePosixPath:
    """A --template-dir, or the path of a nested template, as a path within the source. Raises UsageError."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not name.isprintable():
        raise UsageError(
            "KS072", f"{name!a} is no directory within the template", fix="--template-dir DIR, without `..`"
        )
    return path


def inspect_source(origin: Origin, taken: TemplateCopy, directory: str | None) -> Report:
    """Look at a template. Without a `directory`, the first of several is meant, as cookiecutter has it.

    Raises UsageError where it is none, or holds what leads out of it.
    """
    chosen = inner(directory or "")
    facts = _facts(taken.root / chosen, origin.shown)
    choices: list[str] = []
    for _ in range(5):  # a nested template can have nested templates
        nested = _nested(facts)
        if not nested:
            break
        choices += [str(chosen / inner(n)) for n in nested]
        chosen = chosen / inner(nested[0])
        facts = _facts(taken.root / chosen, origin.shown)
    _refuse_links(chosen, taken)
    extensions = facts.get("_extensions", [])
    if not isinstance(extensions, list):
        raise _no_template(origin.shown, "its _extensions are no list")
    return Report(
        source=origin.shown,
        kind=origin.kind,
        commit=origin.commit,
        directory="" if str(chosen) == "." else str(chosen),
        files=taken.files,
        bytes=taken.size,
        variables=tuple(k for k in facts if not k.startswith("_")),
        hooks=tuple(_hooks(taken.root / chosen)),
        extensions=tuple(str(e) for e in extensions if str(e) not in KNOWN_EXTENSIONS),
        left_out=dict(sorted(taken.left_out.items())),
        choices=tuple(choices),
    )


def check_is_one(directory: Path, shown: str) -> None:
    """Whether a cookiecutter.json is there: asked before all of it is copied. Raises UsageError."""
    if not (directory / "cookiecutter.json").is_file():
        others = sorted(directory.glob("*/cookiecutter.json")) if directory.is_dir() else []
        raise UsageError(
            "KS071",
            f"{shown} is no cookiecutter template",
            cause=f"{directory.name if directory.parent.name else directory} has no cookiecutter.json"
            if not others
            else "it has none at its top, but in: " + " ".join(o.parent.name for o in others[:10]),
            fix=f"--template-dir {others[0].parent.name}" if others else "give the directory that has one",
        )


def _facts(directory: Path, shown: str) -> dict[str, Any]:
    check_is_one(directory, shown)
    described = directory / "cookiecutter.json"
    if described.stat().st_size > _LARGEST_JSON:
        raise _no_template(shown, f"its cookiecutter.json has more than {_LARGEST_JSON >> 20} MiB")
    try:
        facts = json.loads(described.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _no_template(shown, f"its cookiecutter.json can't be read: {error}") from None
    if not isinstance(facts, dict):
        raise _no_template(shown, "its cookiecutter.json is no object")
    return facts


def _nested(facts: Mapping[str, Any]) -> list[str]:
    """The paths of the templates that a cookiecutter.json lets choose from, the first being the default."""
    if isinstance(facts.get("templates"), dict):
        options = facts["templates"].values()
        return [str(o["path"]) for o in options if isinstance(o, dict) and isinstance(o.get("path"), str)]
    if isinstance(facts.get("template"), list):
        found = [re.search(r"\((.+)\)", str(option)[:1000]) for option in facts["template"]]
        return [match[1] for match in found if match]
    return []


def _hooks(directory: Path) -> Iterator[Hook]:
    for when in _HOOKS:
        for file in sorted((directory / "hooks").glob(f"{when}*")):
            if file.stem == when and file.is_file() and not file.name.endswith("~"):
                yield Hook(f"hooks/{file.name}", when, _interpreter(file), file.stat().st_size)


def _interpreter(file: Path) -> str:
    if file.suffix == ".py":
        return "python"
    with file.open("rb") as opened:
        first = opened.readline(200)
    if not first.startswith(b"#!"):
        return "none"
    return first[2:].decode(errors="replace").strip()


def _refuse_links(chosen: PurePosixPath, taken: TemplateCopy) -> None:
    """Raise UsageError KS073 where a part of the template that is rendered was left out. What is missing
    elsewhere, as beside a README, is no matter.
    """
    for name, why in taken.left_out.items():
        path = PurePosixPath(name)
        if not path.is_relative_to(chosen):
            continue
        top = path.relative_to(chosen).parts[0]
        if "cookiecutter" in top or top in ("hooks", "templates"):
            raise UsageError(
                "KS073",
                f"the template holds what can't be taken: {name!a}",
                cause=f"it is {why}",
                fix="ask its author for a template without it, or take it out of a copy of your own",
            )


def _no_template(shown: str, why: str) -> UsageError:
    return UsageError("KS071", f"{shown} is no cookiecutter template", cause=why, fix="look at it there")

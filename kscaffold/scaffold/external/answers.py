"""What is kept of a project made from a template of others: its source, and its answers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kscaffold.errors import UsageError
from kscaffold.files import tree
from kscaffold.scaffold.external.inspect import Report
from kscaffold.scaffold.external.source import Origin


def template(name: str, came: Origin, report: Report, checkout: str | None, hooks: bool) -> dict[str, Any]:
    """The table [template]; `project` is what the project is called, `hooks` whether any were run."""
    check_texts({"source": came.lasting})
    said = {
        "source": came.lasting,
        "kind": came.kind,
        "project": name,
        "commit": came.commit,
        "checkout": checkout,
        "directory": report.directory or None,
        "hooks": hooks and report.runs_code,
    }
    return {key: value for key, value in said.items() if value is not None}


def visible_facts(project: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The variables that cookiecutter adds itself, of those that a file of the project shows: the template
    rendered again elsewhere would differ in them, though nobody changed anything.
    """
    rendered = [f.content for f in tree.read_tree_files(project).values()]
    shown = {
        key: value
        for key, value in facts.items()
        if key != "_checkout" and isinstance(value, str) and value.isprintable() and _is_in(value, rendered)
    }
    return {"facts": shown} if shown else {}


def given_answers(answers: Mapping[str, Any]) -> dict[str, Any]:
    """The table [answers]: of what has no value, or one that is no text, the template's default stays."""
    return {k: _plain(v) for k, v in answers.items() if v is not None and _is_text(json.dumps([k, v]))}


def raw(value: Any) -> str:
    """An answer as it would be typed."""
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def check_texts(answers: Mapping[str, str]) -> None:
    """Whether answers can be kept. Raises UsageError KS078."""
    for key, text in answers.items():
        try:
            (key + text).encode()
        except UnicodeEncodeError:
            raise UsageError("KS078", f"{key!a} is not UTF-8", fix="type it again in UTF-8") from None


def _is_in(text: str, contents: list[bytes]) -> bool:
    return any(text.encode() in content for content in contents)


def _is_text(spelled: str) -> bool:
    try:
        json.dumps(json.loads(spelled), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(value: Any) -> Any:
    """The value as TOML has it; an object that TOML has no word for (null) as its JSON."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, dict):
        return value if all(map(_is_plain, value.values())) else json.dumps(value)
    return str(value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, bool | str)

"""A project's template rendered once more with the answers the project keeps."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kscaffold.errors import UsageError
from kscaffold.files import tree
from kscaffold.files.temporary import temporary_directory
from kscaffold.files.tree import File
from kscaffold.records import replace
from kscaffold.scaffold.create import new, params
from kscaffold.scaffold.metadata import answers
from kscaffold.scaffold.metadata.answers import ProjectAnswers

if TYPE_CHECKING:
    from kscaffold.scaffold.external.update import UpdatePrompts

# Answers that are one text each, which --set can change.
_TEXTS = ("author", "description", "license")


def rerender(
    project: Path, project_answers: ProjectAnswers, prompts: "UpdatePrompts | None" = None
) -> tuple[dict[str, File], ProjectAnswers]:
    """The files the template gives now, and what to keep: answers, with a default for each new question.

    What follows of them is the same for a template from anywhere. `prompts`: needed for one of others.

    Raises UsageError: KS051 where the answers are not good, KS022 where the template is gone; for a template
    of others what foreign/again.py says.
    """
    if is_foreign(project_answers) and prompts is not None:
        from kscaffold.scaffold.external import update  # start-up time

        return update.rerender_external(project, project_answers, prompts)
    if prompts is not None:
        prompts.refuse()
    if not isinstance(project_answers.template.get("name"), str):
        raise answers.damaged(project, "its [template] has no name")
    wanted = _wanted(project, project_answers)
    try:
        planned = new.plan(wanted)
    except UsageError as error:
        if error.code == "KS022":
            raise
        raise answers.damaged(project, f"{error.what}; {error.cause or error.fix or ''}") from None
    with temporary_directory() as directory:
        rendered = tree.read_tree_files(new.fill(planned, directory))
    return rendered, replace(project_answers, given={**project_answers.given, **planned.answers})


def is_foreign(project_answers: ProjectAnswers) -> bool:
    """Whether the template is somebody else's."""
    return "source" in project_answers.template


def changed(project_answers: ProjectAnswers, texts: Mapping[str, str]) -> ProjectAnswers:
    """The kept answers, some of them changed. Raises UsageError KS054 for one that can't be.

    Which answers a template of others takes is known once it is fetched.
    """
    if is_foreign(project_answers):
        return replace(project_answers, given={**project_answers.given, **texts})
    for key in texts:
        if key not in _TEXTS:
            raise UsageError(
                "KS054",
                f"{key!a} is no answer that can be changed",
                cause="files are named after the others; kscaffold kbuild renames and adds",
                fix="one of: " + " ".join(_TEXTS),
            )
    # Checked, and spelled as `new` spells them.
    wanted = new.ProjectRequest(
        "x",
        Path(),
        author=texts.get("author", ""),
        description=texts.get("description", ""),
        license=texts.get("license", "GPL-2.0-only"),
    )
    asked = new.plan(wanted).answers
    return replace(project_answers, given={**project_answers.given, **{key: asked[key] for key in texts}})


def _wanted(project: Path, project_answers: ProjectAnswers) -> new.ProjectRequest:
    given = project_answers.given
    try:
        return new.ProjectRequest(
            name=_text(given, "name"),
            directory=project.parent,
            template=project_answers.template["name"],
            objects=tuple(_texts(given.get("objects", []))),
            parameters=tuple(params.parse_parameter(_parameter(p)) for p in given.get("parameters", [])),
            author=_text(given, "author") if "author" in given else None,
            description=_text(given, "description") if "description" in given else None,
            license=_text(given, "license") if "license" in given else "GPL-2.0-only",
            tests=_flag(given, "tests"),
        )
    except UsageError as error:
        raise answers.damaged(project, error.what) from None
    except (KeyError, TypeError, AttributeError) as error:
        raise answers.damaged(project, f"[answers]: {error}") from None


def _parameter(parameter: Mapping[str, Any]) -> str:
    """A parameter as `new --param` takes it, which checks it as it does a user's."""
    said = f"{_text(parameter, 'name')}:{_text(parameter, 'type')}"
    if "permission" in parameter:
        said += f"@{_text(parameter, 'permission')}"
    if "default" in parameter:
        said += "=" + _text(parameter, "default").replace("\\", "\\\\").replace(":", "\\:")
    return f"{said}:{_text(parameter, 'description')}" if "description" in parameter else said


def _text(table: Mapping[str, Any], key: str) -> str:
    if key not in table:
        raise KeyError(f"there is no {key}")
    if not isinstance(table[key], str):
        raise TypeError(f"{key} is no text")
    return str(table[key])


def _flag(table: Mapping[str, Any], key: str) -> bool:
    """A yes or no; yes for a project that was made before it was asked."""
    if not isinstance(table.get(key, True), bool):
        raise TypeError(f"{key} is neither true nor false")
    return bool(table.get(key, True))


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise TypeError("objects is no list of texts")
    return values

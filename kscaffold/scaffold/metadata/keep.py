"""What a project keeps of its making: the answers and the base, two hidden files that belong together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kscaffold.files import tree
from kscaffold.files.tree import File, Tree
from kscaffold.scaffold.metadata import answers, base, toml_comments

FILES = (base.FILE, answers.FILE)


def keep_settings(project: Path, template: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Write both files into a project that was just rendered, and where nothing else is; whether there is a
    base then."""
    found = tree.read_tree_files(project)
    rendered = {p: f for p, f in found.items() if not p.startswith(".kscaffold") and tree.is_inside(p)}
    own = kept_files(template, given, rendered)
    for path, file in own.items():
        (project / path).write_bytes(file.content)
    return base.FILE in own


def kept_files(
    template: Mapping[str, Any], given: Mapping[str, Any], rendered: Tree, before: str = ""
) -> dict[str, File]:
    """Both files; without a base where it would be too large to carry along.

    `before`: the text of the answers till now, whose comments stay.
    """
    packed = base.pack(rendered) if base.is_small(rendered) else None
    if packed is None or len(packed) > base.LARGEST:
        text = answers.text(answers.ProjectAnswers(template, given, base.NONE))
        return {answers.FILE: File(toml_comments.carried(before, text).encode())}
    chosen = answers.ProjectAnswers(template, given, base.digest(rendered))
    return {
        base.FILE: File(packed),
        answers.FILE: File(toml_comments.carried(before, answers.text(chosen)).encode()),
    }

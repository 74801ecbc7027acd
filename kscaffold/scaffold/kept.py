"""What a project keeps of its making: the answers and the base, two hidden files that belong together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kscaffold.scaffold import answers, base, comments, tree
from kscaffold.scaffold.tree import File, Tree

FILES = (base.FILE, answers.FILE)


def keep(project: Path, template: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Write both files into a project that was just rendered, and where nothing else is; whether there is a
    base then."""
    found = tree.read(project)
    rendered = {p: f for p, f in found.items() if not p.startswith(".kscaffold") and tree.is_inside(p)}
    own = files(template, given, rendered)
    for path, file in own.items():
        (project / path).write_bytes(file.content)
    return base.FILE in own


def files(
    template: Mapping[str, Any], given: Mapping[str, Any], rendered: Tree, before: str = ""
) -> dict[str, File]:
    """Both files; without a base where it would be too large to carry along.

    `before`: the text of the answers till now, whose comments stay.
    """
    packed = base.pack(rendered) if base.is_small(rendered) else None
    if packed is None or len(packed) > base.LARGEST:
        text = answers.text(answers.Answers(template, given, base.NONE))
        return {answers.FILE: File(comments.carried(before, text).encode())}
    chosen = answers.Answers(template, given, base.digest(rendered))
    return {
        base.FILE: File(packed),
        answers.FILE: File(comments.carried(before, answers.text(chosen)).encode()),
    }

"""What a project keeps of its making: the answers and the base, two hidden files that belong together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kscaffold.scaffold import answers, base, tree
from kscaffold.scaffold.tree import File, Tree

FILES = (base.FILE, answers.FILE)


def keep(project: Path, template: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Write both files into a project that was just rendered, and where nothing else is."""
    rendered = {p: f for p, f in tree.read(project).items() if not p.startswith(".kscaffold")}
    for path, file in files(template, given, rendered).items():
        (project / path).write_bytes(file.content)


def files(template: Mapping[str, Any], given: Mapping[str, Any], rendered: Tree) -> dict[str, File]:
    """Both files."""
    chosen = answers.Answers(template, given, base.digest(rendered))
    return {
        base.FILE: File(base.pack(rendered)),
        answers.FILE: File(answers.text(chosen).encode()),
    }

"""Where a file has gone that got another name, from the user or in the template: found by what is in it, as
git does."""

import difflib
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from kscaffold.files import reader
from kscaffold.files.tree import File, Ours, Tree
from kscaffold.scaffold.update import diff3

# Of the lines of both; git asks for half.
_ALIKE = 0.6
_MOST_FILES = 500


def find_renames(project: Path, gone: Collection[str], base: Tree, known: Collection[str]) -> dict[str, str]:
    """The new paths of files that are gone, where there is one that is plainly theirs.

    `base`: what they were. `known`: paths that a template has, which are no other file's new ones.
    """
    if not gone:
        return {}
    return _alike(
        gone,
        base,
        {path: _lines(reader.read_bytes(project / path)) for path in _files(project) if path not in known},
    )


def in_template(base: Tree, ours: Mapping[str, Ours], theirs: Tree) -> dict[str, str]:
    """The new paths of files that the template has under another name, of those the user has edited."""
    gone = [
        path
        for path, old in base.items()
        if path not in theirs and ours.get(path) not in (None, old) and _is_text(ours.get(path), old)
    ]
    new = [p for p, f in theirs.items() if p not in base and ours.get(p) is None and _is_text(f)]
    if not gone or len(new) > _MOST_FILES:
        return {}
    return _alike(gone, base, {path: _lines(theirs[path].content) for path in new})


def _is_text(*files: Ours) -> bool:
    return all(isinstance(f, File) and diff3.is_text(f.content) for f in files)


def _alike(gone: Collection[str], base: Tree, others: dict[str, list[bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(gone):
        old = _lines(base[path].content)
        likeness = {
            other: difflib.SequenceMatcher(None, old, lines, autojunk=False).ratio()
            for other, lines in others.items()
            if Path(other).suffix == Path(path).suffix and len(old) / 2 <= len(lines) <= len(old) * 2
        }
        best = max(likeness, key=lambda other: likeness[other], default=None)
        if (
            best is not None
            and likeness[best] >= _ALIKE
            and list(likeness.values()).count(likeness[best]) == 1
        ):
            found[path] = best
            del others[best]
    return found


def _files(project: Path) -> list[str]:
    """The text files of a project, of which links are none."""
    found: list[str] = []
    for where, inside, names in os.walk(project):
        inside[:] = sorted(d for d in inside if not d.startswith("."))
        for name in sorted(names):
            path = Path(where, name)
            if path.suffix in (".c", ".h", ".S", ".rs", ".md") and path.is_file() and not path.is_symlink():
                found.append(str(path.relative_to(project)))
        if len(found) > _MOST_FILES:
            return []
    return [p for p in found if diff3.is_text(reader.read_bytes(project / p))]


def _lines(content: bytes) -> list[bytes]:
    return content.replace(b"\r\n", b"\n").split(b"\n")

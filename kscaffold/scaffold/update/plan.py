"""What an update does to each file: base, ours, theirs. Nothing is read or written here, only decided."""

from collections.abc import Mapping
from typing import Literal

from kscaffold.files.tree import File, NotAFile, Ours, Tree
from kscaffold.records import dataclass, replace
from kscaffold.scaffold.update import diff3

Kind = Literal["changed", "merged", "added", "removed", "deleted", "conflict"]

# The end of a file's name that the template's text gets where it can't be put into the file itself.
BESIDE = ".template"


@dataclass(frozen=True, slots=True)
class FileMerge:
    """What an update does at one path.

    `changed`: untouched by the user, so the template's; `merged`: both; `added`, `removed`: as in the
    template; `deleted`: by the user, and stays so; `conflict`: nothing is done without the user's word.
    `why` is a phrase for people.

    `path` is written to `target` as `after` (None: removed) in place of `before`; a conflict only when the
    user wants it settled, then `target` can be another name. Nothing is done where `target` is None.
    """

    path: str
    kind: Kind
    why: str
    target: str | None = None
    before: File | None = None
    after: File | None = None


def plan_merge(
    base: Tree | None,
    ours: Mapping[str, Ours],
    theirs: Tree,
    destinations: Mapping[str, str] | None = None,
    renamed: Mapping[str, str] | None = None,
) -> list[FileMerge]:
    """The steps that bring what changed from `base` to `theirs` into `ours`, by path.

    `base` None: it is not known, and every difference is a conflict. `ours` has an entry for each path of
    the two others where something is, and for each of them with BESIDE added. `destinations`: new names
    that the user gave to files; `renamed`: that the template did, where the user has edited the file.
    """
    steps = []
    renames = dict(renamed or {})
    for gone, new_path in renames.items():
        steps += _renamed(gone, new_path, base or {}, ours, theirs)
    for path in sorted({*(base or {}), *theirs} - {*renames, *renames.values()}):
        where = (destinations or {}).get(path, path)
        old, new, mine = (base or {}).get(path), theirs.get(path), ours.get(where)
        if mine == new or (base is not None and old == new):
            continue
        step = _removed(path, old, mine) if new is None else _step(path, old, mine, new)
        if step and step.target:
            step = replace(step, target=where)
        if step:
            steps.append(step if step.kind != "conflict" or new is None else _placed(step, ours, new))
    return sorted(steps, key=lambda step: step.path)


def is_settled_merge(base: Tree | None, theirs: Tree, unsettled: set[str]) -> dict[str, File]:
    """The base of the next update: what is new is known now, but for conflicts that still stand."""
    kept = {path: file for path, file in theirs.items() if path not in unsettled}
    return kept | {path: file for path, file in (base or {}).items() if path in unsettled}


def _renamed(path: str, new_path: str, base: Tree, ours: Mapping[str, Ours], theirs: Tree) -> list[FileMerge]:
    """The template gave a file another name, and the user has edited it: the edits go along."""
    mine = ours[path]
    assert isinstance(mine, File)
    step = _step(new_path, base[path], mine, theirs[new_path])
    kind: Kind = "conflict" if step and step.kind == "conflict" else "merged"
    why = f"it was {path}; {step.why if step else 'your changes'}"
    after = step.after if step else mine
    return [
        FileMerge(new_path, kind, why, new_path, None, after),
        FileMerge(path, "conflict" if kind == "conflict" else "removed", f"it is {new_path} now", path, mine),
    ]


def _removed(path: str, old: File | None, mine: Ours) -> FileMerge | None:
    """The template has dropped the file."""
    if mine is None:
        return None
    if mine == old:
        return FileMerge(path, "removed", "the template has it no more", path, old)
    edited = "you changed it" if isinstance(mine, File) else f"it is {mine.what} here"
    return FileMerge(path, "conflict", f"{edited}, and the template has it no more")


def _step(path: str, old: File | None, mine: Ours, new: File) -> FileMerge | None:
    if isinstance(mine, NotAFile):
        return FileMerge(path, "conflict", f"it is {mine.what} here, and the template changed it")
    if mine is None:
        if old is not None:
            return FileMerge(path, "deleted", "you deleted it; the template changed it")
        return FileMerge(path, "added", "new in the template", path, None, new)
    executable = new.executable if old is None or old.executable == mine.executable else mine.executable
    if not all(diff3.is_text(f.content) for f in (old, mine, new) if f):
        if old and mine.content == old.content:
            return FileMerge(
                path, "changed", "you left it as it was", path, mine, File(new.content, executable)
            )
        return FileMerge(path, "conflict", "both changed it, and it is no text")
    if old is None:
        merged = diff3.diff2(mine.content, new.content)
        if not merged.conflicts:
            return None  # but for its line ends it is the same
        why = "there already, and not as in the template"
        return FileMerge(path, "conflict", why, path, mine, File(merged.content, executable))
    merged = _merge(old.content, mine.content, new.content)
    after = File(merged.content, executable)
    if after == mine:
        return None  # the user has what is new already
    if merged.conflicts:
        places = f"in {merged.conflicts} places" if merged.conflicts > 1 else "in one place"
        return FileMerge(path, "conflict", f"you and the template changed it {places}", path, mine, after)
    untouched = diff3.is_same(mine.content, old.content)
    why = "you left it as it was" if untouched else "your changes and the template's"
    return FileMerge(path, "changed" if untouched else "merged", why, path, mine, after)


def _merge(old: bytes, mine: bytes, new: bytes) -> diff3.Merged:
    """The merge of three texts; the cases that need no program come first."""
    if mine in (old, new):
        return diff3.Merged(new, 0)
    if new == old:
        return diff3.Merged(mine, 0)
    return diff3.diff3(old, mine, new)


def _placed(step: FileMerge, ours: Mapping[str, Ours], new: File) -> FileMerge:
    """A conflict with its markers; else with the template's file beside it, where there is room."""
    if step.target:
        return step
    beside = step.path + BESIDE
    if ours.get(beside) is not None:
        return step
    return FileMerge(step.path, step.kind, step.why, beside, None, new)

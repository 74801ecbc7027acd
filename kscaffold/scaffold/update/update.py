"""`update`: what is new in a project's template comes into the project, and the user's own edits stay.

Each file is merged from three: as it was rendered when the project was made or last updated (the base), as it
is, as the template is now. Where the user and the template changed the same lines, that is a conflict: the
file is not touched until the user asks for both sides in it.

Version control is not asked for: nothing of the user's is overwritten, and the files that are changed are
kept as they were, in one archive.
"""

import difflib
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kscaffold import __version__
from kscaffold.errors import KscaffoldError
from kscaffold.files import atomic_dir, journal, paths, reader
from kscaffold.files.tree import File, NotAFile, Ours, Tree
from kscaffold.records import dataclass, replace
from kscaffold.scaffold.metadata import answers, base, keep
from kscaffold.scaffold.update import diff3, renames, rerender
from kscaffold.scaffold.update.plan import BESIDE, FileMerge, is_settled_merge, plan_merge

if TYPE_CHECKING:
    from kscaffold.scaffold.external.update import UpdatePrompts

_BACKUPS = 5  # that are kept


@dataclass(frozen=True, slots=True)
class Update:
    """What an update would do, or did.

    `before`, `after`: versions of kscaffold. `base`: whether the files as they were rendered are known;
    `none` where they were too large to keep. `steps`: what happens to files; `written`: the paths that
    were; `settled`: whether conflicts were written too. `marked`: files that have both sides of an older
    conflict in them. `backup`: where the files are as they were.
    """

    directory: Path
    template: str
    before: str
    after: str
    base: Literal["kept", "missing", "none"]
    steps: tuple[FileMerge, ...]
    marked: tuple[str, ...]
    written: tuple[str, ...] = ()
    settled: bool = False
    backup: Path | None = None

    @property
    def conflicts(self) -> tuple[FileMerge, ...]:
        """The files that the user has to decide on."""
        return tuple(s for s in self.steps if s.kind == "conflict")

    @property
    def pending(self) -> tuple[FileMerge, ...]:
        """The files that can be written without asking."""
        return tuple(s for s in self.steps if s.kind != "conflict" and s.target)

    @property
    def diff(self) -> str:
        """The steps as one diff; that of a conflict has both sides between markers."""
        return "".join(_diff(s) for s in self.steps if s.target)


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    """What update() was called with, under the names of its parameters."""

    change: Mapping[str, str]
    show: Callable[[Update], None]
    prompts: "UpdatePrompts | None"


def update(
    directory: Path,
    *,
    change: Mapping[str, str] | None = None,
    write: bool = False,
    conflicts: bool = False,
    show: Callable[[Update], None] = lambda update: None,
    prompts: "UpdatePrompts | None" = None,
) -> Update:
    """Bring the project of `directory` to its template as it is now; with `write` really.

    `change`: answers that are changed first. `conflicts`: write conflicts too, both sides between markers.
    `show` gets the report before anything is written. `prompts`: for a template of others.

    Raises UsageError: KS050 no answers, KS051 they can't be understood, KS052 a newer kscaffold made them,
    KS054 an answer that can't be changed, KS022 the template is gone. KscaffoldError: KS053 another update
    is at work, KS055 one was interrupted (and `write` is not given), KS041 a file changed meanwhile,
    KS056 the template of others can't be had. And what its rendering raises.
    """
    asked = UpdateRequest(change or {}, show, prompts)
    project = answers.find_answers(directory)
    if not write:
        if journal.is_pending(project):
            raise KscaffoldError(
                "KS055",
                f"an update of {project} was interrupted",
                cause="some of its files are new already, others are not yet",
                fix="kscaffold update --write",
            )
        return _update(project, asked)[0]
    with journal.locked(project):
        atomic_dir.sweep(project)
        journal.finish(project)
        planned, old, theirs, made = _update(project, asked)
        return _carry_out(planned, old, theirs, made, conflicts)


def _update(
    project: Path, asked: UpdateRequest
) -> tuple[Update, dict[str, File] | None, dict[str, File], answers.ProjectAnswers]:
    """The plan, and what it was made of: base, the template's files, the answers to keep."""
    given = answers.read_answers(project)
    for path in keep.FILES:
        here = journal.look(project, path)
        if isinstance(here, NotAFile):
            raise answers.damaged(project, f"{path} is {here.what}")
    old = base.read_base(project, given.base)
    if asked.change:
        given = rerender.changed(given, asked.change)
    theirs, made = rerender.rerender(project, given, asked.prompts)
    theirs = {path: file for path, file in theirs.items() if not path.startswith(".kscaffold")}
    ours: dict[str, Ours] = {}
    for path in {*(old or {}), *theirs}:
        for each in (path, path + BESIDE):
            ours[each] = journal.look(project, each)
    gone = [p for p in old or {} if p in theirs and ours[p] is None and (old or {})[p] != theirs[p]]
    elsewhere = renames.find_renames(project, gone, old or {}, {*(old or {}), *theirs})
    for path in elsewhere.values():
        ours[path] = journal.look(project, path)
    planned = Update(
        project,
        str(made.template.get("source") or made.template.get("name", "")),
        given.kscaffold,
        __version__,
        "kept" if old is not None else "none" if given.base == base.NONE else "missing",
        tuple(plan_merge(old, ours, theirs, elsewhere, renames.in_template(old or {}, ours, theirs))),
        tuple(sorted(p for p, f in ours.items() if _is_marked(f) and not _is_marked(theirs.get(p)))),
    )
    asked.show(planned)
    return planned, old, theirs, made


def _is_marked(file: Ours) -> bool:
    return isinstance(file, File) and diff3.is_marked(file.content)


def _carry_out(
    planned: Update, old: Tree | None, theirs: Tree, made: answers.ProjectAnswers, conflicts: bool
) -> Update:
    """Write what is to be written, in one go with the answers and the base."""
    project = planned.directory
    chosen = [s for s in planned.steps if s.target and (s.kind != "conflict" or conflicts)]
    unsettled = {
        s.path
        for s in planned.conflicts
        if not conflicts or (s.target is None and s.path in theirs)  # no room for the template's file
    }
    new_base = is_settled_merge(old, theirs, unsettled)
    text = reader.read_bytes(project / answers.FILE).decode()
    own = keep.kept_files(made.template, made.given, new_base, text)
    writes = [journal.Write(s.target, s.before, s.after) for s in chosen if s.target]
    said = answers.read_answers(project)
    is_known = new_base == old or (planned.base == "none" and base.FILE not in own)
    if not is_known or (made.template, made.given) != (said.template, said.given):
        for path in keep.FILES:  # last, the answers last of all
            here = journal.look(project, path)
            mine = here if isinstance(here, File) else None
            if mine or path in own:
                writes.append(journal.Write(path, mine, own.get(path)))
    if not writes:
        return planned
    backup = _back_up(planned, [w for w in writes if w.path not in keep.FILES])
    journal.apply(project, writes)
    return replace(
        planned, written=tuple(s.target for s in chosen if s.target), settled=conflicts, backup=backup
    )


def _back_up(planned: Update, writes: list[journal.Write]) -> Path | None:
    """Put the files that are about to be changed aside, where no project is in their way."""
    files = {w.path: w.before for w in writes if w.before}
    if not files:
        return None
    state = paths.project_state(planned.directory)
    paths.make_own(state)
    paths.note_project(state, planned.directory)
    backup = state / f"before-update-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz"
    number = 0
    while backup.exists():
        number += 1
        backup = state / f"before-update-{time.strftime('%Y%m%d-%H%M%S')}-{number}.tar.gz"
    hidden = backup.with_suffix(".new")
    hidden.write_bytes(base.pack(files))
    hidden.replace(backup)
    for old in sorted(state.glob("before-update-*.tar.gz"), key=lambda p: p.stat().st_mtime_ns)[:-_BACKUPS]:
        old.unlink(missing_ok=True)
    return backup


def _diff(step: FileMerge) -> str:
    before, after = step.before, step.after
    old = "/dev/null" if before is None else f"a/{step.target}"
    new = "/dev/null" if after is None else f"b/{step.target}"
    contents = [f.content if f else b"" for f in (before, after)]
    head = ""
    if before and after and before.executable != after.executable:
        head = f"diff --git {old} {new}\nold mode {_mode(before)}\nnew mode {_mode(after)}\n"
    if any(b"\0" in c for c in contents):
        return f"{head}Binary files {old} and {new} differ\n"
    lines = difflib.unified_diff(_lines(contents[0]), _lines(contents[1]), old, new)
    return head + "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _lines(content: bytes) -> list[str]:
    """The lines of a text with their ends, as splitlines(); but only a newline ends a line."""
    return re.findall(r"[^\n]*\n|[^\n]+", content.decode(errors="surrogateescape"))


def _mode(file: File) -> str:
    return "100755" if file.executable else "100644"

"""`adopt`: what a directory of module sources builds, as make says; what is old in it; a Kbuild for it."""

import os
import shlex
from collections.abc import Callable
from pathlib import Path

from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.files import reader
from kscaffold.files.near import missing_directory_fix
from kscaffold.files.temporary import temporary_directory
from kscaffold.files.text_change import TextChange, read_text, write_changes
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.own_way import OwnWay, last_resort, own_way
from kscaffold.project.ask import UnsetOptionError, kbuild_file, read_project
from kscaffold.project.find import below, checked_path, takes_path
from kscaffold.project.known import known_targets
from kscaffold.project.project import ModuleTarget, Project
from kscaffold.records import dataclass, replace
from kscaffold.scaffold.adopt import deprecated as old
from kscaffold.scaffold.adopt.circle import circle
from kscaffold.scaffold.adopt.generated import refuse_where_made
from kscaffold.scaffold.adopt.propose import Proposal, propose
from kscaffold.scaffold.adopt.sources import read_source
from kscaffold.scaffold.adopt.tabs import untabbed
from kscaffold.scaffold.kbuild.generate import ModuleSpec

_MOST_FILES = 2000
_MOST_LINES = 60  # of a proposal that a person reads
_MODERN = {"EXTRA_CFLAGS": "ccflags-y", "EXTRA_AFLAGS": "asflags-y", "EXTRA_LDFLAGS": "ldflags-y"}


@dataclass(frozen=True, slots=True)
class Deprecation:
    """An old habit in a file. `mendable`: --fix can do it; `mended`: it has."""

    file: Path
    habit: old.DeprecatedLine
    mendable: bool
    mended: bool = False


@dataclass(frozen=True, slots=True)
class Adoption:
    """What a directory has to adopt. `project` is None where nothing says what is built. `problem`: make
    can't read the file because tabs are missing; `project` is what it would build with them.

    `missing`: objects without a source, by .ko; `unused`: sources that no module is made of. `proposal`: a
    Kbuild, where there is none. `changes`: what --write and --fix would do, or did (`written`). `own_way`:
    why the project's own make builds it, which `build` runs and `adopt` does not; `project` is then what
    that make built last.
    """

    directory: Path
    project: Project | None
    problem: KscaffoldError | None
    missing: dict[Path, tuple[str, ...]]
    unused: tuple[Path, ...]
    deprecations: tuple[Deprecation, ...]
    proposal: Proposal | None
    changes: tuple[TextChange, ...]
    written: tuple[Path, ...] = ()
    own_way: str | None = None

    @property
    def diff(self) -> str:
        """The changes as one unified diff."""
        return "".join(change.diff(self.directory) for change in self.changes)


def adopt(
    directory: Path,
    kernel: Kernel | None,
    *,
    write: bool = False,
    fix: bool = False,
    show: Callable[[Adoption], None] = lambda adoption: None,
) -> Adoption:
    """Report on a directory; with `write` make the Kbuild it has none of, with `fix` mend old habits.

    `show` gets the report with the changes before the first of them is made. Raises UsageError KS004 for what
    is no directory, and KscaffoldError: KS040 no module sources, KS104 modules only where an option is set,
    KS102 a path Kbuild can't take, KS103 a Kbuild that make can't read for another reason than an old habit,
    KS041 a file changed meanwhile.
    """
    if not directory.is_dir():
        meant = missing_directory_fix(directory, "kscaffold adopt")
        raise UsageError("KS004", f"{directory} is not a directory", fix=meant)
    directory = directory.resolve()
    checked_path(directory)
    project, problem, way = _asked(directory, kernel)
    if problem:
        project = _without_slips(directory, kernel, problem)
    found, mends = _deprecations(directory, project, kernel)
    proposal = None
    if project is None and problem is None and way is None:
        refuse_where_made(directory)
        proposal = _proposal(directory, kernel)
        mends = (TextChange(directory / "Kbuild", None, proposal.text), *mends)
    sources, _ = _files(directory)
    adoption = Adoption(
        directory,
        project,
        problem,
        {t.ko: _missing(t) for t in project.targets if _missing(t)} if project else {},
        # What the project's own make builds beside is known when it was built.
        _unused(project, sources) if project and (way is None or known_targets(directory)) else (),
        found,
        proposal,
        mends,
        own_way=way.reason if way else None,
    )
    show(adoption)
    return _carry_out(adoption, kernel, write, fix)


def _asked(
    directory: Path, kernel: Kernel | None
) -> tuple[Project | None, KscaffoldError | None, OwnWay | None]:
    """What is built in `directory`, what hinders make from saying so, and the project's own way, if any."""
    way = own_way(directory)
    known = known_targets(directory) if way else None
    if known is not None:
        return known, None, way
    try:
        project, problem = _ask(directory, kernel)
    except UnsetOptionError as error:
        way = way or last_resort(directory, error.what)
        if way is None:
            raise
        return known_targets(directory), None, way
    if project is None:
        way = way or last_resort(directory, "its own make says what is built")
        return (known_targets(directory) if way else None), problem, way
    return project, problem, way


def _ask(directory: Path, kernel: Kernel | None) -> tuple[Project | None, KscaffoldError | None]:
    try:
        return read_project(directory, kernel, details=True), None
    except UnsetOptionError:
        raise  # what is there says what is built: a Kbuild of ours would stand before it
    except KscaffoldError as error:
        if error.code in ("KS101", "KS104"):
            return None, None
        if error.code == "KS103":
            return None, error
        raise


def _without_slips(directory: Path, kernel: Kernel | None, problem: KscaffoldError) -> Project:
    """What is built once the missing tabs are there. Raises `problem` where more is wrong than tabs."""
    file = kbuild_file(directory)
    assert file
    text = read_text(file)
    slips = untabbed(file, text)
    mended = old.mend(text, [h for h in old.find_deprecated(text, slips) if h.kind == "spaces"])
    if not slips:
        raise problem
    return _ask_draft(directory, kernel, TextChange(file, text, mended))


def _deprecations(
    directory: Path, project: Project | None, kernel: Kernel | None
) -> tuple[tuple[Deprecation, ...], tuple[TextChange, ...]]:
    """The old habits in every file make reads there, the user's Makefile included; and their mends."""
    files = [directory / "Kbuild", directory / "Makefile", *(project.read if project else ())]
    found: list[Deprecation] = []
    changes: list[TextChange] = []
    for file in dict.fromkeys(f for f in files if f.is_file() and f.is_relative_to(directory)):
        text = read_text(file)
        lines = old.find_deprecated(text, untabbed(file, text))
        renames: list[TextChange] = []
        for target in project.targets if project else ():
            if project and target.ko in project.circles and kbuild_file(target.directory) == file:
                line, rename = circle(target, old.mend(text, lines))
                lines = (*lines, line)
                renames += [rename] if rename else []
        after = old.mend(text, lines)
        mends = [TextChange(file, text, after)] if after != text else []
        good = not mends or project is None or not _changes_meaning(project, mends[0], kernel)
        found += [Deprecation(file, h, good and h.mended is not None) for h in lines]
        if good:
            changes += renames + mends
    return tuple(found), tuple(changes)


def _changes_meaning(project: Project, change: TextChange, kernel: Kernel | None) -> bool:
    """Whether make would build something else after a mend than before, circles aside."""
    if change.path not in {kbuild_file(t.directory) for t in project.targets}:
        return False  # only the user's own make reads it
    try:
        after = _ask_draft(project.directory, kernel, change)
    except KscaffoldError:
        return True
    if project.circles:
        return {t.ko for t in after.targets} != {t.ko for t in project.targets} or bool(
            set(after.circles) - set(project.circles)
        )
    return after.targets != project.targets or _meaning(after) != _meaning(project)


def _ask_draft(directory: Path, kernel: Kernel | None, change: TextChange) -> Project:
    with temporary_directory() as place:
        draft = place / "draft"
        draft.write_text(change.after, "utf-8", "surrogateescape", newline="")
        return read_project(directory, kernel, details=True, draft=(change.path, draft))


def _meaning(project: Project) -> dict[tuple[Path, str], list[str]]:
    """The options, old and new names as one; $(PWD) stands for the directory, as it was meant to."""
    here = os.environ.get("PWD", "")
    meaning: dict[tuple[Path, str], list[str]] = {}
    for directory, name, value in project.flags:
        words = (value.replace(str(directory), "@") if directory else value).split()
        if here:
            words = [w.replace(here, "@") for w in words]
        meaning.setdefault((directory, _MODERN.get(name, name)), []).extend(words)
    return {key: sorted(words) for key, words in meaning.items()}


def _files(directory: Path) -> tuple[list[Path], list[Path]]:
    """The .c and the .h files below, without what a build or a version control leaves there."""
    sources: list[Path] = []
    headers: list[Path] = []
    for where, inside, names in os.walk(directory):
        inside[:] = sorted(d for d in inside if not d.startswith("."))
        for name in sorted(names):
            if name.endswith(".c") and not name.endswith(".mod.c"):
                sources.append(Path(where, name))
            elif name.endswith(".h"):
                headers.append(Path(where, name))
        if len(sources) + len(headers) > _MOST_FILES:
            break  # more than one project of modules
    return sources, headers


def _proposal(directory: Path, kernel: Kernel | None) -> Proposal:
    parts = below(directory)
    if parts:
        return _of_parts(directory, parts, kernel)
    sources, headers = _files(directory)
    if len(sources) + len(headers) > _MOST_FILES:
        raise KscaffoldError(
            "KS040",
            f"{directory} has more than {_MOST_FILES} sources",
            cause="that is more than one project of modules",
            fix="name the directory of the module: kscaffold adopt DIR",
        )
    read = [read_source(path, reader.read_text(path)) for path in sources]
    proposal = propose(directory, read, headers)
    if proposal is None:
        raise KscaffoldError(
            "KS040",
            f"{directory} has no module sources",
            cause="no .c file there has module_init() or MODULE_LICENSE()",
            fix="kscaffold new NAME",
        )
    if (lines := proposal.text.count("\n")) > _MOST_LINES:
        raise KscaffoldError(
            "KS040",
            f"{len(proposal.modules)} modules of {len(sources)} sources are more than one project",
            cause=f"a Kbuild of {lines} lines, guessed from sources, would be wrong somewhere",
            fix="name the directory of one module: kscaffold adopt DIR",
        )
    _verified(directory, kernel, proposal)
    return proposal


def _of_parts(directory: Path, parts: list[Path], kernel: Kernel | None) -> Proposal:
    """A Kbuild that leads make to those of the directories below, which say themselves what is built."""
    names = [name for part in parts if takes_path(name := str(part.relative_to(directory)))]
    left_out = [n for part in parts if (n := str(part.relative_to(directory))) not in names]
    if not names:
        checked_path(parts[0])  # raises: KS102 says what make can't take of it
    try:
        asked = _ask_draft(directory, kernel, TextChange(directory / "Kbuild", None, _leading_to(names)))
    except UnsetOptionError:
        raise
    except KscaffoldError as error:
        fix = f"kscaffold adopt {shlex.quote(str(directory / names[0]))}"
        raise KscaffoldError(error.code, error.what, cause=error.cause, fix=fix) from None
    building = [n for n in names if any(t.ko.is_relative_to(directory / n) for t in asked.targets)]
    modules = []
    for target in asked.targets:
        inside = target.directory.relative_to(directory)
        objects = tuple(str(inside / o.removesuffix(".o")) for o in target.objects)
        modules.append(ModuleSpec(str(inside / target.name), objects))
    notes = [
        f"{n} {'says itself what it builds' if n in building else 'builds no module now'}" for n in names
    ]
    notes += [f"{n}: left out, make can't take its name" for n in left_out]
    return Proposal(_leading_to(building), tuple(modules), tuple(notes))


def _leading_to(names: list[str]) -> str:
    return f"# SPDX-License-Identifier: GPL-2.0-only\nobj-m := {' '.join(f'{n}/' for n in names)}\n"


def _verified(directory: Path, kernel: Kernel | None, proposal: Proposal) -> None:
    """make builds of a proposal what was proposed; anything else is a bug of ours."""
    asked = _ask_draft(directory, kernel, TextChange(directory / "Kbuild", None, proposal.text))
    wanted = {
        directory / f"{m.name}.ko": tuple(f"{o}.o" for o in m.objects or (m.name,)) for m in proposal.modules
    }
    asked_of_make = {t.ko: t.objects for t in asked.targets}
    assert asked_of_make == wanted, (asked_of_make, wanted)


def _missing(target: ModuleTarget) -> tuple[str, ...]:
    """Objects that there is no source for. One with a rule of its own, or shipped, is not asked about."""
    absent = []
    for name in target.objects:
        stem = target.directory / name.removesuffix(".o")
        ends = (".c", ".S", ".rs", ".o_shipped", ".o")
        if not any(stem.with_name(stem.name + end).exists() for end in ends):
            absent.append(name)
    return tuple(absent)


def _unused(project: Project, sources: list[Path]) -> tuple[Path, ...]:
    """Sources below that no module is made of, by name or by #include."""
    made = {(t.directory / o).with_suffix(".c") for t in project.targets for o in t.objects}
    left = [s for s in sources if s not in made]
    if not left or len(sources) >= _MOST_FILES:
        return ()
    texts = [reader.read_text(p) for p in sources]
    return tuple(s for s in left if not any(f'{s.name}"' in text for text in texts))


def _carry_out(adoption: Adoption, kernel: Kernel | None, write: bool, fix: bool) -> Adoption:
    """Make the changes that were asked for, and look again."""
    chosen = [c for c in adoption.changes if (write if c.before is None else fix)]
    for change in chosen:
        write_changes(change)
    for change in chosen:
        if change.source:  # linked to its new name until the Kbuild said so: it always had one that counts
            change.source.unlink()
    if not chosen:
        return adoption
    project, problem, _ = _asked(adoption.directory, kernel)
    done = {c.path for c in chosen}
    deprecations = tuple(replace(f, mended=f.mendable and f.file in done) for f in adoption.deprecations)
    sources, _ = _files(adoption.directory)
    return replace(
        adoption,
        project=project,
        problem=problem,
        missing={t.ko: _missing(t) for t in project.targets if _missing(t)} if project else {},
        unused=_unused(project, sources) if project else (),
        deprecations=deprecations,
        written=tuple(c.path for c in chosen),
    )

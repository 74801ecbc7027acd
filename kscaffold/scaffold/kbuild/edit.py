"""`kbuild add-object`, `add-module`, `rename`: a Kbuild edited in its place, or left as it is with a reason.

Nothing is believed: before anything is written, make is asked what the new text builds, and it has to be what
it said before with the wanted change and nothing else.
"""

import re
from collections.abc import Callable
from pathlib import Path

from kscaffold.elf.module_name import normalize_name
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.files.temporary import temporary_directory
from kscaffold.files.text_change import TextChange, read_text, write_changes
from kscaffold.kernel.kernel import Kernel
from kscaffold.project.ask import kbuild_file, read_project
from kscaffold.project.project import ModuleTarget, Project
from kscaffold.records import dataclass, replace
from kscaffold.scaffold.kbuild import statements as edit
from kscaffold.scaffold.kbuild.names import check_name

_SUFFIXES = ("-objs", "-y", "-m")


@dataclass(frozen=True, slots=True)
class Edited:
    """A Kbuild that was edited. `project`: what make says it builds now; `notes`: what is left to do."""

    change: TextChange
    project: Project
    notes: tuple[str, ...]


def add_object(directory: Path, kernel: Kernel | None, name: str, module: str | None) -> Edited:
    """Link one more object into a module. Raises KscaffoldError KS042 (too clever), KS043 and what
    `read_project` raises; nothing is written then."""
    stem = _stem(name)
    for part in stem.split("/"):
        check_name(part, "object")
    project = read_project(directory, kernel, details=True)
    target = _one(project, module)
    _free(project, stem, target)
    if _is_single(target):
        raise KscaffoldError(
            "KS042",
            f"{target.name}.ko is made of {target.name}.c alone",
            cause=f"a module of several objects can't have one of its own name: make drops {target.name}.o",
            fix=f"give the module another name: kscaffold kbuild rename {target.name} NAME, then "
            f"kscaffold kbuild add-object {stem} --module NAME",
        )
    wanted = replace(target, objects=(*target.objects, f"{stem}.o"))
    what = f"the objects of {target.name}"
    return _edit(
        project,
        kernel,
        target.directory,
        lambda text: edit.append(text, _lists(target.listed), what, f"{stem}.o"),
        [wanted if t == target else t for t in project.targets],
        _todo(target.directory, stem),
    )


def add_module(directory: Path, kernel: Kernel | None, name: str) -> Edited:
    """Build one more module, from NAME.c. Errors as in `add_object`."""
    stem = name.removesuffix(".ko").removesuffix(".o").removesuffix(".c")
    check_name(stem)
    project = read_project(directory, kernel, details=True)
    _free(project, stem, None)
    target = ModuleTarget(stem, (f"{stem}.o",), project.directory, project.directory / f"{stem}.ko")
    return _edit(
        project,
        kernel,
        project.directory,
        lambda text: edit.append(text, {"obj-m"}, "obj-m", f"{stem}.o"),
        [*project.targets, target],
        _todo(project.directory, stem),
    )


def rename(directory: Path, kernel: Kernel | None, old: str, new: str) -> Edited:
    """Give a module or one of the objects another name. Sources stay as they are: a module made of OLD.c
    alone is NEW.ko from OLD.c then. Errors as in `add_object`."""
    old, new = _stem(old), _stem(new)
    for part in new.split("/"):
        check_name(part, "object")
    project = read_project(directory, kernel, details=True)
    target = next((t for t in project.targets if t.name == old), None)
    if target:
        check_name(new)
        _free(project, new, None)
        return _rename_module(project, kernel, target, new)
    target = next((t for t in project.targets if f"{old}.o" in t.objects), None)
    if target is None:
        raise _absent(project, old)
    _free(project, new, target)
    return _rename_object(project, kernel, target, old, new)


def _rename_module(project: Project, kernel: Kernel | None, target: ModuleTarget, new: str) -> Edited:
    single = _is_single(target)
    wanted = replace(target, name=new, ko=target.ko.with_name(f"{new}.ko"))
    stale = (f"{target.name}.ko from before is still there: kscaffold clean",) if target.ko.exists() else ()
    old, new = target.listed, wanted.listed

    def write(text: str) -> str:
        behind = edit.rename_behind(text, old, new)
        left = any(s.name == "obj-m" and f"{old}.o" in s.words for s in edit.statements(behind))
        if left or behind == text:
            behind = edit.replace_word(behind, {"obj-m"}, "obj-m", f"{old}.o", f"{new}.o")
        text = behind
        if single:
            end = (
                "-y"
                if re.search(r"^\S+-y\s*[:+]?=", re.sub(r"^ccflags-y.*", "", text, flags=re.M), re.M)
                else "-objs"
            )
            return edit.insert_after(text, {"obj-m"}, f"{new}.o", f"{new}{end} := {old}.o")
        names = {s.written for s in edit.statements(text) if s.written.startswith(f"{old}-")}
        return edit.rename_variables(text, {n: f"{new}{n.removeprefix(old)}" for n in names})

    targets = [wanted if t == target else t for t in project.targets]
    return _edit(project, kernel, target.directory, write, targets, stale, mentioned=f"{old}.ko")


def _rename_object(
    project: Project, kernel: Kernel | None, target: ModuleTarget, old: str, new: str
) -> Edited:
    objects = tuple(f"{new}.o" if o == f"{old}.o" else o for o in target.objects)
    wanted = replace(target, objects=objects)

    def write(text: str) -> str:
        lists = _lists(target.listed)
        text = edit.replace_word(text, lists, f"the objects of {target.name}", f"{old}.o", f"{new}.o")
        flags = {
            s.written
            for s in edit.statements(text)
            if re.fullmatch(rf"[CA]FLAGS_(?:REMOVE_)?{re.escape(old)}\.o", s.written)
        }
        return edit.rename_variables(text, {n: n.replace(f"{old}.o", f"{new}.o") for n in flags})

    notes = _todo(target.directory, new)
    if notes and (target.directory / f"{old}.c").exists():
        notes = (f"mv {old}.c {new}.c",)
    renamed = {f"{prefix}{old}.o": f"{prefix}{new}.o" for prefix in ("CFLAGS_", "CFLAGS_REMOVE_")}
    flags = tuple((d, renamed.get(n, n), v) for d, n, v in project.flags)
    targets = [wanted if t == target else t for t in project.targets]
    return _edit(replace(project, flags=flags), kernel, target.directory, write, targets, notes)


def _edit(
    project: Project,
    kernel: Kernel | None,
    where: Path,
    write: Callable[[str], str],
    wanted: list[ModuleTarget],
    notes: tuple[str, ...],
    mentioned: str = "",
) -> Edited:
    """Make the new text, ask make about it, and only then replace the file."""
    file = kbuild_file(where)
    assert file
    before = read_text(file)
    name = file.relative_to(project.directory)
    try:
        change = TextChange(file, before, write(before))
    except edit.UneditableError as error:
        place = f"{name}:{error.line}" if error.line else f"{name}"
        raise KscaffoldError(
            "KS042",
            f"{place}: too clever to edit safely: {error.why}",
            cause=(before.split("\n")[error.line - 1].strip() or None) if error.line else None,
            fix=f"edit {file} by hand, then look: kscaffold adopt",
        ) from None
    after = _draft(project, kernel, change)
    if _built(after.targets) != _built(wanted) or sorted(after.flags) != sorted(project.flags):
        raise KscaffoldError(
            "KS042",
            f"{name}: the edit would not do what is wanted",
            cause=f"make would build {_listed(after.targets)}, wanted is {_listed(wanted)}",
            fix=f"edit {file} by hand, then look: kscaffold adopt",
        )
    write_changes(change)
    if mentioned:
        lines = change.after.split("\n")
        notes += tuple(
            f"{name}:{n} still says {mentioned}" for n, line in enumerate(lines, 1) if mentioned in line
        )
    return Edited(change, after, notes)


def _draft(project: Project, kernel: Kernel | None, change: TextChange) -> Project:
    with temporary_directory() as place:
        draft = place / "draft"
        draft.write_text(change.after, "utf-8", "surrogateescape", newline="")
        return read_project(project.directory, kernel, details=True, draft=(change.path, draft))


def _built(targets: "tuple[ModuleTarget, ...] | list[ModuleTarget]") -> dict[Path, list[str]]:
    return {t.ko: sorted(t.objects) for t in targets}


def _listed(targets: "tuple[ModuleTarget, ...] | list[ModuleTarget]") -> str:
    return "; ".join(f"{t.name}.ko from {' '.join(t.objects)}" for t in targets)


def _stem(name: str) -> str:
    return re.sub(r"\.(?:ko|o|c)$", "", name)


def _lists(module: str) -> set[str]:
    return {f"{module}{suffix}" for suffix in _SUFFIXES}


def _is_single(target: ModuleTarget) -> bool:
    return target.objects == (f"{target.listed}.o",)


def _one(project: Project, module: str | None) -> ModuleTarget:
    """The module that is meant: the one there is, else the one that was named."""
    if module is None:
        if len(project.targets) == 1:
            return project.targets[0]
        names = ", ".join(t.name for t in project.targets)
        raise UsageError(
            "KS109", "which module? this project builds several", cause=names, fix="add --module NAME"
        )
    found = next((t for t in project.targets if t.name == _stem(module)), None)
    if found is None:
        raise _absent(project, module)
    return found


def _absent(project: Project, name: str) -> UsageError:
    import difflib  # start-up time: only after a typing error

    known = [t.name for t in project.targets]
    known += [Path(o).stem for t in project.targets for o in t.objects if Path(o).stem not in known]
    near = difflib.get_close_matches(_stem(name), known, n=1)
    return UsageError(
        "KS043",
        f"this project builds no {name}",
        cause=f"it builds {_listed(project.targets)}",
        fix=f"did you mean {near[0]}?" if near else f"name one of {', '.join(known)}",
    )


def _free(project: Project, stem: str, target: ModuleTarget | None) -> None:
    """Refuse a name that is taken: an object in two modules, or of a module's own name, is never right."""
    for other in project.targets:
        same = target is None or other.directory == target.directory
        if normalize_name(other.name) == normalize_name(stem) and same:
            what = f"{stem} is the name of a module of this project already"
            raise UsageError("KS043", what, fix="choose another name")
        if f"{stem}.o" in other.objects and same:
            raise UsageError(
                "KS043",
                f"{stem}.o is linked into {other.name}.ko already",
                cause=None
                if other is target
                else "an object can't be a part of two modules, nor a module itself and a part of another",
                fix="choose another name, if another object is meant",
            )


def _todo(directory: Path, stem: str) -> tuple[str, ...]:
    there = any((directory / f"{stem}{end}").exists() for end in (".c", ".S", ".rs"))
    return () if there else (f"write {stem}.c",)

"""Which directory is meant: the nearest one, upwards, that holds a Kbuild or a kernel-style Makefile."""

import re
from pathlib import Path

from kscaffold import lazy
from kscaffold.errors import KscaffoldError
from kscaffold.files import paths, reader
from kscaffold.project.include import included_names

# Says only that a Makefile is worth asking make about; what it builds is make's word (ask.py).
_KERNEL_STYLE = lazy.pattern(r"^[ \t]*+(?:obj-[my]|obj-\$)", re.M)
_OBJ_M = lazy.pattern(r"^[ \t]*+obj-m[ \t]*+[:+]?=([^#\n]*)", re.M)
_DEEPEST = 4
_MOST = 2000
_NAMED = 6

# Tried with Kbuild of 5.10, 6.1 and 6.12. make splits at spaces and colons, takes % for a pattern, expands $
# and stops at #; the shell lines of Kbuild do not quote; with '=' and ',' make always builds again, or fails.
_BAD = lazy.pattern(r"[\s:%#$\\'\"`&;|()<>*?\[\]=,]")


def find_project(start: Path) -> Path:
    """The project that `start` lies in, links resolved.

    `start` itself when it has a Kbuild or a kernel-style Makefile, else the nearest such directory above,
    up to the top of the repository (`.git`), the home directory or the file system. Raises KscaffoldError
    KS101 when there is none, or where the user named a directory with a Makefile for something else, and
    KS102 when Kbuild can't work at that path.
    """
    start = start.resolve()
    if not start.is_dir():
        from kscaffold.files.near import missing_directory_fix  # start-up time: only after a typing error

        raise KscaffoldError("KS101", f"{start} is not a directory", fix=missing_directory_fix(start, "cd"))
    for directory in (start, *start.parents):
        if is_project(directory):
            if directory != start:
                _require_meant(start, directory)
            return checked_path(directory)
        if directory == paths.home() or (directory / ".git").exists():
            break
    from kscaffold.project.configure import maker_of_kbuild  # start-up time: most directories are a project

    if (made := maker_of_kbuild(start)) is not None:
        raise KscaffoldError(
            "KS101",
            f"{start} is no module project yet",
            cause=f"{made[0]} makes what Kbuild reads, and has not been run",
            fix=f"{made[1]} (in {start}), then again",
        )
    raise KscaffoldError(
        "KS101",
        f"{start} is not a module project",
        cause="neither there nor above is a Kbuild, or a Makefile that sets obj-m",
        fix=_fix(start),
    )


def _require_meant(start: Path, outer: Path) -> None:
    """Refuse a directory that the user named and that has a Makefile of its own: the project around it would
    be meant in its place, unsaid.
    """
    # start-up time: most commands are given in the project's directory
    import shlex

    from kscaffold.project import trust

    names = ("GNUmakefile", "makefile", "Makefile")  # in the order in which make looks for them
    own = next((name for name in names if (start / name).is_file()), None)
    if own is None or not trust.is_named(start):
        return
    there = shlex.quote(str(outer))
    has_sources = any(start.glob("*.c"))
    proposal = f"; else kscaffold adopt {shlex.quote(str(start))} proposes a Kbuild" if has_sources else ""
    raise KscaffoldError(
        "KS101",
        f"{start} is not a module project",
        cause=f"its {own} sets no obj-m and comes to no Kbuild, and the project around it is {outer.name}",
        fix=f"kscaffold build -C {there}, where {outer.name} is meant{proposal}",
    )


def outer_project(directory: Path) -> Path | None:
    """The project that the one in `directory` lies in, in the same repository; None where there is none."""
    place = directory
    while place != paths.home() and not (place / ".git").exists() and place != place.parent:
        place = place.parent
        if is_project(place):
            return place
    return None


def home(directory: Path) -> Path:
    """The directory whose sandbox a command here means: the project's, else this one."""
    try:
        return find_project(directory)
    except KscaffoldError:
        return directory.resolve()


def is_project(directory: Path) -> bool:
    """Whether make has something to be asked here: a Kbuild, or a Makefile that sets obj-m."""
    try:
        if (directory / "Kbuild").exists() and not (directory / "Kbuild").is_dir():
            return True
    except PermissionError:  # another's: below /tmp there are many
        return False
    text = _text(directory / "Makefile")
    if _KERNEL_STYLE.search(text):
        return True
    # What is included by a plain name may set it.
    if any(_KERNEL_STYLE.search(_text(directory / name)) for name in included_names(text)):
        return True
    return _leads_to_kbuild(directory, text) or _configures(directory)


def _configures(directory: Path) -> bool:
    """Whether a configure there makes what Kbuild reads."""
    if not (directory / "configure").is_file():
        return False
    from kscaffold.project.configure import configures_modules  # start-up time: few directories have one

    return configures_modules(directory)


def _leads_to_kbuild(directory: Path, makefile: str) -> bool:
    """Whether the project's own make, or dkms, comes to Kbuild from here, in another directory perhaps."""
    conf = _text(directory / "dkms.conf")
    if not conf and not re.search(r"\b(?:M|SUBDIRS)=|\s-C\s|\bcd\s", makefile):
        return False
    # start-up time: most projects have a Kbuild or name obj-m, and then this is not asked
    from kscaffold.project.dkms_conf import has_make
    from kscaffold.project.makefile import leads_to_kbuild

    return has_make(directory) or leads_to_kbuild(directory)


def plain_module_names(directory: Path) -> set[str]:
    """The modules that the plain words of obj-m name in a directory's own Kbuild or Makefile. What a variable
    or a condition hides is not among them: only make could say.
    """
    text = "\n".join(_text(directory / name) for name in ("Kbuild", "Makefile")).replace("\\\n", " ")
    words = [word for line in _OBJ_M.findall(text) for word in line.split()]
    return {word.removesuffix(".o") for word in words if word.endswith(".o") and "$" not in word}


def _text(file: Path) -> str:
    try:
        return reader.read_text(file) if file.is_file() else ""
    except OSError:
        return ""


def takes_path(path: str) -> bool:
    """Whether make and Kbuild can take a path of this name."""
    return _BAD.search(path) is None


def checked_path(directory: Path) -> Path:
    """The path, when Kbuild can work there. Raises KscaffoldError KS102 naming what it can't take."""
    bad = _BAD.search(str(directory))
    if bad is None:
        return directory
    shown = "a space" if bad[0].isspace() else f"'{bad[0]}'"
    raise KscaffoldError(
        "KS102",
        f"Kbuild can't build in {directory}",
        cause=f"the path holds {shown}, which make and the kernel's Makefile can't take, quoted or not",
        fix="move the project to a path of letters, digits, '.', '-' and '_'",
    )


def below(start: Path) -> list[Path]:
    """The projects below a directory that is none itself; not those inside of them, nor hidden ones.

    No deeper than 4 levels, and not past the first 2000 directories.
    """
    found: list[Path] = []
    level, seen = [start], 0
    for _ in range(_DEEPEST):
        deeper: list[Path] = []
        for directory in level:
            for entry in _directories(directory):
                seen += 1
                if is_project(entry):
                    found.append(entry)
                else:
                    deeper.append(entry)
            if seen > _MOST:
                return found
        level = deeper
    return found


def _directories(directory: Path) -> list[Path]:
    try:
        return [d for d in sorted(directory.iterdir()) if d.is_dir() and not d.name.startswith(".")]
    except OSError:
        return []


def _here() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it is gone
        return None


def _fix(start: Path) -> str:
    """The directory below that is meant, if there is one, else a new project."""
    import shlex  # start-up time: most directories are a project

    is_here = start == _here()
    there = "" if is_here else f" {shlex.quote(str(start))}"
    parts = below(start)
    parts = [d for d in parts if takes_path(str(d.relative_to(start)))] or parts
    names = [shlex.quote(str(d.relative_to(start) if is_here else d)) for d in parts]
    if not names:
        return f"kscaffold adopt{there}" if any(start.glob("*.c")) else "kscaffold new NAME"
    if len(names) == 1:
        return f"cd {names[0]}"
    listed = " ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")
    return f"kscaffold adopt{there} --write, for all of {listed}; or cd into one of them"

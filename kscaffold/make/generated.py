"""Headers that a project does not hold but makes: which file makes one, and by which command."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from kscaffold.files import reader
from kscaffold.files.tree import below
from kscaffold.records import dataclass

_MAKEFILES = ("Makefile", "makefile", "GNUmakefile", "Kbuild", "*.mk")
# By their names: what may write a header, and what runs each.
_SCRIPTS = {
    "configure": "./",
    "*.sh": "sh ",
    "*.py": "python3 ",
    "*.pl": "perl ",
    "gen*": "./",
    "mk*": "./",
    "conftest*": "./",
}
_LARGEST = 1 << 20  # bytes; a longer file is data


@dataclass(frozen=True, slots=True)
class Maker:
    """What makes a file: a phrase for it, and the command, None where that is not known."""

    cause: str
    command: str | None


def maker_of(header: str, directory: Path) -> Maker | None:
    """What makes `header` (as the source includes it) in the project at `directory`; None where nothing
    there tells.
    """
    for look in (_by_rule, _by_template, _by_script, _by_dkms, _by_ignore):
        if (maker := look(Path(header).name, directory)) is not None:
            return maker
    return None


def _by_rule(name: str, directory: Path) -> Maker | None:
    """A rule of a Makefile whose target it is, or whose recipe writes to it."""
    target = re.compile(
        rf"^(?P<target>[^\s#:=]*(?<![\w.-]){re.escape(name)})(?:\s[^:=#]{{0,500}})?:(?!=)", re.M
    )
    written = re.compile(rf">\s*[^\s>]*(?<![\w.-]){re.escape(name)}(?![\w.-])")
    for file, text in _texts(directory, _MAKEFILES):
        where = file.relative_to(directory)
        if match := target.search(text):
            wanted = name if "$" in match["target"] else match["target"]
            return Maker(f"a rule of {where} makes {name}", _make(file, directory, wanted))
        rule = None
        for line in text.splitlines():
            if head := re.match(r"([\w./-]+)\s*:(?!=)", line):
                rule = head[1]
            elif line.startswith("\t") and rule and written.search(line):
                return Maker(f"the rule {rule} of {where} makes {name}", _make(file, directory, rule))
    return None


def _make(file: Path, directory: Path, target: str) -> str:
    inside = file.parent.relative_to(directory)
    return shlex.join(["make", *(["-C", str(inside)] if inside.parts else []), target])


def _by_template(name: str, directory: Path) -> Maker | None:
    """NAME.in, of which configure makes NAME."""
    template = next(_below(directory, f"{name}.in"), None)
    if template is None:
        return None
    cause = f"configure makes {name} of {template.relative_to(directory)}"
    if (directory / "configure").is_file():
        return Maker(cause, "./configure")
    if (directory / "autogen.sh").is_file():
        return Maker(cause, "sh autogen.sh && ./configure")
    return Maker(cause, "autoreconf -i && ./configure" if _has_autoconf(directory) else None)


def _has_autoconf(directory: Path) -> bool:
    return any((directory / name).is_file() for name in ("configure.ac", "configure.in"))


def _by_script(name: str, directory: Path) -> Maker | None:
    """A script that names it; what writes to it is sure to make it."""
    written = re.compile(
        rf"(?:>|-o|tee|open\()\s*[\"']?[^\s>]{{0,300}}(?<![\w.-]){re.escape(name)}(?![\w.-])"
    )
    word = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])")
    for pattern, runs in _SCRIPTS.items():
        for file, text in _texts(directory, (pattern,)):
            if word.search(text) and file.suffix not in (".c", ".h", ".o"):
                where = str(file.relative_to(directory))
                verb = "writes" if written.search(text) else "is what names"
                return Maker(f"{where} {verb} {name}", f"{runs}{shlex.quote(where)}")
    return None


def _by_dkms(name: str, directory: Path) -> Maker | None:
    """dkms runs PRE_BUILD before make: the one thing here that is left to make the file."""
    conf = directory / "dkms.conf"
    text = reader.read_text(conf) if conf.is_file() else ""
    before = re.search(r"^PRE_BUILD=[\"']?([^\"'\n]+)", text, re.M)
    if before is None:
        return None
    return Maker(f"dkms runs {before[1]} before it builds (PRE_BUILD of dkms.conf)", f"./{before[1]}")


def _by_ignore(name: str, directory: Path) -> Maker | None:
    for file, text in _texts(directory, (".gitignore",)):
        if re.search(rf"^/?(?:\S*/)?{re.escape(name)}$", text, re.M):
            where = file.relative_to(directory)
            return Maker(f"{name} is made, not kept ({where} lists it), and nothing here says by what", None)
    return None


def _texts(directory: Path, patterns: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    for pattern in patterns:
        for file in _below(directory, pattern):
            if file.stat().st_size < _LARGEST:
                yield file, reader.read_text(file)


def _below(directory: Path, pattern: str) -> Iterator[Path]:
    """The files of a name, the nearest first; not those of git."""
    found = [p for p in below(directory, pattern) if p.is_file() and ".git" not in p.parts]
    yield from sorted(found, key=lambda p: (len(p.parts), p))


def of_modpost(stem: str) -> tuple[str, str] | None:
    """Cause and fix where make has no source for a `stem` that modpost makes (hello.mod); None for others."""
    if not stem.endswith(".mod"):
        return None
    cause = (
        f"modpost makes {stem}.c, and was not run again: the file was removed, and what it belongs to was not"
    )
    return cause, "kscaffold clean && kscaffold build (with make: make clean, then make)"

"""`package dkms`: a dkms.conf, with which dkms rebuilds the modules for each kernel that is installed.

dkms.conf is a shell script that root sources, and its names become directories: every field is checked, none
is quoted around. The directives are those of dkms(8) that 2.8 and 3.x agree on.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from kscaffold import process
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.files import reader
from kscaffold.files.text_change import TextChange, read_text, write_changes
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.make.own_way import own_way
from kscaffold.project.known import known_targets
from kscaffold.project.makefile import kernel_variables
from kscaffold.project.project import ModuleTarget, Project
from kscaffold.records import dataclass

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,99}")
_HEAD = (
    "# dkms reads this file as a shell script. It builds with the kernel's own make,",
    "# make -C KERNEL M=HERE, when no MAKE is said.",
)
_PATH = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._+-]*/)*")
_MODULE_VERSION = re.compile(r'^[ \t]*+MODULE_VERSION\s*\(\s*"([^"]*)"\s*\)', re.M)


@dataclass(frozen=True, slots=True)
class Built:
    """A module of a package: its file's name without `.ko`, and its directory (`sub/`, empty for the top)."""

    name: str
    location: str = ""


@dataclass(frozen=True, slots=True)
class DkmsReport:
    """A dkms.conf. `change`: what was written; `written` is false where it was there word for word."""

    name: str
    version: str
    modules: tuple[Built, ...]
    change: TextChange
    written: bool


def dkms(
    project: Project,
    directory: Path,
    *,
    name: str | None = None,
    version: str | None = None,
    force: bool = False,
) -> DkmsReport:
    """Write the dkms.conf of the project in `directory`, which may be built elsewhere. `name` is its
    module's, or the directory's where it builds several; `version` is MODULE_VERSION of the sources, else
    0.1.0.

    Raises UsageError KS044 for a field that dkms can't take, KS045 for another one, not `force`.
    """
    chosen = name or (project.targets[0].name if len(project.targets) == 1 else directory.name)
    version = version or _version(project.targets) or "0.1.0"
    modules = tuple(_built(project, target) for target in project.targets)
    text = dkms_conf(chosen, version, modules, _make(directory))
    file = directory / "dkms.conf"
    before = read_text(file) if file.exists() else None
    change = TextChange(file, before, text)
    if before == text:
        return DkmsReport(chosen, version, modules, change, written=False)
    if before is not None and not force:
        raise UsageError(
            "KS045",
            "dkms.conf is there already, with another text",
            cause="\n".join(["the difference is", *change.diff(directory).splitlines()]),
            fix="kscaffold package dkms --force",
        )
    try:
        write_changes(change)
    except KscaffoldError as error:
        if error.code != "KS041" or read_text(file) != text:
            raise
        # Another command has just written the same.
        return DkmsReport(chosen, version, modules, TextChange(file, text, text), written=False)
    return DkmsReport(chosen, version, modules, change, written=True)


def own_dkms_conf(directory: Path, name: str | None, version: str | None) -> DkmsReport | None:
    """The dkms.conf that the project in `directory` has of its own, left word for word: its version,
    exclusions, variables and PRE_BUILD are the project's. None where there is none, where it is one of ours,
    or where another `name` or `version` is asked for.
    """
    file = directory / "dkms.conf"
    text = read_text(file) if file.is_file() else ""
    if not text.strip() or text.startswith(_HEAD[0]):
        return None
    said = {word: _said(word, text) for word in ("PACKAGE_NAME", "PACKAGE_VERSION")}
    if any(asked and asked != s for asked, s in zip((name, version), said.values(), strict=True)):
        return None
    modules = re.findall(r"^[ \t]*BUILT_MODULE_NAME(?:\[(\d+)\])?=[\"']?([^\"'\s]+)", text, re.M)
    places = re.findall(r"^[ \t]*BUILT_MODULE_LOCATION(?:\[(\d+)\])?=[\"']?([^\"'\s]*)", text, re.M)
    located = {index or "0": place for index, place in places}
    built = tuple(Built(stem, located.get(index or "0", "")) for index, stem in modules)
    change = TextChange(file, text, text)
    return DkmsReport(said["PACKAGE_NAME"], said["PACKAGE_VERSION"], built, change, written=False)


def _said(word: str, text: str) -> str:
    """The value that a dkms.conf gives to a variable, as it stands there."""
    found = re.search(rf"^[ \t]*{word}=(?:\"([^\"\n]*)\"|'([^'\n]*)'|([^\s#;]*))", text, re.M)
    return next((value for value in found.groups() if value), "") if found else ""


def placeholder_fix(directory: Path, version: str) -> str | None:
    """What fills in the version of a dkms.conf that has only a place for one, `@VERSION@`; None where it has
    a version.
    """
    if _VERSION.fullmatch(version):
        return None
    file = directory / "Makefile"
    rule, filled = None, None
    for line in reader.read_text(file).splitlines() if file.is_file() else ():
        if head := re.match(r"([\w./-]+)(?: [\w./ -]*)?:(?!=)", line):
            rule = head[1]
        elif line.startswith("\t") and rule and re.search(r"@VERSION@|#VERSION#|PACKAGE_VERSION", line):
            filled = filled or rule
    how = (
        f"make {filled} in {directory} fills it in"
        if filled
        else "see the project's README for what fills it in"
    )
    return f"{how}: the version in dkms.conf is only a place for one ({version})"


def dkms_conf(name: str, version: str, modules: Sequence[Built], make: str | None = None) -> str:
    """The text of a dkms.conf; `make`: the command that builds, None for Kbuild's own. Raises UsageError
    KS044 for a field that dkms can't take."""
    _check("name", name, _NAME, "--name")
    _check("version", version, _VERSION, "--version")
    lines = [
        *_HEAD,
        f'PACKAGE_NAME="{name}"',
        f'PACKAGE_VERSION="{version}"',
        'AUTOINSTALL="yes"',
        *([f'MAKE[0]="{make}"'] if make else []),
    ]
    for number, module in enumerate(modules):
        _check("module", module.name, _NAME, None)
        _check("directory", module.location, _PATH, None)
        lines += ["", f'BUILT_MODULE_NAME[{number}]="{module.name}"']
        if module.location:
            lines.append(f'BUILT_MODULE_LOCATION[{number}]="{module.location}"')
        lines.append(f'DEST_MODULE_LOCATION[{number}]="/updates/dkms"')
    return "\n".join(lines) + "\n"


def _make(directory: Path) -> str | None:
    """The project's own make, where Kbuild alone is not enough and the Makefile lets a kernel be named."""
    found = kernel_variables(directory, "${kernel_source_dir}", "${kernel_source_dir}")
    # Where a Makefile looks for the first of several places, it finds the tree by itself.
    variables = [f"{name}={value}" for name, value in found.items() if " " not in value]
    if not variables or not (own_way(directory) or known_targets(directory)):
        return None
    # In quotes, else dkms gives it KERNELRELEASE, and only Kbuild's part of the Makefile is read.
    return " ".join(["'make'", *variables])


def lacking_compiler(tree: BuildTree) -> str | None:
    """The compiler that the tree's Makefile names and this machine lacks. dkms takes no other one, unlike
    `build`; for a kernel built by clang it chooses by itself.
    """
    wanted = None if tree.clang else tree.compiler
    return wanted if wanted and process.which(wanted) is None else None


def _check(what: str, value: str, rule: re.Pattern[str], option: str | None) -> None:
    if rule.fullmatch(value) and ".." not in value:
        return
    shown = value if value.isprintable() else ascii(value)
    raise UsageError(
        "KS044",
        f"dkms can't take {shown!r} for a {what}",
        cause="it begins with a letter or digit and goes on with letters, digits, '.', '_', '+' and '-'",
        fix=f"kscaffold package dkms {option} {'1.0' if what == 'version' else 'NAME'}" if option else None,
    )


def _built(project: Project, target: ModuleTarget) -> Built:
    place = target.ko.parent.relative_to(project.directory)
    return Built(target.name, "" if place == Path() else f"{place}/")


def _version(targets: Sequence[ModuleTarget]) -> str | None:
    """MODULE_VERSION of the sources, where it is one text that dkms can take."""
    found = set()
    for target in targets:
        for name in target.objects:
            source = (target.directory / name).with_suffix(".c")
            if source.is_file():
                found |= set(_MODULE_VERSION.findall(reader.read_text(source)))
    version = found.pop() if len(found) == 1 else ""
    return version if _VERSION.fullmatch(version) else None

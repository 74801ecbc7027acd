"""`package dkms`: a dkms.conf, with which dkms rebuilds the modules for each kernel that is installed.

dkms.conf is a shell script that root sources, and its names become directories: every field is checked, none
is quoted around. The directives are those of dkms(8) that 2.8 and 3.x agree on.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kscaffold import process
from kscaffold.errors import UsageError
from kscaffold.files import reader
from kscaffold.files.text_change import TextChange, read_text, write_changes
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.project.project import ModuleTarget, Project

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,99}")
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
    project: Project, *, name: str | None = None, version: str | None = None, force: bool = False
) -> DkmsReport:
    """Write the project's dkms.conf. `name` is its module's, or the directory's where it builds several;
    `version` is MODULE_VERSION of the sources, else 0.1.0.

    Raises UsageError KS044 for a field that dkms can't take, KS045 for another one, not `force`.
    """
    chosen = name or (project.targets[0].name if len(project.targets) == 1 else project.directory.name)
    version = version or _version(project.targets) or "0.1.0"
    modules = tuple(_built(project, target) for target in project.targets)
    text = dkms_conf(chosen, version, modules)
    file = project.directory / "dkms.conf"
    before = read_text(file) if file.exists() else None
    change = TextChange(file, before, text)
    if before == text:
        return DkmsReport(chosen, version, modules, change, written=False)
    if before is not None and not force:
        raise UsageError(
            "KS045",
            "dkms.conf is there already, with another text",
            cause="\n".join(["the difference is", *change.diff(project.directory).splitlines()]),
            fix="kscaffold package dkms --force",
        )
    write_changes(change)
    return DkmsReport(chosen, version, modules, change, written=True)


def dkms_conf(name: str, version: str, modules: Sequence[Built]) -> str:
    """The text of a dkms.conf. Raises UsageError KS044 for a field that dkms can't take."""
    _check("name", name, _NAME, "--name")
    _check("version", version, _VERSION, "--version")
    lines = [
        "# dkms reads this file as a shell script. It builds with the kernel's own make,",
        "# make -C KERNEL M=HERE, when no MAKE is said.",
        f'PACKAGE_NAME="{name}"',
        f'PACKAGE_VERSION="{version}"',
        'AUTOINSTALL="yes"',
    ]
    for number, module in enumerate(modules):
        _check("module", module.name, _NAME, None)
        _check("directory", module.location, _PATH, None)
        lines += ["", f'BUILT_MODULE_NAME[{number}]="{module.name}"']
        if module.location:
            lines.append(f'BUILT_MODULE_LOCATION[{number}]="{module.location}"')
        lines.append(f'DEST_MODULE_LOCATION[{number}]="/updates/dkms"')
    return "\n".join(lines) + "\n"


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

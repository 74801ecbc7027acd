"""Objects that were built for another kernel, which Kbuild itself does not always notice.

Kbuild compares command lines and dates. Two kernels configured in their own trees give the same command
lines (`-I./include`), and the older tree's files are all older than the objects: nothing would be rebuilt.
A headers package replaced by a newer build of the same release is such a case, too: its files are dated when
the package was made.
"""

import os
import re
from pathlib import Path

from kscaffold.elf import content
from kscaffold.files import reader
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.make.fingerprint.cmd_file import command_file
from kscaffold.project.project import Project


def kernel_identity(tree: BuildTree) -> str:
    """A text that differs between trees, and changes when a tree is replaced or configured again."""
    facts = [str(tree.directory), tree.release]
    for name in ("include/generated/autoconf.h", "include/generated/utsrelease.h", "Module.symvers"):
        try:
            stat = (tree.directory / name).stat()
        except OSError:
            continue
        facts.append(f"{stat.st_size}:{stat.st_mtime_ns}")
    return " ".join(facts)


def built_for_another(project: Project, tree: BuildTree, last: str | None) -> bool:
    """Whether objects are there that belong to another tree than `tree`.

    `last`: the `identity` of the tree of the last build that we know of. Plain make may have built since:
    a .ko says itself which release it is for; one without the record of its command was put there.
    """
    if not any(_command_files(project)):
        return False
    if last is not None and last != kernel_identity(tree):
        return True
    linked = (release_of(t.ko) for t in project.targets if command_file(t.ko).exists())
    return any(release is not None and release != tree.release for release in linked)


def release_of(ko: Path) -> str | None:
    """The release in a .ko's vermagic, or None."""
    try:
        found = re.search(rb"\0?vermagic=([^ \0]+)", reader.read_bytes(ko, content.LIMIT))
    except OSError:
        return None
    return found[1].decode(errors="replace") if found else None


def forget_objects(project: Project) -> None:
    """Make Kbuild rebuild all: it runs every command of which it has no record (`.NAME.cmd`).

    The objects themselves stay until they are replaced: one without such a record may be the user's own.
    """
    for file in _command_files(project):
        file.unlink(missing_ok=True)


def _command_files(project: Project) -> list[Path]:
    directories = {t.directory for t in project.targets} | {project.directory}
    for target in project.targets:
        directories |= {(target.directory / o).parent for o in target.objects}
    found = []
    for directory in sorted(directories):
        try:
            entries = list(os.scandir(directory))
        except OSError:
            continue
        found += [
            Path(e.path) for e in entries if re.fullmatch(r"\..+\.(?:o|ko|mod|order|symvers)\.cmd", e.name)
        ]
    return found

"""compile_commands.json, for clangd in editors: how Kbuild compiles each source of the project's own."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from kscaffold.files import reader
from kscaffold.files.atomic import write_whole
from kscaffold.files.git import exclude
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.make.fingerprint.cmd_file import command_file, read_command
from kscaffold.project.project import Project

NAME = "compile_commands.json"

# Options of gcc that clangd, the reader of the file, calls errors in every source. The same list is in the
# .clangd of our templates, for databases of other tools; an adopted project has none.
_ONLY_GCC = re.compile(
    r"(?<=\s)-(?:fconserve-stack|femit-struct-debug-baseonly|fmin-function-alignment=\S*|"
    r"fno-allow-store-data-races|fplugin\S*|fsanitize=bounds-strict|ftrivial-auto-var-init=\S*|"
    r"fzero-init-padding-bits=\S*|mfunction-return=\S*|mindirect-branch\S*|mpreferred-stack-boundary=\S*|"
    r"mrecord-mcount)\s+"
)


def write_database(project: Project, tree: BuildTree, state: Path) -> bool:
    """Write the project's compile_commands.json when it is not there or not as it should be.

    One that was not written here is left alone: another tool's may know more, and have more entries than
    is read here, and what is no plain file is nobody's. Returns whether the file is ours and right.
    """
    file, mark = project.directory / NAME, state / "compile_commands.digest"
    try:
        there = _digest(file)
    except reader.ForeignFileError:
        return False
    text = json.dumps(entries(project, tree), indent=1) + "\n"
    same = there == _of(text.encode())
    if there is not None and there != _read(mark):
        return same
    try:
        exclude(file)
        if same:
            return True
        write_whole(file, text)
        write_whole(mark, _of(text.encode()))
    except OSError:  # a read-only or full project: an editor's file is not worth a failed build
        return False
    return True


def entries(project: Project, tree: BuildTree) -> list[dict[str, Any]]:
    """An entry for each source that is compiled into one of the project's modules."""
    where = project.directory if tree.reads_kbuild_in_place else tree.directory
    found: dict[str, dict[str, Any]] = {}
    for target in project.targets:
        for name in target.objects:
            command = read_command(command_file(target.directory / name))
            if command is None or command.source is None:
                continue
            source = str(where / command.source)
            # Behind the compiler's own command stand objtool's and the like.
            line = _for_clang(command.line.split(" ; ", 1)[0].strip())
            found[source] = {"directory": str(where), "command": line, "file": source}
    return [found[source] for source in sorted(found)]


def _for_clang(line: str) -> str:
    """gcc's command without what clangd would call an error; it still compiles the file with gcc."""
    program, space, rest = _ONLY_GCC.sub("", line).partition(" ")
    return f"{program}{space}-Wno-unknown-warning-option {rest}"


def _of(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _digest(file: Path) -> str | None:
    try:
        return _of(reader.read_bytes(file))
    except OSError:
        return None


def _read(file: Path) -> str | None:
    try:
        return reader.read_text(file)
    except (OSError, reader.ForeignFileError):
        return None

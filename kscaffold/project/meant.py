"""What words of a command line mean, in every verb alike: .ko files, or one project's directory, or one
module's name.
"""

from collections.abc import Sequence
from pathlib import Path

from kscaffold import lazy
from kscaffold.files.paths import is_directory
from kscaffold.project import trust
from kscaffold.project.find import is_project
from kscaffold.records import dataclass

# A module's name, not a file's: it has no ending.
_NAME = lazy.pattern(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Meant:
    """`files`: those that were named, none where a project's modules are meant: those of the project in
    `directory`, with `module` this one of them.
    """

    directory: Path
    module: str | None
    files: tuple[Path, ...]


def meant(words: Sequence[str], directory: Path, module: str | None) -> Meant:
    """The meaning of words (none with `=`) that are relative to `directory`, which -C may have named. Whether
    files are there is not looked at.
    """
    if len(words) == 1:
        there = directory / words[0]
        if is_directory(there):
            trust.name(there)
            return Meant(there, module, ())
        if module is None and _NAME.fullmatch(words[0]) and not there.is_file():
            return Meant(directory, words[0], ())
    return Meant(directory, module, tuple(directory / word for word in words))


def files_meant(words: Sequence[str], m: Meant) -> tuple[Path, ...]:
    """The files that `words` mean to a verb that only looks at them: to it a directory that is no project
    stands for the .ko files below it.
    """
    if words and not m.files and m.module is None and not is_project(m.directory):
        return (m.directory,)
    return m.files

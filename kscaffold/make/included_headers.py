"""What a project's sources include by a name in quotes, looked at before a compiler opens it: one waits for a
FIFO's writer until the deadline of the build.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from kscaffold import lazy
from kscaffold.files import reader
from kscaffold.project.project import Project

_INCLUDE = lazy.pattern(r'^[ \t]*+#[ \t]*+include(?:_next)?[ \t]*+"([^"\n]{1,4096})"', re.M)
_DIRECTORY = lazy.pattern(r"\s-(?:I|iquote)\s*+(\S+)")
_MOST = 5000  # files; a driver of the kernel's largest has some hundred


def require_plain_includes(sources: Iterable[Path], directories: Sequence[Path] = ()) -> None:
    """Refuse what the compiler would wait for among the files that `sources` include in quotes, and those
    that these do: each is looked for beside the file that names it, then in `directories`, as gcc does. A
    name that a macro makes is not followed. Raises ForeignFileError KS092 and KS093.
    """
    waiting = list(dict.fromkeys(sources))
    seen = set(waiting)
    while waiting and len(seen) < _MOST:
        file = waiting.pop()
        text = ""
        with suppress(OSError):  # it is not there, or not for us to read: the compiler says so
            text = reader.read_text(file)
        for name in dict.fromkeys(_INCLUDE.findall(text)):
            places = (place / name for place in (file.parent, *directories))
            found = next((place for place in places if _is_taken(place)), None)
            if found is not None and found not in seen:
                seen.add(found)
                waiting.append(found)


def directories_of(project: Project) -> list[Path]:
    """Where else gcc looks for what is included in quotes: the whole paths among the flags of a project."""
    values = " ".join(value for _, variable, value in project.flags if "ccflags" in variable.lower())
    return [Path(word) for word in _DIRECTORY.findall(f" {values}") if Path(word).is_absolute()]


def _is_taken(place: Path) -> bool:
    """Whether the compiler would open this; a directory is passed over."""
    try:
        return place.exists() and not place.is_dir()
    except (OSError, ValueError):
        return False

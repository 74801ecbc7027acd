"""make's whole output in a file, bounded, replaced as a whole by each build."""

from collections import deque
from pathlib import Path

from kscaffold.files.atomic import write_whole

_HEAD = 2_000_000  # characters
_TAIL = 2000  # lines


class BuildLog:
    """Collects lines; of a flood the first and the last part are kept."""

    def __init__(self) -> None:
        self._head: list[str] = []
        self._room = _HEAD
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._cut = 0

    def add(self, line: str) -> None:
        """Take a line, without its newline."""
        if self._room > 0:
            self._room -= len(line) + 1
            self._head.append(line)
            return
        self._cut += len(self._tail) == _TAIL
        self._tail.append(line)

    def lines(self) -> list[str]:
        """The lines that were kept, with a note where others were cut."""
        note = [f"[{self._cut} lines cut]"] if self._cut else []
        return [*self._head, *note, *self._tail]

    def write(self, file: Path) -> None:
        """Put it in `file`, whole or not at all."""
        write_whole(file, "\n".join(self.lines()) + "\n")

"""Which instrumented objects are up to date, so that make need not be asked: that takes a second."""

import contextlib
import json
from pathlib import Path

from kscaffold.files import paths
from kscaffold.files.atomic import write_whole


class Notebook:
    """Remembers each .ko of the user's, as it was when a copy of it was compiled, and where that copy is.

    A .ko is made again when a file that it depends on has changed: the copy is good while the .ko is the
    same. `rules`: what else decides how copies are compiled.
    """

    def __init__(self, place: Path, rules: str) -> None:
        self._file = place / "copies.json"
        self._rules = rules
        self._notes: dict[str, list[object]] = {}
        self._changed = False
        with contextlib.suppress(OSError, ValueError):
            record = paths.recorded(self._file)
            if record.get("rules") == rules and isinstance(record.get("copies"), dict):
                self._notes = record["copies"]

    def recall(self, ko: Path) -> Path | None:
        """The copy compiled for a .ko that is as it was then; None where there is none."""
        found = self._notes.get(str(ko.absolute()))
        if not isinstance(found, list) or found[:-1] != _facts(ko):
            return None
        copy = Path(str(found[-1]))
        return copy if copy.is_file() else None

    def note(self, ko: Path, copy: Path) -> None:
        """A copy was compiled for a .ko as it is now."""
        self._notes[str(ko.absolute())] = [*_facts(ko), str(copy)]
        self._changed = True

    def keep(self) -> None:
        """Write down what was noted."""
        if self._changed:
            paths.make_own(self._file.parent)
            text = json.dumps({"rules": self._rules, "copies": self._notes})
            write_whole(self._file, text)


def _facts(ko: Path) -> list[object]:
    stat = ko.stat()
    return [stat.st_mtime_ns, stat.st_size, stat.st_ino]

"""Files of firmware: those of a project and those that are named, for the guest's /lib/firmware."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kscaffold import lazy
from kscaffold.diagnosis.klog import Record
from kscaffold.errors import UsageError
from kscaffold.targets.target import Target

DIRECTORY = "firmware"
"""The directory of a project whose files are in /lib/firmware of its sandboxes, by the same names."""

# As fw_get_filesystem_firmware() and its caller say it (drivers/base/firmware_loader/main.c).
_MISSING = lazy.pattern(r"Direct firmware load for (?P<name>\S{1,200}) failed with error -2\b")
_MOST = 64 << 20  # bytes: the guest holds all in memory
_MOST_ENTRIES = 10_000  # of files and directories
_HARMLESS = ("regulatory.db", "regulatory.db.p7s")  # the wireless core has a built-in answer


def firmware_files(words: Sequence[str], directory: Path, places: Iterable[Path]) -> dict[str, Path]:
    """Files by the name that a driver asks for: those in `firmware/` of each of `places`, and `FILE[:NAME]`
    of the command line, relative to `directory`. Raises UsageError KS646 for what is no file.
    """
    found: dict[str, Path] = {}
    for place in dict.fromkeys(places):
        top = place / DIRECTORY
        found |= {str(f.relative_to(top)): f for f in _inside(top)}
    for word in words:
        file, colon, name = word.rpartition(":")
        if not colon or (directory / word).exists():
            file, name = word, Path(word).name
        if not (directory / file).is_file() or not name or ".." in Path(name).parts:
            raise UsageError("KS646", f"{word} is no file of firmware", fix=f"ls -l {file}")
        found[name.lstrip("/")] = directory / file
    return found


def _inside(top: Path) -> list[Path]:
    """The files of a directory; none of one that is no driver's, but a collection, or a link to `/`."""
    files: list[Path] = []
    entries = 0
    for where, inside, names in os.walk(top):
        entries += len(inside) + len(names)
        if entries > _MOST_ENTRIES:
            return []
        files += filter(_is_file, (Path(where, name) for name in names))
    return sorted(files) if sum(file.stat().st_size for file in files) <= _MOST else []


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a link of /proc's to what is another user's
        return False


def missing_firmware(records: Iterable[Record]) -> tuple[str, ...]:
    """The names that a driver asked for and the kernel did not find."""
    names = (found["name"] for record in records if (found := _MISSING.search(record.text)))
    return tuple(name for name in dict.fromkeys(names) if name not in _HARMLESS)


def asked_for(module: str, names: Sequence[str]) -> str:
    """The sentence on firmware that a module asked for and did not get."""
    return f"{module} asked for the firmware {', '.join(names)}, which is not there"


def give(names: Sequence[str]) -> str:
    """How a sandbox gets what is missing."""
    first = names[0]
    return f"put it into {DIRECTORY}/{first} of the project, or add --firmware FILE:{first}"


def add_firmware(files: Mapping[str, Path], target: Target) -> None:
    """Put files where the kernel of a target looks for them."""
    if files:
        from kscaffold.files import reader  # start-up time: few projects have firmware

        for name, file in files.items():
            target.add_firmware(name, reader.read_bytes(file, _MOST))

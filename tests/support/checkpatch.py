"""The kernel's checkpatch.pl: where it is, and how it comes there.

`python -m tests.support.checkpatch` takes it once from Debian's linux-source package into the user's cache,
without root; tests/run.sh does so where tests are required.
"""

import os
import re
import shutil
import sys
import tarfile
from pathlib import Path

from kscaffold.errors import KscaffoldError
from kscaffold.files.scratch import scratch_directory
from kscaffold.packages import apt
from kscaffold.progress import Progress

# checkpatch.pl reads the other two, where it finds them beside itself.
_FILES = ("checkpatch.pl", "spelling.txt", "const_structs.checkpatch")


def place() -> Path:
    """Where it is kept: beside the cached kernels, in the user's own cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "kscaffold-tests" / "checkpatch"


def find() -> str | None:
    """The program: as the environment says, fetched before, or on PATH."""
    kept = place() / _FILES[0]
    return os.environ.get("KSCAFFOLD_CHECKPATCH") or (str(kept) if kept.exists() else shutil.which(_FILES[0]))


def fetch() -> None:
    """Take it from the linux-source package of this distribution. Raises KscaffoldError."""
    with scratch_directory() as here:
        archive = apt.open_archive(None, here, Progress(_say))
        names = [n for n in archive.names("linux-source-") if re.fullmatch(r"linux-source-\d+\.\d+", n)]
        if not names:
            raise KscaffoldError("KS502", "there is no package linux-source-* in this distribution")
        newest = max(names, key=lambda n: [int(x) for x in n.removeprefix("linux-source-").split(".")])
        (deb,) = archive.download(archive.show([newest]), Progress(_say))
        apt.unpack(deb, here / "unpacked")
        (packed,) = (here / "unpacked/usr/src").glob("linux-source-*.tar.*")
        ready = here / "checkpatch"
        ready.mkdir()
        wanted = {f"scripts/{name}" for name in _FILES}
        with tarfile.open(packed, "r|*") as tar:
            for member in tar:
                inside = member.name.partition("/")[2]
                content = tar.extractfile(member) if inside in wanted else None
                if content:
                    (ready / Path(inside).name).write_bytes(content.read())
                    wanted.remove(inside)
                if not wanted:  # the rest of it need not be decompressed
                    break
        place().parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(place(), ignore_errors=True)
        ready.rename(place())


def _say(verb: str, text: str) -> None:
    print(f"{verb:>12} {text}", file=sys.stderr)


if __name__ == "__main__" and find() is None:
    fetch()

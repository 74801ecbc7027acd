"""Programs of a build tree that run on this machine (modpost, fixdep, objtool): others in the place of those
that can't.
"""

import re
import shutil
from pathlib import Path

from kscaffold.errors import KscaffoldError
from kscaffold.files import reader
from kscaffold.kernel.buildable import missing_libc
from kscaffold.packages.apt import open_archive, unpack
from kscaffold.progress import Progress

_LARGEST = 256 << 20  # bytes of a program: a compiler has 35 million


def replace_too_new(made: Path, release: str, place: Path, progress: Progress) -> None:
    """Put programs of this machine's own suites in the place of those in the unpacked packages of kernel
    `release` that need a newer C library. They are of the same series (6.12) and so do the same; where there
    are none, the tree stays as it is, and `build_problem` tells.

    `place`: a directory for apt.
    """
    strangers = [file for file in kbuild_programs(made) if is_too_new(file)]
    series = re.match(r"\d+\.\d+", release)
    if not strangers or series is None:
        return
    try:
        archive = open_archive(None, place, progress)
        names = [n for n in archive.names("linux-kbuild-") if _is_of(n, series[0])]
        if not names:
            return
        newest = max(names, key=lambda n: [int(number) for number in re.findall(r"\d+", n)])
        for deb in archive.download(archive.show([newest]), progress):
            unpack(deb, place / "unpacked")
    except KscaffoldError as error:
        progress.step("Note", f"the kernel's programs can't be replaced by ones that run here: {error.what}")
        return
    kbuild = _kbuild(made)
    assert kbuild is not None  # the strangers are in it
    progress.step("Replacing", f"programs of {kbuild.name} that need a newer C library by those of {newest}")
    own = place / "unpacked/usr/lib" / newest
    for file in strangers:
        other = own / file.relative_to(kbuild)
        if other.is_file():
            file.unlink()
            shutil.copy2(other, file)


def kbuild_programs(made: Path) -> list[Path]:
    """All files of the kernel's own programs in its unpacked packages."""
    kbuild = _kbuild(made)
    return [] if kbuild is None else sorted(kbuild.rglob("*"))


def _kbuild(made: Path) -> Path | None:
    return next(iter(sorted((made / "usr/lib").glob("linux-kbuild-*"))), None)


def _is_of(name: str, series: str) -> bool:
    rest = name.removeprefix(f"linux-kbuild-{series}")
    return rest != name and not rest[:1].isdigit()


def is_too_new(file: Path) -> bool:
    """Whether a file is a program that this machine's C library is too old for."""
    if file.is_symlink() or not file.is_file():
        return False
    content = reader.read_bytes(file, _LARGEST)
    return content.startswith(b"\x7fELF") and missing_libc(content) is not None

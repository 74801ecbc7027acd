"""`.kscaffold.base`: a project's files as they were rendered, the base of every three-way merge.

A newer kscaffold no longer has the templates of its past, so the project carries what came of them. It is a
gzipped tar archive: anyone can look (`tar tzf .kscaffold.base`), git and a copy take it along, and line ends
are safe in it, for git sees that it is no text. It is 10 kB, most of that the licence: too much for the
readable file beside it, so it has a file of its own, hidden like that one. Digests alone would be smaller,
but could only tell which files were edited, not merge them; git's own history has the files only where they
were committed before they were edited.
"""

import gzip
import hashlib
import io
import tarfile
import zlib
from pathlib import Path

from kscaffold.files import reader
from kscaffold.files.tree import File, Tree, is_inside

FILE = ".kscaffold.base"

LARGEST = 5 << 20  # bytes, packed: more is too much for a project to carry along
NONE = "none"  # in the place of a digest, where that is so

_LARGEST = 64 << 20  # bytes, unpacked


def is_small(tree: Tree) -> bool:
    """Whether it is worth while to try and pack it."""
    return sum(len(file.content) for file in tree.values()) < _LARGEST // 2


def pack(tree: Tree) -> bytes:
    """The files as an archive."""
    packed = io.BytesIO()
    # No times, owners or names of machines: the same files are the same archive everywhere.
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, file in sorted(tree.items()):
            member = tarfile.TarInfo(path)
            member.size = len(file.content)
            member.mode = 0o755 if file.executable else 0o644
            archive.addfile(member, io.BytesIO(file.content))
    return gzip.compress(packed.getvalue(), 9, mtime=0)


def unpack(packed: bytes) -> dict[str, File] | None:
    """The files of an archive; None where it is none, is damaged, or holds anything else."""
    found: dict[str, File] = {}
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as unzipped:
            plain = unzipped.read(_LARGEST + 1)
        if len(plain) > _LARGEST:
            return None
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is None or not is_inside(member.name) or member.name.startswith(".kscaffold"):
                    return None
                found[member.name] = File(content.read(), bool(member.mode & 0o100))
    except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error):
        return None
    return found


def digest(tree: Tree) -> str:
    """The digest by which `.kscaffold.toml` knows the base that belongs to it, however that is packed."""
    summed = hashlib.sha256()
    for path, file in sorted(tree.items()):
        summed.update(f"{len(file.content)} {file.executable:d} {path}\n".encode(errors="surrogateescape"))
        summed.update(file.content)
    return f"sha256:{summed.hexdigest()}"


def read_base(project: Path, wanted: str) -> dict[str, File] | None:
    """The base of a project; None where it is missing, damaged, or not the one of that digest."""
    try:
        tree = unpack(reader.read_bytes(project / FILE))
    except (FileNotFoundError, IsADirectoryError):
        return None
    return tree if tree is not None and digest(tree) == wanted else None

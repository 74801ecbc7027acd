"""The bytes of a .ko: read with limits, decompressed where it is compressed."""

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold.errors import KscaffoldError, UsageError, refuse_roots
from kscaffold.files import reader

if TYPE_CHECKING:
    from kscaffold.elf.model import Compression, DamagedModule

# Far above any real module; what keeps a hostile file from taking the machine's memory.
LIMIT = 256 << 20

_MAGIC: "dict[bytes, Compression]" = {
    b"\xfd7zXZ\x00": "xz",
    b"\x1f\x8b\x08": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
}


def read_content(path: Path) -> "tuple[bytes, Compression | None]":
    """The module's bytes, and how they were compressed.

    Raises UsageError (KS401) where there is no such file, KscaffoldError (KS402) where it can't be read,
    DamagedModule where it is empty, too large or broken in its compression.
    """
    content, kind = unpacked(read_raw(path), path)
    refuse_empty(content, path)
    return content, kind


def unpacked(raw: bytes, path: Path) -> "tuple[bytes, Compression | None]":
    """A file's bytes decompressed, and how they were compressed. `path` is for messages.

    Raises DamagedModule where the compression is broken.
    """
    kind = next((kind for magic, kind in _MAGIC.items() if raw.startswith(magic)), None)
    return (raw if kind is None else _decompressed(raw, kind, path)), kind


def refuse_empty(content: bytes, path: Path) -> None:
    """Raise DamagedModule for no bytes at all."""
    if not content:
        # kernel_read_file() says EINVAL before anything looks at the content.
        raise _damaged("KS403", f"{path} is empty", fix="kscaffold build", refusal=("copy", "EINVAL"))


def read_raw(path: Path) -> bytes:
    """The file's own bytes, compressed or not. Raises as read() does, but for an empty file and a broken
    compression.
    """
    try:
        return reader.read_bytes(path, LIMIT)
    except reader.ForeignFileError as error:
        if error.code == "KS093":
            raise _too_large(path) from None
        what = "it is not a regular file" if error.code == "KS092" else error.cause
        raise KscaffoldError("KS402", f"{path} can't be read", cause=what) from None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            from kscaffold.files.near import missing_module_fix  # start-up time: only after a typing error

            raise UsageError("KS401", f"there is no {path}", fix=missing_module_fix(path)) from None
        refuse_roots(error, path)
        raise KscaffoldError("KS402", f"{path} can't be read", cause=error.strerror) from None


def _too_large(path: Path) -> "DamagedModule":
    return _damaged("KS402", f"{path} is too large to be a module", cause=f"more than {LIMIT >> 20} MiB")


def _damaged(
    code: str,
    what: str,
    *,
    cause: str | None = None,
    fix: str | None = None,
    refusal: tuple[str, str] | None = None,
) -> "DamagedModule":
    from kscaffold.elf.model import DamagedModule  # start-up time: every load reads a file, few are damaged

    return DamagedModule(code, what, cause=cause, fix=fix, refusal=refusal)


def _decompressed(raw: bytes, kind: "Compression", path: Path) -> bytes:
    from kscaffold.elf.decompress import DamagedError, decompress  # start-up time: most are not compressed

    try:
        content = decompress(raw)
    except DamagedError as error:
        what, fix = f"{path} can't be decompressed", "kscaffold build"
        raise _damaged("KS411", what, cause=str(error), fix=fix, refusal=("elf", "ENOEXEC")) from None
    if len(content) > LIMIT:
        raise _too_large(path)
    return content

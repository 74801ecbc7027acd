"""Compressed bytes of kernels and modules, recognised by their magic; bytes after the stream are ignored."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path

from kscaffold.errors import KscaffoldError
from kscaffold.files import reader

# More than any kernel unpacks to: a damaged or hostile stream must not fill the memory.
LIMIT = 512 << 20
# A few bytes must not, either: a stream may unpack to so much, or to so many times its own size. Kernels and
# modules unpack to 3 to 10 times theirs.
_SMALL = 16 << 20
_MOST_TIMES = 32

_LZ4_LEGACY_BLOCK = 8 << 20
_BITE = 256  # bytes: unpacked they are 8 MiB at most


class DamagedError(Exception):
    """The stream is damaged or cut short; the text is a phrase."""


def decompress(data: bytes) -> bytes:
    """The bytes a compressed stream at the start of `data` holds; uncompressed ELF comes back as it is.

    A tail after the stream (the kernel appends four bytes of size) is ignored. Raises DamagedError.
    """
    if data.startswith(b"\x7fELF"):
        return data
    limit = min(LIMIT, max(_SMALL, _MOST_TIMES * len(data)))
    for magic, name, decompressor in _CODECS:
        if data.startswith(magic):
            try:
                return decompressor(data, limit)
            except DamagedError as error:
                raise DamagedError(f"its {name} stream {error}") from None
            except MemoryError:
                raise
            except Exception as error:  # each codec has errors of its own: lzma, zlib, zstd, lz4, OSError
                raise DamagedError(f"its {name} stream is damaged ({error})") from None
    raise DamagedError(f"its compression is not known (it begins with {data[:4].hex(' ') or 'nothing'})")


def decompress_module(path: Path) -> bytes:
    """The ELF bytes of a .ko, .ko.xz, .ko.gz or .ko.zst. Raises KscaffoldError KS512, and OSError."""
    try:
        return decompress(reader.read_bytes(path, LIMIT))
    except DamagedError as error:
        raise KscaffoldError("KS512", f"{path} can't be unpacked", cause=str(error)) from None


def _whole(out: bytes, ended: bool, limit: int) -> bytes:
    if not ended or len(out) > limit:
        large = f"is larger than any kernel or module of its size: it unpacks to more than {limit >> 20} MiB"
        raise DamagedError(large if len(out) >= limit else "ends too early")
    return out


def _xz(data: bytes, limit: int) -> bytes:
    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=LIMIT)
    return _whole(stream.decompress(data, limit), stream.eof, limit)


def _lzma(data: bytes, limit: int) -> bytes:
    stream = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=LIMIT)
    out = stream.decompress(data, limit)
    # Written to a pipe the format has no end mark but a size of its own, which Python checks itself.
    return _whole(out, stream.eof, limit)


def _bzip2(data: bytes, limit: int) -> bytes:
    stream = bz2.BZ2Decompressor()
    return _whole(stream.decompress(data, limit), stream.eof, limit)


def _gzip(data: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(wbits=31)
    return _whole(stream.decompress(data, limit), stream.eof, limit)


def _zstd(data: bytes, limit: int) -> bytes:
    import zstandard  # start-up time

    # Kernels are made with --ultra -22: a window of 128 MiB and more.
    stream = zstandard.ZstdDecompressor(max_window_size=LIMIT).decompressobj()
    out, size = [], 0
    # In small bites: four bytes can mean 128 KiB, and what a bite gives can't be bounded.
    for start in range(0, len(data), _BITE):
        if stream.eof or size >= limit:
            break
        out.append(stream.decompress(data[start : start + _BITE]))
        size += len(out[-1])
    return _whole(b"".join(out), stream.eof, limit)


def _lz4_legacy(data: bytes, limit: int) -> bytes:
    """The old frame format of lz4 (lib/decompress_unlz4.c): a size and a block of at most 8 MiB, repeated."""
    import lz4.block  # start-up time

    out, size, at = [], 0, 4
    while at + 8 <= len(data) and size < limit:
        length = int.from_bytes(data[at : at + 4], "little")
        if at + 4 + length > len(data):
            raise DamagedError("ends too early")
        out.append(lz4.block.decompress(data[at + 4 : at + 4 + length], uncompressed_size=_LZ4_LEGACY_BLOCK))
        size += len(out[-1])
        at += 4 + length
        if len(out[-1]) < _LZ4_LEGACY_BLOCK:
            break  # only the last block is shorter
    return _whole(b"".join(out), bool(out) and size < limit, limit)


def _lzo(data: bytes, limit: int) -> bytes:
    raise DamagedError("is LZO, which kscaffold can't read")


_CODECS: tuple[tuple[bytes, str, Callable[[bytes, int], bytes]], ...] = (
    (b"\xfd7zXZ\0", "xz", _xz),
    (b"\x02\x21\x4c\x18", "lz4", _lz4_legacy),
    (b"\x28\xb5\x2f\xfd", "zstd", _zstd),
    (b"\x1f\x8b\x08", "gzip", _gzip),
    (b"BZh", "bzip2", _bzip2),
    (b"\x5d\0\0", "lzma", _lzma),
    (b"\x89LZO", "lzo", _lzo),
)

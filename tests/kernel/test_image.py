"""vmlinuz to vmlinux: every compression, and everything that is none."""

import bz2
import gzip
import lzma
import random
import struct

import lz4.block
import pytest
import zstandard

from kscaffold.elf import decompress
from kscaffold.errors import KscaffoldError
from kscaffold.kernel import image
from tests.support.images import bzimage, elf
from tests.support.kernels import need_kernel

BLOCK = 8 << 20


def lz4_legacy(data: bytes) -> bytes:
    out = b"\x02\x21\x4c\x18"
    for start in range(0, len(data), BLOCK):
        block = lz4.block.compress(data[start : start + BLOCK], store_size=False)
        out += struct.pack("<I", len(block)) + block
    return out


COMPRESSIONS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "lz4": lz4_legacy,
    "zstd": zstandard.ZstdCompressor(level=3, write_content_size=False).compress,
}


@pytest.mark.parametrize("name", COMPRESSIONS)
@pytest.mark.parametrize("filler", [4096, BLOCK + 4096])
def test_a_bzimage_is_unpacked_and_its_tail_ignored(name, filler):
    kernel = elf(filler=filler)
    assert image.vmlinux(bzimage(COMPRESSIONS[name](kernel))) == kernel


def test_an_elf_kernel_passes_through():
    kernel = elf()
    assert image.vmlinux(kernel) is kernel


def test_both_forms_say_their_release():
    assert image.release(bzimage(b"", release="6.1.0-9-cloud-amd64")) == "6.1.0-9-cloud-amd64"
    assert image.release(elf(release="6.12.3+deb13")) == "6.12.3+deb13"
    assert image.release(b"hello") is None
    assert image.release(b"") is None


@pytest.mark.parametrize(
    ("data", "code", "cause"),
    [
        (b"", "KS510", "the file is empty"),
        (b"hello world", "KS510", "it is neither a bzImage nor an ELF kernel"),
        (random.Random(1).randbytes(65536), "KS510", "it is neither a bzImage nor an ELF kernel"),
        (bytes(0x38) + b"ARMd" + bytes(4096), "KS510", "it is for another architecture"),
        (elf(machine=183), "KS510", "it is for another architecture"),
        (bzimage(gzip.compress(elf(machine=183))), "KS510", "it is for another architecture"),
        (elf()[:300], "KS510", "the ELF kernel ends too early"),
        (elf()[:80], "KS510", "its headers are cut"),
        (bzimage(gzip.compress(elf()))[:1200], "KS510", "the file ends too early"),
        (bzimage(gzip.compress(elf()), version=0x0207), "KS510", "its boot protocol is older"),
        (bzimage(gzip.compress(b"not a kernel")), "KS510", "what it holds is not an ELF kernel"),
        (bzimage(b"\x89LZO\0\r\n\x1a\n"), "KS510", "LZO"),
        (bzimage(b"\0\0\0\0\0\0"), "KS510", "its compression is not known"),
        (bzimage(gzip.compress(elf())[:-200]), "KS510", "its gzip stream"),
        (elf(pvh=False), "KS511", "CONFIG_PVH"),
        (bzimage(lzma.compress(elf(pvh=False))), "KS511", "CONFIG_PVH"),
    ],
)
def test_what_is_no_usable_kernel_is_told_in_words(data, code, cause):
    with pytest.raises(KscaffoldError) as caught:
        image.vmlinux(data)
    assert caught.value.code == code
    assert cause in (caught.value.cause or "")


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_any_cut_or_changed_byte_gives_an_answer(name):
    """A KscaffoldError or a kernel; never another exception. Cut streams are never taken for whole ones."""
    whole = bzimage(COMPRESSIONS[name](elf()))
    end = len(whole) - len(b"what follows")
    for length in range(0, end, 7):
        with pytest.raises(KscaffoldError):
            image.vmlinux(whole[:length])
    chance = random.Random(name)
    for _ in range(400):
        changed = bytearray(whole)
        for _ in range(chance.choice((1, 1, 4))):
            changed[chance.randrange(0x1F1, len(changed))] = chance.randrange(256)
        try:
            image.vmlinux(bytes(changed))
        except KscaffoldError as error:
            assert error.code in ("KS510", "KS511")


def test_a_stream_that_never_ends_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(decompress, "LIMIT", 1 << 20)
    for name, compress in COMPRESSIONS.items():
        with pytest.raises(decompress.DamagedError) as caught:
            decompress.decompress(compress(bytes(9 << 20)))
        assert "larger" in str(caught.value) or "memory" in str(caught.value).lower(), name


@pytest.mark.parametrize(("suffix", "name"), [("", None), (".xz", "xz"), (".gz", "gzip"), (".zst", "zstd")])
def test_modules_are_unpacked_whatever_they_are_packed_with(tmp_path, suffix, name):
    module = elf()
    file = tmp_path / f"hello.ko{suffix}"
    file.write_bytes(COMPRESSIONS[name](module) if name else module)
    assert decompress.decompress_module(file) == module


def test_a_damaged_module_file_is_told(tmp_path):
    file = tmp_path / "hello.ko.xz"
    file.write_bytes(lzma.compress(elf())[:-30])
    with pytest.raises(KscaffoldError) as caught:
        decompress.decompress_module(file)
    assert caught.value.code == "KS512"


@pytest.mark.kernel
@pytest.mark.network
@pytest.mark.parametrize("series", ["5.10", "6.1", "6.12"])
def test_the_three_debian_kernels_unpack(series):
    kernel = need_kernel(series)
    data = kernel.image.read_bytes()
    unpacked = image.vmlinux(data)
    assert unpacked == kernel.vmlinux.read_bytes()
    assert image.release(data) == image.release(unpacked) == kernel.release
    packed = next(kernel.modules.glob("kernel/**/dummy.ko*"))
    assert decompress.decompress_module(packed).startswith(b"\x7fELF")

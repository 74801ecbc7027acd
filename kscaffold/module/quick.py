"""The few facts of a .ko that every load needs, without the 70 ms that importing an ELF reader takes."""

import struct
from pathlib import Path

from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.project.project import kernel_name

COMPRESSED = (b"\xfd7zXZ\x00", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd")
"""How the files of compressed modules begin: xz, gzip, zstd."""
# The last bytes of a signed module (include/linux/module_signature.h).
SIGNED = b"~Module signature appended~\n"


def existing(ko: Path) -> Path:
    """The same path. Raises UsageError KS281 where there is no such file."""
    if ko.is_dir():
        raise UsageError("KS281", f"{ko} is a directory", fix="name a .ko, or cd there and name none")
    if not ko.is_file():
        what = "is no regular file" if ko.exists() else "is not there"
        raise UsageError("KS281", f"{ko} {what}", fix="kscaffold build, or name a .ko that exists")
    return ko


def module_name(ko: Path) -> str:
    """The name the kernel will know this module by: `name` of its .modinfo, else made of the file's."""
    return _modinfo(ko).get("name") or kernel_name(ko.name.partition(".ko")[0])


def depends(ko: Path) -> tuple[str, ...]:
    """The modules that this one says it needs, by the kernel's names."""
    return tuple(kernel_name(name) for name in _modinfo(ko).get("depends", "").split(",") if name)


def _modinfo(ko: Path) -> dict[str, str]:
    """The first value of each key in .modinfo; nothing where the file is no 64-bit little-endian ELF,
    compressed or not.

    No judgement on the file: whatever is wrong with it, the kernel or `check` says it better.
    """
    try:
        data = ko.read_bytes()
        if data.startswith(COMPRESSED):
            from kscaffold.module import content  # start-up time: few are compressed

            data = content.read(ko)[0]
        if data[:6] != b"\x7fELF\x02\x01":
            return {}
        (offset,) = struct.unpack_from("<Q", data, 40)
        size, count, names = struct.unpack_from("<HHH", data, 58)
        headers = [struct.unpack_from("<IIQQQQ", data, offset + i * size) for i in range(count)]
        strings = headers[names][4]
        for name, _, _, _, start, length in headers:
            if data[strings + name : strings + name + 9] == b".modinfo\0":
                entries = data[start : start + length].decode(errors="replace").split("\0")
                pairs = [entry.partition("=") for entry in reversed(entries)]
                return {key: value for key, equals, value in pairs if equals}
    except (OSError, struct.error, IndexError, OverflowError, KscaffoldError):
        pass
    return {}

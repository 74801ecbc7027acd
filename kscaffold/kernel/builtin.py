"""What is built into a kernel: names that a module of the same name would meet."""

import mmap
import re
import struct
from pathlib import Path

from kscaffold.arch import table
from kscaffold.elf import kofile
from kscaffold.elf.model import Section
from kscaffold.elf.module_name import module_name_of
from kscaffold.files import reader
from kscaffold.kernel import store
from kscaffold.kernel.kernel import Kernel

# struct kernel_param by the bits of a pointer: name, mod, ops, u16 perm; then s8 level, u8 flags, a pointer.
_PARAM = {32: "3IH6x", 64: "3QH14x"}
# Where core_param()s are, whose names have no dot. Every kernel has one with permissions: panic.c's `panic`.
_CORE = "kernel"


def names(modules: Path) -> frozenset[str]:
    """The modules that are built in, by modules.builtin."""
    lines = _text(modules / "modules.builtin").splitlines()
    return frozenset(module_name_of(line) for line in lines)


def in_sysfs(kernel: Kernel) -> tuple[frozenset[str], frozenset[str]]:
    """The names built-in code has in /sys/module, for certain and perhaps. It is there where it has a
    version, or a parameter with permissions; those only the image tells (kernel/params.c,
    param_sysfs_builtin). Takes 7 ms.
    """
    info = _text(kernel.modules / "modules.builtin.modinfo").split("\0") if kernel.modules else []
    entries = [match for entry in info if (match := re.match(r"([^.=]+)\.(parmtype|version)=", entry))]
    versioned = frozenset(match[1] for match in entries if match[2] == "version")
    image = store.unpacked(kernel)
    visible = _visible(image) if image else None
    if visible is not None:
        return versioned | visible, frozenset()
    return versioned | {_CORE}, frozenset(match[1] for match in entries) - versioned


def _text(path: Path) -> str:
    try:
        return reader.read_text(path)
    except OSError:
        return ""


def _visible(vmlinux: Path) -> frozenset[str] | None:
    """The names before the dot of all built-in parameters with permissions; None if it can't be read."""
    try:
        # Safe to map: an image of the cache is replaced by a new file, never rewritten.
        with vmlinux.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
            machine = table.of_elf(image[:64])
            if machine is None:
                return None
            form = struct.Struct(machine.order + _PARAM[machine.bits])
            return _parameters(image, kofile.image_sections(image), form)
    except (OSError, ValueError, struct.error):
        return None


def _parameters(
    image: mmap.mmap, sections: tuple[Section, ...], form: struct.Struct
) -> frozenset[str] | None:
    params = next((s for s in sections if s.name == "__param" and s.type == "SHT_PROGBITS"), None)
    if params is None:
        return None
    raw = image[params.offset : params.offset + params.size]
    found = set()
    for name, _, _, permissions in form.iter_unpack(raw[: len(raw) // form.size * form.size]):
        home = next((s for s in sections if s.address and s.address <= name < s.address + s.size), None)
        if permissions and home is not None:
            at = name - home.address + home.offset
            text = image[at : at + 128].partition(b"\0")[0].decode(errors="replace")
            found.add(text.partition(".")[0] if "." in text else _CORE)
    return frozenset(found)

"""Whether the tools and the kernel that are to load a compressed .ko can unpack it.

kmod 30 unpacks a module itself; kmod 34 leaves that to a kernel that says it can
(/sys/module/compression). The kernel's reader of xz knows CRC32 and no other check.
"""

from kscaffold.elf.model import KoFile
from kscaffold.errors import KscaffoldError
from kscaffold.files import reader
from kscaffold.kernel.facts import KernelFacts
from kscaffold.module.predict.finding import Finding

# The low half of an xz file's eighth byte (the .xz file format, 2.1.1.2).
_CHECKS = {0: "none", 1: "CRC32", 4: "CRC64", 10: "SHA-256"}
_KERNEL_KNOWS = ("none", "CRC32")


def findings(ko: KoFile, kernel: KernelFacts | None) -> list[Finding]:
    """The findings on a module's compression; none for a plain module. `kernel`: None for none."""
    if ko.compression == "gzip":
        message = "Debian's kmod reads no .ko.gz: depmod passes it over, and modprobe does not find it"
        return [Finding("KS450", "warn", "copy", message, f"gunzip {ko.path}")]
    if ko.compression != "xz":
        return []
    check = _check_of(ko)
    unpacks = None if kernel is None else kernel.has("MODULE_DECOMPRESS")
    if check in _KERNEL_KNOWS or unpacks is False:
        return []
    plain = ko.path.with_suffix("")
    who = kernel.name if kernel and unpacks else "a kernel"
    message = f"its xz check is {check}: {who} that unpacks it itself, as kmod 34 asks for, knows only CRC32"
    if kernel and unpacks:
        message = f"its xz check is {check}, and {who} knows only CRC32: kmod 34's modprobe fails with EINVAL"
    fix = f"unxz {ko.path} && xz --check=crc32 --lzma2=dict=1MiB {plain}"
    return [Finding("KS451", "warn" if unpacks else "info", "copy", message, fix)]


def _check_of(ko: KoFile) -> str:
    try:
        head = reader.read_bytes(ko.path)[:8]
    except (OSError, KscaffoldError):
        return "none"
    return _CHECKS.get(head[7] & 15, "unknown") if len(head) == 8 else "none"

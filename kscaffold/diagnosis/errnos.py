"""errno numbers and names as the kernel has them (asm-generic, which x86, arm64 and riscv share)."""

import errno as _errno
import os

# The kernel's own numbers never reach a program by name, but a module's init can return them.
_KERNEL_ONLY = {
    512: "ERESTARTSYS",
    513: "ERESTARTNOINTR",
    514: "ERESTARTNOHAND",
    516: "ERESTART_RESTARTBLOCK",
    517: "EPROBE_DEFER",
    518: "EOPENSTALE",
    519: "ENOPARAM",
    521: "EBADHANDLE",
    524: "ENOTSUPP",
    527: "ESERVERFAULT",
    528: "EBADTYPE",
    529: "EJUKEBOX",
    530: "EIOCBQUEUED",
}


# Numbers with two names: the kernel's own, where Python's table keeps the other.
_NAMES = {_errno.EAGAIN: "EAGAIN", _errno.EDEADLK: "EDEADLK", _errno.EOPNOTSUPP: "EOPNOTSUPP"}


def name(number: int) -> str | None:
    """The name of an errno (its sign does not matter), or None where there is none."""
    number = abs(number)
    return _NAMES.get(number) or _errno.errorcode.get(number) or _KERNEL_ONLY.get(number)


def number(name: str) -> int | None:
    """The number of an errno's name (`EPERM`), or None where there is none. Both names of EAGAIN serve."""
    for known, of_kernel in _KERNEL_ONLY.items():
        if of_kernel == name:
            return known
    value = getattr(_errno, name, None) if name.startswith("E") else None
    return value if isinstance(value, int) else None


def names() -> list[str]:
    """Every name there is."""
    return [*_errno.errorcode.values(), *_KERNEL_ONLY.values()]


# Words of insmod and modprobe (kmod, BusyBox) that are not strerror's.
_OF_INSMOD = {
    "invalid module format": "ENOEXEC",
    "unknown symbol in module": "ENOENT",
    "unknown symbol in module, or unknown parameter": "ENOENT",
    "module has wrong symbol version": "ESRCH",
    "invalid parameters": "EINVAL",
}


def of_words(words: str) -> str | None:
    """The name of the errno that programs show in these words (`Operation not permitted`), or None."""
    low = " ".join(words.lower().rstrip(".! ").split())
    if low in _OF_INSMOD:
        return _OF_INSMOD[low]
    return next((name(n) for n in _errno.errorcode if os.strerror(n).lower() == low), None)

"""Where a guest's kernel has its symbols, kept from one guest to the next: looking for them takes a second
under TCG.

The kernel chooses its place at each boot, and all guests of one snapshot have the same. What was kept is
believed where the kernel's banner is at its address.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence

from kscaffold.files import paths
from kscaffold.files.atomic import write_whole
from kscaffold.targets.kernel_memory import KernelMemory

_BANNER, _WORDS = "linux_banner", b"Linux version "


def symbol_addresses(
    memory: KernelMemory, kernel: str, names: Sequence[str], look_up: Callable[[Sequence[str]], list[int]]
) -> dict[str, int]:
    """The addresses of these symbols. `kernel`: what tells kernels apart; `look_up`: asks the guest, 0 for
    what it has not. Raises ValueError where one is missing.
    """
    file = paths.cache() / "addresses" / hashlib.sha256(kernel.encode()).hexdigest()[:32]
    known: dict[str, int] = {}
    with contextlib.suppress(OSError, ValueError, TypeError):
        known = {name: int(address) for name, address in paths.recorded(file).items()}
    wanted = sorted({*names, _BANNER})
    if not all(name in known for name in wanted) or (all(known.values()) and not _is_right(memory, known)):
        known = dict(zip(wanted, look_up(wanted), strict=True))
        with contextlib.suppress(OSError):
            paths.make_own(file.parent)
            write_whole(file, json.dumps(known))
    # A kernel without CONFIG_KALLSYMS_ALL tells of functions only, at each boot; and the System.map in
    # Debian's packages of kernels is one line, which says that the real one is in the -dbg package.
    if not all(known.values()) or not _is_right(memory, known):
        raise ValueError("the kernel does not tell where its variables are")
    return known


def _is_right(memory: KernelMemory, known: dict[str, int]) -> bool:
    return memory.read([(known[_BANNER], len(_WORDS))]) == [_WORDS]

"""The kernels that there are, and the one that is meant."""

from typing import TYPE_CHECKING

from kscaffold.progress import SILENT, Progress

if TYPE_CHECKING:
    from kscaffold.kernel.kernel import Kernel


def kernels() -> "list[Kernel]":
    """The kernels that are here: fetched, given by path, and the running one; the newest first."""
    from kscaffold.kernel import store  # start-up time

    return store.known()


def find_kernel(release: str | None = None) -> "Kernel | None":
    """The kernel that is here to use: a release or the unique beginning of one, else the default one, else
    the newest that can be used; None where there is none. Nothing is fetched.

    Raises UsageError KS530 where `release` means no kernel or several.
    """
    from kscaffold.kernel.choose import find_kernel as find  # start-up time

    return find(release)


def choose_kernel(
    release: str | None = None, *, offline: bool = False, progress: Progress = SILENT
) -> "Kernel":
    """As `find_kernel`; where there is none, the distribution's own is fetched, which needs the network and
    minutes. Raises KscaffoldError KS531 with `offline` then.
    """
    from kscaffold.kernel.choose import choose  # start-up time

    return choose(release, offline=offline, progress=progress)


def kernel_of(kernel: "str | Kernel | None", progress: Progress = SILENT) -> "Kernel":
    """The kernel itself, or the one that a release means."""
    return choose_kernel(kernel, progress=progress) if kernel is None or isinstance(kernel, str) else kernel


def release_of(kernel: "str | Kernel | None") -> str | None:
    """The release of a kernel, or the word that means one."""
    return kernel if kernel is None or isinstance(kernel, str) else kernel.release

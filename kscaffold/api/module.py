"""A .ko, read."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kscaffold.api.kernel import find_kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kscaffold.kernel.kernel import Kernel
    from kscaffold.module.check import CheckReport


def check(
    ko: str | Path,
    *,
    kernel: "str | Kernel | None" = None,
    parameters: "Sequence[str]" = (),
    cmdline: str = "",
) -> "CheckReport":
    """What is wrong with a .ko, and whether a kernel would take it. Nothing is built, loaded or fetched.

    `kernel`: None for the kernel that is chosen here; where there is none, only the file is looked at.
    `parameters`: `NAME=VALUE`, as for insmod. `cmdline`: what the kernel is started with.
    """
    from kscaffold.load.request import TargetRequest  # start-up time
    from kscaffold.load.trust import predicted_trust
    from kscaffold.module.arguments import Parameters
    from kscaffold.module.check import check_module

    found = find_kernel(kernel) if kernel is None or isinstance(kernel, str) else kernel
    trust = predicted_trust(found, TargetRequest(cmdline=cmdline))
    words = Parameters.from_arguments(list(parameters)).words
    return check_module(Path(ko), kernel=found, arguments=words, trust=trust)


def info(ko: str | Path) -> dict[str, Any]:
    """What a .ko carries about itself, as modinfo shows: the document of `kscaffold info --json`."""
    from kscaffold.module.modinfo_view import info as read_info  # start-up time

    return read_info(Path(ko))

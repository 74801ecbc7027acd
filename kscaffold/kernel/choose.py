"""Which kernel a command is for. On the path of every command: nothing heavy is imported but to fetch."""

import re
import shlex

from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.kernel import store
from kscaffold.kernel.buildable import build_problem, compiler_problem
from kscaffold.kernel.kernel import Kernel
from kscaffold.progress import SILENT, Progress


def choose(spec: str | None, *, offline: bool, progress: Progress = SILENT) -> Kernel:
    """The kernel to use: as `find`, else the distribution's own, fetched now.

    Raises UsageError KS530 for a `spec` that means no kernel or several, KscaffoldError KS531 when one
    would have to be fetched offline, and what `fetch` raises.
    """
    kernel = find_kernel(spec)
    if kernel:
        return kernel
    if offline:
        raise KscaffoldError(
            "KS531",
            "there is no kernel here yet, and --offline forbids to fetch one",
            fix="kscaffold kernel add",
        )
    from kscaffold.kernel.fetch import fetch  # start-up time

    progress.step("Fetching", "a kernel of the distribution, once: there is none here yet")
    return fetch(None, None, progress).kernel


def find_kernel(spec: str | None) -> Kernel | None:
    """The kernel that is here to use: `spec`, else `kernel default`, else the newest fetched one, one given
    by path, the running one if its tree and image can be read; None where there is none of these.

    Raises UsageError KS530 for a `spec` that means no kernel or several.
    """
    kernels = store.known()
    if spec is not None:
        return match(spec, kernels)
    chosen = store.default()
    if chosen:
        return _default(chosen, kernels)
    stored = [k for k in kernels if k.source != "running"]
    running = [k for k in kernels if k.source == "running" and k.image and build_problem(k) is None]
    # One that can be built for, if there is one: a newer suite's may need a newer C library or compiler.
    usable = (k for k in stored if build_problem(k) is None and compiler_problem(k) is None)
    return next(usable, None) or next(iter(stored + running), None)


def match(spec: str, kernels: list[Kernel], *, wanted: bool = True) -> Kernel:
    """The one kernel that a release or the unique beginning of one means. Raises UsageError KS530.

    `wanted`: one that is not here could be added.
    """
    for kernel in kernels:
        if kernel.release == spec:
            return kernel
    # 6.1 means 6.1.0-56 rather than 6.12.95, though both begin so.
    begins = [k for k in kernels if k.release.startswith(spec)]
    whole = [k for k in begins if not re.match(r"\d", k.release[len(spec) :]) or not spec[-1:].isdigit()]
    found = whole or begins
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(k.release for k in found)
        fix = f"write more of it, or all: {found[0].release}"
        raise UsageError("KS530", f"{spec!r} could be several kernels", cause=f"there are {listed}", fix=fix)
    there = ", ".join(k.release for k in kernels) or "none"
    # A release has no slash: a path is meant.
    fix = f"kscaffold kernel add {'--build ' if '/' in spec else ''}{shlex.quote(spec)}"
    raise UsageError(
        "KS530",
        f"there is no kernel {spec!r} here",
        cause=f"there are {there}" if kernels else "no kernel is here yet",
        fix=fix if wanted else "kscaffold kernel list",
    )


def _default(chosen: str, kernels: list[Kernel]) -> Kernel:
    for kernel in kernels:
        if kernel.release == chosen:
            return kernel
    raise KscaffoldError(
        "KS532",
        f"the default kernel {chosen} is not here any more",
        fix=f"kscaffold kernel add {chosen}, or kscaffold kernel default --clear",
    )

"""The kernels the tests run on: found in the user's own cache, else fetched there, once per machine.

    def test_something(kernel):
        k = kernel("6.1")       # 5.10, 6.1 or 6.12; skips with the reason where it can't be had

Give a test that boots or builds for one the mark `kernel` or `sandbox` as well.
"""

import functools
import os
from collections.abc import Callable

import pytest

from kscaffold.errors import KscaffoldError
from kscaffold.kernel import store
from kscaffold.kernel.buildable import build_problem
from kscaffold.kernel.fetch import fetch, is_prefix
from kscaffold.kernel.kernel import Kernel
from kscaffold.progress import SILENT
from tests.conftest import REAL_CACHE, missing

# Where each series is found. The first suite that has it and whose host programs run here serves; None
# means the host's own suites (Debian 12 has 6.12 in its security suite, too).
SUITES: dict[str, tuple[str | None, ...]] = {
    "5.10": ("bullseye",),
    "6.1": (None, "bookworm"),
    "6.12": (None, "bookworm-backports", "trixie"),
}


@functools.cache
def find_or_fetch(series: str) -> Kernel | KscaffoldError:
    """A kernel of a series that can be built for and booted, or why there is none."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(REAL_CACHE)
    try:
        for kernel in store.known():
            ours = is_prefix(series, kernel.release) and kernel.release.endswith("-cloud-amd64")
            if ours and kernel.source == "fetched" and not build_problem(kernel):
                return kernel
        reason: KscaffoldError | None = None
        for suite in SUITES[series]:
            try:
                kernel = fetch(series, suite, SILENT).kernel
            except KscaffoldError as error:
                reason = error
                continue
            reason = build_problem(kernel)
            if reason is None:
                return kernel
        return reason or KscaffoldError("KS502", f"no suite is known for {series}")
    finally:
        if before is None:
            os.environ.pop("XDG_CACHE_HOME", None)
        else:
            os.environ["XDG_CACHE_HOME"] = before


def need_kernel(series: str = "6.1") -> Kernel:
    """A kernel of a series, or the test is skipped (failed where KSCAFFOLD_REQUIRE names `kernel`)."""
    found = find_or_fetch(series)
    if isinstance(found, KscaffoldError):
        missing("kernel", f"kscaffold kernel add {series} ({found.what}: {found.cause or found.fix})")
        raise found
    return found


def only(release: str) -> Kernel:
    """The one kernel of a release that the store knows."""
    (kernel,) = (k for k in store.known() if k.release == release)
    return kernel


@pytest.fixture
def kernel() -> Callable[[str], Kernel]:
    """`kernel("6.1")`: a kernel of a series."""
    return need_kernel

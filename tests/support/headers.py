"""The headers of kernels of several years, for the tests that ask them: a build tree of each series.

The series of `kernels.py` are the user's own kernels. Newer ones, which only their headers are wanted of,
are fetched once per machine into a cache of the tests' own, so that no test chooses them as a kernel.
"""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager

from kscaffold.errors import KscaffoldError
from kscaffold.kernel import store
from kscaffold.kernel.buildtree import BuildTree, read_tree
from kscaffold.kernel.fetch import fetch, is_prefix
from kscaffold.progress import SILENT
from tests.conftest import REAL_CACHE, missing
from tests.support.kernels import SUITES, need_kernel

NEWER: dict[str, tuple[str, ...]] = {"7": ("trixie-backports", "sid")}
SERIES = (*SUITES, *NEWER)


def need_headers(series: str) -> BuildTree:
    """The build tree of a series, or the test is skipped (failed where KSCAFFOLD_REQUIRE names `kernel`)."""
    if series in SUITES:
        build = need_kernel(series).build
        assert build is not None
        return read_tree(build)
    found = _find_or_fetch(series)
    if isinstance(found, KscaffoldError):
        missing("kernel", f"the headers of {series} ({found.what}: {found.cause or found.fix})")
        raise found
    return found


@functools.cache
def _find_or_fetch(series: str) -> BuildTree | KscaffoldError:
    with _own_cache():
        for kernel in store.known():
            if is_prefix(series, kernel.release) and kernel.source == "fetched" and kernel.build:
                return read_tree(kernel.build)
        reason: KscaffoldError | None = None
        for suite in NEWER[series]:
            try:
                kernel = fetch(series, suite, SILENT).kernel
            except KscaffoldError as error:
                reason = error
                continue
            assert kernel.build is not None
            return read_tree(kernel.build)
        return reason or KscaffoldError("KS502", f"no suite is known for {series}")


@contextmanager
def _own_cache() -> Iterator[None]:
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(REAL_CACHE / "kscaffold-tests")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("XDG_CACHE_HOME", None)
        else:
            os.environ["XDG_CACHE_HOME"] = before

"""A name that the kernel lacks and another one at hand has."""

from pathlib import Path

import pytest

from kscaffold.kernel import store
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.kernel.kernel import Kernel
from kscaffold.make import other_kernels
from kscaffold.make.other_kernels import of_another_kernel
from kscaffold.make.report import BuildExplanation

PLAIN = BuildExplanation("KS140", "a name is used and not declared")


def tree(release: str) -> BuildTree:
    major, minor = release.split(".")
    at = Path("/usr/src") / release
    return BuildTree(
        at, at, release, (major, minor, "0"), "x86", None, "", False, False, "x86_64", "", "", arch="x86_64"
    )


@pytest.fixture
def at_hand(monkeypatch):
    """Kernels of five series, in no order; one whose tree has gone."""
    releases = ["6.12", "5.10", "7.2", "6.1", "5.15", "gone"]
    kernels = [Kernel(r, "fetched", Path(r), None, None, None, "") for r in releases]
    monkeypatch.setattr(store, "known", lambda: kernels)

    def read(build: Path) -> BuildTree:
        if build.name == "gone":
            raise FileNotFoundError(build)
        return tree(build.name)

    monkeypatch.setattr(other_kernels, "read_tree", read)


@pytest.mark.parametrize(
    ("having", "cause", "fix"),
    [
        ({"7.2"}, "it came to linux/x.h between 6.1 and 7.2", "(7, 2, 0)), or build for that one"),
        # The nearest of the newer ones tells most.
        ({"7.2", "6.12"}, "it came to linux/x.h between 6.1 and 6.12", "--kernel 6.12"),
        ({"5.15"}, "it went from linux/x.h between 5.15 and 6.1", "see in linux/x.h what took its place"),
        (
            {"5.10", "5.15"},
            "6.1 has no NAME, and 5.15 has",
            "for both: #if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 0)",
        ),
    ],
)
def test_the_nearest_kernel_that_has_it_is_named(at_hand, having, cause, fix):
    found = of_another_kernel(
        PLAIN, "NAME", tree("6.1"), lambda _, of: "linux/x.h" if of.release in having else None
    )
    assert found is not None and found.code == "KS140"
    assert cause in (found.cause or "") and fix in (found.fix or "")


def test_where_nobody_has_it_nothing_is_said(at_hand):
    asked: list[str] = []
    assert of_another_kernel(PLAIN, "NAME", tree("6.1"), lambda _, of: asked.append(of.release)) is None
    assert asked == ["6.12", "7.2", "5.15", "5.10"]

"""Which other kernel at hand has a name that the one that is built for lacks."""

from collections.abc import Callable, Iterator

from kscaffold.errors import KscaffoldError
from kscaffold.kernel import store
from kscaffold.kernel.buildtree import BuildTree, read_tree
from kscaffold.make.report import BuildExplanation
from kscaffold.records import replace

_MOST = 4  # kernels that are searched: half a second each, where no header has the name

# The header of a tree that has a name, or None.
Search = Callable[[str, BuildTree], str | None]


def of_another_kernel(
    plain: BuildExplanation, name: str, tree: BuildTree, search: Search
) -> BuildExplanation | None:
    """The explanation of a name that no header of `tree` has: the nearest kernel at hand that has it. None
    where none of them does."""
    here = _version(tree)
    for other in _others(tree):
        if (header := search(name, other)) is None:
            continue
        there = _version(other)
        older, newer = sorted((here, there))
        between = f"between {_written(older)} and {_written(newer)}"
        what = f"came to {header} {between}" if there > here else f"went from {header} {between}"
        cause = f"kernel {tree.name} has no {name}, and {other.name} has: it {what}"
        code = f"#if LINUX_VERSION_CODE >= KERNEL_VERSION({newer[0]}, {newer[1]}, 0)"
        fix = (
            f"use it only where it is ({code}), or build for that one: kscaffold build --kernel {other.name}"
        )
        if there < here:
            fix = f"see in {header} what took its place; for both: {code}"
        return replace(plain, cause=cause, fix=fix)
    return None


def _others(tree: BuildTree) -> Iterator[BuildTree]:
    """One tree of each other series that is at hand: the newer ones first, the nearest first."""
    here, found = _version(tree), dict[tuple[int, int], BuildTree]()
    for kernel in store.known():
        try:
            other = read_tree(kernel.build) if kernel.build else None
        except (KscaffoldError, OSError):
            continue
        if other and (version := _version(other)) != here:
            found.setdefault(version, other)
    order = sorted(found, key=lambda v: (v < here, v if v > here else (-v[0], -v[1])))
    yield from (found[version] for version in order[:_MOST])


def _version(tree: BuildTree) -> tuple[int, int]:
    major, minor, *_ = (*(int(n) for n in tree.version if n), 0, 0)
    return major, minor


def _written(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"

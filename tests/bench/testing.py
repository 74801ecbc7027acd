"""What tests of a module cost: files into and out of a sandbox, a test beside a bare restore, and a matrix of
kernels beside the same runs one after the other."""

import os
import sys
from collections.abc import Callable

from kscaffold.kernel.buildable import build_problem, compiler_problem
from tests.bench.timing import Case, Took, program
from tests.bench.world import World

_FILE = 10_000_000  # bytes
_TESTS = 50
_TEST = f"""
import pytest

@pytest.mark.parametrize("number", range({_TESTS}))
def test_it(guest, number):
    pass
"""
_MATRIX = """
import sys
from kscaffold import api
done = api.matrix(kernels=sys.argv[1:])
sys.exit(0 if done.ok else [str(cell) for cell in done.cells if not cell.ok])
"""
KERNELS = 4
"""Kernels that a matrix is measured with."""


def cases(world: World) -> list[Case]:
    """Files, tests, the matrix."""
    return [*_files(world), _a_test(world), *_matrix(world)]


def _files(world: World) -> list[Case]:
    big = world.hello / "big"

    def fresh() -> None:
        world.kscaffold("exec", "--", "true")  # the sandbox is up
        big.write_bytes(os.urandom(_FILE))

    def sent() -> None:
        fresh()
        world.kscaffold("exec", "--copy", "big", "--", "true")

    return [
        Case(
            "kscaffold exec, 10 MB in",
            lambda: world.kscaffold("exec", "--copy", "big", "--", "true"),
            prepare=fresh,
            bar=1.5,
        ),
        Case(
            "kscaffold exec, 10 MB out",
            lambda: world.kscaffold("exec", "--", "cat", "big"),
            prepare=sent,
            finish=world.stop,
            bar=1.5,
        ),
    ]


def _a_test(world: World) -> Case:
    tests = world.hello / "test_many.py"
    tests.write_text(_TEST)
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--kscaffold-kernel", world.kernel.release]

    def each() -> Took:
        took = program([sys.executable, *words, str(tests)], cwd=world.hello, timeout=600)
        return Took(took.seconds / _TESTS, took.cpu / _TESTS)

    return Case(
        f"a test with a guest, of {_TESTS}",
        each,
        prepare=world.freeze,
        against=("bare restore",),
        bar_ratio=2.0,
    )


def _matrix(world: World) -> list[Case]:
    kernels = [k for k in world.others if not build_problem(k) and not compiler_problem(k)][:KERNELS]
    if len(kernels) < KERNELS:
        return [Case("a matrix of kernels", _nothing, why_not=f"fewer than {KERNELS} kernels are fetched")]
    releases = [kernel.release for kernel in kernels]

    def one(release: str) -> Callable[[], Took]:
        return lambda: world.kscaffold("run", "-k", release, timeout=300)

    def prepare() -> None:
        world.link(kernels)
        os.utime(world.hello / "hello.c")

    argv = [sys.executable, "-c", _MATRIX, *releases]
    singles = [
        Case(f"kscaffold run with a build, {release}", one(release), prepare=prepare, finish=world.unlink)
        for release in releases
    ]
    return [
        *singles,
        Case(
            f"a matrix of {KERNELS} kernels, each built",
            lambda: program(argv, cwd=world.hello, timeout=600),
            prepare=prepare,
            finish=world.unlink,
            against=tuple(case.name for case in singles),
            bar_ratio=0.6,
        ),
    ]


def _nothing() -> Took:
    return Took(0, 0)

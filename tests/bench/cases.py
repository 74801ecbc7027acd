"""What a user does all day, with the bars of the issues beside it."""

import os
import sys

from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.compiler import toolchain
from kscaffold.sandbox.vm.start import start_guest
from tests.bench.timing import BenchError, Case, Took, here, program
from tests.bench.world import World, names

_PASTED = "[   12.345678] hello: Unknown symbol foo (err -2)\n"


def every_day(world: World) -> list[Case]:
    """The commands that take tenths of a second, and what they are compared with."""
    return [*_starts(world), *_sandbox(world), *_builds(world), *_answers(world)]


def rare(world: World, sets: int) -> list[Case]:
    """Those that take seconds."""
    one = "kscaffold run, one set"
    return [
        Case(one, lambda: world.kscaffold("run", at=world.sets), prepare=world.freeze),
        Case(
            f"kscaffold run, {sets} parameter sets",
            lambda: world.kscaffold("run", *names(["howmany"], sets), at=world.sets),
            bar=4.0 * sets / 20,
            against=(one,),
        ),
        Case(
            "first use of a fetched kernel (run)",
            lambda: world.kscaffold("run", timeout=120),
            prepare=world.forget,
            bar=4.0,
            against=(one,),
        ),
    ]


def _starts(world: World) -> list[Case]:
    return [
        Case("python -c pass", lambda: program([sys.executable, "-c", "pass"], cwd=world.hello)),
        Case(
            "kscaffold --version", lambda: world.kscaffold("--version"), bar=0.1, against=("python -c pass",)
        ),
        Case(
            "completion of a word",
            lambda: world.kscaffold("__complete", "explain", "KS2"),
            bar=0.1,
            against=("python -c pass",),
        ),
    ]


def _sandbox(world: World) -> list[Case]:
    planned = world.planned()

    def restore() -> None:
        guest = start_guest(planned)
        try:
            if not guest.restored:
                raise BenchError("a guest was booted where one was to be restored")
        finally:
            guest.close()

    floor = ("python -c pass", "bare restore")
    return [
        Case("bare restore", lambda: here(restore), prepare=world.freeze),
        # 0.30 s was the bar before prediction and tracing were in it; with them it is 0.36 s.
        Case(
            "kscaffold run, hello",
            lambda: world.kscaffold("run"),
            prepare=world.freeze,
            bar=0.36,
            against=floor,
        ),
        Case(
            "kscaffold load, no sandbox yet",
            lambda: world.kscaffold("load"),
            prepare=world.stop,
            finish=world.stop,
            bar=0.36,
            against=floor,
        ),
        Case(
            "kscaffold load, sandbox up",
            lambda: world.kscaffold("load"),
            prepare=lambda: _emptied(world),
            finish=world.stop,
        ),
        Case(
            "kscaffold unload",
            lambda: world.kscaffold("unload"),
            prepare=lambda: world.kscaffold("reload"),
            finish=world.stop,
        ),
    ]


def _emptied(world: World) -> None:
    """The sandbox is up, and hello is not loaded there."""
    world.kscaffold("reload")
    world.kscaffold("unload")


def _builds(world: World) -> list[Case]:
    assert world.kernel.build
    tools = toolchain(read_tree(world.kernel.build, world.kernel.arch))
    make = ["make", "-C", str(world.kernel.build), f"M={world.plain}", *tools.variables, "modules"]
    program(make, cwd=world.plain)

    def plain() -> Took:
        return program(make, cwd=world.plain)

    return [
        Case("plain make, nothing to do", plain),
        Case(
            "kscaffold build, nothing to do",
            lambda: world.kscaffold("build"),
            # Plain make took 0.75 s where that bar was set.
            bar=0.25,
            against=("plain make, nothing to do",),
        ),
        Case("plain make, one source touched", plain, prepare=lambda: os.utime(world.plain / "hello.c")),
        Case(
            "kscaffold build, one source touched",
            lambda: world.kscaffold("build"),
            prepare=lambda: os.utime(world.hello / "hello.c"),
            against=("plain make, one source touched",),
            bar_ratio=1.15,
        ),
    ]


def _answers(world: World) -> list[Case]:
    return [
        Case("kscaffold check, one .ko", lambda: world.kscaffold("check", world.ko), bar=0.25),
        Case("kscaffold explain, a code", lambda: world.kscaffold("explain", "KS204")),
        Case("kscaffold explain, a pasted log", lambda: world.kscaffold("explain", "-", stdin=_PASTED)),
    ]

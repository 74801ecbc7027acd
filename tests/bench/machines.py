"""Guests of other machines beside this machine's: a run of hello, a first boot, a load into a live sandbox.

The figures of a machine are measured where a kernel of it is fetched, with its compiler and its QEMU.
"""

import shutil

from kscaffold.arch import table
from kscaffold.kernel.buildable import build_problem, missing_packages
from kscaffold.kernel.kernel import Kernel
from kscaffold.sandbox.vm import snapshot
from kscaffold.sandbox.vm.plan import plan_vm
from kscaffold.sandbox.vm.start import start_guest
from tests.bench.timing import Case, Took
from tests.bench.world import World

# Debian's names, and how many times as long as this machine's a run may take.
RUNS = {"s390x": 1.3, "arm64": 2.0, "armhf": 2.0, "riscv64": None, "ppc64el": None, "i386": None}
# Seconds that a run may take which finds a kernel without anything of an earlier use.
FIRST_BOOTS = {"arm64": 4.0, "s390x": 4.0, "riscv64": 6.0}
# How many times as long as this machine's a load into a live sandbox may take.
LOADS = {"riscv64": 1.5}
_RUN, _LOAD = "kscaffold run, hello", "kscaffold load, sandbox up"
HERE = (_RUN, _LOAD)
"""This machine's cases that these are compared with."""


def cases(world: World) -> list[Case]:
    """Those of each machine; one that lacks something says what."""
    return [case for name in RUNS for case in _of_machine(world, name)]


def _of_machine(world: World, name: str) -> list[Case]:
    kernel = next((k for k in world.foreign if _debian(k) == name and not build_problem(k)), None)
    problem = f"no kernel of it is fetched: kscaffold kernel add --arch {name}"
    if kernel is not None and (missing := missing_packages(kernel)):
        problem = f"not installed: {' '.join(missing)}"
    elif kernel is not None:
        return _measured(_Machine(world, kernel, name))
    return [Case(f"{_RUN}, {name}", lambda: Took(0, 0), why_not=problem)]


class _Machine:
    """hello of its own, for one kernel of another machine."""

    def __init__(self, world: World, kernel: Kernel, name: str) -> None:
        self._world, self._kernel, self.name = world, kernel, name
        self._hello = world.place / name / "hello"
        self._words = ("--arch", name, "--kernel", kernel.release)

    def ready(self) -> None:
        """hello is built, and there is a snapshot."""
        if not self._hello.exists():
            self._world.link([self._kernel])
            shutil.copytree(self._world.hello, self._hello, ignore=shutil.ignore_patterns("*.ko"))
            self.kscaffold("build", timeout=120)
        planned = plan_vm(self._kernel)
        if snapshot.find_snapshot(planned.key) is None:
            start_guest(planned).close()

    def new(self) -> None:
        """hello is built, and nothing is there of an earlier use of the kernel."""
        self.ready()
        self._world.forget()

    def emptied(self) -> None:
        """The sandbox is up, and hello is not loaded there."""
        self.ready()
        self.kscaffold("reload", timeout=120)
        self.kscaffold("unload")

    def stop(self) -> None:
        """End the sandbox, if it runs."""
        self._world.stop(self._hello)

    def kscaffold(self, verb: str, timeout: float = 60) -> Took:
        """Time one command for this kernel."""
        return self._world.kscaffold(verb, *self._words, at=self._hello, timeout=timeout)


def _measured(machine: _Machine) -> list[Case]:
    name = machine.name
    run = Case(
        f"{_RUN}, {name}",
        lambda: machine.kscaffold("run"),
        prepare=machine.ready,
        against=(_RUN,),
        bar_ratio=RUNS[name],
    )
    first = Case(
        f"first use of a fetched kernel (run), {name}",
        lambda: machine.kscaffold("run", timeout=120),
        prepare=machine.new,
        bar=FIRST_BOOTS.get(name),
    )
    load = Case(
        f"{_LOAD}, {name}",
        lambda: machine.kscaffold("load"),
        prepare=machine.emptied,
        finish=machine.stop,
        against=(_LOAD,),
        bar_ratio=LOADS.get(name),
    )
    return [run, load, first]


def _debian(kernel: Kernel) -> str | None:
    machine = table.by_uname(kernel.arch)
    return machine.debian if machine else None

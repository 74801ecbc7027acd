"""A home of the benchmark's own: projects, state, snapshots and sandboxes; only the kernel is the user's."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kscaffold.kernel import store
from kscaffold.kernel.choose import choose
from kscaffold.kernel.kernel import Kernel
from kscaffold.progress import Progress
from kscaffold.sandbox.live import registry
from kscaffold.sandbox.vm import snapshot
from kscaffold.sandbox.vm.plan import Plan, plan_vm
from kscaffold.sandbox.vm.start import start_guest
from tests.bench.timing import Took, checked

ROOT = Path(__file__).resolve().parent.parent.parent
_PREFIX = "kscaffold-bench-"


@dataclass(frozen=True, slots=True)
class World:
    """`place`: its directory, gone afterwards. `hello`, `sets`: projects; `plain`: hello for plain make.
    `code`: the checkout whose commands are meant.
    `others`: the kernels of this machine in the user's own store, with `kernel`; `foreign`: those of others.
    """

    place: Path
    kernel: Kernel
    hello: Path
    plain: Path
    sets: Path
    code: Path = ROOT
    others: tuple[Kernel, ...] = ()
    foreign: tuple[Kernel, ...] = ()

    @property
    def ko(self) -> Path:
        """hello, built."""
        return self.hello / "hello.ko"

    def command(self, *words: str | Path) -> list[str | Path]:
        """kscaffold's command line, as an installed command is started."""
        return [sys.executable, self.place / "bin/kscaffold", *words]

    def kscaffold(
        self, *words: str | Path, at: Path | None = None, stdin: str = "", timeout: float = 60
    ) -> Took:
        """Time one kscaffold in hello, or in `at`."""
        return checked(self.command(*words), cwd=at or self.hello, stdin=stdin, timeout=timeout)[0]

    def link(self, kernels: Sequence[Kernel]) -> None:
        """Have kernels of the user's store here, too."""
        for kernel in kernels:
            place = store.root() / kernel.release
            if not place.is_symlink() and kernel.build:
                stored = next(d for d in kernel.build.parents if d.name == kernel.release)
                place.symlink_to(stored)

    def unlink(self) -> None:
        """Have `kernel` alone again."""
        for place in store.root().iterdir():
            if place.is_symlink() and place.name != self.kernel.release:
                place.unlink()

    def stop(self, project: Path | None = None) -> None:
        """End the sandbox of hello, or of `project`, if it runs."""
        registry.stop_sandbox(project or self.hello)

    def forget(self) -> None:
        """Forget all that an earlier use of the kernel left: snapshots, the agent, the accelerator."""
        for name in ("snapshots", "guest"):
            shutil.rmtree(self.place / "cache/kscaffold" / name, ignore_errors=True)

    def freeze(self) -> None:
        """Make the snapshot, if it is not there yet."""
        planned = self.planned()
        if snapshot.find_snapshot(planned.key) is None:
            start_guest(planned).close()

    def planned(self) -> Plan:
        """The guest that the commands use."""
        return plan_vm(self.kernel)


@contextlib.contextmanager
def world(spec: str | None) -> Iterator[World]:
    """Make it, with this process's environment in it; every sandbox of it is stopped at the end.

    `spec`: the kernel, as --kernel takes it. Fetched into the user's own cache where there is none.
    """
    _sweep()
    kernel = choose(
        spec, offline=False, progress=Progress(lambda verb, text: print(f"{verb} {text}", file=sys.stderr))
    )
    store.bootable(kernel)
    fetched = [k for k in store.known() if k.source == "fetched"]
    others = tuple(k for k in fetched if k.arch == kernel.arch)
    foreign = tuple(k for k in fetched if k.arch != kernel.arch)
    stored = store.root() / kernel.release
    place = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir="/tmp"))  # short: sockets are in it
    before = dict(os.environ)
    try:
        enter(place)
        store.root().mkdir(parents=True)
        if stored.is_dir():
            (store.root() / kernel.release).symlink_to(stored)
        mine = next(k for k in store.known() if k.release == kernel.release)
        yield replace(_projects(place, mine), others=others, foreign=foreign)
    finally:
        try:
            for card in registry.all_sandboxes():
                registry.stop_sandbox(card.project)
        finally:
            os.environ.clear()
            os.environ.update(before)
            shutil.rmtree(place, ignore_errors=True)


def home_of(place: Path, code: Path = ROOT) -> None:
    """Put a home below `place`, and the checkout `code`, into this process's environment."""
    os.environ["HOME"] = str(place / "home")
    for variable, name in (("CACHE_HOME", "cache"), ("CONFIG_HOME", "config"), ("STATE_HOME", "state")):
        os.environ[f"XDG_{variable}"] = str(place / name)
    os.environ["XDG_RUNTIME_DIR"] = str(place / "run")
    # Compiled code is kept, as for every installed package, whatever this shell says; not in the checkout.
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        del os.environ[name]
    os.environ["PYTHONPYCACHEPREFIX"] = str(place / "pycache")
    os.environ["PYTHONPATH"] = str(code)
    # If this process is killed, the sandboxes it started end soon all the same.
    os.environ.setdefault("KSCAFFOLD_SANDBOX_IDLE", "120")


def enter(place: Path, code: Path = ROOT) -> None:
    """Make a home below `place`, and put it into this process's environment."""
    for name in ("home", "cache", "config", "state", "run", "bin"):
        (place / name).mkdir(mode=0o700)
    home_of(place, code)
    # As pip writes it.
    (place / "bin/kscaffold").write_text(
        "import sys\nfrom kscaffold.__main__ import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
    )


def _projects(place: Path, kernel: Kernel) -> World:
    made = World(place, kernel, place / "hello", place / "plain/hello", place / "sets")
    made.kscaffold("new", "hello", at=place)
    made.kscaffold("new", "sets", "--template", "params", "--param", "howmany:int=1", at=place)
    shutil.copytree(made.hello, made.plain)
    for project in (made.hello, made.sets):
        made.kscaffold("build", at=project)
    return made


def _sweep() -> None:
    """Remove what killed benchmarks left."""
    for left in Path("/tmp").glob(f"{_PREFIX}*"):
        if not Path("/proc", left.name.removeprefix(_PREFIX).partition("-")[0]).exists():
            shutil.rmtree(left, ignore_errors=True)


def names(words: Sequence[str], count: int) -> list[str]:
    """`count` times `-p word=N`: parameter sets that differ."""
    return [f"-p{word}={number}" for number in range(count) for word in words]

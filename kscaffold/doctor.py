"""What this machine has of what kscaffold needs, each with the command that mends it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from kscaffold import process
from kscaffold.arch import table
from kscaffold.errors import KscaffoldError, root_owned
from kscaffold.files import paths
from kscaffold.kernel import choose, store
from kscaffold.kernel.buildable import build_problem
from kscaffold.packages import apt
from kscaffold.records import dataclass
from kscaffold.sandbox.live import registry
from kscaffold.sandbox.vm import accelerator, snapshot

State = Literal["good", "missing", "remark"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that kscaffold needs. `missing` keeps a command from working, a `remark` only slows or
    limits it.
    """

    what: str
    state: State
    text: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All requirements, and the bytes that the cache takes: kernels, snapshots."""

    requirements: tuple[Requirement, ...]
    kernels: int
    snapshots: int

    @property
    def ok(self) -> bool:
        """Nothing is missing."""
        return all(f.state != "missing" for f in self.requirements)


def doctor() -> DoctorReport:
    """Look at everything. Starts no guest but the accelerator's probe, fetches nothing."""
    unsafe, places = _own_directories(), _places()
    if unsafe or places.state == "missing":
        # Nothing in them can be asked before that is mended.
        return DoctorReport((*map(_program, ("make", "gcc")), *unsafe, places), 0, 0)
    requirements = [*map(_program, ("make", "gcc")), _qemu(), _kernel(), _packages(), _modules(), _signing()]
    requirements += [_sandboxes(), places]
    kernels = sum(
        int(store.details(k.release).get("bytes", 0)) for k in store.known() if k.source == "fetched"
    )
    snapshots = sum(size for _, _, size, *_ in snapshot.all_snapshots())
    return DoctorReport(tuple(requirements), kernels, snapshots)


def _own_directories() -> list[Requirement]:
    """What is wrong with the places where kscaffold keeps files."""
    found: list[Requirement] = []
    for place in (paths.cache, paths.config, paths.data, paths.state, paths.runtime):
        name = f"{place.__name__} directory"
        try:
            directory = place()
            left = [p for p in _inside(directory) if p.lstat().st_uid == 0] if os.geteuid() else []
            problem = root_owned(left[0], directory if len(left) > 1 else None) if left else None
        except KscaffoldError as error:
            problem = error
        if problem is not None:
            text = f"{problem.what}: {problem.cause}" if problem.cause else problem.what
            found.append(Requirement(name, "missing", text, problem.fix))
    return found


def _inside(directory: Path, depth: int = 3) -> Iterator[Path]:
    """What is in a directory of ours, and in the directories there: a project's state, a checkout."""
    with contextlib.suppress(OSError):
        for entry in directory.iterdir():
            yield entry
            if depth > 1 and entry.is_dir() and not entry.is_symlink():
                yield from _inside(entry, depth - 1)


def _program(name: str) -> Requirement:
    path = process.which(name)
    if path:
        return Requirement(name, "good", path)
    package = process.PACKAGE_OF.get(name, name)
    return Requirement(name, "missing", "needed to build", process.apt_install(package))


def _qemu() -> Requirement:
    architecture = table.host()
    if architecture is None:
        return Requirement("sandbox", "missing", f"kscaffold makes no sandbox on {os.uname().machine}", None)
    path = process.which(architecture.qemu)
    if path is None:
        fix = process.apt_install(architecture.qemu_package)
        return Requirement("sandbox", "missing", f"{architecture.qemu} is not installed", fix)
    probe = accelerator.probe(path)
    if probe.why:
        return Requirement("sandbox", "remark", f"{path} without KVM: {probe.why}")
    return Requirement("sandbox", "good", f"{path} with KVM")


def _kernel() -> Requirement:
    try:
        kernel = choose.find_kernel(None)
    except KscaffoldError as error:  # the default one is gone, or its name can't be read
        text = f"{error.what}: {error.cause}" if error.cause else error.what
        return Requirement("kernel", "missing", text, error.fix)
    if kernel is None:
        return Requirement("kernel", "remark", "none yet: the first command that needs one fetches it")
    problem = build_problem(kernel)
    if problem is not None:
        return Requirement("kernel", "missing", f"{kernel.name}: {problem.what}", problem.fix)
    return Requirement("kernel", "good", f"{kernel.name} ({kernel.origin})")


def _packages() -> Requirement:
    problem = apt.why_not()
    if problem is not None:
        return Requirement("fetching", "remark", problem.what, problem.fix)
    return Requirement(
        "fetching", "good", "kernels come through this machine's own apt sources, without root"
    )


def _modules() -> Requirement:
    """Whether `--host` could load anything."""
    if not Path("/proc/modules").exists():
        return Requirement("this machine", "remark", "its kernel has no loadable modules: --host can't work")
    if process.which("insmod") is None:
        no_insmod = "no insmod: only --host needs it"
        return Requirement("this machine", "remark", no_insmod, process.apt_install("kmod"))
    who = "root" if os.geteuid() == 0 else "sudo" if process.which("sudo") else None
    if who is None:
        return Requirement("this machine", "remark", "neither root nor sudo: --host can't load")
    return Requirement("this machine", "good", f"{os.uname().release}; --host loads as {who}")


def _signing() -> Requirement:
    path = process.which("openssl")
    if path is None:
        fix = process.apt_install("openssl")
        return Requirement("signing", "remark", "no openssl: only sign needs it", fix)
    key = paths.data() / "signing"
    state = f"its key is in {key}" if key.exists() else "its key is made on the first use"
    return Requirement("signing", "good", f"{path}; {state}")


def _places() -> Requirement:
    """Whether what is fetched and made can be kept: HOME may be read-only, or / for a user without one."""
    places = paths.places()
    closed = [(variable, place) for variable, place in places.items() if not _can_be_made(place)]
    if not closed:
        below = places["XDG_CACHE_HOME"].parent
        return Requirement("places", "good", f"what is kept goes below {below} and the like")
    closed_places = ", ".join(str(place) for _, place in closed)
    fix = "export " + " ".join(f"{variable}=DIR" for variable, _ in closed) + ", directories of yours"
    # Without these two nothing is built or loaded; without the others there are no keys and no default.
    state: State = "missing" if {"XDG_CACHE_HOME", "XDG_STATE_HOME"} & dict(closed).keys() else "remark"
    return Requirement("places", state, f"{closed_places} can't be written to (HOME is {paths.home()})", fix)


def _can_be_made(place: Path) -> bool:
    while not place.exists() and place != place.parent:
        place = place.parent
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)


def _sandboxes() -> Requirement:
    cards = registry.all_sandboxes()
    if not cards:
        return Requirement("sandboxes", "good", f"none is running; they live in {paths.runtime()}")
    memory = sum(c.rss for c in cards)
    return Requirement("sandboxes", "good", f"{len(cards)} running, {memory / 1e6:.0f} MB of memory")

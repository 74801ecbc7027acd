"""`kscaffold kernel`: the kernels to build for and to boot."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kscaffold import console
from kscaffold.cli.documents import machine as documents
from kscaffold.cli.options import Arch, Json, Offline, Verbose
from kscaffold.errors import EXIT_YES, KscaffoldError, UsageError

if TYPE_CHECKING:
    from kscaffold.arch.architecture import Architecture
    from kscaffold.kernel.kernel import Kernel

app = typer.Typer(
    name="kernel", help="The kernels to build for and to boot.", no_args_is_help=True, rich_markup_mode=None
)

Suite = Annotated[str | None, typer.Option("--suite", metavar="S", help="Of this suite of apt's mirror.")]
Flavour = Annotated[
    str | None,
    typer.Option("--flavour", metavar="F", help="amd64, arm64: the full kernel, with USB, media … (70 MB)."),
]
Build = Annotated[Path | None, typer.Option("--build", metavar="DIR", help="A build tree that is here.")]
Image = Annotated[Path | None, typer.Option("--image", metavar="FILE", help="Its image: vmlinuz or vmlinux.")]
Modules = Annotated[Path | None, typer.Option("--modules", metavar="DIR", help="Its lib/modules/RELEASE.")]
Version = Annotated[str | None, typer.Argument(metavar="[VERSION]", help="6.12: the newest that begins so.")]
Release = Annotated[str, typer.Argument(metavar="R", help="A release, or the unique beginning of one.")]
MaybeRelease = Annotated[str | None, typer.Argument(metavar="[R]", help="A release, or its beginning.")]
Clear = Annotated[bool, typer.Option("--clear", help="Go back to the newest fetched one.")]


@app.command("list")
def list_(json: Json = False, verbose: Verbose = False) -> int:
    """Show the kernels there are; * marks the one a command takes."""
    from kscaffold.kernel import choose, store  # start-up time

    kernels = store.known()
    try:
        chosen = choose.find_kernel(None)
    except KscaffoldError as error:  # the default one is gone: the list is how to see that
        chosen = None
        console.warn(error.what, error.fix)
    for kernel in kernels:
        mark = "*" if chosen and kernel.release == chosen.release else " "
        console.out(f"{mark} {kernel.release:<32} {kernel.source:<8} {_foreign(kernel)}{_from(kernel)}")
        for name in ("build", "image", "modules"):
            if console.verbose and getattr(kernel, name):
                console.out(f"    {name:<8} {getattr(kernel, name)}")
    if not kernels:
        console.note("no kernel is here yet: kscaffold kernel add")
    fields = {
        "kernels": [documents.kernel(k) for k in kernels],
        "chosen": chosen.release if chosen else None,
        "default": _default_name(),
    }
    console.emit("kernel list", True, fields)
    return EXIT_YES


@app.command("add")
def add(
    version: Version = None,
    suite: Suite = None,
    flavour: Flavour = None,
    build: Build = None,
    image: Image = None,
    modules: Modules = None,
    arch: Arch = None,
    offline: Offline = False,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Fetch a distribution's kernel, or record one that is here. The latter by --build and --image."""
    from kscaffold.kernel import choose  # start-up time

    before = _taken()
    machine, version = choose.split_spec(choose.spec_of(version, arch))
    if build or image or modules:
        if version or suite or flavour:
            raise UsageError("KS004", "a kernel is either fetched or given by path, not both")
        return _add_path(build, image, modules, machine, before)
    if version in (".", "..") or "/" in (version or ""):
        fix = f"kscaffold kernel add --build {version}"
        raise UsageError("KS004", f"{version} is a directory, and no version", fix=fix)
    if offline:
        raise KscaffoldError("KS531", "--offline forbids to fetch a kernel", fix="leave out --offline")
    from kscaffold.kernel.fetch import fetch  # start-up time

    added = fetch(version, suite, console.progress(), flavour, machine)
    verb = "Already here" if added.already else "Added"
    console.step(verb, added.text)
    fields = {"already": added.already, "seconds": round(added.seconds, 3)}
    return _added(added.kernel, before, fields)


def _add_path(
    build: Path | None,
    image: Path | None,
    modules: Path | None,
    machine: "Architecture | None",
    before: str | None,
) -> int:
    import time  # start-up time

    from kscaffold.kernel import store

    started = time.monotonic()
    kernel = store.add_path(build, image, modules, machine)
    console.step("Added", f"{kernel.name} from {kernel.origin}")
    fields = {"already": False, "seconds": round(time.monotonic() - started, 3)}
    return _added(kernel, before, fields)


def _taken() -> str | None:
    """The kernel that commands take where none is named, None where there is none."""
    from kscaffold.kernel import choose  # start-up time

    with contextlib.suppress(KscaffoldError):  # the default one is gone
        kernel = choose.find_kernel(None)
        return kernel.name if kernel else None
    return None


def _added(kernel: "Kernel", before: str | None, fields: dict[str, Any]) -> int:
    # start-up time
    from kscaffold.kernel.buildable import build_problem, compiler_problem, missing_packages

    missing = missing_packages(kernel)
    if missing:
        fix = f"sudo apt-get install --no-install-recommends {' '.join(missing)}"
        console.warn(f"what builds for {kernel.name} and boots it is not all installed", fix)
    problem = build_problem(kernel) or (None if missing else compiler_problem(kernel))
    if problem:
        console.warn(f"{problem.what} ({problem.cause})" if problem.cause else problem.what, problem.fix)
    now = _taken()
    if before is not None and now is not None and now != before:
        console.step("Default", f"{now} is what commands take from now on")
        console.note(f"             (it was {before}, which this keeps:")
        console.note(f"             kscaffold kernel default {before})")
    console.emit("kernel add", True, {"kernel": documents.kernel(kernel), **fields})
    return EXIT_YES


@app.command("remove")
def remove(release: Release, json: Json = False, verbose: Verbose = False) -> int:
    """Remove a kernel from the cache, or forget one given by path."""
    from kscaffold.kernel import choose, store  # start-up time
    from kscaffold.sandbox.vm import snapshot

    if any(place.name == release for place in store.unrecorded()):
        kernel = store.remove(release)
    else:
        stored = [k for k in store.known() if k.source != "running"]
        machine, rest = choose.split_spec(release)
        kernel = store.remove(choose.match(rest or "", stored, wanted=False, machine=machine).release)
    snapshots = snapshot.remove_snapshots(kernel.release)
    console.step("Removed", kernel.name)
    if snapshots:
        console.detail(f"{snapshots} snapshots of it are gone, too")
    console.emit("kernel remove", True, {"kernel": documents.kernel(kernel)})
    return EXIT_YES


@app.command("default")
def default(
    release: MaybeRelease = None, clear: Clear = False, json: Json = False, verbose: Verbose = False
) -> int:
    """Show or choose the kernel that commands take."""
    from kscaffold.kernel import choose, store  # start-up time

    if release and clear:
        raise UsageError("KS004", "either a release or --clear")
    if clear:
        store.set_default(None)
    if release:
        machine, rest = choose.split_spec(release)
        store.set_default(choose.match(rest or "", store.known(), machine=machine).release)
    kernel = choose.find_kernel(None)
    chosen = store.default()
    if kernel:
        console.out(kernel.name)
        console.note(
            "chosen by you" if chosen else "none chosen: this is the first of `kscaffold kernel list`"
        )
    else:
        console.note("no kernel is here yet: kscaffold kernel add")
    fields = {"default": chosen, "kernel": documents.kernel(kernel)}
    console.emit("kernel default", True, fields)
    return EXIT_YES


def _default_name() -> str | None:
    """The release that was chosen; None where its file is none, which was told."""
    from kscaffold.files import reader  # start-up time
    from kscaffold.kernel import store

    with contextlib.suppress(reader.ForeignFileError):
        return store.default()
    return None


def _from(kernel: "Kernel") -> str:
    lacks = [name for name in ("build", "image") if getattr(kernel, name) is None]
    return f"{kernel.origin} (no {' and no '.join(lacks)})" if lacks else kernel.origin


def _foreign(kernel: "Kernel") -> str:
    """The architecture of a kernel that is not for this machine."""
    from kscaffold.arch import table  # start-up time: a list's only

    machine = table.by_uname(kernel.arch)
    return "" if machine is None or machine is table.host() else f"{machine.debian}, "

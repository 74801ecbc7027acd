"""The kernels there are: fetched ones in the cache, ones given by path, and the running one.

`CACHE/kernels/RELEASE/` holds a kernel and, written last, its `kernel.json`; a directory appears whole, by
rename. `CACHE/images/` holds the decompressed images of kernels that are elsewhere.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kscaffold import lazy
from kscaffold.arch import table
from kscaffold.arch.architecture import Architecture
from kscaffold.errors import KscaffoldError, UsageError, left_by_root, refuse_roots
from kscaffold.files import paths, reader
from kscaffold.files.atomic import write_whole
from kscaffold.files.identity import identify
from kscaffold.files.lock import locked
from kscaffold.files.scratch import scratch_directory
from kscaffold.files.sweep import remove_entry
from kscaffold.kernel.kernel import Kernel
from kscaffold.progress import SILENT, Progress
from kscaffold.records import replace

_RECORD = "kernel.json"
_LONGEST = 64  # characters of a release: __NEW_UTS_LEN
_RELEASE = lazy.pattern(rf"[A-Za-z0-9][A-Za-z0-9._+~-]{{0,{_LONGEST - 1}}}")
# What later commands read of a kernel's tree and modules.
_READ = {
    "build": ("Makefile", ".config", ".kernelvariables", "Module.symvers", "include/linux/module.h"),
    "modules": ("modules.builtin", "modules.builtin.modinfo", "modules.dep", "modules.order"),
}


def root() -> Path:
    """The directory of all kernels."""
    return paths.cache() / "kernels"


def by_version(release: str) -> list[int]:
    """A key that sorts releases as people do: 6.12 after 6.1."""
    return [int(number) for number in re.findall(r"\d+", release)]


def known() -> list[Kernel]:
    """Every kernel, newest first: the fetched, then those given by path, then the running one. Fast."""
    found = []
    try:
        names = [e.name for e in os.scandir(root()) if not e.name.startswith(".")]
    except OSError:
        names = []
    for name in names:
        kernel = _read(root() / name)
        if kernel:
            found.append(kernel)
    found.sort(key=lambda k: by_version(k.release), reverse=True)
    found.sort(key=lambda k: k.source == "path")
    running = _running()
    if running and all(k.release != running.release for k in found):
        found.append(running)
    return found


def unrecorded() -> list[Path]:
    """What is in the directory of all kernels and is none: without a record that can be read, or with that
    of another one. Nothing uses it.
    """
    try:
        places = [root() / e.name for e in os.scandir(root()) if not e.name.startswith(".")]
    except OSError:
        return []
    return sorted(place for place in places if _read(place) is None)


def discard(place: Path) -> None:
    """Remove what `unrecorded` told, unless a kernel has been put there since. What can't go now stays."""
    # No kernel has a longer name, nor a lock of that name.
    lock = held(place.name) if len(place.name) <= _LONGEST else contextlib.nullcontext()
    with contextlib.suppress(OSError), lock:
        if place in unrecorded():
            remove_entry(place)


def details(release: str) -> dict[str, Any]:
    """What is recorded about a stored kernel besides its facts: `bytes`, `packages`. Empty if nothing is."""
    try:
        return paths.recorded(root() / release / _RECORD)
    except (OSError, ValueError):
        return {}


def default() -> str | None:
    """The release that `kernel default` chose. Of a file with something else in it the beginning, which is
    no kernel's name either.
    """
    try:
        return reader.read_text(paths.config() / "default-kernel").strip()[: _LONGEST + 1] or None
    except OSError:
        return None


def set_default(release: str | None) -> None:
    """Make a kernel the default one, or none of them."""
    file = paths.config() / "default-kernel"
    if release is None:
        if os.path.lexists(file):  # a read-only file system refuses even what is not there
            file.unlink(missing_ok=True)
        return
    paths.make_own(file.parent)
    write_whole(file, release + "\n")


def bootable(kernel: Kernel) -> Path:
    """The image that QEMU boots, decompressed now where it is to be and is not yet.

    Raises KscaffoldError KS513 without an image, KS510 and KS511 for one that can't be used.
    """
    if kernel.vmlinux:
        return kernel.vmlinux
    if kernel.image is None or not os.access(kernel.image, os.R_OK):
        raise KscaffoldError(
            "KS513",
            f"kernel {kernel.release} has no image that can be read",
            cause=f"{kernel.image} can't be read by this user" if kernel.image else None,
            fix=f"kscaffold kernel add --build {kernel.build or 'DIR'} --image FILE, or kscaffold kernel add",
        )
    reader.require_plain(kernel.image, reader.MOST_IMAGE)
    machine = table.by_uname(kernel.arch)
    with kernel.image.open("rb") as opened:
        if opened.read(4) == b"\x7fELF":
            return kernel.image
    file = _decompressed(kernel.release, kernel.image)
    if file.exists():
        return file
    from kscaffold.kernel import image  # start-up time

    content = image.unpacked(reader.read_bytes(kernel.image, reader.MOST_IMAGE), machine) if machine else None
    if content is None:
        return kernel.image
    with scratch_directory() as place:
        (place / "vmlinux").write_bytes(content)
        paths.make_own(file.parent)
        (place / "vmlinux").rename(file)
    for old in file.parent.iterdir():  # of an image that has been replaced since
        if old != file:
            old.unlink(missing_ok=True)
    return file


def unpacked(kernel: Kernel) -> Path | None:
    """The decompressed image of a kernel where there is one already, or None; nothing is made."""
    if kernel.vmlinux or kernel.image is None:
        return kernel.vmlinux
    machine = table.by_uname(kernel.arch)
    try:
        reader.require_plain(kernel.image, reader.MOST_IMAGE)
        if machine and machine.image == "Image":
            return kernel.image
        with kernel.image.open("rb") as opened:
            if opened.read(4) == b"\x7fELF":
                return kernel.image
        file = _decompressed(kernel.release, kernel.image)
    except OSError:
        return None
    return file if file.exists() else None


def add_path(
    build: Path | None, image: Path | None, modules: Path | None, machine: Architecture | None = None
) -> Kernel:
    """Record a kernel that is somewhere on this machine. Nothing of it is copied. `machine`: what it is for;
    None: this machine.

    Raises UsageError KS514 for what is not there or does not belong together, KS515 where a fetched kernel
    has that release, and what `bootable` raises.
    """
    build, image, modules = (p.resolve() if p else None for p in (build, image, modules))
    for path, option in ((build, "--build"), (modules, "--modules")):
        if path and not path.is_dir():
            raise UsageError("KS514", f"{path} is not a directory", fix=_where_is(option, path))
    if image and image.is_dir():
        fix = _where_is("--image", image)
        raise UsageError("KS514", f"{image} can't be read", cause="it is a directory", fix=fix)
    release = _release_of_both(build, image)
    for place, names in ((build, _READ["build"]), (modules, _READ["modules"])):
        for file in (place / name for name in names) if place else ():
            reader.require_plain(file, reader.MOST_IMAGE)
    if modules is None and Path("/lib/modules", release).is_dir():
        modules = Path("/lib/modules", release)
    arch = machine.name if machine else os.uname().machine
    kernel = Kernel(release, "path", build, image, None, modules, str(build or image), arch)
    if image:
        bootable(kernel)
    with held(release):
        there = _read(root() / release)
        if there and there.source != "path":
            fix = f"kscaffold kernel remove {release}"
            raise UsageError("KS515", f"a fetched kernel {release} is there already", fix=fix)
        with scratch_directory() as place:
            (place / "kernel").mkdir()
            write_record(place / "kernel", kernel, {})
            return install(place / "kernel", release)


# Where a distribution has what an option names.
_USUAL = {
    "--build": "/lib/modules/*/build /usr/src/linux-headers-*",
    "--image": "/boot/vmlinuz-*",
    "--modules": "/lib/modules/*",
}


def _where_is(option: str, path: Path) -> str:
    """What to write for a path that is not what the option names."""
    from kscaffold.files.near import near  # start-up time: only after a typing error

    meant = near(path, directory=option != "--image")
    if meant is not None:
        return f"kscaffold kernel add {option} {shlex.quote(str(meant))}"
    return f"ls -d {_USUAL[option]} shows those of this machine; kscaffold kernel add VERSION fetches one"


def _release_of_both(build: Path | None, image: Path | None) -> str:
    """The release that a tree and an image have in common. Raises UsageError KS514."""
    if not (build or image):
        raise UsageError("KS514", "no kernel is given", fix="kscaffold kernel add --build DIR --image FILE")
    releases = {}
    for path, release in ((build, release_of_tree(build)), (image, release_of_image(image))):
        if path is None:
            continue
        if release is None or not _RELEASE.fullmatch(release):
            fix = f"make -C {path} modules_prepare" if path == build else None
            raise UsageError("KS514", f"{path} does not say which kernel release it is", fix=fix)
        releases[release] = path
    if len(releases) > 1:
        releases_text = " and ".join(f"{path} is {release}" for release, path in releases.items())
        raise UsageError("KS514", "the tree and the image don't belong together", cause=releases_text)
    return next(iter(releases))


def remove(release: str) -> Kernel:
    """Remove a stored kernel and what was made of it; a path kernel's own files stay. What has no record
    goes by its name in the cache, too.

    Raises UsageError KS516 where there is none of exactly this release. The caller forgets its snapshots.
    """
    with held(release):
        kernel = _read(root() / release)
        if kernel is None and root() / release in unrecorded():
            kernel = Kernel(release, "fetched", None, None, None, None, "no record of it")
        if kernel is None:
            raise UsageError("KS516", f"there is no stored kernel {release}", fix="kscaffold kernel list")
        with scratch_directory() as place:
            # First out of sight whole, then piece by piece.
            (root() / release).rename(place / "kernel")
            shutil.rmtree(paths.cache() / "images" / release, ignore_errors=True)
            shutil.rmtree(paths.cache() / "trusting" / release, ignore_errors=True)
            for place in (paths.cache() / "checkouts").glob(f"*/{release}"):
                shutil.rmtree(place, ignore_errors=True)
    if default() == release:
        set_default(None)
    return kernel


@contextlib.contextmanager
def held(release: str, progress: Progress = SILENT) -> Iterator[None]:
    """Hold the lock of one release, waiting for whoever has it."""

    def waiting() -> None:
        progress.step("Waiting", f"for the kscaffold that is adding or removing {release}")

    with locked(paths.cache() / "locks" / f"kernel-{release}.lock", waiting=waiting):
        yield


def write_record(directory: Path, kernel: Kernel, more: dict[str, Any]) -> None:
    """Write `kernel.json` of a kernel in the making; paths inside its directory are relative."""

    def relative(path: Path | None) -> str | None:
        if path is None:
            return None
        return str(path.relative_to(directory)) if path.is_relative_to(directory) else str(path)

    record = {
        "schema": 1,
        "release": kernel.release,
        "source": kernel.source,
        "origin": kernel.origin,
        "arch": kernel.arch,
        "build": relative(kernel.build),
        "image": relative(kernel.image),
        "vmlinux": relative(kernel.vmlinux),
        "modules": relative(kernel.modules),
        **more,
    }
    (directory / _RECORD).write_text(json.dumps(record, indent=1) + "\n")


def install(made: Path, release: str) -> Kernel:
    """Put a finished kernel directory in its place; one that was there goes. The caller holds the lock."""
    place = root() / release
    paths.make_own(place.parent)
    if place.exists():
        place.rename(made.with_name("replaced"))  # in the workplace, which goes
    made.rename(place)
    kernel = _read(place)
    if kernel is None:
        shutil.rmtree(place, ignore_errors=True)
        raise KscaffoldError("KS507", f"what was stored of kernel {release} can't be read back")
    return kernel


def release_of_tree(build: Path | None) -> str | None:
    """The release a build tree is for, as it says itself, or None."""
    if build is None:
        return None
    # Debian's include/config/kernel.release lacks the part that its packaging adds.
    try:
        text = reader.read_text(build / "include/generated/utsrelease.h")
    except OSError:
        return None
    match = re.search(r'UTS_RELEASE\s+"([^"]+)"', text)
    return match[1] if match else None


def release_of_image(image: Path | None) -> str | None:
    """The release a kernel image says it is, or None. Raises UsageError KS514 where it can't be read."""
    if image is None:
        return None
    import mmap  # start-up time

    from kscaffold.kernel.image import release

    try:
        reader.require_plain(image, reader.MOST_IMAGE)
        with image.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return release(content)
    except ValueError:  # an empty file
        return None
    except OSError as error:
        refuse_roots(error, image)
        fix = _where_is("--image", image)
        raise UsageError("KS514", f"{image} can't be read", cause=error.strerror, fix=fix) from None


def _read(directory: Path) -> Kernel | None:
    """A stored kernel; None where there is none or its record can't be read."""
    try:
        record = paths.recorded(directory / _RECORD)
        parts = {
            n: directory / v if (v := record[n]) else None for n in ("build", "image", "vmlinux", "modules")
        }
        kernel = Kernel(
            record["release"], record["source"], origin=record["origin"], arch=record["arch"], **parts
        )
        if (
            kernel.vmlinux and not kernel.vmlinux.is_file()
        ):  # somebody made room: it is made of the image again
            kernel = replace(kernel, vmlinux=None)
    except PermissionError:
        if left_by_root(directory / _RECORD):  # it is there, and nobody is to fetch another one
            raise
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kernel if kernel.release == directory.name else None


def _running() -> Kernel | None:
    """The kernel of this machine, with what of it can be read; None where nothing can."""
    system = os.uname()
    modules = Path("/lib/modules", system.release)
    build = modules / "build"
    images = (Path(f"/boot/vmlinuz-{system.release}"), modules / "vmlinuz")
    image = next((i for i in images if os.access(i, os.R_OK)), None)
    has_tree = os.access(build / "Makefile", os.F_OK)
    if not (has_tree or image):
        return None
    # A tree that is missing or dangling is named all the same: build_problem tells what to do about it.
    tree = build if has_tree or build.is_symlink() else None
    return Kernel(system.release, "running", tree, image, None, modules, "this machine", system.machine)


def _decompressed(release: str, image: Path) -> Path:
    """Where the decompressed form of an image outside the cache is kept: by the image's identity."""
    import hashlib  # start-up time: needed to boot only

    real = image.resolve()
    now = identify(real)
    facts = f"{real}:{now.inode}:{now.size}:{now.mtime_ns}:{now.ctime_ns}"
    digest = hashlib.blake2b(facts.encode(errors="surrogateescape"), digest_size=8).hexdigest()
    return paths.cache() / "images" / release / digest

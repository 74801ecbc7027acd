"""A kernel of the distribution, fetched and unpacked into the store without root."""

import errno
import re
import shlex
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from kscaffold import process
from kscaffold.arch.architecture import Architecture
from kscaffold.errors import KscaffoldError
from kscaffold.files import paths, reader
from kscaffold.files.atomic import write_whole
from kscaffold.files.scratch import scratch_directory
from kscaffold.kernel import image, store
from kscaffold.kernel.buildable import build_problem
from kscaffold.kernel.buildtree import SOURCES_BESIDE
from kscaffold.kernel.kernel import Kernel
from kscaffold.kernel.suite_toolchain import make_buildable
from kscaffold.packages.apt import Archive, Package, open_archive, unpack, why_not
from kscaffold.progress import Progress, Work
from kscaffold.records import dataclass, replace

# The decompressed image comes on top of what the packages hold.
_VMLINUX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Added:
    """`already`: it was there, nothing was fetched but package lists. `size`: on disk, in bytes."""

    kernel: Kernel
    already: bool
    size: int
    seconds: float

    @property
    def text(self) -> str:
        """The sentence for people: which kernel, its size and time."""
        return (
            f"{self.kernel.release} of {self.kernel.origin} ({self.size / 1e6:.0f} MB on disk) "
            f"in {self.seconds:.1f} s"
        )


def fetch(
    version: str | None,
    suite: str | None,
    progress: Progress,
    flavour: str | None = None,
    machine: Architecture | None = None,
) -> Added:
    """Add the newest kernel of a suite, or the newest whose release begins with `version`.

    `flavour`: the end of its name; by default the smallest with what a sandbox needs. `machine`: the
    kernel's; None: this machine.
    Raises KscaffoldError KS501–KS507; nothing is left behind then but what was there before.
    """
    if problem := why_not(machine) or _bad_place():
        raise problem
    started = time.monotonic()
    try:
        with scratch_directory() as place:
            (place / "apt").mkdir()
            archive = open_archive(suite, place / "apt", progress, machine)
            packages = _choose(archive, version, flavour, progress)
            release = packages[0].name.removeprefix("linux-image-")
            with store.held(release, progress):
                kernel = _there(release, packages)
                already = kernel is not None
                if kernel is None:
                    _need_space(place, packages)
                    kernel = _make(archive, packages, release, place, progress)
            size = int(store.details(release).get("bytes", 0))
            return Added(kernel, already, size, time.monotonic() - started)
    except OSError as error:
        raise _storing_error(error) from None


# What other suites are asked for; sid's changes.
_SUITES: dict[str, str | None] = {"5.10": "bullseye", "6.1": "bookworm", "6.12": "trixie"}
_NEWEST = "sid"
_ELSEWHERE = f"bullseye has 5.10, bookworm 6.1, bookworm-backports and trixie 6.12, {_NEWEST} the newest"


def _choose(archive: Archive, version: str | None, flavour: str | None, progress: Progress) -> list[Package]:
    """The packages of the kernel wanted: its image, its headers, and what of the kernel those depend on."""
    images, headers = archive.names("linux-image-"), archive.names("linux-headers-")
    flavours = archive.distribution.architecture.flavours
    # The first flavour that the suite has: some suites lack the smallest.
    for tried in [flavour] if flavour else flavours:
        releases = _releases(images, headers, tried)
        if releases:
            break
    if version is None and f"linux-image-{tried}" in images:
        (meta,) = archive.show([f"linux-image-{tried}"])
        theirs = {d.removeprefix("linux-image-") for d in meta.depends}
        releases = [r for r in releases if r in theirs] or releases
    matching = [r for r in releases if version is None or is_prefix(version, r)]
    if not matching:
        machine = archive.distribution.architecture
        foreign = ["--arch", machine.debian] if machine.debian != archive.distribution.host else []
        again = shlex.join(["kscaffold", "kernel", "add", *([version] if version else []), *foreign])
        there = _newest_of_each(releases)
        raise KscaffoldError(
            "KS502",
            f"there is no {flavour or flavours[0]} kernel {version or ''}".rstrip() + f" in {archive.origin}",
            cause=f"it has {', '.join(there) or 'none'}; {_ELSEWHERE}",
            fix=_other_kernel(version, there, foreign, archive.origin)
            if releases or flavour in (None, flavours[0])
            else f"{again} --flavour {flavours[0]}",
        )
    release = matching[-1]
    progress.step("Chose", f"{release} of {archive.origin}")
    return _closure(archive, release)


def _releases(images: Sequence[str], headers: Sequence[str], flavour: str) -> list[str]:
    """The releases of a flavour among package names, sorted by version."""
    # The version, an ABI number where there is one (0.deb11.52: a backport's), and nothing else before the
    # flavour.
    pattern = re.compile(rf"linux-image-(\d[^-]*(?:-\d[^-]*)?-{re.escape(flavour)})")
    # Names that others only mention (Breaks, Conflicts) are names to apt, too: headers tell those apart.
    known = set(headers)
    found = (m[1] for n in images if (m := pattern.fullmatch(n)))
    return sorted(
        (r for r in found if _is_release(r) and f"linux-headers-{r}" in known), key=store.by_version
    )


def _other_kernel(version: str | None, there: Sequence[str], foreign: list[str], origin: str) -> str:
    """The command that fetches the kernel where it is, else the nearest ones; `origin`: where it was not."""

    def command(series: str | None, suite: str | None) -> str:
        words = [*([series] if series else []), *(["--suite", suite] if suite else []), *foreign]
        return shlex.join(["kscaffold", "kernel", "add", *words])

    series = ".".join((version or "").split(".")[:2])
    here = {".".join(r.split(".")[:2]): None for r in there}
    known: dict[str, str | None] = {**_SUITES, **here}
    if series in known:
        return command(series, known[series])
    if not re.fullmatch(r"\d{1,3}\.\d{1,3}", series):
        return "; or ".join(command(each, known[each]) for each in sorted(here, key=store.by_version)[:2])
    asked = store.by_version(series)
    below = max((k for k in known if store.by_version(k) < asked), key=store.by_version, default=None)
    above = min((k for k in known if store.by_version(k) > asked), key=store.by_version, default=None)
    nearest = [command(each, known[each]) for each in (below, above) if each]
    if above is None and origin != _NEWEST:
        nearest.insert(0, command(None, _NEWEST))
    return "; or ".join(nearest)


def _newest_of_each(releases: Sequence[str]) -> list[str]:
    """The newest of each series, newest series first, from releases sorted by version."""
    return list({tuple(store.by_version(r)[:2]): r for r in releases}.values())[::-1]


def _is_release(text: str) -> bool:
    # "6.12-cloud-amd64" is a metapackage; a release has a third number.
    return re.match(r"\d+\.\d+\.\d+", text) is not None


def is_prefix(prefix: str, release: str) -> bool:
    """Whether a release begins so, whole numbers only: 6.1 is no beginning of 6.12."""
    rest = release[len(prefix) :]
    return release.startswith(prefix) and not (prefix[-1:].isdigit() and rest[:1].isdigit())


def _closure(archive: Archive, release: str) -> list[Package]:
    """The image, the headers, and what of this kernel they depend on. From 7.1 on Debian's image package
    is empty: linux-binary-RELEASE and linux-modules-RELEASE hold what was in it.
    """
    packages = archive.show([f"linux-image-{release}", f"linux-headers-{release}"])
    seen = {p.name for p in packages}
    queue = list(packages)
    while queue:
        more = [d for d in queue.pop().depends if _is_part(d, release) and d not in seen]
        # Its programs run on this machine, whatever the kernel is for.
        found = archive.show([archive.runs_here(d) if d.startswith("linux-kbuild-") else d for d in more])
        seen.update(more)
        packages += found
        queue += found
    return packages


def _is_part(dependency: str, release: str) -> bool:
    return dependency.startswith(("linux-headers-", "linux-kbuild-")) or dependency.endswith(f"-{release}")


def _versions(packages: Sequence[Package]) -> dict[str, str]:
    return {p.name: p.version for p in packages}


def _there(release: str, packages: Sequence[Package]) -> Kernel | None:
    """The kernel that is there already, if it is whole: one whose build tree is damaged is fetched anew."""
    for kernel in store.known():
        if kernel.source == "fetched" and build_problem(kernel):
            continue
        same = kernel.source == "path" or store.details(release).get("packages") == _versions(packages)
        if kernel.release == release and kernel.source != "running" and same:
            return kernel
    return None


def _need_space(place: Path, packages: Sequence[Package]) -> None:
    needed = sum(p.installed + p.size for p in packages) + _VMLINUX_BYTES
    free = shutil.disk_usage(place).free
    if free < needed:
        raise KscaffoldError(
            "KS505",
            "there is not enough room for a kernel",
            cause=f"it takes up to {needed / 1e6:.0f} MB, and {paths.cache()} has {free / 1e6:.0f} MB left",
            fix="free some space there, or set XDG_CACHE_HOME to a larger disk",
        )


def _make(
    archive: Archive, packages: Sequence[Package], release: str, place: Path, progress: Progress
) -> Kernel:
    """Download, unpack, mend and record a kernel, and put it in its place. The caller holds its lock."""
    debs = archive.download(packages, progress)
    made = place / "kernel"
    made.mkdir()
    _unpack(debs, packages, made, progress)
    machine = archive.distribution.architecture
    make_buildable(archive, made, release, machine.name, place, progress)
    kernel = _mend(made, Kernel(release, "fetched", None, None, None, None, archive.origin, machine.name))
    assert kernel.image
    unpacked = image.unpacked(reader.read_bytes(kernel.image, reader.MOST_IMAGE), machine)
    if unpacked is not None:
        kernel = replace(kernel, vmlinux=made / "vmlinux")
        (made / "vmlinux").write_bytes(unpacked)
    size = sum(e.lstat().st_blocks * 512 for e in made.rglob("*"))
    store.write_record(made, kernel, {"packages": _versions(packages), "bytes": size})
    return store.install(made, release)


def _unpack(debs: Sequence[Path], packages: Sequence[Package], made: Path, progress: Progress) -> None:
    """Unpack the packages' files into `made`, and remove them."""
    sizes, total = [p.size for p in packages], sum(p.size for p in packages)
    pids: list[int] = []
    reached = 0

    def amount() -> float:
        nonlocal reached  # who has read a package to its end can't be asked any more
        if begun := len(pids):
            here = process.read_so_far(pids[-1], debs[begun - 1])
            reached = max(reached, sum(sizes[: begun - 1]) + here)
        return reached

    what = f"{len(debs)} packages, {sum(p.installed for p in packages) / 1e6:.0f} MB of files"
    with progress.work(Work("Unpacking", what, amount, total)):
        for deb in debs:
            unpack(deb, made, pids.append)
            deb.unlink()


def _mend(made: Path, kernel: Kernel) -> Kernel:
    """Make the unpacked files work where they will be, drop what nobody reads, and say where they are."""
    release = kernel.release
    shutil.rmtree(made / "usr/share", ignore_errors=True)
    for useless in (made / "boot").glob("System.map-*"):
        useless.unlink()
    modules = made / "lib/modules" / release
    if not modules.exists() and (made / "usr/lib/modules" / release).is_dir():  # Debian 13
        (made / "lib").mkdir(exist_ok=True)
        (made / "usr/lib/modules").rename(made / "lib/modules")
    build = made / "usr/src" / f"linux-headers-{release}"
    # Debian's 7.1 and later have it beside the modules; some machines' is not compressed.
    places = [made / "boot" / f"{n}-{release}" for n in ("vmlinuz", "vmlinux")]
    places += [modules / "vmlinuz", modules / "vmlinux"]
    boots = next((p for p in places if p.is_file()), places[0])
    for path in (build / "Makefile", boots, modules):
        if not path.exists():
            what = f"the packages of kernel {release} from {kernel.origin} lack {path.relative_to(made)}"
            raise KscaffoldError("KS507", what, fix="choose another kernel: kscaffold kernel add VERSION")
    # It holds only type information (BTF). With it there make wants pahole, and fails where that is not
    # installed; without, it skips a section that no module needs, and the .ko is the same everywhere.
    (build / "vmlinux").unlink(missing_ok=True)
    lead_by_place(build / "Makefile")
    for name in ("build", "source"):
        link = modules / name
        if link.is_symlink():
            target = link.readlink().name
            link.unlink()
            link.symlink_to(f"../../../usr/src/{target}")
    return replace(kernel, build=build, image=boots, modules=modules)


def lead_by_place(makefile: Path) -> None:
    """Have a tree's Makefile, which names the common one by an absolute path, and in 7.x its own directory,
    find both by where it is itself.
    """
    text = re.sub(r"(?<=[ =])/\S*?(?=/linux-headers-)", lambda _: SOURCES_BESIDE, reader.read_text(makefile))
    write_whole(
        makefile, f"{SOURCES_BESIDE[2:-1]} := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))..)\n{text}"
    )


def _bad_place() -> KscaffoldError | None:
    place = str(paths.cache())
    if not re.search(r"[\s:%\"'$#\\]", place):
        return None
    return KscaffoldError(
        "KS506",
        f"kernels can't be kept in {place}",
        cause="make can't build with headers whose path has a space, a colon, a quote or a like sign",
        fix="set XDG_CACHE_HOME to a plain path",
    )


def _storing_error(error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return KscaffoldError(
            "KS505",
            "the disk is full",
            cause=f"while storing a kernel in {paths.cache()}",
            fix="free some space there, or set XDG_CACHE_HOME to a larger disk",
        )
    return error

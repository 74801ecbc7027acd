"""A kernel of the distribution, fetched and unpacked into the store without root."""

import errno
import re
import shlex
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kscaffold.errors import KscaffoldError
from kscaffold.files import paths
from kscaffold.files.scratch import scratch_directory
from kscaffold.kernel import store
from kscaffold.kernel.image import vmlinux
from kscaffold.kernel.kernel import Kernel
from kscaffold.packages.apt import Archive, Package, open_archive, unpack, why_not
from kscaffold.progress import Progress

# The decompressed image comes on top of what the packages hold.
_VMLINUX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Added:
    """`already`: it was there, nothing was fetched but package lists. `size`: on disk, in bytes."""

    kernel: Kernel
    already: bool
    size: int
    seconds: float


def fetch(version: str | None, suite: str | None, progress: Progress, flavour: str | None = None) -> Added:
    """Add the newest kernel of a suite, or the newest whose release begins with `version`.

    `flavour`: the end of its name; by default the smallest with what a sandbox needs.
    Raises KscaffoldError KS501–KS507; nothing is left behind then but what was there before.
    """
    if problem := why_not() or _bad_place():
        raise problem
    started = time.monotonic()
    try:
        with scratch_directory() as place:
            (place / "apt").mkdir()
            archive = open_archive(suite, place / "apt", progress)
            packages = _choose(archive, version, flavour or archive.distribution.flavour, progress)
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
        raise _of_os(error) from None


def _choose(archive: Archive, version: str | None, flavour: str, progress: Progress) -> list[Package]:
    """The packages of the kernel wanted: its image, its headers, and what of the kernel those depend on."""
    releases = _releases(archive.names("linux-image-"), archive.names("linux-headers-"), flavour)
    if version is None and f"linux-image-{flavour}" in archive.names(f"linux-image-{flavour}"):
        (meta,) = archive.show([f"linux-image-{flavour}"])
        theirs = {d.removeprefix("linux-image-") for d in meta.depends}
        releases = [r for r in releases if r in theirs] or releases
    matching = [r for r in releases if version is None or is_prefix(version, r)]
    if not matching:
        again = shlex.join(["kscaffold", "kernel", "add", *([version] if version else [])])
        usual = archive.distribution.flavour
        raise KscaffoldError(
            "KS502",
            f"there is no {flavour} kernel {version or ''}".rstrip() + f" in {archive.origin}",
            cause=f"it has {', '.join(_newest_of_each(releases)) or 'none'}",
            fix=f"{again} --suite SUITE (bullseye has 5.10, bookworm 6.1, bookworm-backports and trixie 6.12)"
            if releases or flavour == usual
            else f"{again} --flavour {usual}",
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
        found = archive.show(more)
        seen.update(more)
        packages += found
        queue += found
    return packages


def _is_part(dependency: str, release: str) -> bool:
    return dependency.startswith(("linux-headers-", "linux-kbuild-")) or dependency.endswith(f"-{release}")


def _versions(packages: Sequence[Package]) -> dict[str, str]:
    return {p.name: p.version for p in packages}


def _there(release: str, packages: Sequence[Package]) -> Kernel | None:
    for kernel in store.known():
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
    progress.step("Unpacking", f"{len(debs)} packages")
    made = place / "kernel"
    made.mkdir()
    for deb in debs:
        unpack(deb, made)
        deb.unlink()
    kernel = _mend(made, release, archive.origin)
    assert kernel.image and kernel.vmlinux
    kernel.vmlinux.write_bytes(vmlinux(kernel.image.read_bytes()))
    size = sum(e.lstat().st_blocks * 512 for e in made.rglob("*"))
    store.write_record(made, kernel, {"packages": _versions(packages), "bytes": size})
    return store.install(made, release)


def _mend(made: Path, release: str, origin: str) -> Kernel:
    """Make the unpacked files work where they will be, and drop what nobody reads."""
    shutil.rmtree(made / "usr/share", ignore_errors=True)
    for useless in (made / "boot").glob("System.map-*"):
        useless.unlink()
    modules = made / "lib/modules" / release
    if not modules.exists() and (made / "usr/lib/modules" / release).is_dir():  # Debian 13
        (made / "lib").mkdir(exist_ok=True)
        (made / "usr/lib/modules").rename(made / "lib/modules")
    build = made / "usr/src" / f"linux-headers-{release}"
    image = made / "boot" / f"vmlinuz-{release}"
    if not image.exists() and (modules / "vmlinuz").is_file():  # Debian's 7.1 and later
        image = modules / "vmlinuz"
    for path in (build / "Makefile", image, modules):
        if not path.exists():
            what = f"the packages of kernel {release} from {origin} lack {path.relative_to(made)}"
            raise KscaffoldError("KS507", what, fix="choose another kernel: kscaffold kernel add VERSION")
    # It holds only type information (BTF). With it there make wants pahole, and fails where that is not
    # installed; without, it skips a section that no module needs, and the .ko is the same everywhere.
    (build / "vmlinux").unlink(missing_ok=True)
    # One line, an absolute include of the common Makefile.
    makefile = build / "Makefile"
    makefile.write_text(makefile.read_text().replace("/usr/src/", f"{store.root() / release}/usr/src/"))
    for name in ("build", "source"):
        link = modules / name
        if link.is_symlink():
            target = link.readlink().name
            link.unlink()
            link.symlink_to(f"../../../usr/src/{target}")
    return Kernel(release, "fetched", build, image, made / "vmlinux", modules, origin)


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


def _of_os(error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return KscaffoldError(
            "KS505",
            "the disk is full",
            cause=f"while storing a kernel in {paths.cache()}",
            fix="free some space there, or set XDG_CACHE_HOME to a larger disk",
        )
    return error

"""Kernels that trust a key of the user's own: copies of their images with a certificate more.

`CACHE/trusting/RELEASE/DIGEST` is such an image, named by what it was made of. The kernel's own image is
never written to.
"""

import hashlib
import mmap
import os
import struct
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from kscaffold.errors import KscaffoldError
from kscaffold.files import paths
from kscaffold.files.identity import identify
from kscaffold.files.scratch import scratch_directory
from kscaffold.kernel import store
from kscaffold.kernel.kernel import Kernel

_MOST = 4  # of one kernel; each is as large as its image
_MAX_AGE = 30 * 86400.0  # s since it was made


def images_dir(release: str) -> Path:
    """Where the images of a kernel are."""
    return paths.cache() / "trusting" / release


def own_images(kernel: Kernel) -> tuple[bytes, ...] | None:
    """The certificates a kernel was built with, DER; None where its image does not tell. Takes 60 ms the
    first time. Nothing is unpacked for it.
    """
    file = store.unpacked(kernel)
    if file is None:
        return None
    return _own(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _own(file: Path, _: int) -> tuple[bytes, ...] | None:
    from kscaffold.kernel import builtin_certs  # start-up time: it reads ELF

    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as image:
            return tuple(builtin_certs.certificates(image, builtin_certs.find_cert_list(image)))
    except (OSError, builtin_certs.NotFound, struct.error, ValueError):
        return None


def trusted_image(kernel: Kernel, certificates: Sequence[bytes]) -> Path:
    """The image of `kernel` with these certificates (DER) beside its own, made where it is not there yet.

    Without certificates, and where the kernel has all of them, its own image. Raises KscaffoldError KS540
    where the kernel can't be given them, and what `bootable` raises.
    """
    source = store.bootable(kernel)
    if not certificates:
        return source
    new = sorted(set(certificates))
    file = images_dir(kernel.release) / _digest(source, new)
    if file.exists():
        return file
    from kscaffold.kernel import builtin_certs  # start-up time: it reads ELF

    with source.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        try:
            where = builtin_certs.find_cert_list(whole)
            there = builtin_certs.certificates(whole, where)
            missing = [one for one in new if one not in there]
            if not missing:
                return source
            patched = builtin_certs.added(whole, where, missing)
        except (builtin_certs.NotFound, struct.error, ValueError) as reason:
            raise KscaffoldError(
                "KS540",
                f"kernel {kernel.name} can't be given a certificate",
                cause=f"{source}: {reason}",
                fix="load it without module.sig_enforce=1, or build that kernel with the certificate "
                "in CONFIG_SYSTEM_TRUSTED_KEYS",
            ) from None
    with scratch_directory() as made:
        (made / "vmlinux").write_bytes(patched)
        paths.make_own(file.parent)
        (made / "vmlinux").rename(file)
    _evict(file)
    return file


def _evict(spare: Path) -> None:
    """Remove the oldest of a kernel beyond a few, and what is old. A running guest keeps what it has read."""
    ages = {f: f.stat().st_mtime for f in spare.parent.iterdir() if f != spare}
    newest = sorted(ages, key=lambda f: -ages[f])
    for number, old in enumerate(newest):
        if number >= _MOST - 1 or time.time() - ages[old] > _MAX_AGE:
            old.unlink(missing_ok=True)


def _digest(source: Path, certificates: Sequence[bytes]) -> str:
    real = Path(os.path.realpath(source))
    now = identify(real)
    facts = f"{real}:{now.inode}:{now.size}:{now.mtime_ns}".encode(errors="surrogateescape")
    return hashlib.sha256(b"\0".join([facts, *certificates])).hexdigest()[:32]

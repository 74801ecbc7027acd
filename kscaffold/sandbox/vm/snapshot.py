"""Frozen guests in the cache: memory and device state of a kernel whose agent waits for its first request.

A snapshot is used only when it is byte for byte what was written: its files' inode, size and times are
those recorded, or else their digests are. Anything else is removed, and the caller boots.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kscaffold.files import paths
from kscaffold.kernel.kernel import Kernel
from kscaffold.sandbox.agent import guest_root
from kscaffold.sandbox.vm import qemu
from kscaffold.sandbox.vm.qemu import Machine

FORMAT = 6
_MAX_AGE = 30 * 86400.0  # s since its last use
_MAX_TOTAL = 2 << 30  # bytes of all snapshots
_PAGE = 1 << 16
_NO_WIRES = qemu.Wires(0, 0, Path(), Path(), restore=True)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that has been found whole."""

    directory: Path
    ram: Path
    state: Path
    key: str
    bytes_on_disk: int


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a file was when it was written."""

    size: int
    inode: int
    mtime_ns: int
    ctime_ns: int
    sha256: str


def snapshots_dir() -> Path:
    """Where snapshots are kept."""
    return paths.cache() / "snapshots"


def snapshot_key(program: str, kernel: Kernel, machine: Machine, cpu: str) -> str:
    """The name of the snapshot of this kernel in this machine.

    Made of everything that decides what is in it: QEMU's own file, the kernel image's, the guest's root
    (agent, drivers, set-up), memory, CPUs, accelerator and its CPU model, the command line.
    """
    facts = [
        FORMAT,
        _identity(Path(program)),
        kernel.release,
        os.path.realpath(kernel.modules or ""),
        _identity(machine.vmlinux),
        guest_root.initramfs_version(),
        cpu,
        # The machine line, whatever it is made of.
        qemu.argv("", replace(machine, vmlinux=Path(), initramfs=None, tsc_khz=None), _NO_WIRES),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def find_snapshot(name: str) -> Snapshot | None:
    """The snapshot of that key, if it is there and whole. A damaged one is removed."""
    directory = snapshots_dir() / name
    try:
        record = paths.recorded(directory / "snapshot.json")
        changed = False
        for file in ("ram", "state"):
            known = _Facts(**record["files"][file])
            now = (directory / file).stat()
            if (now.st_size, now.st_ino, now.st_mtime_ns, now.st_ctime_ns) != (
                known.size,
                known.inode,
                known.mtime_ns,
                known.ctime_ns,
            ):
                if now.st_size != known.size or _digest(directory / file) != known.sha256:
                    raise ValueError(f"{file} is not what was written")
                record["files"][file] = asdict(_facts(directory / file, known.sha256))
                changed = True
        if record["format"] != FORMAT or record["key"] != name:
            raise ValueError("another snapshot's record")
        if changed:
            with contextlib.suppress(OSError):  # it will be asked for the digests again
                _write_record(directory, record)
    except FileNotFoundError:
        if directory.exists():
            _remove(directory)
        return None
    except (OSError, ValueError, KeyError, TypeError):
        _remove(directory)
        return None
    with contextlib.suppress(OSError):
        os.utime(directory / "snapshot.json")  # its last use
    return Snapshot(directory, directory / "ram", directory / "state", name, _size(directory))


@contextlib.contextmanager
def scratch_dir() -> Iterator[Path]:
    """A directory beside the snapshots to prepare one in; gone afterwards. Those of dead runs are swept."""
    snapshots_dir().mkdir(parents=True, exist_ok=True)
    _sweep()
    directory = snapshots_dir() / f".making-{os.getpid()}-{time.monotonic_ns()}"
    directory.mkdir()
    with (directory / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def write_snapshot(name: str, kernel: Kernel, memory: int, state: bytes, making: Path) -> None:
    """Write a snapshot and make it appear whole. `memory`: a descriptor of the guest's stopped memory.

    Zero pages become holes. Raises OSError (a full disk); nothing is left then. When another command
    made the same snapshot meanwhile, its is kept or replaced: they are worth the same.
    """
    ram_digest = _copy_sparse(memory, making / "ram")
    (making / "state").write_bytes(state)
    record = {
        "format": FORMAT,
        "key": name,
        "kernel": kernel.release,
        "made": time.time(),
        "files": {
            "ram": asdict(_facts(making / "ram", ram_digest)),
            "state": asdict(_facts(making / "state", hashlib.sha256(state).hexdigest())),
        },
    }
    _write_record(making, record)
    final = snapshots_dir() / name
    for _ in range(3):
        try:
            making.rename(final)
            break
        except OSError:  # ENOTEMPTY: another one is there
            _remove(final)
    evict(spare=name)


def all_snapshots() -> list[tuple[str, str, int, float]]:
    """(key, kernel release, bytes on disk, last use) of each snapshot there is."""
    found = []
    for directory in sorted(snapshots_dir().glob("[!.]*")) if snapshots_dir().is_dir() else []:
        try:
            record = paths.recorded(directory / "snapshot.json")
            used = (directory / "snapshot.json").stat().st_mtime
            found.append((directory.name, str(record["kernel"]), _size(directory), used))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def remove_snapshots(release: str) -> int:
    """Remove the snapshots of a kernel; how many there were. Running guests keep what they map."""
    mine = [key for key, kernel, _, _ in all_snapshots() if kernel == release]
    for name in mine:
        _remove(snapshots_dir() / name)
    return len(mine)


def evict(spare: str) -> None:
    """Remove snapshots long unused, and the longest unused ones while all take too much room."""
    total, now = 0, time.time()
    for name, _, size, used in sorted(all_snapshots(), key=lambda s: (s[0] != spare, -s[3])):
        total += size
        if name != spare and (now - used > _MAX_AGE or total > _MAX_TOTAL):
            _remove(snapshots_dir() / name)


def _identity(file: Path) -> list[object]:
    file = file.resolve()
    s = file.stat()
    return [str(file), s.st_size, s.st_mtime_ns, s.st_ino]


def _facts(file: Path, digest: str) -> _Facts:
    s = file.stat()
    return _Facts(s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns, digest)


def _write_record(directory: Path, record: dict[str, object]) -> None:
    paths.write_whole(directory / "snapshot.json", json.dumps(record))


def _copy_sparse(memory: int, to: Path) -> str:
    """Copy a memory file without its zero pages; the digest of what `_digest` will read there."""
    size = os.fstat(memory).st_size
    digest = hashlib.sha256()
    zero = bytes(_PAGE)
    with to.open("wb") as file:
        for offset in range(0, size, _PAGE):
            page = os.pread(memory, _PAGE, offset)
            if page != zero:
                os.pwrite(file.fileno(), page, offset)
                digest.update(offset.to_bytes(8, "little"))
                digest.update(page)
        os.ftruncate(file.fileno(), size)
        os.fsync(file.fileno())
    return digest.hexdigest()


def _digest(file: Path) -> str:
    """Of a memory file: its pages that are not zero, with their offsets; of a state: its bytes."""
    digest = hashlib.sha256()
    if file.name == "state":
        return hashlib.sha256(file.read_bytes()).hexdigest()
    zero = bytes(_PAGE)
    with file.open("rb") as opened:
        offset = 0
        while page := opened.read(_PAGE):
            if page != zero:
                digest.update(offset.to_bytes(8, "little"))
                digest.update(page)
            offset += len(page)
    return digest.hexdigest()


def _size(directory: Path) -> int:
    """Bytes on disk, as far as they can be seen: another command may be taking it away."""
    total = 0
    with contextlib.suppress(OSError):
        for file in directory.iterdir():
            total += 512 * file.lstat().st_blocks
    return total


def _remove(directory: Path) -> None:
    """Take a snapshot away at once, then its files: nobody finds half of one."""
    trash = directory.with_name(f".making-{os.getpid()}-{time.monotonic_ns()}")
    with contextlib.suppress(OSError):
        directory.rename(trash)
        _delete(trash)


def _delete(left: Path) -> None:
    """A directory, whatever its mode, or what stands in the place of one."""
    with contextlib.suppress(OSError):
        if left.is_symlink() or not left.is_dir():
            left.unlink()
        else:
            left.chmod(0o700)
            shutil.rmtree(left, ignore_errors=True)


def _sweep() -> None:
    """Remove what killed runs left: whoever is alive holds the lock of its own."""
    for left in snapshots_dir().glob(".making-*"):
        try:
            with (left / "lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        except OSError:
            # Between its mkdir and its lock, or a removal that was killed: leave it for an hour.
            with contextlib.suppress(OSError):
                if time.time() - left.lstat().st_mtime < 3600:
                    continue
        _delete(left)

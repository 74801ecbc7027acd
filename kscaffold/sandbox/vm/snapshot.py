"""Frozen guests in the cache: memory and device state of a kernel whose agent waits for its first request.

A snapshot is used only when it is byte for byte what was written: its files' inode, size and times are
those recorded, or else their digests are. Anything else is removed, and the caller boots.
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from kscaffold.files import paths, reader
from kscaffold.files.atomic import write_whole
from kscaffold.files.identity import FileIdentity, identify
from kscaffold.files.lock import try_lock
from kscaffold.files.sweep import own_name, remove_entry, sweep_unlocked
from kscaffold.kernel.kernel import Kernel
from kscaffold.records import dataclass, replace
from kscaffold.sandbox.agent import guest_root
from kscaffold.sandbox.vm import qemu
from kscaffold.sandbox.vm.qemu import Machine

FORMAT = 6
_MAX_AGE = 30 * 86400.0  # s since its last use
_MAX_TOTAL = 2 << 30  # bytes of all snapshots
_PAGE = 1 << 16  # bytes compared with zeros at once
_MAKING = ".making-"
_AGE_WITHOUT_LOCK = 3600.0  # s
_NO_WIRES = qemu.Wires(0, 0, Path(), Path(), restore=True, private=True)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that has been found whole."""

    directory: Path
    ram: Path
    state: Path
    key: str
    bytes_on_disk: int


def snapshots_dir() -> Path:
    """Where snapshots are kept."""
    return paths.cache() / "snapshots"


def snapshot_key(program: str, kernel: Kernel, machine: Machine, cpu: str) -> str:
    """The name of the snapshot of this kernel in this machine.

    A digest of everything that decides what the snapshot holds: the files of QEMU and of the kernel's
    image, the guest's root (agent, drivers, set-up), memory, CPUs, accelerator and its CPU model, and the
    command line.
    """
    facts = [
        FORMAT,
        _facts(Path(program)),
        kernel.release,
        os.path.realpath(kernel.modules or ""),
        _facts(machine.vmlinux),
        guest_root.initramfs_version(machine.architecture),
        cpu,
        # The machine line, whatever it is made of.
        qemu.argv("", replace(machine, vmlinux=Path(), initramfs=None, tsc_khz=None), _NO_WIRES),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def find_snapshot(name: str) -> Snapshot | None:
    """The snapshot of that key, None where there is none. A damaged snapshot is removed."""
    directory = snapshots_dir() / name
    try:
        record = paths.recorded(directory / "snapshot.json")
        changed = False
        for file in ("ram", "state"):
            known = dict(record["files"][file])
            digest = known.pop("sha256")
            reader.require_plain(directory / file)
            now = identify(directory / file)
            if now != FileIdentity(**known):
                if now.size != known["size"] or _digest(directory / file) != digest:
                    raise ValueError(f"{file} is not what was written")
                record["files"][file] = {**now.facts(), "sha256": digest}
                changed = True
        if record["format"] != FORMAT or record["key"] != name:
            raise ValueError("another snapshot's record")
        if changed:
            with contextlib.suppress(OSError):  # the digests are compared again next time
                _write_record(directory, record)
    except FileNotFoundError:
        if directory.exists():
            _retire(directory)
        return None
    except (OSError, ValueError, KeyError, TypeError, reader.ForeignFileError):
        _retire(directory)
        return None
    with contextlib.suppress(OSError):
        os.utime(directory / "snapshot.json")  # its last use
    return Snapshot(directory, directory / "ram", directory / "state", name, _size(directory))


@contextlib.contextmanager
def scratch_dir() -> Iterator[Path]:
    """A directory to prepare a snapshot in, removed afterwards. The directories of dead runs are swept."""
    paths.make_own(snapshots_dir())
    _sweep()
    directory = snapshots_dir() / own_name(_MAKING)
    directory.mkdir(mode=0o700)
    with (directory / "lock").open("wb") as lock:
        try_lock(lock.fileno())  # nobody else knows this file yet, but a sweep
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def write_snapshot(
    name: str, kernel: Kernel, memory: int, state: bytes, making: Path, *, seconds: float
) -> None:
    """Write a snapshot and make it appear whole. `memory`: a descriptor of the guest's stopped memory.
    `seconds`: its boot took.

    Zero pages become holes. Raises OSError (a full disk); nothing is left then. Where another
    command has made the same snapshot meanwhile, this one takes its place: they are worth the same.
    """
    ram_digest = _copy_sparse(memory, making / "ram")
    (making / "state").write_bytes(state)
    state_digest = hashlib.sha256(state).hexdigest()
    record = {
        "format": FORMAT,
        "key": name,
        "kernel": kernel.release,
        "arch": kernel.arch,
        "made": time.time(),
        "seconds": seconds,
        "files": {
            "ram": {**identify(making / "ram").facts(), "sha256": ram_digest},
            "state": {**identify(making / "state").facts(), "sha256": state_digest},
        },
    }
    _write_record(making, record)
    final = snapshots_dir() / name
    for _ in range(3):
        try:
            making.rename(final)
            break
        except OSError:  # ENOTEMPTY: another one is there
            _retire(final)
    evict(spare=name)


def all_snapshots() -> list[tuple[str, str, int, float, str]]:
    """(key, kernel release, bytes on disk, last use, machine as `uname -m` says it) of each snapshot there
    is. The machine is empty where an older kscaffold made it.
    """
    found = []
    for directory in sorted(snapshots_dir().glob("[!.]*")) if snapshots_dir().is_dir() else []:
        try:
            record = paths.recorded(directory / "snapshot.json")
            used = (directory / "snapshot.json").stat().st_mtime
            arch = str(record.get("arch", ""))
            found.append((directory.name, str(record["kernel"]), _size(directory), used, arch))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def usual_boot(release: str) -> float | None:
    """The seconds that the last boot of a kernel of this flavour took here, None where there was none."""
    flavour, found = release.rpartition("-")[2], []
    for directory in snapshots_dir().glob("[!.]*") if snapshots_dir().is_dir() else []:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            record = paths.recorded(directory / "snapshot.json")
            if str(record["kernel"]).endswith(f"-{flavour}"):
                found.append((float(record["made"]), float(record["seconds"])))
    return max(found)[1] if found else None


def remove_snapshots(release: str) -> int:
    """Remove a kernel's snapshots and return their number. Running guests keep what they have mapped."""
    mine = [key for key, kernel, *_ in all_snapshots() if kernel == release]
    for name in mine:
        _retire(snapshots_dir() / name)
    return len(mine)


def evict(spare: str) -> None:
    """Remove old snapshots, and while all take too much room, those that were not used for longest."""
    total, now = 0, time.time()
    for name, _, size, used, _ in sorted(all_snapshots(), key=lambda s: (s[0] != spare, -s[3])):
        total += size
        if name != spare and (now - used > _MAX_AGE or total > _MAX_TOTAL):
            _retire(snapshots_dir() / name)


def _facts(file: Path) -> list[object]:
    """The facts of a file for a snapshot's name: its real path, and its identity but for the ctime."""
    file = file.resolve()
    return [str(file), *identify(file).stamp]


def _write_record(directory: Path, record: dict[str, object]) -> None:
    write_whole(directory / "snapshot.json", json.dumps(record))


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
    """A digest of a file: of memory the pages that are not zero, with their offsets; of a state all bytes."""
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
    """Bytes on disk. Files that another command removes meanwhile are not counted."""
    total = 0
    with contextlib.suppress(OSError):
        for file in directory.iterdir():
            total += 512 * file.lstat().st_blocks
    return total


def _retire(directory: Path) -> None:
    """Rename a snapshot away, then remove its files: so nobody finds half of a snapshot."""
    trash = directory.with_name(own_name(_MAKING))
    with contextlib.suppress(OSError):
        directory.rename(trash)
        remove_entry(trash)


def _sweep() -> None:
    """Remove what killed runs left: a live run holds the lock in its directory."""
    # Between its mkdir and its lock a run's directory has none; nor has a removal that was killed.
    left = snapshots_dir().glob(f"{_MAKING}*")
    sweep_unlocked(left, lambda entry: entry / "lock", remove_entry, age=_AGE_WITHOUT_LOCK)

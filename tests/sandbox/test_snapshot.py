"""Snapshots: used when whole, made again when anything about them is wrong, never an error."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kscaffold.files import paths
from kscaffold.kernel.kernel import Kernel
from kscaffold.sandbox.vm import snapshot
from kscaffold.sandbox.vm.plan import plan_vm
from kscaffold.sandbox.vm.restore import begin_restore
from kscaffold.sandbox.vm.start import start_guest
from tests.conftest import REAL_CACHE, need_program
from tests.support.kernels import need_kernel
from tests.support.modules import built

pytestmark = pytest.mark.sandbox


@pytest.fixture
def kernel61() -> Kernel:
    need_program("qemu-system-x86_64", "qemu-system-x86")
    return need_kernel("6.1")


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    """A cache with the machine's kernels and no snapshot."""
    cache = tmp_path / "cache"
    (cache / "kscaffold").mkdir(parents=True)
    (cache / "kscaffold" / "kernels").symlink_to(REAL_CACHE / "kscaffold" / "kernels")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return cache / "kscaffold"


def _run(ks, kernel, name="hello", *more):
    return ks("run", "--json", "-v", "--kernel", kernel.release, str(built(kernel) / f"{name}.ko"), *more)


def test_the_first_guest_is_frozen_and_the_next_restored(ks, kernel61, own_cache):
    first = _run(ks, kernel61)
    assert first.status == 0 and "booted" in first.err
    second = _run(ks, kernel61)
    assert second.status == 0 and "restored" in second.err and "booted" not in second.err
    assert [p.name for p in (own_cache / "snapshots").glob(".making-*")] == []
    sizes = [size for _, _, size, *_ in snapshot.all_snapshots()]
    assert len(sizes) == 1 and sizes[0] < 120e6


@pytest.mark.parametrize("file", ["ram", "state", "snapshot.json"])
@pytest.mark.parametrize("damage", ["truncated", "edited", "replaced", "emptied", "gone"])
def test_a_damaged_snapshot_is_made_again_silently(ks, kernel61, own_cache, file, damage):
    store = _real_snapshot(kernel61, own_cache)
    victim = store / file
    size = victim.stat().st_size
    if damage == "truncated":
        os.truncate(victim, size // 2)
    elif damage == "emptied":
        os.truncate(victim, 0)
    elif damage == "gone":
        victim.unlink()
    elif damage == "replaced":
        victim.unlink()
        victim.write_bytes(os.urandom(min(size, 1 << 20)))
    else:
        with victim.open("r+b") as opened:
            opened.seek(size // 3)
            opened.write(b"\xa5" * 16)
    ran = _run(ks, kernel61)
    assert ran.status == 0 and ran.json["verdict"] == "loaded"
    assert "restored" not in ran.err and "booted" in ran.err
    assert "warning" not in ran.err and "error" not in ran.err
    assert "restored" in _run(ks, kernel61).err


def _instead(victim: Path, make) -> None:
    shutil.rmtree(victim) if victim.is_dir() else victim.unlink()
    make(victim)


_ODD = {
    # What was never written there, and whether the snapshot is good nevertheless.
    "a record of lists in lists": (lambda d: (d / "snapshot.json").write_text("[" * 100_000), False),
    "a record that is a list": (lambda d: (d / "snapshot.json").write_text("[5]"), False),
    "a pipe for a record": (lambda d: _instead(d / "snapshot.json", os.mkfifo), False),
    "a pipe for the memory": (lambda d: _instead(d / "ram", os.mkfifo), False),
    "a file for the directory": (lambda d: _instead(d, lambda p: p.write_text("x")), False),
    "a link to nowhere for it": (lambda d: _instead(d, lambda p: p.symlink_to("/nowhere")), False),
    "a stray link beside": (lambda d: (d / "ram.bak").symlink_to("/nowhere"), True),
}


@pytest.mark.parametrize("odd", _ODD)
def test_whatever_stands_in_a_snapshots_place(ks, kernel61, own_cache, odd):
    store = _real_snapshot(kernel61, own_cache)
    damage, good = _ODD[odd]
    damage(store)
    assert ks("sandbox", "status").status == 0
    ran = _run(ks, kernel61)
    assert ran.status == 0 and ran.json["verdict"] == "loaded"
    assert ("restored" in ran.err) == good and ("booted" in ran.err) != good
    assert "warning" not in ran.err and "error" not in ran.err
    assert "restored" in _run(ks, kernel61).err
    assert [p.name for p in (own_cache / "snapshots").iterdir()] == [store.name]


def test_an_edit_that_keeps_size_and_times_is_seen_too(ks, kernel61, own_cache):
    """mtime can be set back; the change time can't."""
    ram = _real_snapshot(kernel61, own_cache) / "ram"
    before = ram.stat()
    with ram.open("r+b") as opened:
        opened.seek(before.st_size // 2)
        opened.write(os.urandom(64))
    os.utime(ram, ns=(before.st_atime_ns, before.st_mtime_ns))
    ran = _run(ks, kernel61)
    assert ran.status == 0 and "booted" in ran.err


def test_a_copied_snapshot_with_the_same_bytes_is_used(ks, kernel61, own_cache):
    """Another inode, the same digest: as after a backup was played back."""
    store = _real_snapshot(kernel61, own_cache)
    for name in ("ram", "state"):
        shutil.copyfile(store / name, store / "copy")
        (store / "copy").replace(store / name)
    ran = _run(ks, kernel61)
    assert ran.status == 0 and "restored" in ran.err and "booted" not in ran.err


def test_each_part_of_the_key_matters(kernel61, tmp_path):
    """Another QEMU, kernel image, command line, accelerator, CPU, memory: another snapshot."""
    from dataclasses import replace

    plan = plan_vm(kernel61)
    machine = plan.machine
    other_qemu = tmp_path / "qemu"
    other_qemu.write_text("another")
    image = tmp_path / "vmlinux"
    image.write_bytes(b"another")
    keys = [
        snapshot.snapshot_key(plan.program, kernel61, machine, "cpu"),
        snapshot.snapshot_key(str(other_qemu), kernel61, machine, "cpu"),
        snapshot.snapshot_key(plan.program, kernel61, machine, "another cpu"),
        snapshot.snapshot_key(plan.program, replace(kernel61, release="6.1.0-0"), machine, "cpu"),
        *(
            snapshot.snapshot_key(plan.program, kernel61, replace(machine, **change), "cpu")
            for change in (
                {"vmlinux": image},
                {"cmdline": "lockdown=integrity"},
                {"devices": ("edu",)},
                {"devices": ("edu", "edu")},
                {"accelerator": "kvm"},
                {"memory": 512},
                {"cpus": 2},
            )
        ),
    ]
    assert len(set(keys)) == len(keys)
    assert snapshot.snapshot_key(plan.program, kernel61, machine, "cpu") == keys[0]


def test_two_commands_that_make_the_same_snapshot_at_once_both_succeed(kernel61, own_cache):
    argv = [sys.executable, "-m", "kscaffold", "run", "--json", "--kernel", kernel61.release]
    ko = str(built(kernel61) / "hello.ko")
    both = [
        subprocess.Popen(
            [*argv, ko], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        for _ in range(2)
    ]
    for command in both:
        out, err = command.communicate(timeout=120)
        assert command.returncode == 0, err.decode()
        assert json.loads(out)["verdict"] == "loaded"
    assert len(snapshot.all_snapshots()) == 1


def test_a_full_disk_for_snapshots_is_no_obstacle(ks, kernel61, own_cache, tmp_path):
    """The guest is booted each time then; nothing of a snapshot is left."""
    need_program("mount", "mount")
    place = own_cache / "snapshots"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(place)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system can't be mounted here: {mounted.stderr.strip()}")
    try:
        for _ in range(2):
            ran = _run(ks, kernel61)
            assert ran.status == 0 and ran.json["verdict"] == "loaded"
            assert "no snapshot was kept" in ran.err
        assert list(place.iterdir()) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_cache_that_cannot_be_written_is_no_obstacle(ks, kernel61, own_cache, tmp_path, monkeypatch):
    """As a read-only one: nothing but the kernels is taken from it, and nothing put into it."""
    monkeypatch.chdir(tmp_path)
    healthy = ks("doctor").status  # this machine may lack something else
    names = ("accelerator.json", "forecasts", "guest", "modules", "snapshots", "tmp")
    for name in names:
        (own_cache / name).write_text("no directory")
    ko = built(kernel61) / "hello.ko"
    for verb in ("run", "load", "reload"):
        ran = ks(verb, "--json", "-v", "-k", kernel61.release, ko)
        assert (ran.status, ran.json["verdict"]) == (0, "loaded"), (verb, ran.err)
        assert verb != "run" or "no snapshot was kept" in ran.err
    assert "hello from init" in ks("logs").out
    assert ks("check", "-k", kernel61.release, ko).status == 0
    for command in ("kernel list", "sandbox status", "unload hello"):
        assert ks(*command.split()).status == 0, command
    assert ks("doctor").status == healthy
    assert all((own_cache / name).read_text() == "no directory" for name in names)


def test_a_cache_that_goes_takes_nothing_along(ks, kernel61, own_cache, tmp_path, monkeypatch):
    """rm -rf beneath a live sandbox: what it maps stays, and the next one is made anew."""
    monkeypatch.chdir(tmp_path)
    _real_snapshot(kernel61, own_cache)
    ko = built(kernel61) / "hello.ko"
    assert ks("load", "-k", kernel61.release, ko).status == 0
    shutil.rmtree(own_cache / "snapshots")
    assert "hello from init" in ks("logs").out
    assert ks("unload", "hello").status == 0
    again = ks("reload", "--json", "-k", kernel61.release, ko)
    assert (again.status, again.json["verdict"]) == (0, "loaded")


def test_a_killed_maker_leaves_nothing_that_is_used(ks, kernel61, own_cache):
    """kill -9 while the first guest boots and is frozen, at several moments."""
    ko = str(built(kernel61) / "hello.ko")
    argv = [sys.executable, "-m", "kscaffold", "run", "--kernel", kernel61.release, ko]
    for delay in (0.3, 1.0, 2.0, 2.5, 3.0):
        command = subprocess.Popen(
            argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        time.sleep(delay)
        command.send_signal(signal.SIGKILL)
        command.wait(10)
    assert _run(ks, kernel61).json["verdict"] == "loaded"
    assert list((own_cache / "snapshots").glob(".making-*")) == []


def test_kernel_remove_forgets_the_snapshots(kernel61, own_cache):
    _real_snapshot(kernel61, own_cache)
    assert snapshot.remove_snapshots("6.1.0-another") == 0
    assert snapshot.remove_snapshots(kernel61.release) == 1
    assert snapshot.all_snapshots() == []


def test_the_cache_stays_in_bounds(monkeypatch, own_cache):
    """The longest unused go first, and those unused for a month whatever the room."""
    for number, age in enumerate((1, 2, 3, 40 * 86400)):
        directory = own_cache / "snapshots" / f"k{number}"
        directory.mkdir(parents=True)
        (directory / "ram").write_bytes(b"x" * 100_000)
        (directory / "snapshot.json").write_text(json.dumps({"kernel": "6.1"}))
        used = time.time() - age
        os.utime(directory / "snapshot.json", (used, used))
    snapshot.evict(spare="k2")
    assert [name for name, *_ in snapshot.all_snapshots()] == ["k0", "k1", "k2"]
    monkeypatch.setattr(snapshot, "_MAX_TOTAL", 250_000)
    snapshot.evict(spare="k2")
    assert [name for name, *_ in snapshot.all_snapshots()] == ["k0", "k2"]


def test_a_restore_that_can_not_begin_says_why(kernel61, own_cache):
    _real_snapshot(kernel61, own_cache)
    planned = plan_vm(kernel61)
    guests = paths.runtime() / "guests"
    guests.parent.mkdir(exist_ok=True)
    guests.write_text("no directory")
    said: list[str] = []
    assert begin_restore(planned, said.append) is None
    (line,) = said
    assert line.startswith("the restore of the snapshot could not begin (") and str(guests) in line
    guests.unlink()
    pending = begin_restore(planned, said.append)
    assert pending is not None and pending.finish().alive()
    pending.close()
    assert said == [line] and list(guests.iterdir()) == []


def test_clock_and_random_numbers_are_new_in_every_restored_guest(ks, kernel61):
    said = [_run(ks, kernel61, "seed") for _ in range(3)]
    lines = [next(r["text"] for r in s.json["log"] if "random" in r["text"]) for s in said]
    randoms = {line.split()[-3] for line in lines}
    assert len(randoms) == 3
    times = [int(line.split()[-1]) for line in lines]
    assert all(abs(t - time.time()) < 60 for t in times), times


def _real_snapshot(kernel: Kernel, cache: Path) -> Path:
    """A copy of the machine's own snapshot of this kernel, made now if it has none, known as whole here."""
    key = plan_vm(kernel).key
    os.environ["XDG_CACHE_HOME"] = str(REAL_CACHE)
    if snapshot.find_snapshot(key) is None:
        start_guest(plan_vm(kernel)).close()
    whole = snapshot.find_snapshot(key)
    os.environ["XDG_CACHE_HOME"] = str(cache.parent)
    assert whole is not None
    copy = cache / "snapshots" / key
    copy.parent.mkdir()
    subprocess.run(["cp", "-r", "--sparse=always", str(whole.directory), str(copy)], check=True)
    assert snapshot.find_snapshot(key) is not None
    # The agent is not compiled again: no test here is of that.
    shutil.copytree(REAL_CACHE / "kscaffold" / "guest", cache / "guest")
    return copy

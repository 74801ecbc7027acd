"""Locks, whole writes, identities and sweeps, with other processes that hold, write and die."""

import os
import resource
import signal
import stat
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kscaffold.errors import DeadlineError, UsageError
from kscaffold.files import atomic, lock, reader, sweep
from kscaffold.files.identity import identify, identify_if_there
from kscaffold.files.scratch import scratch_directory
from tests.conftest import ROOT, need_program
from tests.support.elf import Ko

_HOLD = """
import fcntl, sys, time
fd = open(sys.argv[1], "a+")
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@contextmanager
def held_by_another(path: Path, seconds: float = 60) -> Iterator[subprocess.Popen[bytes]]:
    """Another process holds the lock of that file."""
    argv = [sys.executable, "-c", _HOLD, str(path), str(seconds)]
    other = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert other.stdout and other.stdout.readline() == b"held\n"
    try:
        yield other
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


def dead() -> int:
    """The number of a process that has ended and been waited for."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


# ---- locks ----


def test_a_lock_of_another_process_is_seen_and_ends_with_it(tmp_path):
    file = tmp_path / "lock"
    assert not lock.is_locked(file)
    with held_by_another(file) as other, file.open("a+") as mine:
        assert lock.is_locked(file)
        assert not lock.try_lock(mine.fileno())
        assert not lock.try_lock(mine.fileno(), shared=True)
        assert not lock.wait_for_lock(mine.fileno(), 0.05)
        with lock.try_locked(file) as ours:
            assert not ours
        other.send_signal(signal.SIGKILL)
        assert lock.wait_for_lock(mine.fileno(), 10)
    assert not lock.is_locked(file)


def test_shared_locks_keep_out_the_exclusive_ones_only(tmp_path):
    file = tmp_path / "lock"
    with file.open("w+") as one, file.open("r+") as two, file.open("r+") as three:
        assert lock.try_lock(one.fileno(), shared=True) and lock.try_lock(two.fileno(), shared=True)
        assert not lock.try_lock(three.fileno())
        # A reader does not make a file locked: only a daemon, a build, a run do.
        assert not lock.is_locked(file)


def test_a_lock_is_waited_for_and_says_so_once(tmp_path):
    told = []
    with (
        held_by_another(tmp_path / "lock", 0.3),
        lock.locked(tmp_path / "lock", waiting=lambda: told.append("waiting"), timeout=20),
    ):
        pass
    assert told == ["waiting"]
    with (
        held_by_another(tmp_path / "lock"),
        pytest.raises(DeadlineError) as caught,
        lock.locked(tmp_path / "lock", timeout=0.05),
    ):
        pass
    assert caught.value.code == "KS508" and caught.value.fix == f"fuser -v {tmp_path / 'lock'}"


def test_a_lock_file_that_was_swept_meanwhile_is_not_the_lock(tmp_path):
    file = tmp_path / "lock"
    with file.open("w+") as old:
        assert lock.is_same_file(file, old.fileno())
        file.unlink()
        assert not lock.is_same_file(file, old.fileno())
        file.touch()
        assert not lock.is_same_file(file, old.fileno())
        link = tmp_path / "link"
        link.symlink_to(file)
        with file.open() as new:
            assert lock.is_same_file(link, new.fileno())
            assert not lock.is_same_file(link, new.fileno(), follow=False)


def test_who_holds_a_lock_is_written_in_it(tmp_path):
    with (tmp_path / "lock").open("a+") as file:
        assert lock.holder_of(file.fileno()) == "unknown"
        file.write("12345678901 of an older process")
        file.flush()
        lock.write_holder(file.fileno())
        assert lock.holder_of(file.fileno()) == str(os.getpid())


# ---- whole writes ----


def test_a_file_is_replaced_whole_and_nothing_is_left(tmp_path):
    file = tmp_path / "file"
    atomic.write_whole(file, "caf\u00e9 \udce9\n")
    assert file.read_bytes() == b"caf\xc3\xa9 \\udce9\n"
    first = identify(file).inode
    with file.open() as reader:
        atomic.write_whole(file, b"new", 0o640, sync=True)
        assert reader.read().startswith("caf")
    assert file.read_bytes() == b"new" and identify(file).inode != first
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_without_a_mode_the_umask_has_it(tmp_path):
    before = os.umask(0o027)
    try:
        atomic.write_whole(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_write_that_fails_names_the_file_and_keeps_the_old_one(tmp_path):
    file = tmp_path / "file"
    atomic.write_whole(file, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, hard))
    try:
        with pytest.raises(OSError) as full:
            atomic.write_whole(file, "longer than that")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert full.value.filename == str(file)
    assert file.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["file"]
    with pytest.raises(FileNotFoundError) as nowhere:
        atomic.write_whole(tmp_path / "none/file", "x")
    assert nowhere.value.filename == str(tmp_path / "none/file")
    (tmp_path / "directory").mkdir()
    with pytest.raises(IsADirectoryError) as directory:
        atomic.write_whole(tmp_path / "directory", "x")
    assert str(directory.value).endswith(f"'{tmp_path / 'directory'}'")


def test_two_processes_write_one_file(tmp_path):
    """Whoever is last wins; nobody ever reads half."""
    program = (
        "import sys; from pathlib import Path; from kscaffold.files.atomic import write_whole\n"
        "for _ in range(200): write_whole(Path(sys.argv[1]), sys.argv[2] * 5000)"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "file")]
    writers = [subprocess.Popen([*argv, letter], cwd=ROOT) for letter in "ab"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if (tmp_path / "file").exists():
            seen.add((tmp_path / "file").read_text())
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen <= {"a" * 5000, "b" * 5000} and seen
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# ---- identities ----


def test_an_identity_changes_with_the_file(tmp_path):
    file = tmp_path / "file"
    assert identify_if_there(file) is None
    file.write_text("one")
    first = identify(file)
    assert identify_if_there(file) == first
    file.chmod(0o600)
    os.link(file, tmp_path / "link")
    assert identify(file) != first and identify(file).stamp == first.stamp
    os.utime(file, ns=(0, first.mtime_ns))
    copy = tmp_path / "copy"
    copy.write_text("two")
    os.utime(copy, ns=(0, first.mtime_ns))
    copy.replace(file)
    assert identify(file).stamp != first.stamp
    with file.open() as opened:
        assert identify(opened.fileno()) == identify(file)


# ---- sweeps ----


def test_what_a_dead_process_left_goes_and_the_rest_stays(tmp_path):
    gone = dead()
    (tmp_path / f".made-{gone}-0badcafe").mkdir()
    (tmp_path / f".made-{gone}-0badcafe/file").touch()
    (tmp_path / f".made-{gone}-0badcaff.tmp").touch()
    (tmp_path / f".made-{gone}-link").symlink_to(tmp_path)
    kept = {
        sweep.own_name(".made-"),
        ".made-",
        f".made-{gone}",
        ".made-x-1",
        f".other-{gone}-0badcafe",
        f"{gone}-0badcafe",
    }
    for name in kept:
        (tmp_path / name).touch()
    sweep.sweep_dead(tmp_path, ".made-")
    assert {p.name for p in tmp_path.iterdir()} == kept
    sweep.sweep_dead(tmp_path / "none", ".made-")


def test_a_killed_writer_is_swept_by_the_next(tmp_path):
    (tmp_path / f".kscaffold-write-{dead()}-0badcafe.tmp").write_text("half")
    with atomic.file_beside(tmp_path / "file") as hidden:
        hidden.write_text("mine")
        atomic.sweep_beside(tmp_path / "file")
        assert list(tmp_path.iterdir()) == [hidden]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_nobody_holds_gives_its_entry_up(tmp_path):
    for name in ("dead", "alive", "bare", "old"):
        (tmp_path / name).mkdir()
    for name in ("dead", "alive"):
        (tmp_path / name / "lock").touch()
    (tmp_path / "dead").chmod(0)
    os.utime(tmp_path / "old", (0, 0))

    def swept(**more: float) -> list[str]:
        entries = sorted(tmp_path.iterdir())
        sweep.sweep_unlocked(entries, lambda entry: entry / "lock", sweep.remove_entry, **more)
        return sorted(p.name for p in tmp_path.iterdir())

    with held_by_another(tmp_path / "alive/lock"):
        assert swept(age=3600) == ["alive", "bare"]
        assert swept() == ["alive"]
    assert swept() == []


def test_a_workplace_lives_as_long_as_its_run(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    base = tmp_path / "kscaffold/tmp"
    with scratch_directory() as mine:
        (base / "1-killed").mkdir()
        (base / "1-killed.lock").touch()
        (base / "1-bare").mkdir()
        (base / "1-none.lock").touch()
        with scratch_directory() as second:
            assert {p.name for p in base.iterdir()} == {
                name + end for name in (mine.name, second.name) for end in ("", ".lock")
            }
        assert mine.is_dir() and not second.exists()
    assert list(base.iterdir()) == []


# ---- names for output ----


@pytest.mark.parametrize("end", ["/dev/null", "pipe", "."])
@pytest.mark.parametrize(
    "words",
    [
        ("run", "--offline", "--lcov"),
        ("test", "--offline", "--lcov"),
        ("test", "--offline", "--junit"),
        ("run", "--offline", "--html"),
    ],
)
def test_nothing_is_written_in_the_place_of_a_device(ks, tmp_path, monkeypatch, words, end):
    """For root that of /dev/stdout, too: said before the work, and what is there stays."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("out").symlink_to(end)
    ran = ks(*words, "out")
    assert ran.status == 2 and ("error[KS092]" in ran.err or "error[KS063]" in ran.err), ran.err
    assert os.readlink("out") == end and stat.S_ISFIFO(os.stat("pipe").st_mode)


@pytest.mark.parametrize("place", [".gitconfig", ".config/git/config", "repository/.git/config"])
def test_git_waits_for_no_settings(ks, own_world, monkeypatch, place):
    """An author is found elsewhere; what needs git says why it can't have it."""
    need_program("git", "git")
    repository = own_world / "repository"
    subprocess.run(["git", "init", "--quiet", repository], check=True)
    monkeypatch.chdir(repository)
    (own_world / place).unlink(missing_ok=True)
    (own_world / place).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(own_world / place)
    began = time.monotonic()
    assert ks("new", "hello").status == 0
    ran = ks("new", "other", "--git")
    assert ran.status == 69 and "error[KS092]" in ran.err and "it is a FIFO" in ran.err, ran.err
    assert time.monotonic() - began < 4, "git was waited for"


def test_a_module_is_signed_into_no_device(ks, tmp_path, monkeypatch):
    need_program("openssl", "openssl")
    monkeypatch.chdir(tmp_path)
    Path("hello.ko").write_bytes(Ko("hello").bytes())
    Path("out").symlink_to("/dev/null")
    ran = ks("sign", "hello.ko", "--out", "out")
    assert ran.status == 2 and "error[KS092]" in ran.err, ran.err
    assert os.readlink("out") == "/dev/null"
    assert ks("sign", "hello.ko", "--out", "signed.ko").status == 0
    # A link that somebody put there is replaced, and what it leads to stays.
    Path("precious").write_bytes(b"precious")
    Path("out").unlink()
    Path("out").symlink_to("precious")
    assert ks("sign", "hello.ko", "--out", "out").status == 0
    assert Path("precious").read_bytes() == b"precious" and not Path("out").is_symlink()


def test_the_systems_own_links_are_no_place_for_output(tmp_path):
    (tmp_path / "new").write_text("")
    assert reader.replaceable(tmp_path / "new") == tmp_path / "new"
    assert reader.replaceable(tmp_path / "none") == tmp_path / "none"
    with (tmp_path / "new").open() as file, pytest.raises(UsageError, match="is not a plain file"):
        reader.replaceable(Path(f"/proc/self/fd/{file.fileno()}"))


def test_a_file_is_read_in_memory_for_one(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(48 << 20)
    tracemalloc.start()
    try:
        assert len(reader.read_bytes(tmp_path / "large", 64 << 20)) == 48 << 20
        assert tracemalloc.get_traced_memory()[1] < 80 << 20  # pieces that are joined: 96
    finally:
        tracemalloc.stop()

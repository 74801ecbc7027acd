"""Two users of one machine: what the one makes the other's kscaffold neither believes nor runs."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kscaffold.errors import KscaffoldError
from kscaffold.files import executable
from kscaffold.process import kill_proven, start_time
from kscaffold.sandbox.live import registry
from tests.support.accounts import Account
from tests.support.elf import Ko
from tests.support.projects import HELLO, write
from tests.support.worlds import RELEASE

_BASES = (
    "from kscaffold.files import paths; bases = (paths.cache(), paths.state(), paths.data(), paths.runtime())"
)


def shared(mode: int, tmp: Path) -> Path:
    """A directory of root's below /tmp that both users reach."""
    place = Path(f"/tmp/ks-shared-{os.getpid()}-{tmp.name}")
    place.mkdir()
    place.chmod(mode)
    return place


@pytest.fixture
def common(tmp_path: Path):
    place = shared(0o1777, tmp_path)
    yield place
    subprocess.run(["rm", "-rf", str(place)], check=True)


@pytest.mark.parametrize("umask", [0o002, 0o000, 0o777])
def test_directories_are_ours_alone_whatever_the_umask(accounts: tuple[Account, Account], umask: int):
    one, _ = accounts
    made = f"{_BASES}\nfor base in bases:\n    paths.make_own(base / 'a' / 'b')\n    print(base)"
    ran = one.python("-c", made, umask=umask)
    assert ran.status == 0, ran.err
    bases = [Path(line) for line in ran.out.split()]
    assert len(bases) == 4 and bases[3] == Path(f"/tmp/kscaffold-{one.uid}")
    for base in bases:
        for place in (base, base / "a", base / "a/b"):
            assert place.stat().st_mode & 0o777 == 0o700, place


def test_a_command_makes_its_places_for_its_user_alone(
    accounts: tuple[Account, Account], monkeypatch: pytest.MonkeyPatch
):
    """A group that may write is as Debian's login has it (umask 002), all may as some installers do."""
    one, _ = accounts
    one.store_kernel(monkeypatch)
    subprocess.run(["chmod", "-R", "go-w", str(one.home / ".cache")], check=True)
    ran = one.ks("kernel", "default", RELEASE, umask=0o000)
    assert ran.status == 0, ran.err
    made = one.home / ".config" / "kscaffold"
    assert (made / "default-kernel").read_text().strip() == RELEASE
    assert made.stat().st_mode & 0o777 == 0o700


def test_a_runtime_directory_of_another_is_not_used(accounts: tuple[Account, Account], common: Path):
    one, other = accounts
    theirs = common / "run"
    theirs.mkdir()
    theirs.chmod(0o777)
    other.own(theirs)
    file = common / "file"
    file.write_text("")
    one.own(file)
    for place in (theirs, file):
        where = one.python(
            "-c", "from kscaffold.files import paths; print(paths.runtime())", XDG_RUNTIME_DIR=str(place)
        )
        assert where.out.strip() == f"/tmp/kscaffold-{one.uid}"


def test_the_place_in_tmp_taken_by_another(accounts: tuple[Account, Account]):
    one, other = accounts
    place = Path(f"/tmp/kscaffold-{one.uid}")
    place.mkdir(mode=0o777)
    other.own(place)
    ran = one.ks("sandbox", "status")
    assert ran.status == 69 and "error[KS618]" in ran.err and other.name in ran.err


def test_a_second_user_of_a_shared_cache_is_told(accounts: tuple[Account, Account], common: Path):
    one, other = accounts
    make = f"{_BASES}\npaths.make_own(paths.cache())"
    assert one.python("-c", make, XDG_CACHE_HOME=str(common)).status == 0
    ran = other.ks("kernel", "list", XDG_CACHE_HOME=str(common))
    assert ran.status == 69, ran.out
    assert f"cause: {common}/kscaffold belongs to {one.name}" in ran.err
    assert "fix: export XDG_CACHE_HOME=DIR" in ran.err
    # Without the sticky bit whoever comes may rename what the other made.
    common.chmod(0o777)
    ran = one.ks("kernel", "list", XDG_CACHE_HOME=str(common))
    assert ran.status == 69 and f"others may write to {common}" in ran.err


def test_another_who_answers_for_a_sandbox_is_not_heard(accounts: tuple[Account, Account]):
    one, other = accounts
    project = one.home / "hello"
    write(project, Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    place = Path(f"/tmp/kscaffold-{one.uid}") / "sandboxes" / registry.sandbox_id(project)
    place.mkdir(parents=True)
    one.own(place.parent.parent, place.parent, place)
    for made in (place.parent.parent, place.parent, place):
        made.chmod(0o700)
    listen = (
        "import os, socket, sys, time\n"
        "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); os.chmod(sys.argv[1], 0o777)\n"
        "os.setresuid(int(sys.argv[2]), int(sys.argv[2]), int(sys.argv[2])); s.listen(4)\n"
        "print('listens', flush=True); time.sleep(60)\n"
    )
    argv = [sys.executable, "-c", listen, str(place / "keeper.sock"), str(other.uid)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as forger:
        try:
            assert forger.stdout and forger.stdout.readline() == b"listens\n"
            ran = one.ks("list", cwd=project)
            assert ran.status == 69 and "error[KS618]" in ran.err and other.name in ran.err
        finally:
            forger.kill()


def test_a_strangers_kbuild_is_not_run(accounts: tuple[Account, Account], common: Path):
    one, other = accounts
    mark = common / "ran"
    write(common, Kbuild=f"$(shell touch {mark})\nobj-m := evil.o\n", evil__c=HELLO)
    other.own(common / "Kbuild", common / "evil.c")
    empty = common / "mine"
    empty.mkdir()
    (empty / "own.ko").write_bytes(Ko("own").bytes())
    one.own(empty, empty / "own.ko")
    # Whether this machine has a kernel to hold it against, and takes it there, is no matter here.
    alone = one.ks("check", empty / "own.ko", cwd=one.home).status
    assert alone in (0, 1) and not mark.exists()
    for *command, status in (
        ("list", 0),
        ("logs", 0),
        ("unload", 1),
        ("sandbox", "status", 0),
        ("sandbox", "stop", 0),
        ("cache", 0),
        ("check", "own.ko", alone),
        ("info", "own.ko", 0),
    ):
        ran = one.ks(*command, cwd=empty)
        assert ran.status == status, (command, ran.err)
        assert not mark.exists(), command
    for command in (("build",), ("check",), ("info",), ("clean",), ("package", "dkms"), ("adopt", common)):
        ran = one.ks(*command, cwd=empty)
        assert not mark.exists() and "error[KS095]" in ran.err and ran.status == 2, (command, ran.err)
    assert "error[KS095]" in ran.err and f"KSCAFFOLD_TRUST={common}" in ran.err
    # Nor what a link of theirs leads to: it may lead elsewhere when make comes.
    (common / "Kbuild").rename(common / "theirs")
    one.own(common / "theirs")
    (common / "Kbuild").symlink_to("theirs")
    other.own(common / "Kbuild")
    linked = one.ks("build", cwd=empty)
    assert not mark.exists() and linked.status == 2 and f"Kbuild there belongs to {other.name}" in linked.err
    (common / "theirs").replace(common / "Kbuild")
    other.own(common / "Kbuild")
    named = one.ks("adopt", common, cwd=empty, KSCAFFOLD_TRUST=str(common))
    assert named.status == 0 and mark.exists(), named.err


def test_a_directory_others_may_write_to_is_not_trusted(accounts: tuple[Account, Account]):
    one, _ = accounts
    project = one.home / "hello"
    write(project, Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    one.own(project, *project.iterdir())
    assert one.ks("adopt", project).status == 0
    project.chmod(0o777)
    ran = one.ks("adopt", project)
    assert ran.status == 2 and f"others may write to {project}" in ran.err
    # The group that Debian makes with an account is nobody else.
    project.chmod(0o775)
    assert one.ks("adopt", project).status == 0


def test_a_process_is_killed_only_when_it_is_the_one(accounts: tuple[Account, Account]):
    _, other = accounts
    with (
        subprocess.Popen(["sleep", "60"]) as mine,
        subprocess.Popen(["sleep", "60"], user=other.uid) as theirs,
    ):
        try:
            assert not kill_proven(mine.pid, start_time(mine.pid) - 1)
            assert not kill_proven(mine.pid, 0)
            assert not kill_proven(theirs.pid, start_time(theirs.pid))
            assert mine.poll() is None and theirs.poll() is None
            assert kill_proven(mine.pid, start_time(mine.pid))
            assert mine.wait(5) == -9
        finally:
            for child in (mine, theirs):
                child.kill()


def test_a_forged_card_kills_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A card that names another process as the daemon, while a lock says that a daemon lives."""
    monkeypatch.setattr(registry, "_STOP_WAIT", 0.3)
    place = registry.sandbox_dir(tmp_path)
    place.mkdir(parents=True, mode=0o700)
    hold = (
        "import fcntl, sys, time\nf = open(sys.argv[1], 'w')\nfcntl.flock(f, 2)\n"
        "print('', flush=True)\ntime.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold, str(place / "lock")], stdout=subprocess.PIPE)
    victim = subprocess.Popen(["sleep", "60"])
    try:
        assert holder.stdout and holder.stdout.readline()
        (place / "card.json").write_text(
            '{"project": "/x", "kernel": "k", "cmdline": "", "accelerator": "tcg", "qemu": 0, "started": 0,'
            f' "key": "k", "keeper": {victim.pid}, "keeper_started": {start_time(victim.pid) + 1}}}'
        )
        with pytest.raises(KscaffoldError, match="has not ended") as told:
            registry.stop_sandbox(tmp_path)
        assert told.value.code == "KS606" and str(victim.pid) in (told.value.cause or "")
        assert victim.poll() is None and holder.poll() is None
        # Even with the right start: another process listens there.
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(place / "keeper.sock"))
            listener.listen(1)
            known = (place / "card.json").read_text()
            right, wrong = str(start_time(victim.pid)), str(start_time(victim.pid) + 1)
            (place / "card.json").write_text(known.replace(wrong, right))
            card = registry.find_sandbox(tmp_path)
            assert card is not None and card.daemon == victim.pid
            registry._kill(card)
        time.sleep(0.05)
        assert victim.poll() is None
    finally:
        for child in (holder, victim):
            child.kill()
            child.wait()


def test_a_program_of_the_cache_is_what_was_kept(tmp_path: Path):
    program = tmp_path / "agent"
    assert not executable.is_genuine(program)
    executable.keep(program, b"\x7fELF good")
    assert executable.is_genuine(program)
    program.chmod(0o777)
    assert not executable.is_genuine(program)
    program.chmod(0o755)
    program.write_bytes(b"\x7fELF evil")
    assert not executable.is_genuine(program)
    executable.keep(program, b"\x7fELF good")
    (tmp_path / "agent.sha256").unlink()
    assert not executable.is_genuine(program)


@pytest.mark.parametrize("name", ["pytest.ini", "tox.ini"])
def test_a_strangers_settings_of_pytest_are_not_read(
    accounts: tuple[Account, Account], common: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    """pytest looks for its settings in each directory above the tests, and imports what they name."""
    one, other = accounts
    one.store_kernel(monkeypatch)
    mark = common / "ran"
    (common / "evil.py").write_text(f"open({str(mark)!r}, 'w')\n")
    (common / name).write_text("[pytest]\naddopts = -p evil\npythonpath = .\n")
    other.own(common / "evil.py", common / name)
    project = common / "mine"
    write(project, Kbuild="obj-m := hello.o\n", hello__c=HELLO, tests_0_test_it__py="def test_it(): pass\n")
    one.own(project, *project.rglob("*"))
    ran = one.ks("test", "--offline", cwd=project)
    assert not mark.exists()
    assert ran.status == 2 and f"error[KS095]: {common / name} is not read by pytest" in ran.err, ran.err
    named = one.ks("test", "--offline", cwd=project, KSCAFFOLD_TRUST=str(common))
    assert named.status == 0 and mark.exists(), named.err

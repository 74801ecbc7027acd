"""What is no file at the names of our own: in the cache, the state and the runtime directory. It is passed
over, or made again, or refused in one sentence; no command waits for it.
"""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from kscaffold.arch import table
from kscaffold.errors import KscaffoldError
from kscaffold.files import executable, paths
from kscaffold.files.lock import locked, opened
from kscaffold.packages.busybox import busybox
from kscaffold.sandbox.agent import guest_root
from kscaffold.sandbox.live import registry
from kscaffold.sandbox.live.daemon import SOCKET
from kscaffold.sandbox.vm import snapshot
from tests.conftest import need_program
from tests.support.elf import Ko
from tests.support.projects import HELLO, write
from tests.support.worlds import RELEASE, World
from tests.test_hostile_files import KINDS, OTHERS, SECONDS, judge

EVERY = {**KINDS, **OTHERS}
# What each command opens there by itself.
STATE = (
    "lock",
    "make.group",
    "make.log",
    "started",
    "project",
    "build.json",
    "targets.json",
    "compile_commands.digest",
    "spared",
)
IN_STATE = ("check", "build", "list", "clean", "cache prune")
RUNTIME = ("card.json", "lock", "starting", SOCKET, "log", "console", "told", "copies", "client")
IN_RUNTIME = (
    "list",
    "logs",
    "logs --previous",
    "unload",
    "sandbox status",
    "sandbox stop",
    "load --offline --no-build hello.ko",
    "exec --offline sh",
    "cache prune",
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("KSCAFFOLD_COMMAND_TIMEOUT", str(SECONDS))
    World().stored()
    where = write(tmp_path / "hello", Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    (where / "hello.ko").write_bytes(Ko("hello").bytes())
    monkeypatch.chdir(where)
    signal.alarm(4 * SECONDS)
    yield where
    signal.alarm(0)


@pytest.mark.parametrize("kind", EVERY)
def test_no_command_waits_for_a_name_of_the_state_directory(ks, project: Path, kind: str):
    state = paths.project_state(project)
    for command in IN_STATE:
        shutil.rmtree(state, ignore_errors=True)
        paths.make_own(state)
        for name in STATE:
            if (kind, name) != ("directory", "lock"):  # which is refused before the others are reached
                _put(kind, state / name)
        judge(command, ks(*command.split()), None)


@pytest.mark.parametrize("prefix", ["", registry.PREVIOUS])
@pytest.mark.parametrize("kind", EVERY)
def test_no_command_waits_for_a_name_of_the_runtime_directory(ks, project: Path, kind: str, prefix: str):
    place = registry.sandbox_dir(project)
    for command in IN_RUNTIME if not prefix else ("logs --previous", "cache"):
        shutil.rmtree(place, ignore_errors=True)
        paths.make_own(place)
        for name in RUNTIME:
            _put(kind, place / f"{prefix}{name}")
        judge(command, ks(*command.split()), None)


def _put(kind: str, file: Path) -> None:
    file.with_name("pipe").unlink(missing_ok=True)
    EVERY[kind](file)


@pytest.mark.parametrize("kind", EVERY)
def test_what_tells_of_a_default_kernel_that_is_none_goes_on(ks, project: Path, kind: str):
    file = paths.config() / "default-kernel"
    paths.make_own(file.parent)
    EVERY[kind](file)
    doctor, listed = ks("doctor"), ks("kernel", "list", "--json")
    for ran in (doctor, listed):
        judge("doctor", ran, None)
    assert [kernel["release"] for kernel in listed.json["kernels"]] == [RELEASE] and listed.status == 0
    assert "sandbox" in doctor.out and doctor.status in (0, 1)
    assert f"missing  kernel: {file} is" in doctor.out, doctor.out


def test_doctor_tells_of_a_default_kernel_that_has_gone(ks, project: Path):
    paths.make_own(paths.config())
    (paths.config() / "default-kernel").write_text("5.4.0-gone\n")
    ran = ks("doctor")
    assert ran.status == 1 and "kernel: the default kernel 5.4.0-gone is not here any more" in ran.out
    assert "fix: kscaffold kernel default --clear" in ran.out


def test_a_link_in_the_place_of_the_sandboxes_is_called_one(ks, project: Path):
    base = paths.runtime()
    base.parent.joinpath("elsewhere").mkdir()
    base.symlink_to("elsewhere")
    ran = ks("sandbox", "status")
    base.unlink()
    assert ran.status == 69 and f"error[KS618]: {base} is not a directory of your own" in ran.err, ran.err
    assert "cause: it is a link\n" in ran.err


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("name", ["agent", "agent.sha256"])
def test_a_program_that_is_none_is_made_again(tmp_path: Path, monkeypatch, kind: str, name: str):
    need_program("gcc", "gcc")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    host = table.host()
    assert host is not None
    place = tmp_path / "kscaffold" / "guest" / guest_root.agent_name(host)
    place.parent.mkdir(mode=0o700, parents=True)
    (tmp_path / "kscaffold").chmod(0o700)
    EVERY[kind](place.with_name(place.name + name.removeprefix("agent")))
    signal.alarm(SECONDS)
    try:
        with guest_root.compiled_agent(host) as program:
            assert program.read_bytes()[:4] == b"\x7fELF"
            # A directory is nobody's to replace: what is made there goes with the command.
            assert (program == place) == (kind != "directory")
    finally:
        signal.alarm(0)


@pytest.mark.parametrize("kind", EVERY)
def test_busybox_that_is_none_is_not_there(tmp_path: Path, monkeypatch, kind: str):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = tmp_path / "kscaffold" / "busybox" / "busybox"
    place.parent.mkdir(mode=0o700, parents=True)
    (tmp_path / "kscaffold").chmod(0o700)
    executable.keep(place, b"\x7fELF")
    place.unlink()
    EVERY[kind](place)
    with pytest.raises(KscaffoldError) as raised:
        busybox(offline=True)
    assert raised.value.code == "KS613"


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("name", ["snapshot.json", "ram", "state", "lock"])
def test_a_snapshot_of_what_is_no_file_is_none(tmp_path: Path, monkeypatch, kind: str, name: str):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = tmp_path / "kscaffold" / "snapshots" / "0123456789abcdef01234567"
    place.mkdir(mode=0o700, parents=True)
    (tmp_path / "kscaffold").chmod(0o700)
    record = '{"format": 6, "key": "%s", "files": {"ram": {%s}, "state": {%s}}}'
    empty = '"inode": 1, "size": 0, "mtime_ns": 0, "ctime_ns": 0, "sha256": ""'
    (place / "snapshot.json").write_text(record % (place.name, empty, empty))
    for file in ("ram", "state", "lock"):
        (place / file).write_bytes(b"")
    (place / name).unlink()
    EVERY[kind](place / name)
    signal.alarm(SECONDS)
    try:
        assert snapshot.find_snapshot(place.name) is None
        snapshot.all_snapshots()
    finally:
        signal.alarm(0)
    assert not place.exists()


@pytest.mark.parametrize("kind", EVERY)
def test_a_lock_that_is_no_file_is_made_again(tmp_path: Path, kind: str):
    file = tmp_path / "lock"
    EVERY[kind](file)
    signal.alarm(SECONDS)
    try:
        if kind == "directory":
            with pytest.raises(IsADirectoryError), opened(file):
                pass
            return
        with opened(file):
            assert file.is_file() and not file.is_symlink()
        with locked(file, timeout=1):
            pass
    finally:
        signal.alarm(0)

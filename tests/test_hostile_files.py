"""Every command beside every kind of file that no command may wait for, at every name that is looked at."""

import contextlib
import lzma
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from kscaffold.errors import EXIT_BUG
from kscaffold.files import reader
from kscaffold.files.git import exclude
from kscaffold.kernel import store
from kscaffold.make import build
from kscaffold.project.ask import read_project
from kscaffold.project.settings import read_settings
from kscaffold.testing.examination import _copy
from tests.conftest import ROOT, Ran
from tests.support.elf import Ko
from tests.support.projects import HELLO, write
from tests.support.worlds import World

SECONDS = 15  # of a command; KS008 ends it then
MEMORY = 4 << 30  # bytes of address space: a sparse file of 1 TiB does not fit


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link_to_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def directory(path: Path) -> None:
    path.mkdir()
    (path / "self").symlink_to("self")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(200 << 20)


def hole(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2 << 30)


def listener(path: Path) -> None:
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


KINDS = {"fifo": fifo, "link to a fifo": link_to_fifo, "endless": endless, "sparse": sparse}
# These end by themselves, and would as what they are not: by an error of the kernel's, or in memory.
OTHERS = {"directory": directory, "loop": loop, "large": large, "hole": hole, "socket": listener}

# Command lines in the project; "@" stands for its directory.
COMMANDS = (
    "check",
    "check hello.ko",
    "check .",
    "info hello.ko",
    "info",
    "adopt",
    "build",
    "clean",
    "update",
    "list",
    "logs",
    "unload",
    "load --offline --no-build",
    "load --offline hello.ko",
    "run --offline",
    "sign hello.ko --key own.pem",
    "package dkms",
    "kbuild add-object other.o",
    "kbuild rename hello other",
    "explain load hello.ko --offline",
    "sandbox stop",
)
READERS = ("check", "info", "adopt", "build")
# Which commands can't do without the file, and so have to name it.
NEEDED = {
    "Kbuild": READERS,
    "hello.c": ("check", "info", "adopt", "build"),
    "hello.ko": ("check hello.ko", "info hello.ko"),
    "own.pem": ("sign hello.ko --key own.pem",),
    "Module.symvers": ("check hello.ko",),
    "../Module.symvers": ("check hello.ko",),
    ".kscaffold.toml": ("update",),
    ".kscaffold.base": (),
    ".kscaffold-update/plan.json": (),
    "compile_commands.json": (),
    "modules.order": (),
    "hello.mod": (),
    ".hello.o.cmd": (),
    "other.c": (),
    "hello.h": (),
    "dkms.conf": (),
}


# What only some commands look at, and whether those can't do without.
LOOK = {
    "own.x509": ("check --cert own.x509 hello.ko", True),
    "fw.bin": ("load --offline --no-build --firmware fw.bin hello.ko", False),
    "firmware/blob.bin": ("run --offline --no-build hello.ko", False),
    "kscaffold.toml": ("run --offline --no-build hello.ko", False),
    "prog.c": ("exec --offline prog.c", False),
    "prog.sh": ("exec --offline prog.sh", False),
    "copied": ("exec --offline --copy copied -- prog.sh", False),
    "./hello.log": ("explain ./hello.log", False),
    "image": ("kernel add --image image", False),
    "tree/.config": ("kernel add --build tree", False),
    "tree/.kernelvariables": ("kernel add --build tree", False),
    "tree/Module.symvers": ("kernel add --build tree", False),
    "tree/include/config/kernel.release": ("kernel add --build tree", False),
    "tree/include/generated/utsrelease.h": ("kernel add --build tree", True),
    "Makefile": ("adopt", False),
    "configure": ("adopt", False),
    "Kbuild.in": ("adopt", False),
    "sub/Kbuild": ("adopt", False),
    "out.html": ("run --offline --no-build --html out.html hello.ko", False),
    "out.lcov": ("run --offline --coverage --lcov out.lcov", False),
    "root/etc/depmod.d/x.conf": ("package install --root root --offline --no-build", False),
    ".git/HEAD": ("build", False),
    ".github/workflows/kscaffold.yml": ("ci github", False),
    ".gitlab-ci.yml": ("ci gitlab", False),
    "cookiecutter.json": ("new made --template .", False),
    "hello.ko.xz": ("check hello.ko.xz", True),
    "firmware": ("run --offline --no-build hello.ko", False),
    "Kconfig": ("adopt", False),
    ".git": ("build", False),
    "cache/kscaffold/instrumented": ("cache", False),
    "cache/kscaffold/snapshots": ("sandbox status", False),
    "cache/kscaffold/locks": ("kernel list", False),
    "cache/kscaffold/tmp": ("kernel list", False),
    "cache/kscaffold/guest": ("cache prune", False),
    "cache/kscaffold/addresses": ("cache prune", False),
    "cache/kscaffold/forecasts": ("check hello.ko", False),
    "cache/kscaffold/command-lines": ("list", False),
    "cache/kscaffold/checkouts": ("cache", False),
    "cache/kscaffold/restores.json": ("doctor", False),
    "cache/kscaffold/accelerator.json": ("doctor", False),
    "cache/kscaffold/kernels/6.1.0-test/kernel.json": ("kernel list", False),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A built module and a kernel, as far as no command needs a compiler."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("KSCAFFOLD_COMMAND_TIMEOUT", str(SECONDS))
    World().stored()
    where = tmp_path / "up" / "hello"
    write(where, Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    (where / "hello.ko").write_bytes(Ko("hello").bytes())
    (where / "own.pem").write_text("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n")
    monkeypatch.chdir(where)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, hard))
    yield where
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NEEDED)
def test_no_command_waits_for_a_file(ks, project: Path, name: str, kind: str):
    place = project / name
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    KINDS[kind](place)
    for command in COMMANDS:
        began = time.monotonic()
        ran = ks(*command.split())
        told = f"{command}: {ran.status} {ran.out[-300:]} {ran.err[-600:]}"
        assert ran.status != EXIT_BUG, told
        for bug in ("KS008", "KS002", "KS009", "Traceback", "no such command", "no such option"):
            assert bug not in ran.err, told
        assert time.monotonic() - began < SECONDS, told
        if command in NEEDED[name]:
            assert ran.status not in (0, EXIT_BUG), told
            assert place.name in ran.out + ran.err, told
            if kind == "sparse":
                assert "too large" in ran.out + ran.err, told
            else:
                assert "is not a plain file" in ran.err or "is not a regular file" in ran.err, told


@pytest.mark.parametrize("kind", {**KINDS, **OTHERS})
@pytest.mark.parametrize("name", LOOK)
def test_no_command_waits_for_what_only_it_reads(ks, project: Path, name: str, kind: str):
    command, needed = LOOK[name]
    (project / "prog.sh").write_text("#!/bin/sh\n")
    (project / "tree").mkdir()
    place = (project.parent.parent if name.startswith("cache/") else project) / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        place.unlink() if place.is_file() else place.rmdir()
    {**KINDS, **OTHERS}[kind](place)
    judge(command, ks(*command.split()), place.name if needed else None)


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("name", NEEDED)
def test_what_is_no_file_at_all_is_no_file(ks, project: Path, name: str, kind: str):
    place = project / name
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    OTHERS[kind](place)
    # For what finds files by a look at them, a directory, a socket and a link to itself are none.
    must = NEEDED[name] and kind in ("large", "hole")
    for command in NEEDED[name] or ("build", "update", "package dkms"):
        judge(command, ks(*command.split()), place.name if must else None)


def judge(command: str, ran: Ran, name: str | None) -> None:
    """A command that met a hostile file came to an end of its own, and named the file where it needs one."""
    told = f"{command}: {ran.status} {ran.out[-300:]} {ran.err[-600:]}"
    assert ran.status != EXIT_BUG, told
    for bug in ("KS008", "KS002", "KS009", "Traceback", "MemoryError", "no such command", "no such option"):
        assert bug not in ran.out + ran.err, told
    if name is not None:
        assert ran.status != 0 and name in ran.out + ran.err, told


def test_the_examination_copies_what_make_reads_and_nothing_endless(project: Path):
    for kind, make in {**KINDS, **OTHERS}.items():
        make(project / kind)
        (project / "pipe").rename(project / f"pipe of {kind}") if kind == "link to a fifo" else None
    (project / "up").symlink_to(project)
    (project / "sub").mkdir()
    (project / "sub" / "near.h").symlink_to("../hello.c")
    (project / "far.h").symlink_to("/proc/version")
    copy = project.parent / "copy"
    _copy(project, copy)
    assert (copy / "hello.c").read_text() == HELLO and not (copy / "hello.c").is_symlink()
    assert (copy / "sub" / "near.h").resolve() == copy / "hello.c"
    assert (copy / "far.h").readlink() == Path("/proc/version")
    links = {path.name for path in copy.iterdir() if path.is_symlink()}
    assert links == {*KINDS, *OTHERS, "pipe of link to a fifo", "up", "far.h"} - {"directory"}
    assert not (copy / "hello.ko").exists()


def test_the_examination_s_copy_is_one_s_own_whatever_the_umask(project: Path):
    """With umask 000, or 002 and a group of others, make would not read a copy that others may write to."""
    (project / "Kbuild").chmod(0o666)
    (project / "sub").mkdir()
    before = os.umask(0)
    try:
        _copy(project, project.parent / "copy")
    finally:
        os.umask(before)
    for place in (project.parent / "copy").rglob("*"):
        assert not place.stat().st_mode & 0o022, place
    assert not (project.parent / "copy").stat().st_mode & 0o022


@pytest.mark.parametrize("kind", KINDS)
def test_the_examination_is_not_begun_with_what_cant_be_read(ks, project: Path, kind: str):
    (project / "hello.c").unlink()
    KINDS[kind](project / "hello.c")
    ran = ks("test", "--offline")
    judge("test", ran, "hello.c")
    assert "passed" not in ran.out and ran.err.count("error[") == 1, ran.err


@pytest.mark.parametrize("kind", [*KINDS, "hole", "socket"])
def test_projects_tests_are_not_begun_with_what_pytest_cant_read(ks, project: Path, kind: str):
    (project / "tests").mkdir()
    (project / "tests" / "test_good.py").write_text("def test_good(): pass\n")
    {**KINDS, **OTHERS}[kind](project / "tests" / "test_bad.py")
    for words in ((), ("tests",), ("tests/test_bad.py::test_it",)):
        ran = ks("test", *words, "--offline")
        judge("test", ran, "test_bad.py")
        assert "passed" not in ran.out and ran.err.count("error[KS09") == 1, ran.err


@pytest.mark.parametrize("name", ["../pytest.ini", "../../setup.cfg", "conftest.py"])
def test_pytest_reads_no_settings_without_an_end(ks, project: Path, name: str):
    """Its reader of a file of 300 MB takes minutes, or gigabytes."""
    (project / "tests").mkdir()
    (project / "tests" / "test_good.py").write_text("def test_good(): pass\n")
    large(project / name)
    ran = ks("test", "--offline")
    judge("test", ran, Path(name).name)
    assert ran.status == 69 and "error[KS093]" in ran.err, ran.err


@pytest.mark.parametrize("kind", KINDS)
def test_make_waits_for_nothing_that_a_kbuild_includes(ks, project: Path, kind: str):
    write(project, Kbuild="-include $(src)/part.mk\nobj-m := hello.o\n", hello__c=HELLO)
    KINDS[kind](project / "part.mk")
    for command in READERS:
        judge(command, ks(command), "part.mk")


@pytest.mark.parametrize("kind", ["fifo", "endless", "socket"])
def test_a_log_is_no_file_that_may_never_end(ks, project: Path, kind: str):
    {**KINDS, **OTHERS}[kind](project / "some pipe")
    ran = ks("explain", "./some pipe")
    judge("explain", ran, "some pipe")
    assert ran.status == 2 and "error[KS402]" in ran.err
    assert "fix: kscaffold explain - < './some pipe'" in ran.err


def test_a_directory_is_no_version_of_a_kernel(ks, project: Path):
    for word in (".", "..", "./tree", "/usr/src/linux"):
        ran = ks("kernel", "add", word)
        assert (ran.status, "error[KS004]" in ran.err) == (2, True), ran.err
        assert f"fix: kscaffold kernel add --build {word}" in ran.err


def test_a_loop_of_directories_ends(ks, project: Path):
    (project / "sub").mkdir()
    (project / "sub" / "up").symlink_to(project)
    (project / "sub" / "self").symlink_to("self")
    for command in COMMANDS:
        ran = ks(*command.split())
        assert ran.status != EXIT_BUG, (command, ran.err)
        assert "KS008" not in ran.err and "KS009" not in ran.err, (command, ran.err)


def test_the_reader_tells_what_is_wrong(tmp_path: Path):
    for kind, make in KINDS.items():
        place = tmp_path / kind
        make(place)
        with pytest.raises(reader.ForeignFileError) as raised:
            reader.read_bytes(place, 1 << 20)
        assert raised.value.code == ("KS093" if kind == "sparse" else "KS092")
        (tmp_path / "pipe").unlink(missing_ok=True)
    (tmp_path / "text").write_bytes(b"a\r\n\xff")
    assert reader.read_text(tmp_path / "text") == "a\n�"
    assert reader.read_bytes(tmp_path / "text", 4) == b"a\r\n\xff"
    with pytest.raises(reader.ForeignFileError):
        reader.read_bytes(tmp_path / "text", 3)
    with pytest.raises(FileNotFoundError):
        reader.read_bytes(tmp_path / "none")
    # /proc tells a size of 0.
    assert reader.read_bytes(Path("/proc/self/status")).startswith(b"Name:")


# What only a command that comes as far as a guest or a whole build reads.
LATE = {
    "kscaffold.toml": lambda project: read_settings(project),
    ".gitignore": lambda project: exclude(project / "compile_commands.json"),
    ".git/info/exclude": lambda project: exclude(project / "compile_commands.json"),
    "config/kscaffold/default-kernel": lambda project: store.default(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LATE)
def test_no_reader_waits_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config" / "kscaffold").mkdir(mode=0o700, parents=True)
    (tmp_path / ".git" / "info").mkdir(parents=True)
    KINDS[kind](tmp_path / name)
    signal.alarm(SECONDS)
    try:
        with pytest.raises((reader.ForeignFileError, OSError)) as raised:
            LATE[name](tmp_path)
        assert "too large" in str(raised.value) or "is not a plain file" in str(raised.value)
    finally:
        signal.alarm(0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["part.o", ".part.o.cmd", "near.h", "sub/deep.h", "hello.mod"])
def test_neither_kbuild_nor_a_compiler_waits_for_a_file(project: Path, name: str, kind: str):
    write(project, Kbuild="obj-m := hello.o\nhello-y := part.o sub/deep.o\n", part__c=HELLO)
    (project / "sub").mkdir()
    (project / "sub" / "deep.c").write_text("")
    build._require_plain_output(read_project(project, None))
    KINDS[kind](project / name)
    with pytest.raises(reader.ForeignFileError, match="is not a plain file" if kind != "sparse" else "large"):
        build._require_plain_output(read_project(project, None))


BOMBS = {
    "gz": lambda zeros: zlib.compress(zeros, 1, wbits=31),
    "xz": lambda zeros: lzma.compress(zeros, preset=0),
    "zst": lambda zeros: zstandard.ZstdCompressor().compress(zeros),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_small_bomb_unpacks_to_some_megabytes(tmp_path: Path, kind: str):
    bomb = tmp_path / f"bomb.ko.{kind}"
    bomb.write_bytes(BOMBS[kind](bytes(200 << 20)))
    small = tmp_path / "small.ko"
    small.write_bytes(Ko("small").bytes())

    def memory(file: Path) -> tuple[str, int]:
        env = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)}
        argv = [sys.executable, "-m", "kscaffold", "info", str(file)]
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
        assert child.stdout
        said = child.stdout.read().decode()
        return said, os.wait4(child.pid, 0)[2].ru_maxrss

    said, used = memory(bomb)
    assert "KS411" in said and "unpacks to more than" in said
    assert used - memory(small)[1] < 64 << 10, used  # KB more than for a file that is none

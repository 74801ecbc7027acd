"""Every command beside every kind of file that no command may wait for, at every name that is looked at."""

import lzma
import os
import resource
import signal
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
from kscaffold.project.settings import read_settings
from tests.conftest import ROOT
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


KINDS = {"fifo": fifo, "link to a fifo": link_to_fifo, "endless": endless, "sparse": sparse}

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
    "kbuild add-source other.c",
    "kbuild rename-module hello other",
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
        for bug in ("KS008", "KS002", "KS009", "Traceback"):
            assert bug not in ran.err, told
        assert time.monotonic() - began < SECONDS, told
        if command in NEEDED[name]:
            assert ran.status not in (0, EXIT_BUG), told
            assert place.name in ran.out + ran.err, told
            if kind == "sparse":
                assert "too large" in ran.out + ran.err, told
            else:
                assert "is not a plain file" in ran.err or "is not a regular file" in ran.err, told


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

"""`watch`: again at each save, however an editor saves; Ctrl-C ends it."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kscaffold.testing.watch import again, changes, directory_of, is_source
from tests.conftest import ROOT, need_program
from tests.support.kernels import need_kernel
from tests.support.projects import HELLO, write


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.c", True),
        ("a.h", True),
        ("Kbuild", True),
        ("tests/test_a.py", True),
        ("tests/plug.sh", True),
        ("firmware/acme/fw.bin", True),
        ("firmware/.fw.bin.swp", False),
        ("a.mod.c", False),
        ("a.o", False),
        ("a.ko", False),
        (".a.c.swp", False),
        (".a.o.cmd", False),
        ("a.c~", False),
        ("4913", False),
        ("kscaffold.toml", True),
        (".kscaffold.toml", False),
        (".venv/lib/a.py", False),
        ("sub/.git/Makefile", False),
    ],
)
def test_what_is_a_source(name, source):
    assert is_source(Path(name)) is source


@pytest.mark.parametrize(("verb", "done"), [("run", "run"), ("test", "test"), ("load", "reload")])
def test_what_is_done_again(tmp_path, monkeypatch, verb, done):
    """What is loaded can't be loaded once more."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    lines: list[str] = []
    assert again(verb, ["--kernel", "6.1"], tmp_path, lines.append) == 0
    assert lines == [f"-m kscaffold {done} -C {tmp_path} --kernel 6.1"]


@pytest.mark.parametrize(
    ("words", "directory"),
    [
        ("", None),
        ("-k x", None),
        ("-x -C there", "there"),
        ("-Cthere", "there"),
        ("--directory=there -x", "there"),
    ],
)
def test_a_verb_s_own_words_may_name_the_directory(words, directory):
    assert directory_of(words.split()) == (Path(directory) if directory else None)


@pytest.fixture
def watched(tmp_path):
    """A project, and a function that does something in it and returns what was seen then."""
    (tmp_path / "Kbuild").write_text("obj-m := a.o\n")
    (tmp_path / "old").mkdir()
    (tmp_path / "old/a.c").write_text("")
    seen = changes(tmp_path)
    assert next(seen) == ()

    def after(act: Callable[[], object]) -> set[str]:
        act()
        return set(next(seen))

    yield after
    seen.close()


def test_directories_with_sources_are_seen(watched, tmp_path):
    def made_with_a_source() -> None:
        (tmp_path / "__pycache__").mkdir()
        (tmp_path / "made").mkdir()
        (tmp_path / "made/b.c").write_text("")

    assert {Path(one).parts[0] for one in watched(made_with_a_source)} == {"made"}
    assert {"new"} <= watched(lambda: (tmp_path / "old").rename(tmp_path / "new")) <= {"old", "new"}
    assert watched(lambda: (tmp_path / "new/a.c").write_text("int a;")) == {"new/a.c"}
    elsewhere = tmp_path.with_name("elsewhere")
    assert watched(lambda: (tmp_path / "new").rename(elsewhere)) == {"new"}


@pytest.mark.kernel
def test_again_at_each_save(ks, tmp_path):
    need_program("make", "make")
    assert ks("kernel", "default", need_kernel("6.1").release).status == 0
    write(tmp_path, Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    running = subprocess.Popen(
        [sys.executable, "-m", "kscaffold", "watch", "build", "--kernel", "6.1", "-C", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    lines: queue.Queue[str] = queue.Queue()
    stream = running.stderr
    threading.Thread(target=lambda: [lines.put(line) for line in stream], daemon=True).start()

    def told() -> str:
        while "-- build" not in (line := lines.get(timeout=120)):
            pass
        return line

    try:
        assert "-- build: ok" in told()
        (tmp_path / "hello.c").write_text("int x = ;\n")
        assert "ended with 1" in (line := told()) and "after hello.c" in line
        (tmp_path / ".hello.c.new").write_text(HELLO)  # as an editor does
        (tmp_path / ".hello.c.new").rename(tmp_path / "hello.c")
        assert "-- build: ok" in (line := told()) and "after hello.c" in line
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0
        assert lines.empty()
    finally:
        running.kill()
        running.wait()

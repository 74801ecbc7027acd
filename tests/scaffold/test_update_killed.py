"""An update is done or not done: killed at every step, two at once, where nothing can be written."""

import ctypes
import errno
import fcntl
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from kscaffold.files import journal, tree
from kscaffold.scaffold.metadata import answers, base
from tests.scaffold.test_new import snapshot
from tests.scaffold.test_update import edit, left_nothing, made
from tests.support.newer import Main, Newer, changes

# What changes a file system, as Python tells its audit hooks before it does it. ctypes: renameat2.
_CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "ctypes.dlsym"}


@pytest.fixture
def newer(tmp_path) -> Newer:
    return Newer(tmp_path / "newer")


@pytest.fixture
def hello(ks, tmp_path, newer) -> Path:
    """A project, edited, and a newer template: a file to change, to merge, to add, to remove; a conflict."""
    project = made(ks, tmp_path, "hello")
    newer.edit("single", "*.c", "hello from init", "hello from newer init")
    newer.edit("common", "README.md", "## Build", "## Building")
    newer.edit("common", ".editorconfig", "root = true", "root = true # newer")
    (newer.within("common") / "doc").mkdir()
    (newer.within("common") / "doc/NOTES.md").write_text("notes\n")
    (newer.within("common") / ".clangd").unlink()
    edit(project / "hello.c", "goodbye", "farewell")
    edit(project / ".editorconfig", "root = true", "root = true # mine")
    return project


def files(project: Path) -> dict[str, tree.File]:
    return tree.read_tree_files(project)


def is_whole(project: Path, before: dict[str, tree.File], after: dict[str, tree.File]) -> bool:
    """Each file is the old one or the new one, whole."""
    there = {
        p: f for p, f in files(project).items() if not p.startswith((".kscaffold-new-", ".kscaffold-update/"))
    }
    return all(there.get(p) in (before.get(p), after.get(p)) for p in {*there, *before, *after})


def test_killed_at_every_step_a_repeated_update_has_the_same_end(hello, newer):
    before = files(hello)
    whole = hello.with_name("whole")
    shutil.copytree(hello, whole)
    assert newer("update", whole, "--write").status == 1
    after = files(whole)
    assert after["hello.c"] != before["hello.c"] and ".clangd" not in after and "doc/NOTES.md" in after

    def killed_after(number: int, project: Path, main: Main) -> bool:
        """Whether the update came to the step, and was killed there."""
        child = os.fork()
        if child:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert status in (1, -signal.SIGKILL), status
            return status != 1
        left = number

        def count(event: str, args: tuple) -> None:
            nonlocal left
            if event not in _CHANGES or (event == "open" and not str(args[0]).startswith(str(project))):
                return
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

        sys.addaudithook(count)
        os._exit(main(["update", str(project), "--write"]))

    def work(main: Main) -> int:
        number, pending = 0, 0
        while True:
            project = hello.with_name(f"hello-{number}")
            shutil.copytree(hello, project)
            killed = killed_after(number, project, main)
            assert is_whole(project, before, after), number
            if journal.is_pending(project):
                pending += 1
                there = files(project)
                assert main(["update", str(project)]) == 69  # it is said, and nothing is written
                assert files(project) == there
            assert main(["update", str(project), "--write"]) == 1, number
            assert files(project) == after, number
            assert left_nothing(project), number
            shutil.rmtree(project)
            if not killed:
                print(number, pending, file=sys.stderr)
                return 0
            number += 1

    ran = newer.inside(work)
    assert ran.status == 0, ran.err[-3000:]
    steps, pending = map(int, ran.err.splitlines()[-1].split())
    assert steps > 30 and pending > 5


def interrupted(hello: Path, newer: Newer) -> Path:
    """A project whose update was killed when one file was moved."""

    def work(main: Main) -> int:
        def count(event: str, args: tuple) -> None:
            if event == "os.rename" and str(args[1]).endswith("hello.c"):
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        return main(["update", str(hello), "--write"])

    assert newer.inside(work).status == -signal.SIGKILL
    assert journal.is_pending(hello)
    return hello


def test_an_interrupted_update_is_told(ks, hello, newer):
    interrupted(hello, newer)
    ran = ks("update", hello)
    assert (ran.status, ran.out) == (69, "")
    assert ran.err.startswith("error[KS055]: ") and "fix: kscaffold update --write" in ran.err


def test_a_file_that_was_edited_after_the_kill_is_not_touched(hello, newer):
    interrupted(hello, newer)
    (hello / "README.md").write_text("mine\n")  # moved already
    edit(hello / "hello.c", "farewell", "so long")  # not yet
    edited = (hello / "hello.c").read_text()
    ran = newer("update", hello, "--write", "--json")
    assert ran.status == 1
    assert (hello / "README.md").read_text() == "mine\n"
    assert (hello / "hello.c").read_text() == edited.replace("from init", "from newer init")
    assert changes(ran)["README.md"] == "conflict"
    assert left_nothing(hello)


def test_a_journal_that_came_with_the_project_writes_nothing_outside(ks, hello, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine\n")
    (hello / "link").symlink_to(tmp_path)
    evil = hello / ".kscaffold-update"
    for path in ("../precious", str(precious), "link/precious", "link/other", ".git/hooks/x"):
        evil.mkdir()
        (evil / "0").write_text("evil\n")
        (evil / "keep").write_text("not ours\n")
        old = journal._digest(tree.File(b"mine\n")) if "precious" in path else None
        new = journal._digest(tree.File(b"evil\n"))
        (evil / "plan.json").write_text(json.dumps([{"path": path, "before": old, "after": new}]))
        ran = ks("update", hello, "--write")
        assert ran.status == 0, ran.err
        assert precious.read_text() == "mine\n"
        assert sorted(os.listdir(tmp_path)) == ["hello", "newer", "precious"]
        assert not (hello / ".git").exists()
        shutil.rmtree(evil)


def test_two_at_once(ks, hello, newer):
    fd = os.open(hello, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    before = snapshot(hello)
    try:
        ran = newer("update", hello, "--write")
        assert (ran.status, ran.out) == (69, "")
        assert ran.err.startswith("error[KS053]: ")
        assert newer("update", hello).status == 1  # showing is free
        assert snapshot(hello) == before
    finally:
        os.close(fd)
    assert newer("update", hello, "--write").status == 1


def test_a_file_that_is_saved_between_showing_and_writing_is_not_lost(hello, newer):
    before = files(hello)

    def work(main: Main) -> int:
        def save(event: str, args: tuple) -> None:
            if event == "os.mkdir" and str(args[0]).endswith("/journal"):
                (hello / "hello.c").write_text("saved just now\n")

        sys.addaudithook(save)
        return main(["update", str(hello), "--write"])

    ran = newer.inside(work)
    assert ran.status == 69 and "error[KS041]: hello.c was changed" in ran.err
    assert files(hello) == before | {"hello.c": tree.File(b"saved just now\n")}
    assert left_nothing(hello)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_where_nothing_can_be_written_nothing_is(hello, newer, number):
    """A place that refuses, at each file that would be written there."""
    before = snapshot(hello)
    for which in ("journal", "journal/1", "journal/4", "plan.json"):

        def work(main: Main, which: str = which) -> int:
            def refuse(event: str, args: tuple) -> None:
                if event in ("open", "os.mkdir") and str(args[0]).endswith(f"/{which}"):
                    raise OSError(number, os.strerror(number), args[0])

            sys.addaudithook(refuse)
            return main(["update", str(hello), "--write"])

        ran = newer.inside(work)
        assert ran.status == 69, ran.err
        assert f"error[KS00{5 if number == errno.ENOSPC else 6}]" in ran.err and "Traceback" not in ran.err
        assert snapshot(hello) == before
    assert newer("update", hello, "--write").status == 1
    assert base.read_base(hello, answers.read_answers(hello).base)


def drop_the_right_to_write_anywhere() -> None:
    """For root, of whom a mode asks nothing: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH go (capset(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    assert libc.capget(head, sets) == 0
    for number in range(3):
        sets[number] &= ~0b110
    assert libc.capset(head, sets) == 0


def test_a_directory_that_is_read_only_is_found_out_before_anything_is_done(hello, newer):
    (hello / "doc").mkdir()
    (hello / "doc").chmod(0o555)
    before = snapshot(hello)

    def work(main: Main) -> int:
        drop_the_right_to_write_anywhere()
        return main(["update", str(hello), "--write"])

    ran = newer.inside(work)
    assert ran.status == 69 and ran.err.splitlines()[0].startswith("error[KS006]")
    assert str(hello / "doc") in ran.err
    assert snapshot(hello) == before
    (hello / "doc").chmod(0o755)
    assert newer.inside(work).status == 1
    assert (hello / "doc/NOTES.md").exists()

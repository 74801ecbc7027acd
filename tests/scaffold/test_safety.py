"""A project appears whole or not at all, and over nothing: whatever is typed, killed, full or in the way."""

import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kscaffold.cli.app import main
from kscaffold.errors import UsageError
from kscaffold.files import atomic_dir
from tests.conftest import ROOT, need_program
from tests.scaffold.test_new import snapshot
from tests.support.projects import identity

WHOLE = {".clang-format", ".clangd", ".editorconfig", ".gitignore"} | {
    ".kscaffold.base",
    ".kscaffold.toml",
    "Kbuild",
    "LICENSE",
    "Makefile",
    "README.md",
    "tests",
}
NEW = [sys.executable, "-m", "kscaffold", "new", "--author", "me"]


def child(words: list[str], cwd: Path, **more) -> subprocess.Popen:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **more.pop("env", {})}
    return subprocess.Popen(
        NEW + words, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


# Mostly what could be right, and a part of anything at all.
anything = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
stems = st.one_of(
    st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,12}", fullmatch=True),
    st.sampled_from(
        ["mod", "my-mod", "my_mod", "time", "int", "..", "a/b", "file", "full", "dir", "link", "-n", "."]
    ),
    anything,
)
specs = st.one_of(
    st.builds(
        "{}:{}{}{}{}".format,
        st.from_regex(r"[a-z][a-z_0-9]{0,8}", fullmatch=True),
        st.sampled_from(["byte", "int", "ullong", "bool", "invbool", "charp", "float"]),
        st.sampled_from(["", "@0644", "@0", "@777"]),
        st.one_of(st.just(""), st.integers().map("={}".format), anything.map("={}".format)),
        st.one_of(st.just(""), anything.map(":{}".format)),
    ),
    anything,
)


@settings(max_examples=150)
@given(
    name=stems,
    objs=st.lists(stems, max_size=3),
    param=st.lists(specs, max_size=2),
    texts=st.tuples(anything, anything),
    template=st.sampled_from([None, None, None, "single", "multi", "params", "../x"]),
    directory=st.sampled_from([".", ".", "dir", "full", "link", "gone", "a b", "file", "/proc"]),
)
@example("full", [], [], ("", ""), None, ".")
@example("mod", ["a", "b"], ["n:int=1:x"], ('"\\\n', "{{ 1/0 }}{% for %}"), None, "dir")
def test_new_leaves_a_whole_tree_or_nothing_and_touches_no_file(
    capfd, name, objs, param, texts, template, directory
):
    with tempfile.TemporaryDirectory(prefix="ks") as temporary:
        here = Path(temporary)
        (here / "file").write_text("mine")
        (here / "dir").mkdir()
        (here / "a b").mkdir()
        (here / "full").mkdir()
        (here / "full/hello.c").write_text("mine, too")
        (here / "link").symlink_to("dir")
        before = snapshot(here)
        words = ["new", f"--directory={here / directory}", "--author", texts[0], f"--description={texts[1]}"]
        words += [f"--objs={o}" for o in objs] + [f"--param={p}" for p in param]
        words += [f"--template={template}"] if template else []
        status = main([*words, "--", name])
        after = snapshot(here)
        # Directories change their times when something is made in them.
        kept = {k: v for k, v in after.items() if k in before and (here / k).is_file()}
        assert kept == {k: v for k, v in before.items() if (here / k).is_file()}
        made = {Path(k) for k in after if k not in before}
        if status == 0:
            parent = "dir" if directory == "link" else directory
            project = Path(parent, name)
            assert project in made and all(k.is_relative_to(project) for k in made)
            inside = {k.name for k in made if k.parent == project}
            assert inside >= WHOLE and len(inside) > len(WHOLE)
        else:
            said = capfd.readouterr().err
            refused = "error[KS007]" in said  # by the place itself: /proc takes no directory
            assert status == (69 if refused else 2), said
            assert directory == "/proc" or not refused
            assert made == set()
    capfd.readouterr()


def test_of_twenty_at_once_one_wins_and_has_all_of_its_own(tmp_path):
    racers = [child(["mod", "--objs", f"first{n},second{n}"], tmp_path) for n in range(20)]
    ended = [(r.wait(120), r.communicate()[1]) for r in racers]
    winners = [n for n, (status, _) in enumerate(ended) if status == 0]
    assert len(winners) == 1
    assert {status for status, _ in ended} == {0, 2}
    assert all(err.startswith("error[KS020]") for status, err in ended if status == 2)
    n = winners[0]
    assert set(os.listdir(tmp_path / "mod")) == WHOLE | {f"first{n}.c", f"second{n}.c", "mod.h"}
    assert os.listdir(tmp_path) == ["mod"]


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_at_any_moment_nothing_partial_is_visible(tmp_path, sig):
    started = time.monotonic()
    assert child(["probe"], tmp_path).wait(60) == 0
    whole = time.monotonic() - started
    chance = random.Random(int(sig))
    for n in range(12):
        run = child([f"mod{n}", "--objs", "a,b,c,d"], tmp_path)
        time.sleep(whole * chance.uniform(0.3, 1.1))
        run.send_signal(sig)
        run.communicate(timeout=60)
        assert run.returncode != 70
    for name in os.listdir(tmp_path):
        if not name.startswith("."):
            sources = {"probe.c"} if name == "probe" else {"a.c", "b.c", "c.c", "d.c", f"{name}.h"}
            assert set(os.listdir(tmp_path / name)) == WHOLE | sources
    # What was left hidden is swept by the next.
    assert child(["last"], tmp_path).wait(60) == 0
    assert [n for n in os.listdir(tmp_path) if n.startswith(".")] == []


# A libc whose write() fails when its budget is used up, and whose renameat2 may be missing: a file
# system of that kind, without root.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
int renameat(int, const char *, int, const char *);

ssize_t write(int fd, const void *data, size_t size)
{
	static ssize_t (*real)(int, const void *, size_t);
	static long left = -1;
	const char *budget = getenv("SHIM_BYTES");

	if (!real)
		real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
	if (budget && fd > 2) {
		if (left < 0)
			left = atol(budget);
		if ((long)size > left) {
			errno = ENOSPC;
			return -1;
		}
		left -= size;
	}
	return real(fd, data, size);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned int flags)
{
	(void)flags;
	if (getenv("SHIM_NO_RENAMEAT2")) {
		errno = EINVAL;
		return -1;
	}
	return renameat(from, old, to, new);
}
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory) -> str:
    directory = tmp_path_factory.mktemp("shim")
    (directory / "shim.c").write_text(SHIM)
    library = directory / "shim.so"
    subprocess.run(
        [need_program("gcc", "gcc"), "-shared", "-fPIC", "-o", library, directory / "shim.c", "-ldl"],
        check=True,
    )
    return str(library)


@pytest.mark.parametrize("budget", [0, 30, 1000, 4000, 19000])
def test_a_full_disk_is_told_as_such_and_leaves_nothing(tmp_path, shim, budget):
    run = child(
        ["mod"], tmp_path, env={"LD_PRELOAD": shim, "SHIM_BYTES": str(budget), "PYTHONDONTWRITEBYTECODE": "1"}
    )
    _, err = run.communicate(timeout=60)
    assert run.returncode == 69, err
    assert err.startswith(f"error[KS005]: no space left on device: {tmp_path}/mod\n")
    assert os.listdir(tmp_path) == []


def test_the_budget_of_the_full_disk_test_is_what_stops_it(tmp_path, shim):
    run = child(["mod"], tmp_path, env={"LD_PRELOAD": shim, "SHIM_BYTES": "100000"})
    assert run.wait(60) == 0
    assert os.listdir(tmp_path) == ["mod"]


def test_a_file_system_without_noreplace(tmp_path, shim):
    old = {"LD_PRELOAD": shim, "SHIM_NO_RENAMEAT2": "1"}
    racers = [child(["mod"], tmp_path, env=old) for _ in range(8)]
    ended = sorted(r.wait(120) for r in racers)
    for racer in racers:
        racer.communicate()
    assert ended == [0] + [2] * 7
    assert set(os.listdir(tmp_path / "mod")) == WHOLE | {"mod.c"}
    assert os.listdir(tmp_path) == ["mod"]


@pytest.mark.parametrize("without", [False, True])
@pytest.mark.parametrize("there", ["file", "directory", "full", "link", "broken"])
def test_what_comes_into_the_way_at_the_last_moment_stays(tmp_path, monkeypatch, there, without):
    target = tmp_path / "mod"
    if without:
        monkeypatch.setattr(atomic_dir.ctypes, "CDLL", lambda *a, **k: object())
    with atomic_dir.hidden_beside(target) as hidden:
        (hidden / "mod").mkdir()
        (hidden / "mod/new").write_text("new")
        (tmp_path / "elsewhere").mkdir()
        if there == "file":
            target.write_text("mine")
        elif there in ("directory", "full"):
            target.mkdir()
            if there == "full":
                (target / "mine").write_text("mine")
        else:
            target.symlink_to("elsewhere" if there == "link" else "nowhere")
        before = identity(target)
        with pytest.raises(UsageError) as refused:
            atomic_dir.publish_directory(hidden / "mod", target)
    assert refused.value.code == "KS020"
    assert identity(target) == before
    assert os.listdir(tmp_path / "elsewhere") == []


def test_only_our_own_dead_directories_are_swept(tmp_path):
    def hidden(name: str, *files: str) -> Path:
        directory = tmp_path / f".kscaffold-new-{name}"
        directory.mkdir()
        for file in files:
            (directory / file).write_text("")
        return directory

    hidden("dead", "made-by-kscaffold-new", "mod")
    hidden("killedatonce")
    hidden("users", "notes")
    (tmp_path / ".kscaffold-new-file").write_text("mine")
    (tmp_path / "real").mkdir()
    (tmp_path / ".kscaffold-new-link").symlink_to("real")
    alive = os.open(hidden("alive", "made-by-kscaffold-new"), os.O_RDONLY)
    fcntl.flock(alive, fcntl.LOCK_EX)
    atomic_dir.sweep(tmp_path)
    os.close(alive)
    left = sorted(n.removeprefix(".kscaffold-new-") for n in os.listdir(tmp_path))
    assert left == ["alive", "file", "link", "real", "users"]
    atomic_dir.sweep(tmp_path)
    assert not (tmp_path / ".kscaffold-new-alive").exists()


def test_two_that_sweep_and_make_do_not_hurt_each_other(tmp_path):
    """A run that makes its directory while another sweeps: it must end with one of its own."""
    runs = [child([f"mod{n}"], tmp_path) for n in range(8)]
    for run in runs:
        _, err = run.communicate(timeout=120)
        assert run.returncode == 0, err
    assert sorted(os.listdir(tmp_path)) == [f"mod{n}" for n in range(8)]


def test_templates_that_are_read_only_give_writable_projects(tmp_path, monkeypatch):
    """As in a system-wide installation whose files nobody may write."""
    from kscaffold.scaffold.create import render

    copy = tmp_path / "templates"
    shutil.copytree(ROOT / "templates", copy)
    for path in copy.rglob("*"):
        if path.is_file():
            path.chmod(0o444)
    monkeypatch.setattr(render, "templates_directory", lambda: copy)
    assert main(["new", "mod", "--directory", str(tmp_path)]) == 0
    assert all(p.stat().st_mode & 0o200 for p in (tmp_path / "mod").iterdir())

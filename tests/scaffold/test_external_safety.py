"""A template of others, killed, without room, without rights, in a race: a whole project or nothing."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import need_program
from tests.support.external import KEPT, child, repository, tree, write_template

HERE = "{{cookiecutter.name}}"
FILES = {f"{HERE}/d{n}/{HERE}{n}.c": f"/* {{{{ cookiecutter.name }}}} {n} */\n" * 50 for n in range(20)}
NEW = ["--template", "../tpl", "--trust"]


@pytest.fixture
def here(tmp_path) -> Path:
    write_template(tmp_path / "tpl", {"name": "x"}, {**FILES, f"{HERE}/Kbuild": f"obj-m := {HERE}.o\n"})
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def running(directory: Path) -> list[str]:
    """The processes that work below a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            cwd = os.readlink(process / "cwd")
        except OSError:
            continue
        if cwd.startswith(str(directory)):
            found.append(f"{process.name} in {cwd}")
    return found


def is_over(directory: Path) -> None:
    """Whatever was started below a directory has ended, soon."""
    until = time.monotonic() + 10
    while running(directory):
        assert time.monotonic() < until, running(directory)
        time.sleep(0.05)


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("source", ["directory", "git"])
def test_killed_at_any_moment_nothing_partial_is_visible(here, sig, source):
    words = list(NEW)
    if source == "git":
        repository(here.parent / "tpl")
        words[1] = f"file://{here.parent}/tpl"
    started = time.monotonic()
    assert child(["new", "probe", *words, "--git"], here).wait(60) == 0
    whole = time.monotonic() - started
    chance = random.Random(int(sig))
    for n in range(6):
        run = child(["new", f"mod{n}", *words, "--git"], here)
        time.sleep(whole * chance.uniform(0.2, 1.0))
        run.send_signal(sig)
        run.communicate(timeout=60)
        assert run.returncode != 70
    for name in os.listdir(here):
        if not name.startswith("."):
            made = {str(p.relative_to(here / name)) for p in (here / name).rglob("*") if p.is_file()}
            made = {p for p in made if not p.startswith(".git/")}
            assert made == {"Kbuild"} | {f"d{n}/{name}{n}.c" for n in range(20)} | KEPT
            assert (here / name / ".git/HEAD").is_file()
    is_over(here)
    # What was left hidden is swept by the next.
    assert child(["new", "last", *words], here).wait(60) == 0
    assert [n for n in os.listdir(here) if n.startswith(".")] == []


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("what", ["a hook", "an endless template"])
def test_what_it_started_ends_with_it(here, sig, what):
    hook = "#!/bin/sh\ntouch started; sleep 1000 & exec sleep 1000\n"
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    tpl = here.parent / "tpl"
    if what == "a hook":
        write_template(tpl, {"name": "x"}, {"hooks/post_gen_project.sh": hook})
    else:
        write_template(tpl, {"name": "x"}, {f"{HERE}/z": loop})
    run = child(["new", "mod", *NEW, "--hooks"] if what == "a hook" else ["new", "mod", *NEW], here)
    until = time.monotonic() + 60
    wanted = "out/mod/started" if what == "a hook" else "out/mod"
    while not list(here.glob(f".kscaffold-new-*/work/{wanted}")):
        assert time.monotonic() < until and run.poll() is None
        time.sleep(0.05)
    assert running(here)
    run.send_signal(sig)
    run.communicate(timeout=60)
    is_over(here)
    assert [n for n in os.listdir(here) if not n.startswith(".")] == []
    if sig == signal.SIGINT:
        assert run.returncode == 130 and os.listdir(here) == []


def test_of_twenty_at_once_one_wins_and_has_all_of_its_own(here):
    write_template(
        here.parent / "tpl", {"name": "x", "number": "0"}, {f"{HERE}/n": "{{cookiecutter.number}}"}
    )
    racers = [child(["new", "mod", *NEW, "--answer", f"number={n}"], here) for n in range(20)]
    ended = [(r.communicate(timeout=300)[1], r.returncode) for r in racers]
    winners = [n for n, (_, status) in enumerate(ended) if status == 0]
    assert len(winners) == 1, ended
    assert all("error[KS020]" in err for err, status in ended if status == 2)
    assert {status for _, status in ended} == {0, 2}
    assert os.listdir(here) == ["mod"]
    assert (here / "mod/n").read_text() == str(winners[0])
    assert sum(p.is_file() for p in (here / "mod").rglob("*")) == len(FILES) + 2 + len(KEPT)


# A libc whose write() fails when its budget is used up, in the command and in the process that renders.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>

ssize_t write(int fd, const void *data, size_t size)
{
	static ssize_t (*real)(int, const void *, size_t);
	static long left = BUDGET;

	if (!real)
		real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
	if (fd > 2) {
		if ((long)size > left) {
			errno = ENOSPC;
			return -1;
		}
		left -= size;
	}
	return real(fd, data, size);
}
"""


def shim(where: Path, budget: int) -> str:
    (where / "shim.c").write_text(SHIM)
    library = where / f"shim{budget}.so"
    gcc = need_program("gcc", "gcc")
    subprocess.run(
        [gcc, f"-DBUDGET={budget}", "-shared", "-fPIC", "-o", library, where / "shim.c", "-ldl"], check=True
    )
    return str(library)


@pytest.mark.parametrize("budget", [0, 100, 20_000, 32_000])
def test_a_full_disk_is_told_as_such_and_leaves_nothing(here, tmp_path, budget):
    """The template is copied (31 kB), then rendered in another process (24 kB) with a budget of its own: so
    that one fails on a file that shrinks nothing."""
    extra = {} if budget < 32_000 else {f"{HERE}/big": "{{ 'x' * 40000 }}"}
    write_template(here.parent / "tpl", {"name": "x"}, extra)
    env = {"LD_PRELOAD": shim(tmp_path, budget), "PYTHONDONTWRITEBYTECODE": "1"}
    run = child(["new", "mod", *NEW], here, env=env)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 69, err
    assert err.startswith(f"error[KS005]: no space left on device: {here}/mod\n")
    assert os.listdir(here) == []


def test_the_budget_of_the_full_disk_test_is_what_stops_it(here, tmp_path):
    env = {"LD_PRELOAD": shim(tmp_path, 100_000), "PYTHONDONTWRITEBYTECODE": "1"}
    assert child(["new", "mod", *NEW], here, env=env).wait(60) == 0
    assert os.listdir(here) == ["mod"]


def test_a_read_only_place_is_told_as_such(ks, here, monkeypatch):
    monkeypatch.chdir(here)
    assert ks("new", "warm", *NEW).status == 0  # reads the package's files while it may
    place = here / "closed"
    place.mkdir()
    place.chmod(0o555)
    for parent in (here, *here.parents):
        if parent.stat().st_uid == os.getuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        ran = ks("new", "mod", "-C", place, *NEW, "--json")
    finally:
        os.seteuid(user)
    assert ran.status == 69, ran.err
    assert ran.json["error"]["code"] == "KS006"
    assert ran.json["error"]["message"] == f"permission denied: {place}/mod"
    assert os.listdir(place) == []


def test_a_hook_that_closes_its_directories_leaves_nothing(ks, here, monkeypatch):
    monkeypatch.chdir(here)
    hook = "#!/bin/sh\nmkdir -p a/b\nchmod 0 a/b a\nexit 3\n"
    write_template(here.parent / "tpl", {"name": "x"}, {"hooks/post_gen_project.sh": hook})
    ran = ks("new", "mod", *NEW, "--hooks")
    assert ran.status == 69 and "error[KS077]" in ran.err and "3" in ran.err
    assert os.listdir(here) == []


def test_a_hook_has_a_deadline(ks, here, monkeypatch):
    monkeypatch.chdir(here)
    monkeypatch.setenv("KSCAFFOLD_HOOKS_TIMEOUT", "2")
    write_template(
        here.parent / "tpl", {"name": "x"}, {"hooks/pre_gen_project.sh": "#!/bin/sh\nsleep 1000\n"}
    )
    started = time.monotonic()
    ran = ks("new", "mod", *NEW, "--hooks")
    assert ran.status == 69 and "error[KS076]" in ran.err
    assert time.monotonic() - started < 20
    is_over(here)
    assert os.listdir(here) == []


def test_what_a_hook_left_running_is_ended(ks, here, monkeypatch):
    monkeypatch.chdir(here)
    hook = "#!/bin/sh\nsleep 1000 >/dev/null 2>&1 </dev/null &\n"
    write_template(here.parent / "tpl", {"name": "x"}, {"hooks/post_gen_project.sh": hook})
    assert ks("new", "mod", *NEW, "--hooks").status == 0
    is_over(here)


def test_nothing_at_home_is_read_or_written(ks, here, own_world, monkeypatch):
    monkeypatch.chdir(here)
    rc = 'default_context:\n    name: from-home\nabbreviations:\n    gh: "file:///evil/{0}"\n'
    (own_world / ".cookiecutterrc").write_text(rc)
    repository(here.parent / "tpl")
    before = tree(own_world)
    for name, more in (("one", []), ("two", ["--hooks"]), ("three", ["--checkout", "main", "--git"])):
        assert ks("new", name, *NEW, *more).status == 0
    assert tree(own_world) == before


def test_hooks_and_templates_see_no_token(ks, here, monkeypatch):
    monkeypatch.chdir(here)
    for name in ("API_TOKEN", "SSH_AUTH_SOCK", "HTTPS_PROXY", "AWS_SECRET_ACCESS_KEY", "GIT_ASKPASS"):
        monkeypatch.setenv(name, "hush-hush")
    hook = "#!/bin/sh\nenv > seen\n"
    write_template(here.parent / "tpl", {"name": "x"}, {"hooks/post_gen_project.sh": hook})
    assert ks("new", "mod", *NEW, "--hooks").status == 0
    seen = (here / "mod/seen").read_text()
    assert "PATH=" in seen and "HOME=" in seen
    assert "hush-hush" not in seen


def test_the_template_is_left_as_it_is(ks, here, monkeypatch):
    monkeypatch.chdir(here)
    hook = "#!/bin/sh\ntouch mine\n"
    write_template(here.parent / "tpl", {"name": "x"}, {"hooks/pre_prompt.sh": hook})
    (here.parent / "tpl/hooks/pre_prompt.sh").chmod(0o644)
    before = tree(here.parent / "tpl")
    assert ks("new", "mod", *NEW, "--hooks").status == 0
    assert tree(here.parent / "tpl") == before

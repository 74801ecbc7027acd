"""load, unload, reload, list, logs and run, on a real kernel in a sandbox."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kscaffold.sandbox.live import registry
from kscaffold.targets.sandbox import SandboxTarget
from tests.conftest import ROOT, need_program
from tests.support.kernels import need_kernel
from tests.support.modules import built
from tests.support.projects import HELLO, write

pytestmark = pytest.mark.sandbox


@pytest.fixture(autouse=True)
def kernel61(ks) -> str:
    """6.1 is the kernel of every command here."""
    need_program("qemu-system-x86_64", "qemu-system-x86")
    release = need_kernel("6.1").release
    assert ks("kernel", "default", release).status == 0
    return release


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory, and the commands are given in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def module(name: str) -> Path:
    """A built .ko of tests/support/modules.py."""
    return built(need_kernel("6.1")) / f"{name}.ko"


def hello(at: Path) -> Path:
    return write(at, Kbuild="obj-m := hello.o\n", hello__c=HELLO)


def start(*words: str | Path, **more) -> subprocess.Popen:
    """The command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "kscaffold", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def texts(document: dict) -> list[str]:
    return [r["text"] for r in document["log"]]


# ---- every day ----


def test_a_second_load_is_refused(ks, here):
    ko = module("hello")
    assert ks("load", ko).status == 0
    ran = ks("load", ko, "--json")
    assert ran.status == 1
    told = {k: ran.json[k] for k in ("verdict", "stage", "errno", "init_ran", "fix")}
    assert told == {
        "verdict": "refused",
        "stage": "list",
        "errno": "EEXIST",
        "init_ran": False,
        "fix": f"kscaffold reload {ko}",
    }
    # The advice is good as it stands, in another directory, too.
    words = ["load", "--no-deps", ko, "-C", here, "-k", "6.1"]
    advice = shlex.split(re.search(r"fix: kscaffold (reload .*)", ks(*words).out)[1])
    assert advice == ["reload", "-C", str(here), "--kernel", "6.1", "--no-deps", str(ko)]
    assert ks(*advice).status == 0


def test_without_a_sandbox(ks, here):
    for verb in ("list", "logs"):
        ran = ks(verb)
        assert (ran.status, ran.out) == (0, "")
        assert len(ran.err.splitlines()) == 1 and "kscaffold load" in ran.err
    assert ks("list", "--json").json["modules"] == []
    assert ks("logs", "--json").json["log"] == []
    ran = ks("unload", "hello", "--json")
    assert ran.status == 1
    assert (ran.json["verdict"], ran.json["errno"], ran.json["code"]) == ("refused", "ENOENT", "KS301")
    assert registry.all_sandboxes() == []  # asking starts nothing


def test_unload_of_what_is_not_loaded(ks, here):
    assert ks("load", module("hello")).status == 0
    ran = ks("unload", "other")
    assert ran.status == 1 and "other is not loaded" in ran.out


def test_unload_by_any_of_its_names(ks, here):
    write(here, Kbuild="obj-m := my-mod.o\n", my_1_mod__c=HELLO)
    for name in ("my-mod", "my_mod", "my-mod.ko", "./my-mod.ko"):
        assert ks("load").status == 0
        ran = ks("unload", name, "--json")
        assert ran.status == 0 and ran.json["module"] == "my_mod"
        assert ks("list", "--json").json["modules"] == []


def test_unload_unloads_what_the_project_has_loaded(ks, here):
    hello(here)
    assert ks("load").status == 0
    assert ks("load", module("seed")).status == 0  # none of this project's
    assert [m["name"] for m in ks("list", "--json").json["modules"]] == ["hello"]
    assert {m["name"] for m in ks("list", "--all", "--json").json["modules"]} >= {"hello", "seed"}
    assert ks("unload").status == 0
    assert [m["name"] for m in ks("list", "--json").json["modules"]] == []
    assert "seed" in ks("list", "--all").out


def test_the_last_lines_of_the_log(ks, here):
    assert ks("load", module("hello")).status == 0
    (line,) = ks("logs", "-n", "1").out.splitlines()
    assert line.endswith("] hello from init") and line.startswith("> ")
    assert ks("logs", "-n", "0").out == ""
    assert len(ks("logs").out.splitlines()) > 10
    # The agent's marks are nobody's business.
    assert "kscaffold: request" not in ks("logs").out + ks("logs", "--json").out


# ---- after a crash ----


def test_after_an_oops(ks, here):
    ran = ks("load", module("oopses"), "--json")
    assert ran.status == 1
    assert (ran.json["verdict"], ran.json["stage"], ran.json["init_ran"]) == ("crashed", "init", True)
    assert "oopses" in ran.json["complaints"][0]["where"]
    # The sandbox still answers.
    log = ks("logs", "--json")
    assert "about to" in texts(log.json) and any("Oops" in t for t in texts(log.json))
    (listed,) = (m for m in ks("list", "--all", "--json").json["modules"] if m["name"] == "oopses")
    assert listed["state"] == "loading"
    ran = ks("unload", "oopses", "--json")
    assert (ran.status, ran.json["errno"], ran.json["code"]) == (1, "EBUSY", "KS305")
    # And the next load, of whatever, has a kernel that is whole.
    for name, verdict in (("oopses", "crashed"), ("hello", "loaded")):
        ran = ks("load", module(name), "--json")
        assert ran.json["verdict"] == verdict
        assert ran.err.count("a new sandbox takes its place") == 1
    ran = ks("load", module("seed"))
    assert ran.status == 0 and "takes its place" not in ran.err


@pytest.mark.parametrize("name", ["sleeper", "endless"])
def test_after_an_init_without_an_end(ks, here, name):
    ran = ks("load", module(name), "--timeout", "1", "--json")
    assert ran.status == 1
    assert (ran.json["verdict"], ran.json["loaded"]) == ("hung", False)
    assert "begin" in texts(ks("logs", "--json").json)
    assert ks("list", "--all").status == 0
    assert ks("load", module("hello")).status == 0


def test_after_a_guest_that_went_deaf(ks, here):
    ran = ks("load", module("deaf"), "--timeout", "1", "--json")
    assert ran.json["verdict"] == "hung"
    assert ran.json["cause"].startswith("init loops or waits without end, at ")
    ran = ks("list", "--all")
    assert (ran.status, ran.out) == (0, "") and ran.err
    said = texts(ks("logs", "--json").json)
    assert said[-1] == "begin" and not any("Kernel panic" in text for text in said)
    assert ks("load", module("hello")).status == 0


def test_after_a_panic(ks, here):
    ran = ks("load", module("panics"), "--json")
    assert (ran.status, ran.json["verdict"]) == (1, "crashed")
    log = ks("logs")
    assert log.status == 0
    assert "] about to" in log.out and "Kernel panic" in log.out
    assert ks("list").status == 0
    assert ks("load", module("hello")).status == 0


def test_after_a_crash_in_exit(ks, here):
    assert ks("load", module("exitoops")).status == 0
    ran = ks("unload", "exitoops", "--json")
    assert (ran.status, ran.json["verdict"], ran.json["code"]) == (1, "crashed", "KS308")
    assert ks("load", module("hello")).status == 0


# ---- parameters ----


def test_parameters_arrive_as_typed(ks, here):
    source = HELLO.replace(
        "static int __init",
        "static char *whom = \"\";\nmodule_param(whom, charp, 0444);\n"
        "static int n;\nmodule_param(n, int, 0444);\n\nstatic int __init",
    )  # fmt: skip
    write(here, Kbuild="obj-m := hello.o\n", hello__c=source)
    for value in ("plain", "a new world", 'say "x" now', '"quoted"', "a=b, c\td", "grüße à la", 'end"'):
        ran = ks("reload", "n=-7", f"whom={value}", "--json")
        assert ran.status == 0, value
        with registry.connect(here) as connection:
            assert connection
            target = SandboxTarget.from_connection(connection)
            assert target.read("/sys/module/hello/parameters/whom") == f"{value}\n".encode()
            assert target.read("/sys/module/hello/parameters/n") == b"-7\n"
    ran = ks("load", 'whom=5" disk', "--json")
    assert ran.status == 2 and ran.json["error"]["code"] == "KS062"


# ---- run ----


def test_run_with_several_sets(ks, here):
    write(
        here,
        Kbuild="obj-m := hello.o\n",
        hello__c=HELLO.replace(
            "static int __init",
            "static int n;\nmodule_param(n, int, 0444);\nstatic char *whom;\n"
            "module_param(whom, charp, 0444);\nstatic int __init",
        ).replace('pr_info("hello\\n");', 'pr_info("n=%d whom=%s\\n", n, whom);'),
    )
    ran = ks("run", "n=1", "-p", 'whom="a b"', "-p", "whom=c n=2", "--json")
    assert ran.status == 0
    assert [r["parameters"] for r in ran.json["results"]] == ['n=1 whom="a b"', "n=1 whom=c n=2"]
    own = [[t for t in texts(r) if "whom=" in t] for r in ran.json["results"]]
    assert own == [["n=1 whom=a b"], ["n=2 whom=c"]]
    ran = ks("run", "-p", "n=1", "-p", "n=x", "--repeat", "2", "--json")
    assert ran.status == 1 and ran.json["ok"] is False
    assert [r["verdict"] for r in ran.json["results"]] == ["loaded", "loaded", "refused", "refused"]
    assert "hello.ko n=x: refused by the kernel" in ks("run", "-p", "n=1", "-p", "n=x").out
    assert registry.all_sandboxes() == []


@pytest.mark.parametrize(
    ("name", "verdict", "errno", "code"),
    [("noexit", "loaded", "EBUSY", "KS304"), ("exitoops", "crashed", None, "KS308")],
)
def test_run_when_the_unload_fails(ks, here, name, verdict, errno, code):
    ran = ks("run", module(name), "--json")
    assert ran.status == 1 and ran.json["ok"] is False
    assert (ran.json["verdict"], ran.json["errno"], ran.json["code"]) == (verdict, errno, code)
    assert ran.json["cause"] and ran.json["fix"]
    said = ks("run", module(name))
    assert said.status == 1 and name in said.out and "fix:" in said.out


# ---- projects ----

_BASE = HELLO.replace('pr_info("hello\\n");', "").replace(
    "module_init",
    "int base_number(void);\nint base_number(void) { return 42; }\n"
    "EXPORT_SYMBOL_GPL(base_number);\nmodule_init",
)
_USER = HELLO.replace("static int __init", "int base_number(void);\nstatic int __init").replace(
    'pr_info("hello\\n");', 'pr_info("number %d\\n", base_number());'
)


def test_several_modules_in_the_order_of_their_dependencies(ks, here):
    write(here, Kbuild="obj-m := a-user.o base.o\n", a_1_user__c=_USER, base__c=_BASE)
    ran = ks("load", "--json")
    assert ran.status == 0
    assert [r["module"] for r in ran.json["results"]] == ["base", "a_user"]
    assert ks("unload", "base", "--json").json["errno"] == "EAGAIN"  # in use
    ran = ks("unload", "--json")
    assert ran.status == 0 and [r["module"] for r in ran.json["results"]] == ["a_user", "base"]
    # One alone.
    ran = ks("reload", "--module", "base", "--json")
    assert ran.status == 0 and ran.json["module"] == "base"
    ran = ks("reload", "--module", "a-user", "--json")
    assert ran.status == 0 and ran.json["dependencies"] == ["base"]
    ran = ks("reload", "--module", "a-user", "--no-deps", "--json")
    assert ran.status == 1 and (ran.json["stage"], ran.json["errno"]) == ("symbols", "ENOENT")
    ran = ks("load", "--module", "other", "--json")
    assert ran.status == 2 and "a-user" in ran.json["error"]["cause"]
    ran = ks("run", "--json")
    assert ran.status == 0 and [r["module"] for r in ran.json["results"]] == ["base", "a_user"]


def test_one_module_that_is_not_loaded_does_not_end_the_load_of_the_others(ks, here):
    """As with drivers of hardware that is not there: each is tried; what needs it is named, not tried."""
    no_device = _BASE.replace("return 0;", "return -ENODEV;")
    write(here, Kbuild="obj-m := a.o base.o user.o z.o\n", base__c=no_device, user__c=_USER)
    write(here, a__c=HELLO, z__c=HELLO)
    for verb in ("load", "run"):
        ran = ks(verb, "--json")
        assert ran.status == 1
        found = {r["module"]: (r["verdict"], r["errno"]) for r in ran.json["results"]}
        assert found == {"a": ("loaded", None), "base": ("init-failed", "ENODEV"), "z": ("loaded", None)}
        told = next(r for r in ran.json["results"] if r["module"] == "base")
        assert told["note"] == "not tried, for want of base: user"
    said = ks("run")
    assert said.status == 1
    assert "not tried, for want of base: user" in said.out
    assert "a.ko, z.ko: loaded and unloaded" in said.err


def test_a_ko_that_is_named_is_loaded_without_make(ks, here, monkeypatch):
    hello(here)
    assert ks("load").status == 0
    traps = here / "bin"
    traps.mkdir()
    for name in ("make", "gcc", "gcc-12", "cc"):
        (traps / name).write_text(f"#!/bin/sh\necho {name} >> {here}/ran\nexit 1\n")
        (traps / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{traps}:{os.environ['PATH']}")
    os.utime(here / "hello.c", (2**31, 2**31))  # newer than the .ko
    for verb in ("reload", "run"):
        assert ks(verb, "hello.ko").status == 0
    assert not (here / "ran").exists()
    # Without a name, make is asked what the project builds: its files have changed since it was.
    ran = ks("reload", "--no-build", "--json")
    assert (ran.status, ran.json["error"]["code"]) == (1, "KS103")
    assert (here / "ran").read_text() == "make\n"
    (here / "ran").unlink()
    assert ks("load", "hello.ko", "--json").json["errno"] == "EEXIST"
    assert not (here / "ran").exists()


def test_a_build_that_fails_is_the_answer(ks, here):
    write(here, Kbuild="obj-m := hello.o\n", hello__c=HELLO.replace("return 0;", "return 0"))
    for verb in ("load", "run", "reload"):
        ran = ks(verb, "--json")
        assert ran.status == 1
        assert ran.json["ok"] is False and ran.json["command"] == verb
        assert ran.json["build"]["complaints"][0]["file"] == "hello.c"
    said = ks("load")
    assert said.status == 1 and "hello.c" in said.err
    assert registry.all_sandboxes() == []


def test_what_is_not_there(ks, here):
    ran = ks("load", "nosuch.ko", "--json")
    assert ran.status == 2 and ran.json["error"]["code"] == "KS281"
    for words in ([], ["."]):
        ran = ks("load", *words, "--json")
        assert ran.status == 69 and ran.json["error"]["code"] == "KS101"  # no project here
    hello(here)
    ran = ks("load", "--no-build", "--json")
    assert ran.status == 69 and ran.json["error"]["fix"] == "kscaffold build"


# ---- at the same time ----


def test_two_loads_at_once(here):
    hello(here)
    both = [start("load", "--json") for _ in range(2)]
    ends = [(p, *p.communicate(timeout=300)) for p in both]
    answers = sorted((p.returncode, json.loads(out)["verdict"]) for p, out, _ in ends)
    assert answers == [(0, "loaded"), (1, "refused")], ends
    assert len(registry.all_sandboxes()) == 1


def test_a_build_and_a_load_at_once(here):
    hello(here)
    both = [start("build", "--json"), start("load", "--json")]
    ends = [(p, *p.communicate(timeout=300)) for p in both]
    assert [p.returncode for p, _, _ in ends] == [0, 0], ends
    assert json.loads(ends[1][1])["verdict"] == "loaded"


def test_who_waits_too_long_is_told_for_whom(ks, here, monkeypatch):
    assert ks("load", module("hello")).status == 0
    monkeypatch.setenv("KSCAFFOLD_BUSY_TIMEOUT", "0.3")
    with registry.connect(here):
        waiting = start("list", "--json")
        out, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 69
    assert json.loads(out)["error"]["code"] == "KS606"
    assert f"process {os.getpid()}" in json.loads(out)["error"]["message"]


# ---- streams ----


def test_following_the_log(ks, here):
    assert ks("load", module("hello")).status == 0
    follower = start("logs", "-f", "--json")
    assert follower.stdout
    seen = [follower.stdout.readline()]
    assert ks("unload", "hello").status == 0
    while "goodbye" not in seen[-1]:
        seen.append(follower.stdout.readline())
    follower.send_signal(signal.SIGINT)
    rest, said = follower.communicate(timeout=60)
    assert follower.returncode == 130
    for line in [*seen, *rest.splitlines()]:
        document = json.loads(line)
        assert document["schema"] == 1 and document["command"] == "logs"
    assert "Traceback" not in said
    own = [json.loads(line)["text"] for line in seen if json.loads(line)["own"]]
    assert [text for text in own if "taint" not in text] == ["hello from init", "goodbye"]


def test_following_goes_on_across_a_reload_and_ends_with_the_sandbox(ks, here):
    assert ks("load", module("hello")).status == 0
    follower = start("logs", "-f", "-n", "1")
    assert follower.stdout and "hello from init" in follower.stdout.readline()
    assert ks("reload", module("hello")).status == 0
    lines = [follower.stdout.readline()]
    while "hello from init" not in lines[-1]:
        lines.append(follower.stdout.readline())
    assert all(line.startswith(">") for line in lines), "the boot of the next one is told"
    assert ks("sandbox", "stop").status == 0
    _, said = follower.communicate(timeout=60)
    assert follower.returncode == 0 and said.count("a new sandbox has taken its place") == 1
    assert said.count("the sandbox has ended") == 1


def test_a_reader_that_leaves(ks, here):
    assert ks("load", module("hello")).status == 0
    for words in (["logs"], ["logs", "--json"], ["list", "--all"]):
        ran = start(*words)
        assert ran.stdout and ran.stderr
        ran.stdout.close()
        assert ran.stderr.read() == ""
        assert ran.wait(timeout=60) == 0


def test_ctrl_c_in_a_load(ks, here):
    running = start("load", module("sleeper"), "--timeout", "60", "--json")
    deadline = time.monotonic() + 120
    while not ((card := registry.find_sandbox(here)) and card.qemu) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)  # most probably in the middle of init; what is asked holds at any moment
    running.send_signal(signal.SIGINT)
    out, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert json.loads(out)["error"]["code"] == "KS003" and "Traceback" not in said
    # Nobody waits for the minute that load was given.
    began = time.monotonic()
    assert ks("load", module("hello")).status == 0
    assert time.monotonic() - began < 25

"""The benchmark runs, measures what it says, and leaves nothing."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench import machines
from tests.conftest import REAL_CACHE, ROOT, need_program
from tests.support.kernels import need_kernel, need_machine, need_named

pytestmark = [pytest.mark.kernel, pytest.mark.sandbox]

# What the promises name, and what they are compared with.
PROMISED = {
    "python -c pass",
    "kscaffold --version",
    "bare restore",
    "kscaffold run, hello",
    "kscaffold load, no sandbox yet",
    "kscaffold load, sandbox up",
    "kscaffold unload",
    "plain make, nothing to do",
    "kscaffold build, nothing to do",
    "plain make, one source touched",
    "kscaffold build, one source touched",
    "kscaffold check, one .ko",
    "kscaffold explain, a code",
    "kscaffold explain, a pasted log",
    "kscaffold run, 2 parameter sets",
    "kscaffold exec, 10 MB in",
    "kscaffold exec, 10 MB out",
    "a test with a guest, of 50",
    "kscaffold run --sanitize, hello",
    "kscaffold run --coverage, hello",
    "a pair of kmalloc and kfree, --sanitize",
    "kscaffold run --faults, an init of 30 calls",
    "first use of a fetched kernel (run)",
    "plain QEMU, cold boot (pc, vmlinuz)",
    "plain QEMU, cold boot (microvm, vmlinux)",
}


def start(figures: Path, *options: str) -> "subprocess.Popen[str]":
    need_program("qemu-system-x86_64", "qemu-system-x86")
    need_program("gcc", "gcc")
    release = need_kernel("6.1").release
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bench", "--kernel", release, "--json", str(figures), *options],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(REAL_CACHE), "KSCAFFOLD_ACCEL": "tcg"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def bench(figures: Path, *options: str) -> dict:
    child = start(figures, *options)
    out, err = child.communicate(timeout=600)
    assert child.returncode == 0, err
    assert out and not err
    assert_nothing_left(child.pid)
    return {**json.loads(figures.read_text()), "shown": out}


def assert_nothing_left(pid: int) -> None:
    """No file and no process of the benchmark that had this process id."""
    name = f"kscaffold-bench-{pid}-"
    assert not list(Path("/tmp").glob(f"{name}*"))
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        assert name.encode() not in words


def test_every_promise_is_measured(tmp_path: Path):
    told = bench(
        tmp_path / "figures.json", "--turns=1", "--slow=1", "--warm-up=0", "--sets=2", "--this-machine"
    )
    rows = {row["name"]: row for row in told["times"]}
    assert set(rows) >= PROMISED
    for name in PROMISED:
        row = rows[name]
        assert row["count"] == 1 and 0 < row["least"] <= row["median"] <= row["most"], name
        assert (row["bar"] or row["bar_ratio"]) is None or row["met"] in (True, False), name
        assert name in told["shown"]
    held = {row["name"].strip(): row["bytes"] for row in told["memory"]}
    assert held["shared through the snapshot"] > 1 << 20
    assert held["a live sandbox, resident"] > held["shared through the snapshot"]
    assert held["the snapshot on disk"] > 1 << 20


def test_another_machine_is_measured_beside_this_one(tmp_path: Path):
    need_named("s390x")
    need_machine("s390x")
    told = bench(tmp_path / "figures.json", "--only=, s390x", "--turns=1", "--slow=1", "--warm-up=0")
    rows = {row["name"]: row for row in told["times"]}
    assert set(rows) == {
        *machines.HERE,
        *(f"{name}, s390x" for name in machines.HERE),
        "first use of a fetched kernel (run), s390x",
    }
    run = rows["kscaffold run, hello, s390x"]
    assert run["bar_ratio"] == 1.3 and run["ratio"] == pytest.approx(
        run["median"] / rows["kscaffold run, hello"]["median"]
    )
    assert rows["first use of a fetched kernel (run), s390x"]["bar"] == 4.0
    assert all(row["count"] == 1 and row["median"] > 0 for row in rows.values())


def test_boots_beside_busy_loops_are_counted(tmp_path: Path):
    told = bench(tmp_path / "figures.json", "--boots=1", "--busy=1")["boots"]
    assert (told["count"], told["busy"], told["lost"]) == (1, 1, [])
    assert 0 < told["booted"][0] < told["in_all"][0]


def test_told_to_end_it_takes_its_sandbox_along(tmp_path: Path):
    child = start(tmp_path / "figures.json", "--only=load, sandbox up", "--turns=1000", "--warm-up=0")
    deadline = time.monotonic() + 300
    live = f"kscaffold-bench-{child.pid}-*/run/kscaffold/sandboxes/*/card.json"
    while not list(Path("/tmp").glob(live)) and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    child.terminate()
    child.communicate(timeout=60)
    assert child.returncode == 143
    assert_nothing_left(child.pid)


def test_an_older_checkout_runs_beside_this_one(tmp_path: Path):
    told = bench(tmp_path / "figures.json", f"--against={ROOT}", "--turns=1", "--only=--version")
    (row,) = told["against"]
    assert (row["name"], row["count"], row["wall_bar"]) == ("--version", 1, 1.0)
    assert row["wall"] == pytest.approx(row["new"] / row["old"]) and row["cpu"] > 0
    assert "--version" in told["shown"]

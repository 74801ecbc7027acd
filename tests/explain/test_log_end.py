"""`explain -` with a log longer than anybody can read: the newest lines, in bounded time and memory."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kscaffold.diagnosis import catalogue, crash
from kscaffold.diagnosis.klog import Record
from kscaffold.files import log_end
from tests.conftest import ROOT

SIZE = 200_000_000  # bytes
NOISE = "[ 1234.567890] usb 1-2: new high-speed USB device number 17 using xhci_hcd\n"
# Not wait4's ru_maxrss: it begins with the memory of the process that forks, which a test run has a lot of.
# Not the clock's time: others on the machine take theirs, as long as they like.
PROGRAM = """
import sys, time
from kscaffold.cli.app import main
status = main(["explain", "-"])
print(open("/proc/self/status").read())
print("processor:", time.process_time())
sys.exit(status)
"""
LAST = "[99999.100000] hello: Unknown symbol foo (err -2)\n"


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("log") / "long"
    block = NOISE * (2_000_000 // len(NOISE))
    with file.open("w") as opened:
        for _ in range(SIZE // len(block) + 1):
            opened.write(block)
        opened.write(LAST)
    yield file
    file.unlink()


@pytest.mark.parametrize("through", ["file", "pipe"])
def test_a_log_of_200_mb(long_log: Path, through: str):
    argv = [sys.executable, "-c", PROGRAM]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    cat = subprocess.Popen(["cat", str(long_log)], stdout=subprocess.PIPE) if through == "pipe" else None
    with long_log.open("rb") as opened:
        stdin = cat.stdout if cat else opened
        child = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
        assert child.stdout
        said = child.stdout.read().decode()
        status = child.wait()
    if cat and cat.stdout:
        cat.stdout.close()
        cat.wait()
    assert status == 0
    assert "KS204" in said and "Unknown symbol foo" in said
    assert f"the log has {long_log.stat().st_size / 1e6:.0f} MB: only its last" in said
    peak = re.search(r"^VmHWM:\s+(\d+) kB", said, re.M)
    assert peak and int(peak[1]) < 200_000
    took = re.search(r"^processor: ([\d.]+)", said, re.M)
    assert took and float(took[1]) < 10


def test_what_is_left_out_is_said(tmp_path: Path):
    def end(content: bytes) -> tuple[str, str | None]:
        (tmp_path / "log").write_bytes(content)
        with (tmp_path / "log").open("rb") as opened:
            return log_end.read_end(opened.fileno())

    assert end(b"one\ntwo\n") == ("one\ntwo\n", None)
    assert end(b"") == ("", None)
    text, said = end(b"x\n" * (log_end.MOST_LINES + 5))
    assert len(text.split("\n")) == log_end.MOST_LINES
    assert (
        said
        == f"the log has {log_end.MOST_LINES + 6} lines: only its last {log_end.MOST_LINES} were looked at"
    )
    # One line without an end: its beginning is as good as any part of it.
    text, said = end(b"y" * (log_end.MOST + 10))
    assert text == "y" * 4000 and said is not None
    text, said = end(b"\xff" + b" " * 100_000 + b"z")
    assert text == "\ufffd z" and said is None


def test_a_line_too_long_for_a_files_name_is_a_line(ks):
    for rest in ("", " a.b" * 100, " a/b.log" * 100, "/.." * 2000):
        ran = ks("explain", f"hello: Unknown symbol nosuch (err -2){rest}")
        assert ran.status == 0 and "KS204" in ran.out, (rest[:20], ran.err)


def test_a_log_of_thousands_of_symbols_takes_time_in_proportion():
    """Each symbol was looked for among all before it: a log of 200 MB took a minute."""
    entry = catalogue.entry("KS204")
    assert entry is not None
    lines = [(n, f"m: Unknown symbol f{n} (err -2)", {"symbol": f"f{n}"}) for n in range(log_end.MOST_LINES)]
    began = time.process_time()
    found = catalogue._finding(entry, [*lines, *lines])
    assert time.process_time() - began < 2
    assert len(found.lines) == log_end.MOST_LINES
    assert found.groups["symbol"].split(", ") == [f"f{n}" for n in range(20)]


def test_a_log_whose_every_line_begins_a_report_takes_time_in_proportion():
    """The 160 lines after each were searched for its end: a log of 2 MB took half a minute."""
    text = "BUG: sleeping function called from invalid context at {n}.c:{n}"
    log = [Record(text.format(n=n)) for n in range(6000)]
    log += [Record(f"WARNING: CPU: 0 PID: 1 at {n}.c:{n} f+0x1/0x2") for n in range(6000)]
    began = time.process_time()
    assert crash.complaints(log) == []
    assert time.process_time() - began < 2

"""Bars of long work on a terminal, as a terminal gets them."""

import os
import pty
import subprocess
import sys

from kscaffold.bars import amounts

_WORK = """
import sys, time
from kscaffold import console
from kscaffold.progress import Work
console.quiet = {quiet}
began = time.monotonic()
with console.progress().work(Work("Fetching", "it all", lambda: (time.monotonic() - began) * 1e6, 4e6)):
    time.sleep({seconds})
    console.note("a line meanwhile")
    console.out("data")
    time.sleep(0.3)
console.note("rich is imported" if "rich" in sys.modules else "rich is not imported")
"""


def on_terminal(seconds: float, *, quiet: bool = False) -> str:
    """What a terminal of 80 columns gets of work that takes so long."""
    ours, theirs = pty.openpty()
    program = _WORK.format(seconds=seconds, quiet=quiet)
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "NO_COLOR": ""}
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=theirs, env=env, text=True) as child:
        os.close(theirs)
        got = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # EIO: nobody has the other end open
                break
            got += part
        assert child.stdout and child.stdout.read() == "data\n", "data of a pipe goes to the terminal"
    os.close(ours)
    assert child.returncode == 0
    return got.decode()


def test_long_work_has_a_bar_that_goes():
    text = on_terminal(2.0)
    assert text.startswith("\x1b[32m    Fetching\x1b[0m it all")
    assert "/4.0 MB" in text and "MB/s" in text and "left" in text
    assert "a line meanwhile" in text
    gone = text.rindex("\x1b[2K")
    assert text.rindex("\u2501") < gone, "the bar stays"
    assert "rich is imported" in text[gone:]


def test_short_work_has_no_bar_and_costs_no_import():
    text = on_terminal(0.1)
    assert "\u2501" not in text and "rich is not imported" in text


def test_quiet_work_says_nothing():
    assert on_terminal(1.5, quiet=True) == ""


def test_elsewhere_one_line_stands_for_it():
    program = _WORK.format(seconds=1.3, quiet=False)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert lines == ["    Fetching it all", "a line meanwhile", "rich is not imported"]
    assert done.stdout == "data\n"


def test_amounts():
    assert amounts(12.34e6, 40.1e6, 5.1e6, "MB") == "12.3/40.1 MB  5.1 MB/s"
    assert amounts(0, 40.1e6, None, "MB") == "0.0/40.1 MB"
    assert amounts(3, 12, 1.25, "files") == "3/12 files  1.2/s"
    assert amounts(3, 12, 1.0, "s") == "3/12 s"
    assert amounts(3, None, None, "tries") == "3 tries"

"""A signal that ends a command ends what it has started, in whatever process groups."""

import os
import signal
import subprocess
import sys
import time

import pytest

from kscaffold import process
from tests.conftest import ROOT

# A command that runs a program, in the program a child; each says its number. What Python says of an
# exception goes to stdout, too.
COMMAND = """
import os, sys
os.dup2(1, 2)
from pathlib import Path
import kscaffold.cli.app
from kscaffold import __main__, process

def command():
    program = ["sh", "-c", "sleep 600 & echo $$ $!; wait"]
    try:
        process.stream(program, lambda line: print(line, flush=True), timeout=600)
    except KeyboardInterrupt:
        return 130

def forks():
    number = os.fork()
    if number:
        print(os.getpid(), number, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), flush=True)
        return 0
    import time
    time.sleep(600)

kscaffold.cli.app.main = {what}
sys.argv = ["kscaffold", "build"]
raise SystemExit(__main__.main())
"""


def begin(what: str, *before: str) -> tuple["subprocess.Popen[str]", list[int]]:
    """The command, and the numbers that it said."""
    terminal = ("env", "--default-signal=HUP,INT,TERM")  # whatever runs the tests, nohup(1) too
    child = subprocess.Popen(
        [*terminal, *before, sys.executable, "-c", COMMAND.replace("{what}", what)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout
    return child, [int(word) for word in child.stdout.readline().split()]


def are_over(numbers: list[int]) -> bool:
    until = time.monotonic() + 20
    while any(process.is_running(str(number)) for number in numbers) and time.monotonic() < until:
        time.sleep(0.01)
    return not any(process.is_running(str(number)) for number in numbers)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_a_command_started_ends_with_it(number):
    child, started = begin("command")
    assert len(started) == 2
    child.send_signal(number)
    said, _ = child.communicate(timeout=60)
    assert child.returncode == (130 if number == signal.SIGINT else -number)
    assert are_over(started) and said == ""


def test_a_command_that_is_to_outlive_its_terminal_does():
    child, started = begin("command", "nohup")
    child.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.3)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGTERM and are_over(started)


def test_a_fork_ends_without_a_word():
    child, (_, fork) = begin("forks")
    os.kill(fork, signal.SIGTERM)
    said, _ = child.communicate(timeout=60)
    assert said.split() == [str(-signal.SIGTERM)] and child.returncode == 0

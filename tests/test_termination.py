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
        print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), flush=True)
        return 0
    print(os.getppid(), os.getpid(), flush=True)  # a signal before this may be lost in os.fork()
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


def test_a_fork_that_is_told_to_end_at_once_does():
    """Of workers that were ended as soon as they were forked, one in some hundreds never ended."""
    again = """
import multiprocessing
from kscaffold import termination
termination.heed()
for _ in range(40):
    with termination.Held():
        workers = multiprocessing.get_context("fork").Pool(2, termination.as_usual)
    with workers:
        pass
with termination.Held():
    workers = multiprocessing.get_context("fork").Pool(1, termination.as_usual)
import signal
with workers as pool:
    print([pool.apply(signal.getsignal, (n,)).name for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)])
    print(pool.apply(signal.pthread_sigmask, (signal.SIG_BLOCK, ())))
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()), signal.getsignal(signal.SIGTERM).__name__)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    begun = ["env", "--default-signal=HUP,INT,TERM", sys.executable, "-c", again]
    ended = subprocess.run(begun, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.stdout.splitlines() == ["['SIG_DFL', 'SIG_DFL', 'SIG_IGN']", "set()", "set() _note"], ended


def test_a_signal_that_comes_while_signals_are_held_is_heard_after_it():
    held = """
import os, signal
from kscaffold import termination
termination.heed()
try:
    with termination.Held():
        os.kill(os.getpid(), signal.SIGTERM)
        print("held")
except KeyboardInterrupt:
    print("heard")
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    begun = ["env", "--default-signal=HUP,INT,TERM", sys.executable, "-c", held]
    ended = subprocess.run(begun, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.stdout.split() == ["held", "heard"], ended


# A program that stops its caller, as Ctrl-Z does, continues it beyond its deadline of 0.7 s, and has ended.
STOPPING = """
import sys
from kscaffold import process
program = ["sh", "-c", "sleep 0.2; kill -STOP $PPID; echo said; sleep 1.3; kill -CONT $PPID"]
if sys.argv[1] == "run":
    print(process.run(program, timeout=0.7).stdout)
else:
    print(process.stream(program, print, timeout=0.7))
"""


@pytest.mark.parametrize("how", ["run", "stream"])
def test_a_program_that_ended_while_its_caller_was_stopped_is_not_late(how: str):
    argv = [sys.executable, "-c", STOPPING, how]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.split() == (["said"] if how == "run" else ["said", "0"])

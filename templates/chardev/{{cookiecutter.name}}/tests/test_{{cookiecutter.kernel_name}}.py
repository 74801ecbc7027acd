# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""What programs can do with /dev/{{ cookiecutter.kernel_name }}. Each test has a kernel of its own: `kscaffold test`."""

import errno
from pathlib import Path

import pytest

DEVICE = "/dev/{{ cookiecutter.kernel_name }}"
# What the mailbox holds, in bytes.
FULL = 4096


@pytest.fixture
def use(guest):
    """The module is loaded; the program in user/ does one thing, and what it prints is returned."""
    guest.load()
    program = Path("../user/{{ cookiecutter.name }}.c")  # compiled now, for the guest
    return lambda what: guest.exec(program, DEVICE, what, check=True).stdout.split()


@pytest.fixture
def call(guest):
    """The module is loaded; calls.c makes some calls, and what each returned is returned."""
    guest.load()

    def made(what, *words):
        lines = guest.exec("./calls.c", DEVICE, what, *words, check=True).stdout.splitlines()
        return [(name, int(value)) for name, value in map(str.split, lines)]

    return made


def test_what_is_written_is_read(guest, use):
    guest.write(DEVICE, "hello world")
    # As much as was asked for, then the rest.
    for size, read in ((5, "hello"), (6, " world")):
        once = guest.exec("dd", f"if={DEVICE}", f"bs={size}", "count=1", check=True)
        assert once.stdout == read
    assert use("length") == ["0"]


def test_ioctl_tells_the_length_and_clears(guest, use):
    guest.write(DEVICE, "hello")
    assert use("length") == ["5"]
    use("clear")
    assert use("length") == ["0"]


def test_poll_says_what_would_not_wait(guest, use):
    assert use("ready") == ["write"]
    guest.write(DEVICE, "hello")
    assert use("ready") == ["read", "write"]
    guest.write(DEVICE, "x" * (FULL - 5))
    assert use("ready") == ["read"]


def test_nothing_is_written_behind(call):
    assert call("behind") == [
        ("write", 5),
        ("ioctl", 0),
        ("length", 5),
        ("behind", 7),
        ("read", 5),
        ("behind", 0),
    ]


def test_without_waiting(call):
    assert call("without-waiting") == [
        ("read", -errno.EAGAIN),
        ("write", FULL),
        ("write", -errno.EAGAIN),
        ("read", FULL),
    ]


def test_a_reader_waits_for_a_writer(call):
    assert call("wake-reader") == [("write", 5), ("child", 0)]


def test_a_writer_waits_for_a_reader(call):
    assert call("wake-writer") == [("write", FULL), ("read", FULL), ("child", 0), ("read", 5)]


def test_poll_waits_for_both(call):
    assert call("wake-poll") == [("write", FULL), ("child", 0), ("read", FULL), ("child", 0)]


def test_a_signal_ends_the_waiting(call):
    assert call("interrupted") == [("read", -errno.EINTR), ("write", FULL), ("write", -errno.EINTR)]


def test_an_address_that_is_none_is_refused(call):
    assert call("bad-addresses") == [
        ("write", -errno.EFAULT),
        ("write", 5),
        ("read", -errno.EFAULT),
        ("ioctl", -errno.EFAULT),
    ]


def test_calls_that_make_no_sense(call):
    assert call("odd-calls") == [("lseek", -errno.ESPIPE), ("ioctl", -errno.ENOTTY), ("read", 0)]


def test_stays_loaded_while_it_is_open(call):
    assert call("rmmod-while-open", "{{ cookiecutter.kernel_name }}") == [("rmmod", -errno.EWOULDBLOCK)]


def test_gives_all_memory_back(guest, call):
    """Each call is made many times: a few bytes that one forgets are a quarter of a megabyte then."""

    def used():
        """What the kernel's allocators have given out, in kB."""
        (line,) = (line for line in guest.read("/proc/meminfo").splitlines() if "SUnreclaim" in line)
        return int(line.split()[1])

    call("again", 500)  # what is made once is there now
    before = used()
    call("again", 4000)
    assert used() - before < 100


def test_comes_and_goes(guest):
    """What exit leaves behind meets the second load."""
    for _ in range(2):
        guest.load()
        guest.unload()

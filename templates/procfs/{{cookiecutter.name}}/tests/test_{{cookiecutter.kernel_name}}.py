# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""What programs can do with /proc/{{ cookiecutter.kernel_name }}. Each test has a kernel of its own: `kscaffold test`."""

import errno

import pytest

FILE = "/proc/{{ cookiecutter.kernel_name }}"
# Room for a thousand words.
FULL = 1000


def test_lists_what_was_written(guest):
    guest.load()
    assert guest.read(FILE) == ""
    for word in ("first\n", "second", "third one\n"):
        guest.write(FILE, word)
    assert guest.read(FILE) == "first\nsecond\nthird one\n"


def test_can_be_read_in_pieces(guest):
    guest.load()
    for word in ("first", "second", "third one"):
        guest.write(FILE, word)
    # No line fits into four bytes: seq_file keeps the rest of it for the next read().
    read = guest.exec("dd", f"if={FILE}", "bs=4", check=True)
    assert read.stdout == "first\nsecond\nthird one\n"
    # From a position on, as lseek(2) sets it.
    read = guest.exec("dd", f"if={FILE}", "bs=1", "skip=6", "count=6", check=True)
    assert read.stdout == "second"


def test_refuses_a_word_that_is_too_long(guest):
    guest.load()
    guest.write(FILE, "x" * 80)
    with pytest.raises(OSError) as refused:
        guest.write(FILE, "x" * 81)
    assert refused.value.errno == errno.EINVAL
    assert guest.read(FILE) == "x" * 80 + "\n"


def test_has_an_end(guest):
    guest.load()
    # Each write(2) is a word; dd makes one for each byte.
    guest.exec("dd", "if=/dev/zero", f"of={FILE}", "bs=1", f"count={FULL}", check=True)
    with pytest.raises(OSError) as refused:
        guest.write(FILE, "one more")
    assert refused.value.errno == errno.ENOSPC
    assert len(guest.read(FILE).splitlines()) == FULL


def test_forgets_when_it_is_unloaded(guest):
    guest.load()
    guest.write(FILE, "word")
    guest.unload()
    with pytest.raises(FileNotFoundError):
        guest.read(FILE)
    guest.load()
    assert guest.read(FILE) == ""


def test_gives_all_memory_back(guest):
    """A thousand words that one exit forgets are 32 kB, and two hundred that are refused less: it is made to
    come several times.
    """

    def used():
        """What the kernel's allocators have given out, in kB."""
        (line,) = (line for line in guest.read("/proc/meminfo").splitlines() if "SUnreclaim" in line)
        return int(line.split()[1])

    def come_and_go():
        guest.load()
        guest.exec("dd", "if=/dev/zero", f"of={FILE}", "bs=1", f"count={FULL}", check=True)
        # It is full: what is written now is refused.
        guest.exec("sh", "-c", f"for i in $(seq 200); do echo {'x' * 70} > {FILE}; done")
        guest.unload()

    come_and_go()  # what is made once is there now
    before = used()
    for _ in range(8):
        come_and_go()
    assert used() - before < 100

# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""A pad of keys, as programs see it. Each test has a kernel of its own: `kscaffold test`."""

import errno

import pytest

DEVICE = "/sys/devices/platform/{{ cookiecutter.kernel_name }}"
PRESS = f"{DEVICE}/press"


@pytest.fixture
def event(guest):
    """The pad's file for programs, of the kernel's module evdev."""
    guest.load("evdev")
    guest.load("{{ cookiecutter.kernel_name }}")
    blocks = guest.read("/proc/bus/input/devices").split("\n\n")
    (mine,) = (block for block in blocks if '"{{ cookiecutter.kernel_name }}"' in block)
    return next(f"/dev/input/{word}" for word in mine.split() if word.startswith("event"))


def test_a_key_goes_down_and_up(guest, event):
    # The program opens the file, presses, and tells which events came: key, value.
    told = guest.exec("./events.c", event, PRESS, "5", check=True).stdout.splitlines()
    assert told == ["key 6 1", "sync", "key 6 0", "sync"]  # KEY_5 is 6: linux/input-event-codes.h


@pytest.mark.parametrize(
    ("text", "error"), [("0", errno.ERANGE), ("10", errno.ERANGE), ("five", errno.EINVAL)]
)
def test_refuses_keys_that_it_has_not(guest, text, error):
    guest.load()
    with pytest.raises(OSError) as refused:
        guest.write(PRESS, text)
    assert refused.value.errno == error


def test_is_gone_after_the_unload(guest):
    guest.load()
    assert "{{ cookiecutter.kernel_name }}" in guest.read("/proc/bus/input/devices")
    guest.unload()
    assert "{{ cookiecutter.kernel_name }}" not in guest.read("/proc/bus/input/devices")

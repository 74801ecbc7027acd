# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""What programs can do with /dev/{{ cookiecutter.kernel_name }}. Each test has a kernel of its own: `kscaffold test`."""

import errno

import pytest

DEVICE = "/dev/{{ cookiecutter.kernel_name }}"


def test_gives_back_what_was_written(guest):
    guest.load()
    assert guest.read(DEVICE) == ""
    guest.write(DEVICE, "a long note")
    guest.write(DEVICE, "short")
    assert guest.read(DEVICE) == "short"


def test_can_be_read_in_pieces(guest):
    guest.load()
    guest.write(DEVICE, "hello world")
    assert guest.exec("dd", f"if={DEVICE}", "bs=1", "skip=6", "count=3", check=True).stdout == "wor"


def test_has_room_for_256_bytes(guest):
    guest.load()
    guest.write(DEVICE, "x" * 256)
    with pytest.raises(OSError) as refused:
        guest.write(DEVICE, "y" * 257)
    assert refused.value.errno == errno.ENOSPC
    assert guest.read(DEVICE) == "y" * 256


def test_forgets_when_it_is_unloaded(guest):
    guest.load()
    guest.write(DEVICE, "secret")
    guest.unload()
    guest.load()
    assert guest.read(DEVICE) == ""

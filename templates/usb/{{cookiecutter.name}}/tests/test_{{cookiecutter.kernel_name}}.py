# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""The driver of a device that dummy_hcd plays. Each test has a kernel of its own: `kscaffold test`."""

import errno

import pytest

DEVICE = "/sys/bus/usb/devices/1-1:1.0"
MESSAGE = f"{DEVICE}/message"


@pytest.fixture
def plugged(guest):
    """The driver is loaded, and a device is plugged into a controller that is no more than a program."""
    guest.load("dummy_hcd")
    guest.load("usb_f_ss_lb")
    guest.load("{{ cookiecutter.kernel_name }}")
    guest.exec("./plug.sh", "in", check=True)
    guest.expect_log("1-1:1.0: a loop", timeout=10)
    return guest


@pytest.mark.parametrize("text", ["hello", "x", "x" * 64])
def test_what_is_sent_comes_back(plugged, text):
    plugged.write(MESSAGE, text)
    assert plugged.read(MESSAGE) == text


def test_one_message_after_the_other(plugged):
    for text in ("first", "second", "third"):
        plugged.write(MESSAGE, text)
        assert plugged.read(MESSAGE) == text


def test_refuses_a_message_that_is_too_long(plugged):
    with pytest.raises(OSError) as refused:
        plugged.write(MESSAGE, "x" * 65)
    assert refused.value.errno == errno.EINVAL


def test_can_be_pulled_out_and_plugged_in_again(plugged):
    plugged.write(MESSAGE, "hello")
    plugged.exec("./plug.sh", "out", check=True)
    plugged.expect_log("1-1:1.0: gone", timeout=10)
    with pytest.raises(FileNotFoundError):
        plugged.read(MESSAGE)
    plugged.exec("./plug.sh", "in", check=True)


def test_leaves_the_device_when_it_is_unloaded(plugged):
    plugged.unload("{{ cookiecutter.kernel_name }}")
    with pytest.raises(FileNotFoundError):
        plugged.read(MESSAGE)
    plugged.load("{{ cookiecutter.kernel_name }}")
    plugged.write(MESSAGE, "again")
    assert plugged.read(MESSAGE) == "again"

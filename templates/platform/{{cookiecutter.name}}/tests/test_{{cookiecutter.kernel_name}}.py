# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""A platform driver and its device. Each test has a kernel of its own: `kscaffold test`."""

import errno

import pytest

DEVICE = "/sys/devices/platform/{{ cookiecutter.kernel_name }}"
DRIVER = "/sys/bus/platform/drivers/{{ cookiecutter.kernel_name }}"
BRIGHTNESS = f"{DEVICE}/brightness"


def test_the_driver_finds_its_device(guest):
    guest.load()
    guest.expect_log("a lamp")
    assert guest.read(BRIGHTNESS) == "0\n"


def test_the_lamp_can_be_set(guest):
    guest.load()
    guest.write(BRIGHTNESS, "0xff\n")
    assert guest.read(BRIGHTNESS) == "255\n"


@pytest.mark.parametrize(("text", "error"), [("256", errno.ERANGE), ("bright", errno.EINVAL)])
def test_refuses_what_is_no_brightness(guest, text, error):
    guest.load()
    with pytest.raises(OSError) as refused:
        guest.write(BRIGHTNESS, text)
    assert refused.value.errno == error
    assert guest.read(BRIGHTNESS) == "0\n"


def test_can_be_taken_from_its_device_and_given_back(guest):
    guest.load()
    guest.write(BRIGHTNESS, "7")
    guest.write(f"{DRIVER}/unbind", "{{ cookiecutter.kernel_name }}")
    with pytest.raises(FileNotFoundError):
        guest.read(BRIGHTNESS)
    guest.write(f"{DRIVER}/bind", "{{ cookiecutter.kernel_name }}")
    assert guest.read(BRIGHTNESS) == "0\n"


def test_both_are_gone_after_the_unload(guest):
    guest.load()
    guest.unload()
    for path in (BRIGHTNESS, f"{DRIVER}/uevent"):
        with pytest.raises(FileNotFoundError):
            guest.read(path)

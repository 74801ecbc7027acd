# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""The driver of a chip that the kernel's i2c-stub plays. Each test has a kernel of its own: `kscaffold test`."""

import errno

import pytest

ADDRESS = "0x48"
ADAPTER = "/sys/bus/i2c/devices/i2c-0"
CHIP = "/sys/bus/i2c/devices/0-0048"


@pytest.fixture
def chip(guest):
    """A chip of memory at an address of a bus of its own, told to the kernel as root would; its directory."""
    guest.load("i2c-stub", chip_addr=ADDRESS)
    guest.load("{{ cookiecutter.kernel_name }}")
    guest.write(f"{ADAPTER}/new_device", f"example-sensor {ADDRESS}")
    return CHIP


def test_finds_the_chip(guest, chip):
    guest.expect_log("{{ cookiecutter.kernel_name }} 0-0048: 0 degrees")
    assert guest.read(f"{chip}/temperature") == "0\n"


@pytest.mark.parametrize("degrees", [40, -40, 127, -128])
def test_shows_what_the_chip_measures(guest, chip, degrees):
    # What a program writes to the chip past the driver: its first register.
    guest.load("i2c-dev")
    guest.exec("./poke.c", "/dev/i2c-0", ADDRESS, "0", degrees & 0xFF, check=True)
    assert guest.read(f"{chip}/temperature") == f"{degrees}\n"


def test_the_limit_can_be_set(guest, chip):
    guest.write(f"{chip}/limit", "-5\n")
    assert guest.read(f"{chip}/limit") == "-5\n"


@pytest.mark.parametrize(("text", "error"), [("128", errno.ERANGE), ("hot", errno.EINVAL)])
def test_refuses_what_is_no_limit(guest, chip, text, error):
    with pytest.raises(OSError) as refused:
        guest.write(f"{chip}/limit", text)
    assert refused.value.errno == error


def test_refuses_a_chip_that_is_not_there(guest, chip):
    guest.write(f"{ADAPTER}/new_device", "example-sensor 0x49")
    with pytest.raises(FileNotFoundError):
        guest.read("/sys/bus/i2c/devices/0-0049/temperature")


def test_leaves_the_chip_when_it_is_unloaded(guest, chip):
    guest.unload("{{ cookiecutter.kernel_name }}")
    with pytest.raises(FileNotFoundError):
        guest.read(f"{chip}/temperature")
    guest.load("{{ cookiecutter.kernel_name }}")
    assert guest.read(f"{chip}/temperature") == "0\n"

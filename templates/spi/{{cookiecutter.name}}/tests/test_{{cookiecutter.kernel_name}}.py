# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""The driver of a chip that the second module plays. Each test has a kernel of its own: `kscaffold test`."""

import errno

import pytest

DRIVER = "{{ cookiecutter.kernel_name }}"
SIMULATOR = "{{ cookiecutter.kernel_name }}_sim"


@pytest.fixture
def chip(guest):
    """Both are loaded; the directory of the chip."""
    guest.load(DRIVER)
    guest.load(SIMULATOR)
    name = guest.expect_log(rf"{DRIVER} (spi\S+): a chip")[1]
    return f"/sys/bus/spi/devices/{name}"


@pytest.mark.parametrize("level", [0, 1, 255])
def test_the_level_can_be_set(guest, chip, level):
    guest.write(f"{chip}/level", f"{level}\n")
    assert guest.read(f"{chip}/level") == f"{level}\n"


@pytest.mark.parametrize(("text", "error"), [("256", errno.ERANGE), ("high", errno.EINVAL)])
def test_refuses_what_is_no_level(guest, chip, text, error):
    with pytest.raises(OSError) as refused:
        guest.write(f"{chip}/level", text)
    assert refused.value.errno == error


def test_refuses_another_chip(guest):
    guest.load(DRIVER)
    guest.load(SIMULATOR, which=0xAB)
    bus = guest.expect_log(r"a chip on (spi\d+)")[1]
    with pytest.raises(FileNotFoundError):
        guest.read(f"/sys/bus/spi/devices/{bus}.0/level")


def test_can_go_before_its_chip_and_come_back(guest, chip):
    guest.unload(DRIVER)
    with pytest.raises(FileNotFoundError):
        guest.read(f"{chip}/level")
    guest.load(DRIVER)
    assert guest.read(f"{chip}/level") == "0\n"


def test_the_chip_can_go_first(guest, chip):
    guest.unload(SIMULATOR)
    with pytest.raises(FileNotFoundError):
        guest.read(f"{chip}/level")
    guest.unload(DRIVER)

# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""The driver of QEMU's device `edu`. Each test has a machine with that device: `kscaffold test`."""

import errno
import math

import pytest

# Every guest of this file has the device on its PCI bus.
pytestmark = pytest.mark.device("edu")

NAME = "{{ cookiecutter.kernel_name }}"
DRIVER = f"/sys/bus/pci/drivers/{NAME}"


@pytest.fixture
def device(guest):
    """The driver is loaded; its device's directory."""
    guest.load()
    address = guest.expect_log(r"(\S+): version 0x10000ed")[1]
    return f"/sys/bus/pci/devices/{address}"


@pytest.mark.parametrize("number", [0, 1, 5, 12])
def test_computes_factorials(guest, device, number):
    guest.write(f"{device}/factorial", f"{number}\n")
    assert guest.read(f"{device}/factorial") == f"{math.factorial(number)}\n"


def owned(guest, path):
    """The lines of /proc/interrupts or /proc/iomem that end with the driver's name."""
    return [line for line in guest.read(path).splitlines() if line.endswith(f" {NAME}")]


def test_is_told_by_interrupts(guest, device):
    def interrupts():
        (line,) = owned(guest, "/proc/interrupts")
        number, count = line.split()[:2]
        return number.rstrip(":"), int(count)

    number, before = interrupts()
    guest.write(f"{device}/factorial", "3")
    assert interrupts() == (number, before + 1)
    # It said of each that it was its device's: IRQ_HANDLED.
    assert "unhandled 0\n" in guest.read(f"/proc/irq/{number}/spurious")


@pytest.mark.parametrize(("text", "error"), [("13", errno.ERANGE), ("many", errno.EINVAL)])
def test_refuses_what_it_can_not_compute(guest, device, text, error):
    with pytest.raises(OSError) as refused:
        guest.write(f"{device}/factorial", text)
    assert refused.value.errno == error


def test_can_be_taken_from_its_device_and_given_back(guest, device):
    address = device.rpartition("/")[2]
    guest.write(f"{DRIVER}/unbind", address)
    with pytest.raises(FileNotFoundError):
        guest.read(f"{device}/factorial")
    guest.write(f"{DRIVER}/bind", address)
    guest.write(f"{device}/factorial", "4")
    assert guest.read(f"{device}/factorial") == "24\n"


def test_gives_the_device_back_when_it_is_unloaded(guest, device):
    assert owned(guest, "/proc/iomem")
    guest.write(f"{device}/factorial", "4")
    guest.unload()
    assert owned(guest, "/proc/interrupts") == owned(guest, "/proc/iomem") == []
    guest.load()
    guest.unload()

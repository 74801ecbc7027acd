# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""What programs can do with /sys/kernel/{{ cookiecutter.kernel_name }}. Each test has a kernel of its own: `kscaffold test`."""

import errno

import pytest

DIRECTORY = "/sys/kernel/{{ cookiecutter.kernel_name }}"
CELSIUS = f"{DIRECTORY}/celsius"
FAHRENHEIT = f"{DIRECTORY}/fahrenheit"
RESET = f"{DIRECTORY}/reset"


def refusal(guest, path, text):
    """The errno of a write that is refused."""
    with pytest.raises(OSError) as refused:
        guest.write(path, text)
    return refused.value.errno


def test_shows_a_temperature_in_both_scales(guest):
    guest.load()
    assert (guest.read(CELSIUS), guest.read(FAHRENHEIT)) == ("20\n", "68\n")
    guest.write(CELSIUS, "-40\n")
    assert (guest.read(CELSIUS), guest.read(FAHRENHEIT)) == ("-40\n", "-40\n")


def test_refuses_what_is_no_temperature(guest):
    guest.load()
    assert refusal(guest, CELSIUS, "-274") == errno.ERANGE
    assert refusal(guest, CELSIUS, "10001") == errno.ERANGE
    assert refusal(guest, CELSIUS, "99999999999") == errno.ERANGE
    assert refusal(guest, CELSIUS, "warm") == errno.EINVAL
    assert guest.read(CELSIUS) == "20\n"


def test_is_reset_by_a_yes(guest):
    guest.load()
    guest.write(CELSIUS, "100")
    guest.write(RESET, "0")
    assert guest.read(CELSIUS) == "100\n"
    guest.write(RESET, "1\n")
    assert guest.read(CELSIUS) == "20\n"
    assert refusal(guest, RESET, "perhaps") == errno.EINVAL


def test_each_file_has_its_mode(guest):
    guest.load()
    listed = guest.exec("stat", "-c", "%a", CELSIUS, FAHRENHEIT, RESET, check=True)
    assert listed.stdout.split() == ["644", "444", "200"]


def test_is_gone_after_the_unload(guest):
    guest.load()
    guest.unload()
    with pytest.raises(FileNotFoundError):
        guest.read(CELSIUS)

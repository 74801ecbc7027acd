# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""What is in /sys/kernel/debug/{{ cookiecutter.kernel_name }}. Each test has a kernel of its own: `kscaffold test`."""

import errno

import pytest

DIRECTORY = "/sys/kernel/debug/{{ cookiecutter.kernel_name }}"


def test_reports_as_often_and_as_loud_as_told(guest):
    guest.load()
    assert guest.read(f"{DIRECTORY}/report") == "line 1\nline 2\nline 3\n"
    guest.write(f"{DIRECTORY}/howmany", "2")
    guest.write(f"{DIRECTORY}/loud", "Y")
    assert guest.read(f"{DIRECTORY}/report") == "line 1!\nline 2!\n"
    assert int(guest.read(f"{DIRECTORY}/reports")) >= 2


def test_a_long_report_has_an_end(guest):
    guest.load()
    guest.write(f"{DIRECTORY}/howmany", "4000000000")
    assert len(guest.read(f"{DIRECTORY}/report").splitlines()) == 1000


def test_percent_is_at_most_100(guest):
    guest.load()
    guest.write(f"{DIRECTORY}/percent", "100\n")
    with pytest.raises(OSError) as refused:
        guest.write(f"{DIRECTORY}/percent", "101")
    assert refused.value.errno == errno.ERANGE
    assert guest.read(f"{DIRECTORY}/percent") == "100\n"


def test_is_gone_after_the_unload(guest):
    guest.load()
    guest.unload()
    with pytest.raises(FileNotFoundError):
        guest.read(f"{DIRECTORY}/report")

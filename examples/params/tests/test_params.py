# SPDX-License-Identifier: GPL-2.0-only
"""What params is told by its parameters. Each test has a kernel of its own: `kscaffold test`."""

import pytest

PARAMETERS = "/sys/module/params/parameters"

# Name, its file's content where nothing is given, a value, the file's content then.
VALUES = [
    ("howmany", "1\n", "2147483647", "2147483647\n"),
    ("whom", "world\n", "another", "another\n"),
    ("loud", "N\n", "Y", "Y\n"),
    ("quiet", "N\n", "Y", "Y\n"),
    ("level", "200\n", "255", "255\n"),
    ("size", "4294967296\n", "18446744073709551615", "18446744073709551615\n"),
]


def test_says_its_values(guest):
    guest.load()
    guest.expect_log("howmany = ")
    guest.expect_log("whom = ")
    guest.expect_log("loud = ")
    guest.expect_log("quiet = ")
    guest.expect_log("level = ")
    guest.expect_log("size = ")
    guest.unload()


@pytest.mark.parametrize(("name", "default", "given", "shown"), VALUES)
def test_a_value_is_taken(guest, name, default, given, shown):
    guest.load()
    assert guest.read(f"{PARAMETERS}/{name}") == default
    guest.unload()
    guest.load(**{name: given})
    assert guest.read(f"{PARAMETERS}/{name}") == shown

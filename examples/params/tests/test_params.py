# SPDX-License-Identifier: GPL-2.0-only
"""What params is told by its parameters. Each test has a kernel of its own: `kscaffold test`."""

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


def test_each_has_its_default(guest):
    guest.load()
    for name, default, _, _ in VALUES:
        assert (name, guest.read(f"{PARAMETERS}/{name}")) == (name, default)


def test_each_takes_a_value(guest):
    guest.load(**{name: given for name, _, given, _ in VALUES})
    for name, _, _, shown in VALUES:
        assert (name, guest.read(f"{PARAMETERS}/{name}")) == (name, shown)

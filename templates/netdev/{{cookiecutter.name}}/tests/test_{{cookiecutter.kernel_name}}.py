# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""Two network devices that are a cable. Each test has a kernel of its own: `kscaffold test`."""

import pytest


def count(guest, device, what):
    """A number that the kernel keeps for a device, such as rx_packets."""
    return int(guest.read(f"/sys/class/net/{device}/statistics/{what}"))


def ip(guest, *words):
    guest.exec("ip", *words, check=True)


def ask_for_nobody(guest):
    """Ask both ends' network for a machine that is not there: a broadcast, and no answer."""
    assert guest.exec("ping", "-c", "1", "-W", "1", "192.0.2.77").returncode == 1


@pytest.fixture
def up(guest):
    """Both ends are up, the first one has an address."""
    guest.load()
    ip(guest, "addr", "add", "192.0.2.1/24", "dev", "pair0")
    ip(guest, "link", "set", "pair0", "up")
    ip(guest, "link", "set", "pair1", "up")
    return guest


def test_what_one_sends_the_other_receives(up):
    before = count(up, "pair0", "tx_packets")
    ask_for_nobody(up)
    sent = count(up, "pair0", "tx_packets")
    assert sent > before
    # The kernel may send more at any time: what was sent is asked first.
    assert count(up, "pair1", "rx_packets") >= sent
    sent = count(up, "pair0", "tx_bytes")
    assert count(up, "pair1", "rx_bytes") >= sent > 0


def test_has_a_carrier_when_both_ends_are_up(guest):
    guest.load()
    ip(guest, "link", "set", "pair0", "up")
    assert guest.read("/sys/class/net/pair0/carrier") == "0\n"
    ip(guest, "link", "set", "pair1", "up")
    assert guest.read("/sys/class/net/pair0/carrier") == "1\n"
    ip(guest, "link", "set", "pair1", "down")
    assert guest.read("/sys/class/net/pair0/carrier") == "0\n"


def test_a_second_unload_and_load_while_up(up):
    up.unload()
    up.load()
    with pytest.raises(OSError):
        up.read("/sys/class/net/pair0/carrier")  # it is down again

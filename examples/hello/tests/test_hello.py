# SPDX-License-Identifier: GPL-2.0-only
"""What hello does. `kscaffold test` gives each test a kernel of its own, and throws that away."""


def test_says_hello_and_goodbye(guest):
    guest.load()
    guest.expect_log("hello from init")
    guest.unload()
    guest.expect_log("goodbye from exit")


def test_can_come_back(guest):
    # What exit forgets to undo is in the way of the second load.
    for _ in range(2):
        guest.load()
        guest.unload()

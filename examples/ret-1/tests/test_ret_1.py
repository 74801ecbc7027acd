# SPDX-License-Identifier: GPL-2.0-only
"""What ret-1 does. `kscaffold test` gives each test a kernel of its own, and throws that away."""


def test_does_not_stay_loaded(guest):
    refused = guest.try_load()
    assert not refused.ok
    assert refused.judgement.returned == -1
    # What insmod makes of -1: "Operation not permitted", whoever loads it.
    assert refused.judgement.errno == "EPERM"
    assert "ret_1" not in guest.read("/proc/modules")


def test_init_runs_all_the_same(guest):
    guest.try_load()
    guest.expect_log("ret_1: hello from init")
    # Exit does not: there is nothing loaded that could be removed.
    assert not any("goodbye from exit" in line for line in guest.log())

# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""How {{ cookiecutter.name }} ticks, and that it ends. Each test has a kernel of its own: `kscaffold test`."""


def test_ticks_until_it_is_stopped(guest):
    guest.load(period=10)
    guest.expect_log("tick 3$", timeout=10)
    guest.unload()
    heard = int(guest.expect_log(r"heard (\d+) ticks")[1])
    ticks = [line for line in guest.log() if ": tick " in line]
    assert [line.rpartition(" ")[2] for line in ticks] == [str(n + 1) for n in range(heard)]
    # What still ran now would run code that is gone.
    guest.exec("sleep", "0.1", check=True)
    assert [line for line in guest.log() if ": tick " in line] == ticks


def test_stops_in_the_middle_of_it(guest):
    for _ in range(5):
        guest.load(period=1)
        guest.unload()


def test_refuses_to_tick_without_a_pause(guest):
    assert guest.try_load(period=0).judgement.errno == "EINVAL"

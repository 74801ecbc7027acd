# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""Calls of a function of the kernel are counted. Each test has a kernel of its own: `kscaffold test`."""

import pytest

HITS = "/sys/module/{{ cookiecutter.kernel_name }}/parameters/hits"


def test_counts_new_processes(guest):
    guest.load()
    before = int(guest.read(HITS))
    guest.exec("true", check=True)
    assert int(guest.read(HITS)) > before
    guest.expect_log("kernel_clone called by ")


def test_tells_the_sum_at_the_end(guest):
    guest.load()
    guest.exec("true", check=True)
    guest.unload()
    assert int(guest.expect_log(r"was called (\d+) times")[1]) > 0


def test_watches_another_function(guest):
    guest.load(symbol="vfs_write")
    before = int(guest.read(HITS))
    guest.exec("sh", "-c", "echo word > /dev/null", check=True)
    assert int(guest.read(HITS)) > before


@pytest.mark.parametrize(
    ("symbol", "error"),
    [("no_such_function", "ENOENT"), ("get_kprobe", "EINVAL")],
)
def test_refuses_what_can_not_be_watched(guest, symbol, error):
    assert guest.try_load(symbol=symbol).judgement.errno == error
    guest.expect_log(f"{symbol} can't be watched")

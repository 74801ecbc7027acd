"""`-v` tells where the milliseconds of a command go."""

import re
import threading
import time
from pathlib import Path

import pytest

from kscaffold import timing
from tests.conftest import need_program
from tests.support.kernels import need_kernel
from tests.support.modules import built

_LINE = re.compile(r" *(\d+) +(\d+) ms  (.+)")


def steps(text: str) -> list[tuple[int, int, str]]:
    return [(int(m[1]), int(m[2]), m[3]) for m in map(_LINE.fullmatch, text.splitlines()) if m]


def test_each_step_has_its_time_and_the_sum_is_the_whole():
    timing.begin()
    timing.reached("the command line is known")
    timing.reached("the rest")
    assert timing.timeline() == []
    timing.begin()
    timing.reached("the command line is known")
    time.sleep(0.05)
    timing.reached("sleeping")
    thread = threading.Thread(target=timing.reached, args=("somebody else's",))
    thread.start()
    thread.join()
    timing.reached("the rest")
    told = steps("\n".join(timing.timeline()))
    assert [what for *_, what in told] == [
        *("Python starts", "the command line is known", "sleeping", "the rest"),
    ]
    assert 50 <= told[2][0] < 1000
    # Each is rounded by itself.
    assert abs(sum(own for own, *_ in told) - told[-1][1]) <= len(told)


@pytest.mark.sandbox
def test_a_run_tells_each_of_its_steps(ks, tmp_path: Path):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    run = ("run", "--kernel", kernel.release, built(kernel) / "hello.ko")
    began = time.monotonic()
    ran = ks(*run, "-v")
    took = (time.monotonic() - began) * 1000
    assert ran.status == 0, ran.err
    told = steps(ran.err)
    expected = [
        *("Python starts", "the command line is known", "a guest begins to restore"),
        *("more of kscaffold is imported", "the modules are found, and built", "a prediction is made"),
        *("the guest answers", "the target is asked what is loaded", "hello is loaded"),
        *("the evidence is judged", "unloaded"),
        *("the guest is asked whether it is well", "what is left behind is looked for"),
        *("the guest has ended", "the rest"),
    ]
    assert [what for *_, what in told] == expected
    # All but Python's own start is in the time of the command, and nothing of it is left out.
    assert abs(sum(own for own, *_ in told[1:]) - took) <= len(told) + 0.2 * took
    assert not steps(ks(*run).err)

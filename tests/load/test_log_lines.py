"""How much of a module's log a load shows."""

import pytest

from kscaffold import console
from kscaffold.cli.render.load import log_lines
from kscaffold.diagnosis.klog import Record
from tests.conftest import need_program
from tests.support.kernels import need_kernel
from tests.support.modules import built


def shown(capsys, count: int) -> list[str]:
    log_lines([Record(f"m: {number}") for number in range(count)], "m")
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("count", [1, 16, 17])
def test_a_log_is_whole_where_a_mark_would_take_as_much_room(capsys, monkeypatch, count):
    monkeypatch.setattr(console, "json_mode", False)
    assert shown(capsys, count) == [f"  | m: {number}" for number in range(count)]


def test_of_a_long_one_both_ends_are_shown(capsys, monkeypatch):
    monkeypatch.setattr(console, "json_mode", False)
    lines = shown(capsys, 18)
    assert lines[:9] == [*(f"  | m: {number}" for number in range(8)), "  | …"]
    assert lines[9:] == [
        *(f"  | m: {number}" for number in range(10, 18)),
        "  | … (2 lines are left out: -v shows all)",
    ]


def test_a_task_that_is_named_again_each_second_is_shown_once(capsys, monkeypatch):
    monkeypatch.setattr(console, "json_mode", False)
    waits = "INFO: task {} blocked for more than {} seconds."
    texts = [waits.format("init:80", n) for n in range(4, 9)] + [waits.format("kworker/0:1:9", 9)]
    log_lines([Record(line) for text in texts for line in (text, "Call Trace:", *4 * [" wait"])], "mine")
    assert capsys.readouterr().out.splitlines() == [
        f"  | {texts[0]}",
        "  | …",
        f"  | {texts[-1]}",
        "  | … (34 lines are left out: -v shows all)",
    ]


@pytest.mark.sandbox
def test_a_try_that_says_the_same_again_does_not_repeat_it(ks):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    ran = ks("run", built(kernel) / "hello.ko", "-k", kernel.release, "--repeat", "2")
    assert ran.status == 0
    assert ran.out.count("  | hello from init\n") == 1 and ran.out.count("  | goodbye\n") == 1
    assert ran.out.count("  | (the lines of the try before)\n") == 1

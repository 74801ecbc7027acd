"""The sanitizer's lines in a log, as reports."""

import pytest

from kscaffold.diagnosis import catalogue
from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.reports.kinds import KINDS
from kscaffold.diagnosis.reports.sanitizer import is_instruments, notes, read_reports

OUT_OF_BOUNDS = """\
victim: hello
ks_sanitize: 1 report slab-out-of-bounds task insmod/81 cpu 0
ks_sanitize: 1 access write 1 ffff8880063a8818
ks_sanitize: 1 at fill+0x54/0x90 [victim]
ks_sanitize: 1 by victim_init+0x20/0x1000 [victim]
ks_sanitize: 1 by do_one_initcall+0x56/0x220
ks_sanitize: 1 object kmalloc ffff8880063a8800 24 24 -
ks_sanitize: 1 alloc victim_init+0x2b/0x1000 [victim]
ks_sanitize: 1 end
"""


def records(text: str) -> list[Record]:
    return [Record(line) for line in text.splitlines()]


def test_an_access_out_of_bounds():
    (report,) = read_reports(records(OUT_OF_BOUNDS))
    assert (report.kind, report.access, report.size) == ("slab-out-of-bounds", "write", 1)
    assert report.task == "insmod/81"
    assert report.memory is not None
    assert (report.memory.kind, report.memory.size, report.memory.offset) == ("kmalloc", 24, 24)
    assert [(s.role, s.function, s.module) for s in report.sites] == [
        ("at", "fill", "victim"),
        ("alloc", "victim_init", "victim"),
    ]
    assert [s.function for s in report.stack] == ["victim_init"]
    assert report.where is report.sites[0]
    assert report.meaning.code == "KS701"


def test_a_leak_is_where_it_was_allocated():
    text = "ks_sanitize: 3 report memory-leak task rmmod/9 cpu 1\n"
    text += "ks_sanitize: 3 leak 5 40 kmalloc ffff 81\n"
    (report,) = read_reports(records(text + "ks_sanitize: 3 alloc f+0x1/0x2 [m]\nks_sanitize: 3 end"))
    assert report.memory is not None
    assert (report.memory.count, report.memory.size) == (5, 40)
    assert report.where is not None
    assert report.where.text == "f+0x1/0x2 [m]"


def test_undefined_behaviour_has_the_compilers_own_place():
    text = "ks_sanitize: 2 report shift-out-of-bounds task a b/1 cpu 0\n"
    text += "ks_sanitize: 2 source 29:8 /home/me/a dir/victim.c\n"
    text += "ks_sanitize: 2 text shift exponent 40 is too large"
    (report,) = read_reports(records(text))
    assert report.source == ("/home/me/a dir/victim.c", 29, 8)
    assert report.text == "shift exponent 40 is too large"
    assert report.task == "a b/1"


def test_reports_that_are_mixed_in_the_log_are_told_apart():
    text = (
        "ks_sanitize: 1 report double-free task a/1 cpu 0\n"
        "ks_sanitize: 2 report invalid-free task b/2 cpu 1\n"
        "ks_sanitize: 2 at g+0x1/0x2 [m]\nks_sanitize: 1 at f+0x1/0x2 [m]\nks_sanitize: 1 end\n"
    )
    found = {r.kind: r.where.function for r in read_reports(records(text)) if r.where}
    assert found == {"double-free": "f", "invalid-free": "g"}


def test_a_lock_is_named_where_its_name_is_known():
    head = "ks_sanitize: 1 report recursive-locking task a/1 cpu 0\nks_sanitize: 1 lock ffff1234"
    assert read_reports(records(head))[0].lock == "ffff1234"
    assert read_reports(records(head + " a_lock+0x0/0xfff [m]"))[0].lock == "a_lock"


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "ks_sanitize: 1 report no-such-kind task a/1 cpu 0",
        "ks_sanitize: 1 at f+0x1/0x2 [m]",
        "ks_sanitize: 0 report double-free task a/1 cpu 0",
        "my ks_sanitize: 1 report double-free task a/1 cpu 0",
    ],
)
def test_what_is_no_report_is_none(text: str):
    assert read_reports(records(text)) == ()


def test_what_the_sanitizer_says_of_itself():
    assert notes(records("ks_sanitize: 0 untracked 17\nhello")) == {"untracked": "17"}
    assert [is_instruments(r) for r in records(OUT_OF_BOUNDS)][:2] == [False, True]


def test_each_kind_has_an_entry_of_its_own():
    codes = [kind.code for kind in KINDS.values()]
    assert len(set(codes)) == len(codes)
    assert all(catalogue.entry(code) for code in codes)


def test_a_report_that_has_not_ended_counts_as_far_as_it_goes():
    """Another task's, when the call it was in came back."""
    begun = OUT_OF_BOUNDS.splitlines()[:3]
    (cut,) = read_reports(records("\n".join(begun)))
    assert (cut.is_whole, cut.kind, cut.where) == (False, "slab-out-of-bounds", None)
    (whole,) = read_reports(records(OUT_OF_BOUNDS))
    assert whole.is_whole

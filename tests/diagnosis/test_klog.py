"""Kernel log records from every form, and from no form at all."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kscaffold.diagnosis import crash, klog
from kscaffold.diagnosis.klog import Record


def test_a_record_of_kmsg():
    (record,) = klog.parse_kmsg(b"4,339,5140900,-;hello: init runs\n SUBSYSTEM=module\n DEVICE=+x\n")
    assert record == Record("hello: init runs", 339, "warn", 0, 5.1409)


def test_a_record_with_caller_and_with_flags_of_any_kind():
    (record,) = klog.parse_kmsg("6,1,2,c,caller=T12,new=1;text; with; semicolons")
    assert record.text == "text; with; semicolons"


def test_what_a_program_wrote_is_not_the_kernels():
    (record,) = klog.parse_kmsg("14,339,5,-;agent says")
    assert (record.level, record.facility) == ("info", 1)


def test_escapes_are_bytes_and_newlines_make_records():
    first, second = klog.parse_kmsg(r"6,7,8,-;caf\xc3\xa9 \x5c \x1b[31m\x0asecond")
    assert first.text == "café \\ \x1b[31m"
    assert (second.text, second.seq) == ("second", 7)


def test_final_newlines_are_no_records():
    assert [r.text for r in klog.parse_kmsg(r"6,7,8,-;one\x0a\x0a")] == ["one"]


@pytest.mark.parametrize(
    ("line", "level", "time_", "text"),
    [
        ("[   12.345678] hello: hi", None, 12.345678, "hello: hi"),
        ("[   12.345678][  T812] hello: hi", None, 12.345678, "hello: hi"),
        ("[   12.345678] c1 hello: hi", None, 12.345678, "hello: hi"),
        ("[   12.345678] c0    512 hello: hi", None, 12.345678, "hello: hi"),
        ("[   12.345678] [pid:77,cpu0,reader]hello: hi", None, 12.345678, "hello: hi"),
        ("<6>[   12.345678]  [3:    kworker/3:1:  123] hello: hi", "info", 12.345678, "hello: hi"),
        ("c1 hello: hi", None, None, "c1 hello: hi"),
        ("<4>[   12.345678] hello: hi", "warn", 12.345678, "hello: hi"),
        ("<3>hello: hi", "err", None, "hello: hi"),
        ("kern  :warn  : [   12.345678] hello: hi", "warn", 12.345678, "hello: hi"),
        ("[Tue Nov 23 01:44:12 2025] hello: hi", None, None, "hello: hi"),
        ("Nov 23 01:44:12 host kernel: hello: hi", None, None, "hello: hi"),
        ("Nov 23 01:44:12 host kernel: [   12.345678] hello: hi", None, 12.345678, "hello: hi"),
        ("2025-11-23T01:44:12+01:00 host kernel: hello: hi", None, None, "hello: hi"),
        ("2025-11-23 01:44:12.123456 host kernel: hello: hi", None, None, "hello: hi"),
        ("[   12.345678] host kernel: hello: hi", None, 12.345678, "hello: hi"),
        ("4,339,12345678,-;hello: hi", "warn", 12.345678, "hello: hi"),
        ("hello: hi", None, None, "hello: hi"),
        ("hello: hi\r", None, None, "hello: hi"),
        ("[    1.000000]  indented [hello]", None, 1.0, " indented [hello]"),
    ],
)
def test_pasted_lines(line, level, time_, text):
    (record,) = klog.parse_text(line + "\n")
    assert (record.level, record.time, record.text) == (level, time_, text)


def test_pasted_lines_lose_nothing_of_an_unknown_form():
    text = "make[1]: Entering directory '/x'\n  CC [M]  hello.o\n<html> [not a time] x\n"
    assert [r.text for r in klog.parse_text(text)] == text.splitlines()


def test_since_takes_records_of_this_load_only():
    records = klog.parse_kmsg("6,1,1,-;a\n6,2,2,-;b\n6,3,3,-;c")
    assert [r.text for r in klog.since(records, 2)] == ["b", "c"]


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=2000), st.text(max_size=2000)))
def test_any_bytes_are_records(data):
    for record in klog.parse_kmsg(data):
        assert len(record.text) <= klog.MAX_LINE
    text = data.decode(errors="replace") if isinstance(data, bytes) else data
    records = klog.parse_text(text)
    assert all("\n" not in r.text for r in records)
    crash.complaints(records)


def test_what_the_kernel_says_by_itself_is_nobody_s():
    own = "clocksource: Switched to clocksource tsc"
    assert klog.is_background(klog.Record(own))
    assert not klog.is_background(klog.Record(own, facility=1))  # a program wrote it
    assert not klog.is_background(klog.Record("clocksource: mine: mask: 0xff"))
    assert not klog.is_background(klog.Record(f"hello: {own}"))


# As 6.12 wrote them when its host was too busy; the last ones as the sources of 5.10, 6.1 and 6.12 have them.
WATCHDOG = """\
clocksource: timekeeping watchdog on CPU0: Marking clocksource 'tsc' as unstable because
clocksource:                       'refined-jiffies' wd_nsec: 436027250 wd_now: fffedd0c wd_last: fffedc9f
clocksource:                       'tsc' cs_nsec: 391180972 cs_now: 1ace06bad cs_last: 17058a994
clocksource:                       Clocksource 'tsc' skewed -44846278 ns (-44 ms) over
clocksource:                       'tsc' is current clocksource.
tsc: Marking TSC unstable due to clocksource watchdog
TSC found unstable after boot, most likely due to broken BIOS. Use 'tsc=unstable'.
sched_clock: Marking unstable (2227931268, 12076509)<-(2718019959, -478009518)
clocksource: Not enough CPUs to check clocksource 'tsc'.
clocksource: Switched to clocksource refined-jiffies
clocksource: Long readout interval, skipping watchdog check: cs_nsec: 60021337355 wd_nsec: 60023751250
clocksource: timekeeping watchdog on CPU0: tsc retried 2 times before success
clocksource: timekeeping watchdog on CPU0: hpet wd-wd read-back delay of 310057ns
clocksource: wd-tsc-wd read-back delay of 1123809ns, clock-skew test skipped!
clocksource: timekeeping watchdog on CPU0: tsc read-back delay of 151135ns, attempt 3, marking unstable
clocksource: timekeeping watchdog on CPU1: wd-tsc-wd excessive read-back delay of 212222ns vs. limit of 9990ns
clocksource: Checking clocksource tsc synchronization from CPU 0 to CPUs 1-3.
clocksource:         CPUs 1,3 behind CPU 0 for clocksource tsc.
clocksource:         CPU 0 check durations 1200ns - 4100ns for clocksource tsc.
"""


def test_a_busy_host_s_clock_is_no_module_s_doing():
    for line in WATCHDOG.splitlines():
        assert klog.is_background(klog.Record(line)), line
        # A clock of the user's own is.
        mine = re.sub("'?(tsc|refined-jiffies)'?", "'mine'", line)
        if mine != line and "clocksource" in line:
            assert not klog.is_background(klog.Record(mine)), mine


HOSTILE = [
    "<" * 100_000,
    "[" + " " * 100_000,
    "[" + "1" * 100_000,
    "4," + "1" * 100_000,
    "4,1,1," + "-" * 100_000,
    "a " * 50_000,
    "Nov 23 01:44:12 " + "h" * 100_000,
    r"4,1,1,-;" + r"\x0a" * 50_000,
    "4,1,1,-;" + "\\" * 100_000,
    "\n" * 100_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda t: t[:12])
def test_hostile_lines_take_no_time(text):
    started = time.process_time()
    records = klog.parse_text(text) + klog.parse_kmsg(text)
    crash.complaints(records)
    assert time.process_time() - started < 2.0

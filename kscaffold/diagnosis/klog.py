"""Kernel log records from every form they come in: /dev/kmsg, dmesg(1), journalctl -k, a serial console.

Whatever bytes come in, records come out: a line of no known form is a record of its text alone.
"""

import re
from collections.abc import Iterable

from kscaffold import lazy
from kscaffold.records import dataclass

LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")

# A kernel record is at most 8 KiB with its dictionary; what is longer is no kernel's.
MAX_LINE = 8192


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the kernel's log.

    `seq`: /dev/kmsg's sequence number. `level`: a name of LEVELS. `facility`: 0 is the kernel, anything
    else was written to /dev/kmsg by a program. `time`: seconds since boot. None where the form it came
    in does not say. A record of several lines (a printk with a newline inside) becomes several Records.
    """

    text: str
    seq: int | None = None
    level: str | None = None
    facility: int = 0
    time: float | None = None


# What a kernel says late in its boot, or when its host is busy, whatever is loaded meanwhile.
_CLOCK = r"(?:tsc|hpet|acpi_pm|(?:refined-)?jiffies)"
_BACKGROUND = lazy.pattern(
    rf"clocksource: (?:tsc: mask: |Switched to clocksource {_CLOCK}$"
    # The watchdog, on a machine too busy for its clock to be trusted (clocksource.c of 5.10 to 6.12).
    r"|timekeeping watchdog on CPU\d+: Marking clocksource 'tsc'"
    rf"|(?:timekeeping watchdog on CPU\d+: )?(?:wd-)?{_CLOCK}(?:-wd)? "
    r"(?:retried \d|(?:wd-wd |excessive )?read-back delay )"
    r"|Long readout interval, skipping watchdog check: |Checking clocksource tsc synchronization "
    r"| {8,}CPUs? [\d,-]+ (?:ahead of|behind|check) [\w -]{1,80} for clocksource tsc\.$"
    rf"| {{8,}}(?:Clocksource )?'{_CLOCK}' |Not enough CPUs to check clocksource 'tsc')"
    r"|tsc: (?:Refined TSC |Marking TSC unstable )|TSC found unstable after boot, |sched_clock: Marking "
    r"|random: crng |(?:hrtimer|perf): interrupt took "
)


def is_background(record: Record) -> bool:
    """Whether a record tells of the kernel's own affairs: no load is to blame for it."""
    return record.facility == 0 and bool(_BACKGROUND.match(record.text[:200]))


_KMSG = lazy.pattern(r"(\d{1,4}),(\d{1,20}),(\d{1,20}),([^;]{0,128});(.*)", re.DOTALL)
_ESCAPE = lazy.pattern(rb"\\x([0-9a-fA-F]{2})")


def parse_kmsg(data: bytes | str) -> list[Record]:
    """The records of what was read from /dev/kmsg (`prio,seq,usec,flags;text`), concatenated.

    Lines that begin with a space hold a record's dictionary (SUBSYSTEM=, DEVICE=) and are passed over;
    `\\xNN` escapes are decoded. A line that is none of these is kept as a record of its text.
    """
    if isinstance(data, bytes):
        data = data.decode(errors="replace")
    records: list[Record] = []
    for line in data.split("\n"):
        if not line or line[0] == " ":
            continue
        records.extend(_of_kmsg_line(line[:MAX_LINE]) or (Record(line[:MAX_LINE]),))
    return records


def _of_kmsg_line(line: str) -> list[Record]:
    found = _KMSG.fullmatch(line)
    if found is None:
        return []
    prio, seq, usec, _flags, text = found.groups()
    level, facility = LEVELS[int(prio) & 7], int(prio) >> 3
    lines = _unescape(text).split("\n")
    # The kernel strips one final newline; more of them are empty lines that nobody meant.
    while len(lines) > 1 and not lines[-1]:
        lines.pop()
    return [Record(part, int(seq), level, facility, int(usec) / 1e6) for part in lines]


def _unescape(text: str) -> str:
    if "\\x" not in text:
        return text
    raw = text.encode(errors="surrogatepass")
    return _ESCAPE.sub(lambda m: bytes([int(m[1], 16)]), raw).decode(errors="replace")


# What a line may begin with before its text. Each is tried once, anchored, with bounded repetition.
_PRIO = lazy.pattern(r"<(\d{1,3})>")
_DECODED = lazy.pattern(r"(\w{3,8})\s{0,3}:(\w{3,7})\s{0,3}: (?=\[)")  # dmesg -x: `kern  :warn  : [`
# The bracket is what a hand misses that marks the first line.
_STAMP = lazy.pattern(r"(?:\[\s{0,12}(?=\d{1,10}\.)|(?=\d{1,10}\.\d{6}\] ))(\d{1,10}\.\d{1,9})\] ?")
# Kernels with CONFIG_PRINTK_CALLER; those of phones' makers: the processor, and the task or its number.
_CALLER = lazy.pattern(
    r"\[\s{0,8}[TC]\d{1,8}\] ?|\(\d{1,2}\)\[\d{1,8}:[^\]\n]{1,32}\]"
    r"|\[pid:\d{1,8},cpu\d{1,3},[^\]\n]{1,32}\] ?|\s?\[\d{1,2}:\s{0,16}[^\]\n]{1,32}:\s{0,8}\d{1,8}\] ?"
)
_PROCESSOR = lazy.pattern(r"c\d{1,2}(?:\s{1,7}\d{1,8})? ")
# dmesg -T, and -H with its first line of a minute and what was added since.
_WALL = lazy.pattern(
    r"\[(?:\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}|\w{3}[ \d]\d \d\d:\d\d"
    r"|\s{0,4}\+\s{0,4}\d{1,6}[.,]\d{6})\] ?"
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{6}[+-]\d\d:\d\d "  # dmesg --time-format iso
)
_JOURNAL = lazy.pattern(
    # The month as the reader's language has it (`sept. 27`, `12月 03`).
    r"(?:[^\W\d_]{3,9}\.? {1,2}\d{1,2} \d\d:\d\d:\d\d(?:\.\d{1,6})?| ?\d{1,2}月 \d\d \d\d:\d\d:\d\d"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S{0,16})"
    r"(?: \S{1,255}){0,3} kernel: "
    r"|(?:\S{1,64} )?kernel: "  # the time cut off by the one who pastes
    r"|kern\.\w{3,7}: (?=\[)"  # socklog's files
    r"| ?kernel:(?=\[)"  # what syslogd writes to every terminal, below `Message from syslogd@HOST`
)
# OpenWrt's logread: the day, then facility and level.
_LOGREAD = lazy.pattern(r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4} kern\.(\w{3,7}) kernel: ")
_MONOTONIC = lazy.pattern(r"(?:\S{1,255} )?kernel: ")  # after the stamp, journalctl -o short-monotonic


def parse_text(text: str) -> list[Record]:
    """The records of a pasted log: dmesg with any of its prefixes, journalctl -k, a console, /dev/kmsg.

    Empty lines are left out. Time and level are None where a line does not say them.
    """
    records: list[Record] = []
    for line in text.split("\n"):
        line = line[:MAX_LINE].rstrip("\r")
        if line.strip():
            records.extend(_of_kmsg_line(line) or (parse_line(line),))
    return records


def parse_line(line: str) -> Record:
    """One line of a pasted log."""
    level: str | None = None
    facility = 0
    time: float | None = None
    line = line[:MAX_LINE]
    if found := _JOURNAL.match(line):
        line = line[found.end() :]
    elif found := _LOGREAD.match(line):
        level = found[1] if found[1] in LEVELS else None
        line = line[found.end() :]
    if found := _PRIO.match(line):
        level, facility = LEVELS[int(found[1]) & 7], int(found[1]) >> 3
        line = line[found.end() :]
    elif (found := _DECODED.match(line)) and found[2] in LEVELS:
        level, facility = found[2], 0 if found[1] == "kern" else 1
        line = line[found.end() :]
    stamped = _STAMP.match(line)
    if stamped:
        time = float(stamped[1])
    if found := stamped or _WALL.match(line):
        line = line[found.end() :]
    # With printk.time=0 the caller has no stamp before it.
    caller = _CALLER.match(line)
    if stamped and not caller:
        caller = _MONOTONIC.match(line) or _PROCESSOR.match(line)
    if caller:
        line = line[caller.end() :]
    return Record(line, None, level, facility, time)


def since(records: Iterable[Record], seq: int) -> list[Record]:
    """The records whose sequence number is `seq` or later."""
    return [r for r in records if r.seq is not None and r.seq >= seq]

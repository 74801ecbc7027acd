"""A log means the same however it is shown and wherever it was pasted from."""

import re
from collections.abc import Callable, Sequence

import pytest

from kscaffold.diagnosis.klog import Record
from kscaffold.explain import unwrap
from kscaffold.explain.log import explain_log
from tests.support.evidence import DATA, loads

LOADS = loads("6.1")


def _stamp(record: Record) -> str:
    return f"[{record.time or 0:12.6f}] {record.text}"


# How one record looks.
SHOWN: dict[str, Callable[[Record], str]] = {
    "dmesg": _stamp,
    "dmesg -t": lambda r: r.text,
    "dmesg -T": lambda r: f"[Tue Nov 24 14:19:12 2026] {r.text}",
    "dmesg -x": lambda r: f"kern  :err   : {_stamp(r)}",
    "dmesg -H": lambda r: f"[  +0.000012] {r.text}",
    "dmesg -H, a new minute": lambda r: f"[Nov24 14:19] {r.text}",
    "dmesg -H, decimal comma": lambda r: f"[  +0,000012] {r.text}",
    "dmesg --time-format iso": lambda r: f"2026-11-24T14:19:12,123456+01:00 {r.text}",
    "dmesg --color=always": lambda r: f"\x1b[32m[{r.time or 0:12.6f}] \x1b[0m\x1b[31m{r.text}\x1b[0m",
    "console": lambda r: f"<4>{_stamp(r)}",
    "syslog": lambda r: f"Nov  4 14:19:12 box kernel: {_stamp(r)}",
    "syslog, blanks squeezed": lambda r: f"Nov 4 14:19:12 box kernel: {r.text}",
    "journalctl": lambda r: f"Nov 24 14:19:12 box kernel: {r.text}",
    "journalctl, French": lambda r: f"sept. 24 14:19:12 box kernel: {r.text}",
    "journalctl, Japanese": lambda r: f"11月 24 14:19:12 box kernel: {r.text}",
    "journalctl -o short-iso": lambda r: f"2026-11-24T14:19:12+0100 box kernel: {r.text}",
    "journalctl, its time cut off": lambda r: f"box kernel: {r.text}",
    "logread": lambda r: f"Tue Nov 24 14:19:12 2026 kern.err kernel: {_stamp(r)}",
}
# What a page, a mail or an editor does with the whole text.
PUT: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "indented": lambda text: re.sub("^", "    ", text, flags=re.M),
    "quoted": lambda text: re.sub("^", "> ", text, flags=re.M),
    "in a table": lambda text: re.sub("^(.*)$", r"| \1 | ", text, flags=re.M),
    "fenced": lambda text: f"Here it is:\n\n```\n{text}```\nWhat now?\n",
    "fenced without a newline": lambda text: f"```{text.strip()}```",
    "each line marked": lambda text: re.sub("^(.+)$", r"`\1`", text, flags=re.M),
    "after a prompt": lambda text: f"user@box:~/hello$ sudo dmesg | tail\n{text}user@box:~/hello$ \n",
}


def meaning(text: str) -> list[tuple[str, str | None]]:
    causes, folded = explain_log(text)
    return [(t.entry.code, t.where) for t in causes + folded]


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize(
    "name", ["dep-missing", "crc-layout", "param-bad", "oops", "bug", "warnfmt", "list", "success"]
)
def test_a_log_means_the_same_in_every_form(name, shown):
    records = LOADS[name].records
    expected = meaning("".join(f"{_stamp(r)}\n" for r in records))
    assert expected or name == "success"
    assert meaning("".join(f"{SHOWN[shown](r)}\n" for r in records)) == expected


@pytest.mark.parametrize("put", PUT)
@pytest.mark.parametrize("shown", ["dmesg", "dmesg -t", "journalctl"])
@pytest.mark.parametrize("name", ["dep-missing", "oops"])
def test_a_log_means_the_same_wherever_it_was_pasted_from(name, shown, put):
    text = "".join(f"{SHOWN[shown](r)}\n" for r in LOADS[name].records)
    assert meaning(PUT[put](text)) == meaning(text) != []


@pytest.mark.parametrize("put", PUT)
@pytest.mark.parametrize("log", ["KS116-implicit-6.1", "KS140-near-6.1", "KS112-license-6.1"])
def test_a_build_means_the_same_wherever_it_was_pasted_from(log, put):
    text = (DATA / "build" / f"{log}.log").read_text(encoding="utf-8")
    assert meaning(PUT[put](text)) == meaning(text) != []


def test_a_compiler_s_colours_and_links_are_taken_off():
    line = (
        "\x1b[01m\x1b[Khello.c:7:3:\x1b[m\x1b[K \x1b[01;31m\x1b[Kerror: \x1b[m\x1b[Kimplicit declaration of "
        "function ‘\x1b[01m\x1b[Kvmalloc\x1b[m\x1b[K’ [\x1b]8;;https://example.org/x\x1b\\-W\x1b]8;;\x1b\\]\n"
    )
    assert meaning(line) == [("KS116", None)]


def test_names_that_begin_with_marks_stay():
    for line in (
        "__schedule+0x2d1/0x870",
        "*** The source tree is not clean",
        "_printk",
        "crate for `core`",
        "**",
    ):
        assert unwrap.unwrap_log(line) == [line, ""], line


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        ("insmod: ERROR: could not insert module wireguard-demo.ko: Unknown", "symbol in module", "KS284"),
        (
            "Nov 24 22:07:54 localhost kernel: hello: version magic '6.1.0 SMP",
            "preempt ' should be '6.1.0-56 SMP preempt '",
            "KS210",
        ),
    ],
)
def test_a_line_that_was_wrapped_is_read_whole(first, second, code):
    assert [c for c, _ in meaning(f"{first}\n{second}\n")] == [code]
    # Only where the next line is no line of its own.
    assert meaning(f"{first}\n\n[    1.0] {second}\n") == []


def of(codes: Sequence[str], *lines: str) -> None:
    assert [c for c, _ in meaning("\n".join(lines))] == list(codes)


def test_a_warning_of_the_build_is_no_reason_why_insmod_failed():
    warning = "hello.c:9:1: warning: the frame size of 4008 bytes is larger than 2048 bytes"
    refused = "insmod: ERROR: could not insert module hello.ko: Operation not permitted"
    of(["KS147", "KS283"], warning, refused)
    of(["KS147", "KS229"], warning, refused, "Lockdown: insmod: unsigned module loading is restricted")


def test_make_s_last_words_are_told_only_alone():
    last = "make: *** [Makefile:2065: /home/user/hello] Error 2"
    of(["KS157"], last)
    of(["KS107"], "hello.c:4:38: error: expected ';' before '}' token", last)
    of(["KS112"], "ERROR: modpost: missing MODULE_LICENSE() in hello.o", last)


def test_what_a_verbose_build_shows_of_a_test_is_no_failure():
    of([], 'echo >&2 "  ERROR: Kernel configuration is invalid."; \\')
    of(["KS521"], "  ERROR: Kernel configuration is invalid.")

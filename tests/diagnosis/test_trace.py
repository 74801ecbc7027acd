"""Traces of real loads, and of none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kscaffold.diagnosis import trace
from kscaffold.diagnosis.stages import ORDER
from tests.support.evidence import KERNELS, loads

# What 6.1's anchors alone say of a failure: the stage that the log or errno then confirms.
REACHED = {
    "success": "live",
    "init-minus-one": "init",
    "init-positive": "live",
    "nosuch": "symbols",
    "vermagic": "version",
    "truncated": "elf",
    "empty": "copy",
    "tampered": "signature",
    "lockdown": "signature",
    "nocap": "permission",
    "param-bad": "parameters",
    "builtin": "sysfs",
    "wx": "layout",
    "expdup": "formation",
    "initcall-blacklist": "init",
}


@pytest.mark.parametrize(("name", "stage"), REACHED.items())
def test_the_anchors_tell_the_stage(name, stage):
    load = loads("6.1")[name]
    told = trace.timeline(load.events)
    assert (told.failed or told.reached) == stage
    assert told.errno == int(load.facts["errno"])


@pytest.mark.parametrize("kernel", KERNELS)
def test_init_is_proven(kernel):
    ran = trace.timeline(loads(kernel)["init-minus-one"].events)
    assert (ran.init_ran, ran.returned, ran.failed, ran.errno) == (True, -1, "init", 1)
    assert "module_free" in ran.seen
    well = trace.timeline(loads(kernel)["success"].events)
    assert (well.init_ran, well.returned, well.failed, well.errno) == (True, 0, None, 0)
    refused = trace.timeline(loads(kernel)["nosuch"].events)
    assert (refused.init_ran, refused.returned) == (False, None)


def test_positive_return_is_seen():
    told = trace.timeline(loads("6.1")["init-positive"].events)
    assert (told.returned, told.errno, told.failed) == (1, 0, None)


def test_initcall_blacklist_reached_init_and_did_not_run_it():
    told = trace.timeline(loads("6.1")["initcall-blacklist"].events)
    assert told.init_ran is False
    assert "module_load" in told.seen


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_times_add_up_to_the_load(kernel):
    load = loads(kernel)["success"]
    own = [e for e in load.events if e.tid == load.events[0].tid]
    whole = (own[-1].time - own[0].time) * 1e6
    told = trace.timeline(load.events)
    assert sum(told.microseconds.values()) == pytest.approx(whole, abs=len(ORDER))
    assert {"syscall", "permission", "copy", "signature", "layout", "init", "live"} <= set(told.microseconds)


def test_every_stage_of_6_1_can_be_timed():
    assert set(trace.timeline(loads("6.1")["success"].events).microseconds) == set(ORDER)


def test_symbols_and_relocations_are_counted():
    told = trace.timeline(loads("6.1")["success"].events)
    assert told.counts["resolve_symbol"] == 3
    assert told.counts["apply_relocate_add"] == 8


def test_the_second_try_of_busybox_is_the_one_told():
    events = loads("6.1")["success"].events + loads("6.1")["init-minus-one"].events
    assert trace.timeline(events).returned == -1


def test_no_trace_says_nothing():
    told = trace.timeline([])
    assert (told.reached, told.failed, told.init_ran, told.errno) == (None, None, None, None)
    assert trace.timeline(trace.parse_trace("# tracer: nop\n#\n")) == told


def test_a_load_that_hangs_has_no_end():
    events = loads("6.1")["success"].events
    cut = next(i for i, e in enumerate(events) if e.name == "initcall_start")
    told = trace.timeline(events[: cut + 1])
    assert (told.reached, told.init_ran, told.returned, told.errno) == ("init", True, None, None)


def test_other_tasks_are_left_out():
    events = [trace.Event("module_free", 1, e.time, "x") for e in loads("6.1")["success"].events]
    mixed = [e for pair in zip(loads("6.1")["success"].events, events, strict=True) for e in pair]
    assert trace.timeline(mixed) == trace.timeline(loads("6.1")["success"].events)


@pytest.mark.parametrize(
    "line",
    [
        "          insmod-812     [001] ...1.   103.224000: module_load: hello OE",
        "          insmod-812     [001] .....   103.224000: module_load: hello OE",
        "          insmod-812   [001] d..3 103.224000: module_load: hello OE",
        "          insmod-812   (  812) [001] ....   103.224000: module_load: hello OE",
        "  a name-with - 7-812   [001] 103.224000: module_load: hello OE",
    ],
)
def test_lines_of_several_kernels(line):
    (event,) = trace.parse_trace(line)
    assert (event.name, event.tid, event.time, event.text) == ("module_load", 812, 103.224, "hello OE")


def test_returns_are_signed():
    head = "  insmod-812 [001] ..... 103.2: "
    (event,) = trace.parse_trace(head + "sys_finit_module -> 0xffffffffffffffff")
    assert (event.name, event.value) == ("sys_finit_module_r", -1)
    (event,) = trace.parse_trace(head + "lm_r: (a+0x1/0x2 <- load_module) ret=-8")
    assert event.value == -8
    (event,) = trace.parse_trace(head + "pa_r: (a <- b) ret=0xffffffffffffffea")
    assert event.value == -22
    (event,) = trace.parse_trace(head + "sys_finit_module -> 0xfffffffc")  # a 32-bit machine
    assert event.value == -4


def test_a_positive_number_of_the_call_is_an_error():
    lines = ("sys_finit_module(fd: 3, uargs: 0, flags: 0)", "sys_finit_module -> 0x4")  # as POWER has it
    text = "".join(f"  insmod-812 [001] ..... 103.{n}: {line}\n" for n, line in enumerate(lines, 2))
    assert trace.timeline(trace.parse_trace(text)).errno == 4


def test_probes_are_set_on_what_there_is():
    assert trace.probes({"load_module", "mod_sysfs_setup", "parse_args.cold", "printk"}) == [
        "p:ks/load_module load_module",
        "p:ks/mod_sysfs_setup mod_sysfs_setup",
        "r:ks/mod_sysfs_setup_r mod_sysfs_setup ret=$retval:s32",
    ]
    assert trace.probes(["parse_args"])[1].endswith("ret=$retval:s64")
    assert trace.probes(["resolve_symbol.isra.0"])[0] == "p:ks/resolve_symbol resolve_symbol.isra.0"
    assert trace.probes(["capable.constprop.1", "capable"])[0] == "p:ks/capable capable"
    assert trace.probes(["capable.part.0", "capable.cold"]) == []
    assert trace.probes([]) == []


def test_stages_without_a_blame_are_unobserved_after_the_last_seen():
    told = {s.id: s.status for s in trace.stages_of("copy", None, {})}
    assert (told["syscall"], told["copy"], told["signature"]) == ("passed", "unobserved", "unobserved")
    told = {s.id: s.status for s in trace.stages_of(None, None, {})}
    assert set(told.values()) == {"unobserved"}


@settings(max_examples=200)
@given(st.text(max_size=1500))
def test_any_text_is_a_trace(text):
    trace.timeline(trace.parse_trace(text))


LINES = [e for k in KERNELS for load in loads(k).values() for e in load.events or []]


@settings(max_examples=200)
@given(st.lists(st.sampled_from(LINES), max_size=80))
def test_any_order_of_events_gives_an_answer(events):
    told = trace.timeline(events)
    assert told.reached in (None, *ORDER)
    assert all(v >= 0 for v in told.microseconds.values())

"""The kernel's own complaints, found by their shape in recorded logs, and not where there are none."""

import pytest

from kscaffold.diagnosis import catalogue, crash, crash_heads, klog
from kscaffold.diagnosis.klog import Record
from tests.support.evidence import DATA, KERNELS, loads

# name: kinds, a function that `where` names
COMPLAINTS = {
    "warn": (["warn"], "warn_init"),
    "warnfmt": (["warn"], "warnfmt_init"),
    "irqoff": (["init-state"], "irqoff_init"),
    "refcount": (["refcount", "refcount", "refcount"], "refc_init"),
    "list": (["list-corruption"], "listc_init"),
    "uaf": (["bug"], "uaf_init"),
    "oops": (["oops"], "boom_init"),
    "bug": (["bug"], "bugon_init"),
    "divide": (["oops"], "divz_init"),
    "gpf": (["oops"], "gpf_init"),
    "nx": (["nx"], "nx_init"),
    "hung-task": (["hung-task"], "sleepf_init"),
}
RECORDED = [(k, n) for k in KERNELS for n in loads(k) if n in COMPLAINTS]


@pytest.mark.parametrize(("kernel", "name"), RECORDED)
def test_recorded_complaints(kernel, name):
    load = loads(kernel)[name]
    found = crash.complaints(load.records, load.module)
    kinds, function = COMPLAINTS[name]
    assert [c.kind for c in found] == kinds
    assert found[0].where.startswith(f"{function}+0x")
    assert found[0].module == load.module
    assert load.records[found[0].index].seq == found[0].seq


def test_every_kind_of_a_recording_is_recorded():
    assert {name for _, name in RECORDED} == set(COMPLAINTS)


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_scheduling_while_atomic(kernel):
    load = loads(kernel)["atomic"]
    found = crash.complaints(load.records, load.module)
    assert {c.kind for c in found} <= {"atomic", "init-state"}
    assert found[0].kind == "atomic"
    assert found[0].where.startswith("atomic_init+")
    assert not found[0].fatal


def test_a_sleep_in_a_worker_is_where_it_slept_though_the_worker_kept_the_lock():
    """Of such a report nothing says where it ends; the next one names the function, not the line."""
    log = """BUG: scheduling while atomic: kworker/u2:0/9/0x00000002
CPU: 0 PID: 9 Comm: kworker/u2:0 Tainted: G           OE      6.1.0-56-cloud-amd64 #1  Debian 6.1.192-2
Workqueue: tick pass_on [tick]
Call Trace:
 msleep+0x29/0x40
 pass_on+0x7d/0xb0 [tick]
 process_one_work+0x1c4/0x380
BUG: workqueue leaked lock or atomic: kworker/u2:0/0x7fffffff/9
     last function: pass_on [tick]
CPU: 0 PID: 9 Comm: kworker/u2:0 Tainted: G        W  OE      6.1.0-56-cloud-amd64 #1  Debian 6.1.192-2
Call Trace:
 process_one_work.cold+0x37/0x3c"""
    records = [Record(line, n, "err") for n, line in enumerate(log.splitlines())]
    assert [c.where for c in crash.complaints(records, "tick")] == ["pass_on+0x7d/0xb0 [tick]"]
    assert [c.where for c in crash.complaints(records[7:], "tick")] == ["pass_on [tick]"]


def test_of_modules_that_call_each_other_the_place_is_the_innermost():
    log = """BUG: unable to handle page fault for address: ffffffffc322a3c8
#PF: supervisor write access in kernel mode
Oops: 0002 [#1] PREEMPT SMP PTI
CPU: 0 PID: 81 Comm: init Tainted: G           OE      6.1.0-56-cloud-amd64 #1  Debian 6.1.192-2
RIP: 0010:tally_add+0x48/0x90 [tally]
Call Trace:
 <TASK>
 user_init+0x1d/0x1000 [user]
 do_one_initcall+0x56/0x220
 </TASK>
---[ end trace 0000000000000000 ]---"""
    records = [Record(line, n, "emerg") for n, line in enumerate(log.splitlines())]

    def place(modules):
        return [(c.where, c.module) for c in crash.complaints(records, modules)]

    inner, outer = ("tally_add+0x48/0x90 [tally]", "tally"), ("user_init+0x1d/0x1000 [user]", "user")
    assert place({"user", "tally"}) == place("tally") == place(None) == [inner]
    assert place("user") == place({"user", "other"}) == [outer]


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_source_line_is_the_users_own(kernel):
    found = crash.complaints(loads(kernel)["warnfmt"].records, "warnfmt")
    assert found[0].source == "/home/student/zoo/warnfmt.c:14"
    assert found[0].text.startswith("counter is 7 (WARNING: ")
    found = crash.complaints(loads(kernel)["uaf"].records, "uaf")
    assert found[0].source.startswith("mm/slub.c:")


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_module_that_prints_the_words_is_not_one(kernel):
    assert crash.complaints(loads(kernel)["fakebug"].records, "fakebug") == []


@pytest.mark.parametrize(
    "text",
    [
        "BUG: kernel NULL pointer dereference, address: 0000000000000000",
        "Oops: 0002 [#1] PREEMPT SMP",
        "kernel BUG at hello.c:1!",
        "WARNING: CPU: 0 PID: 1 at hello.c:1 f+0x1/0x2 [hello]",
        "list_add corruption. prev->next should be next",
        "general protection fault, probably for non-canonical address",
        "INFO: task hello:1 blocked for more than 120 seconds.",
        "BUG: scheduling while atomic: insmod/1/0x00000002",
        "hello: Kernel panic - not syncing: no",
    ],
)
def test_a_head_without_its_body_is_not_one(text):
    records = [Record(text, 1, "emerg"), Record("hello: and on it goes", 2, "info")]
    assert crash.complaints(records, "hello") == []


def test_the_kernel_does_not_panic_at_level_info():
    assert crash.complaints([Record("Kernel panic - not syncing: x", 1, "info")]) == []
    assert crash.complaints([Record("Kernel panic - not syncing: x", 1, "emerg")])[0].kind == "panic"


def test_a_program_that_writes_to_kmsg_is_not_the_kernel():
    assert crash.complaints([Record("Kernel panic - not syncing: x", 1, "emerg", 1)]) == []


def test_a_panic_on_the_console():
    records = klog.parse_text((DATA / "panic-console-6.1.txt").read_text())
    (found,) = crash.complaints(records, "panicm")
    assert (found.kind, found.module) == ("panic", "panicm")
    assert found.where.startswith("panicm_init+0x1d/")
    assert "the module gives up" in found.text


def test_a_stack_overflow_on_the_console():
    records = klog.parse_text((DATA / "stack-console-6.1.txt").read_text())
    found = crash.complaints(records, "stack")
    assert found[0].kind == "stack-overflow"
    assert found[0].where.startswith("rec+0x")


def test_a_stack_overflow_of_5_10():
    said = (
        "BUG: stack guard page was hit at 0000000052b68de2 (stack is 0000000099c3c537..000000005eaec86e)",
        "kernel stack overflow (double-fault): 0000 [#1] SMP NOPTI",
        "CPU: 0 PID: 71 Comm: init Tainted: G           OE     5.10.0-46-cloud-amd64 #1 Debian 5.10.262-1",
        "RIP: 0010:rec+0xc/0x77 [stackof]",
        "Kernel panic - not syncing: Fatal exception in interrupt",
    )
    found = crash.complaints([Record(text) for text in said], "stackof")
    assert [(c.kind, c.where) for c in found] == [
        ("stack-overflow", "rec+0xc/0x77 [stackof]"),
        ("panic", None),
    ]
    # Where the first line is lost, the second one tells.
    found = crash.complaints([Record(text) for text in said[1:4]], "stackof")
    assert [(c.kind, c.where) for c in found] == [("oops", "rec+0xc/0x77 [stackof]")]


def test_the_place_is_told_where_the_line_does_not_have_it():
    def told(name: str, text: str) -> str:
        body = [f"RIP: 0010:{name}+0xc/0x17 [hello]", "Call Trace:", "---[ end trace 0 ]---"]
        (found,) = crash.complaints([Record(line, level="alert") for line in (text, *body)], "hello")
        return found.summary

    # `f` is a letter of the line, and no function in it.
    line = "BUG: kernel NULL pointer dereference, address: 0000000000000000"
    assert told("f", line) == f"{line}, in f+0xc/0x17 [hello]"
    line = "WARNING: CPU: 0 PID: 79 at hello.c:3 g+0xc/0x17 [hello]"
    assert told("g", line) == line


def test_what_prints_a_trace_is_not_the_place():
    said = ["Kernel panic - not syncing: no memory", "CPU: 0 PID: 1 Comm: init", "Call Trace:"]
    frames = [" dump_stack_lvl+0x44/0x5c", " panic+0x118/0x2ed", " out_of_memory+0x5d/0x70"]
    (found,) = crash.complaints([Record(line) for line in said + frames], "hello")
    assert found.where == "panic+0x118/0x2ed"


OOPS, BUG, WARN, LOCKUP = 1 << 7, 1 << 7, 1 << 9, 1 << 14
TAINTS = {
    **{"oops": OOPS, "bug": BUG, "divide": OOPS, "gpf": OOPS, "nx": OOPS, "uaf": BUG, "list": BUG},
    **{"warn": WARN, "warnfmt": WARN, "irqoff": WARN, "refcount": WARN},
}


@pytest.mark.parametrize(("kernel", "name"), [(k, n) for k, n in RECORDED if n in TAINTS])
def test_a_report_that_left_no_taint_is_another_s(kernel, name):
    found = crash.complaints(loads(kernel)[name].records, loads(kernel)[name].module)
    others = 0x3000 | OOPS | WARN | LOCKUP
    assert crash.harmless_complaints(found, 0x3000 | TAINTS[name]) == tuple(found)
    assert crash.harmless_complaints(found, None) == tuple(found)
    if name != "list":  # that may come as a WARN
        others &= ~TAINTS[name]
        assert crash.harmless_complaints(found, others) == ()
    assert crash.harmless_complaints(found, 0x3000) == ()


def test_what_leaves_no_taint_is_believed():
    (found,) = crash.complaints(loads("6.1")["hung-task"].records)
    assert crash.harmless_complaints([found], 0x3000, waiting=True) == (found,)


@pytest.mark.parametrize("kernel", KERNELS)
def test_soft_lockup(kernel):
    load = loads(kernel).get("soft-lockup")
    if load is None:
        pytest.skip(f"no recording on {kernel}; record one: an endless init, watchdog_thresh=2")
    found = crash.complaints(load.records, "loop")
    assert found[0].kind == "soft-lockup"
    assert found[0].where.startswith("loop_init+")


def test_every_kind_has_an_entry():
    for head in crash_heads.heads():
        assert catalogue.entry_of_complaint(head.kind), head.kind
    for kind in ("refcount", *crash.FATAL):
        assert catalogue.entry_of_complaint(kind), kind


def test_reports_one_after_the_other_are_told_each():
    records = loads("6.1")["warn"].records + loads("6.1")["oops"].records
    assert [c.kind for c in crash.complaints(records)] == ["warn", "oops"]


@pytest.mark.parametrize(
    "text",
    [
        "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [insmod:1]",
        "Watchdog detected hard LOCKUP on cpu 1",
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
        "BUG: scheduling while atomic: a/1/0x00000002",
        "BUG: workqueue leaked lock or atomic: kworker/0:1/0x00000001/9",
        "BUG: KASAN: slab-out-of-bounds in f+0x1/0x2",
        "BUG kmalloc-64 (Not tainted): Redzone overwritten",
        "BUG: Bad page state in process a  pfn:1",
        "BUG: spinlock bad magic on CPU#0, a/1",
        "kernel BUG at foo.c:5!",
        "list_add corruption. prev",
        "Oops: 0000 [#1] SMP",
        "WARNING: CPU: 0 PID: 1 at x.c:5 f+0x1/0x2",
    ],
)
def test_the_head_of_a_report_alone_is_none(text):
    printed = [Record(text, 1, "emerg"), Record("and so it goes on", 2, "info")]
    assert crash.complaints(printed, "hello") == []


# Reports of kernels and processors that are not recorded: the wording is that of their sources.
OLDER = {
    "an oops of ARM": (
        "oops",
        "hello_open+0x18/0x64 [hello]",
        "Unable to handle kernel NULL pointer dereference at virtual address 0000000c",
        "pgd = 6f458410",
        "Internal error: Oops: 17 [#1] ARM",
        "Modules linked in: hello(O)",
        "CPU: 0 PID: 769 Comm: cat Tainted: G           O      5.4.79+ #1",
        "PC is at hello_open+0x18/0x64 [hello]",
        "LR is at seq_printf+0x3c/0x5c",
        "pc : [<c01f3218>]    lr : [<c01f32a0>]    psr: 60000013",
    ),
    "an oops before 4.10": (
        "oops",
        "hello_open+0x19/0x240 [hello]",
        "BUG: unable to handle kernel NULL pointer dereference at 000000000000000a",
        "IP: [<ffffffffc0841d99>] hello_open+0x19/0x240 [hello]",
        "Oops: 0000 [#1] SMP",
        "CPU: 3 PID: 71 Comm: cat Tainted: G           OE  ------------   3.10.0-862.el7.x86_64 #1",
    ),
    "RIP with its addresses": (
        "oops",
        "hello_open+0x19/0x240 [hello]",
        "BUG: unable to handle kernel paging request at 000000000000000a",
        "Oops: 0000 [#1] SMP",
        "RIP: 0010:[<ffffffffc0841d99>]  [<ffffffffc0841d99>] hello_open+0x19/0x240 [hello]",
    ),
    "a warning of 2.6": (
        "warn",
        "sysfs_add_one+0xb8/0xd0",
        "WARNING: at fs/sysfs/dir.c:512 sysfs_add_one+0xb8/0xd0() (Tainted: P        W  --   )",
        "Hardware name: box",
        "Pid: 491, comm: modprobe Tainted: P        W  --    2.6.32-642.el6.x86_64 #1",
    ),
    "words after the warning": (
        "list-corruption",
        "hello_del+0x68/0xfd [hello]",
        "WARNING: CPU: 4 PID: 0 at lib/list_debug.c:62 hello_del+0x68/0xfd [hello]",
        "list_del corruption. next->prev should be ffff92e8ae4f58f0, but was ffffffffc0633428",
        "Modules linked in: hello(OE)",
    ),
    "a warning cut off after its modules": (
        "warn",
        "hello_log+0x100/0x108 [hello]",
        "WARNING: CPU: 0 PID: 2495 at /home/user/hello.c:46 hello_log+0x100/0x108 [hello]",
        "Modules linked in: hello(O)",
    ),
    "undefined behaviour": (
        "undefined",
        "hello_fill+0x32/0x4c [hello]",
        "UBSAN: array-index-out-of-bounds in /home/user/hello.c:57:26",
        "index 3 is out of range for type 'int [3]'",
        "CPU: 6 PID: 389 Comm: insmod Tainted: G           OE     6.8.0-47-generic #51",
        "Call Trace:",
        " <TASK>",
        " show_stack+0x52/0x5c",
        " ? hello_init+0x2d/0x33 [hello]",
        " hello_fill+0x32/0x4c [hello]",
    ),
    "undefined behaviour, its two lines alone": (
        "undefined",
        None,
        "UBSAN: shift-out-of-bounds in /home/user/hello.c:57:26",
        "shift exponent 77 is too large for 32-bit type 'int'",
    ),
    "asleep in the scheduler": (
        "hung-task",
        "schedule+0x55/0xf0",
        "INFO: task dd:157 blocked for more than 120 seconds.",
        "Call Trace:",
        " __schedule+0x2d1/0x870",
        " schedule+0x55/0xf0",
    ),
    "a lockup before 4.10": (
        "soft-lockup",
        "hello_init+0x5/0x10 [hello]",
        "NMI watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [insmod:999]",
        "RIP: 0010:[<ffffffffc0841d99>] [<ffffffffc0841d99>] hello_init+0x5/0x10 [hello]",
    ),
}


@pytest.mark.parametrize("name", OLDER)
def test_reports_of_other_kernels(name):
    kind, where, *lines = OLDER[name]
    (found,) = crash.complaints([Record(line) for line in lines])
    assert (found.kind, found.where) == (kind, where)
    assert catalogue.entry_of_complaint(kind)


def test_words_that_a_module_prints_are_no_undefined_behaviour():
    lines = ["UBSAN: array-index-out-of-bounds in hello.c:1:1", "hello: that was me", "hello: index"]
    assert crash.complaints([Record(line) for line in lines]) == []


def test_where_undefined_behaviour_stood():
    (found,) = crash.complaints([Record(line) for line in OLDER["undefined behaviour"][2:]])
    assert found.source == "/home/user/hello.c:57"

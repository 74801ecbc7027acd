"""Verdicts on recorded loads of three kernels, and on evidence that no recording has."""

import pytest

from kscaffold.diagnosis import catalogue
from kscaffold.diagnosis.attempt import Listed
from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.stages import ORDER
from kscaffold.diagnosis.trace import Timeline
from kscaffold.diagnosis.unload_verdict import UnloadEvidence, judge_unload
from kscaffold.diagnosis.verdict import judge
from tests.support.evidence import KERNELS, attempt_and_facts, evidence, loads

# name: verdict, stage, errno, init ran, returned, code
LOADED = ("loaded", "live", None, True, 0)
TRUTH = {
    "success": (*LOADED, None),
    "again": ("refused", "list", "EEXIST", False, None, "KS203"),
    "init-minus-one": ("init-failed", "init", "EPERM", True, -1, "KS201"),
    "init-enomem": ("init-failed", "init", "ENOMEM", True, -12, "KS201"),
    "init-positive": ("loaded", "live", None, True, 1, "KS202"),
    "init-eexist": ("init-failed", "init", "EEXIST", True, -17, "KS264"),
    "param-bad": ("refused", "parameters", "EINVAL", False, None, "KS221"),
    "param-range": ("refused", "parameters", "ERANGE", False, None, "KS222"),
    "param-novalue": ("refused", "parameters", "EINVAL", False, None, "KS221"),
    "param-unknown": (*LOADED, "KS223"),
    "param-callback": ("refused", "parameters", "EPERM", False, None, "KS224"),
    "param-long": ("refused", "parameters", "ENOSPC", False, None, "KS222"),
    "nosuch": ("refused", "symbols", "ENOENT", False, None, "KS204"),
    "dep-missing": ("refused", "symbols", "ENOENT", False, None, "KS204"),
    "gpl-only": ("refused", "symbols", "ENOENT", False, None, "KS204"),
    "vermagic": ("refused", "version", "ENOEXEC", False, None, "KS210"),
    "truncated": ("refused", "elf", "ENOEXEC", False, None, "KS213"),
    "empty": ("refused", "copy", "EINVAL", False, None, "KS236"),
    "text": ("refused", "elf", "ENOEXEC", False, None, "KS214"),
    "short": ("refused", "elf", "ENOEXEC", False, None, "KS213"),
    "exe": ("refused", "elf", "ENOEXEC", False, None, "KS214"),
    "arch": ("refused", "elf", "ENOEXEC", False, None, "KS215"),
    "obj": ("refused", "elf", "ENOEXEC", False, None, "KS216"),
    "stripped": ("refused", "elf", "ENOEXEC", False, None, "KS217"),
    "crc-layout": ("refused", "version", "ENOEXEC", False, None, "KS211"),
    "crc-symbol": ("refused", "symbols", "EINVAL", False, None, "KS206"),
    "noversions": (*LOADED, None),
    "novermagic": (*LOADED, None),
    "badtrailer": ("refused", "signature", "EBADMSG", False, None, "KS228"),
    "magiconly": (*LOADED, None),
    "tampered": ("refused", "signature", "EKEYREJECTED", False, None, "KS227"),
    "busytext": ("refused", "copy", "ETXTBSY", False, None, "KS237"),
    "nocap": ("refused", "permission", "EPERM", False, None, "KS232"),
    "bigbss": ("refused", "layout", "ENOMEM", False, None, "KS220"),
    "bigpcpu": ("refused", "layout", "ENOMEM", False, None, "KS220"),
    "expa": (*LOADED, None),
    "expdup": ("refused", "formation", "ENOEXEC", False, None, "KS240"),
    "wx": ("refused", "layout", "ENOEXEC", False, None, "KS219"),
    "proprietary": (*LOADED, None),
    "builtin": ("refused", "sysfs", "EINVAL", False, None, "KS225"),
    "permanent": (*LOADED, None),
    "procleak": ("init-failed", "init", "EPERM", True, -1, "KS201"),
    "procleak-again": (*LOADED, "KS264"),
    "cacheleak": (*LOADED, None),
    # Prints "BUG:", "Oops:" and "Unknown symbol" itself.
    "fakebug": (*LOADED, None),
    "blacklisted": ("refused", "version", "EPERM", False, None, "KS230"),
    "initcall-blacklist": ("refused", "init", "EPERM", False, None, "KS231"),
    "lockdown": ("refused", "signature", "EPERM", False, None, "KS229"),
    "sigenforce": ("refused", "signature", "EKEYREJECTED", False, None, "KS226"),
    "warn": (*LOADED, "KS252"),
    "warnfmt": (*LOADED, "KS252"),
    "irqoff": (*LOADED, "KS263"),
    "refcount": (*LOADED, "KS257"),
    "exitoops": (*LOADED, None),
    "uaf": ("crashed", "init", None, True, None, "KS368"),
    "list": ("crashed", "init", None, True, None, "KS258"),
    "oops": ("crashed", "init", None, True, None, "KS250"),
    "bug": ("crashed", "init", None, True, None, "KS251"),
    "divide": ("crashed", "init", None, True, None, "KS250"),
    "gpf": ("crashed", "init", None, True, None, "KS347"),
    "nx": ("crashed", "init", None, True, None, "KS262"),
    "soft-lockup": ("hung", "init", None, True, None, "KS260"),
    "hung-task": ("hung", "init", None, True, None, "KS260"),
    "oops-again": ("hung", "list", None, False, None, "KS261"),
}
# 5.10 has one line for every fault of an ELF file. 6.12 keeps a note of the file that is being loaded on
# the stack of the task that loads: when that task is dead, the next load of the file crashes the kernel.
ELSEWHERE = {
    ("5.10", "text"): TRUTH["truncated"],
    ("5.10", "exe"): TRUTH["truncated"],
    ("5.10", "arch"): TRUTH["truncated"],
    ("5.10", "short"): TRUTH["truncated"],
    ("6.12", "oops-again"): ("crashed", None, None, False, None, "KS344"),
}
RECORDED = [(k, name) for k in KERNELS for name in loads(k) if name in TRUTH]


@pytest.mark.parametrize("traced", [True, False], ids=["trace", "no-trace"])
@pytest.mark.parametrize(("kernel", "name"), RECORDED)
def test_recorded_load(kernel, name, traced):
    told = judge(loads(kernel)[name].evidence(traced=traced))
    found = (told.verdict, told.stage, told.errno, told.init_ran, told.returned, told.code)
    assert found == ELSEWHERE.get((kernel, name), TRUTH[name])
    if told.code:
        assert catalogue.entry(told.code)
        assert told.cause and told.fix
        assert "{" not in told.cause + told.fix
    assert [s.id for s in told.stages] == list(ORDER)
    blamed = [s.id for s in told.stages if s.status == "failed"]
    assert blamed == ([told.stage] if told.verdict != "loaded" and told.stage else [])


def test_every_truth_is_recorded_somewhere():
    assert {name for _, name in RECORDED} == set(TRUTH)


@pytest.mark.parametrize("kernel", KERNELS)
def test_with_a_trace_refusals_are_certain(kernel):
    for load in loads(kernel).values():
        if load.events is not None and load.name in TRUTH:
            assert judge(load.evidence()).certain, load.name


def lines(*texts, level="warn"):
    return [Record(text, i, level, 0, float(i)) for i, text in enumerate(texts)]


def verdict(**facts):
    return judge(evidence("hello", **facts))


def test_what_is_only_likely_says_nothing_of_the_other_stages():
    """insmod's errno and a silent log: init is the likely one, and nobody saw the stages before it."""
    told = verdict(answered=True, alive=True, errno=12)
    assert not told.certain and told.stage == "init"
    assert {s.id: s.status for s in told.stages} == {
        stage: "failed" if stage == "init" else "unobserved" for stage in ORDER
    }


def test_success_needs_the_answer():
    assert verdict(answered=False, alive=False).verdict == "lost"
    assert verdict(answered=False, alive=True).verdict == "lost"
    assert verdict(answered=False, alive=False, records=lines("hello: init runs")).verdict == "lost"
    assert verdict(errno=0).verdict == "loaded"


def test_init_that_returns_an_error_is_told_by_the_agent_alone():
    told = verdict(errno=1, init_started=True)
    assert (told.verdict, told.returned, told.certain) == ("init-failed", -1, True)


@pytest.mark.parametrize(
    ("errno", "line", "code", "says"),
    [
        (12, "sysctl table check failed: kernel/mine/(null) procname is null", "KS366", "procname is null"),
        (
            16,
            "genirq: Flags mismatch irq 16. 00000000 (hello) vs. 00000080 (i801_smbus)",
            "KS328",
            "i801_smbus",
        ),
        (
            16,
            "hello 0000:04:00.0: BAR 0: can't reserve [mem 0xf7d00000-0xf7d0ffff 64bit]",
            "KS335",
            "0000:04",
        ),
        # A driver has a name of its own; what is harmless is no cause.
        (22, "other: probe of 0000:04:00.0 failed with error -22", "KS321", "returned -22"),
        (22, "loop: module verification failed: signature and/or required key missing", "KS201", "-22"),
    ],
)
def test_what_the_kernel_said_of_a_call_of_inits_is_its_cause(errno, line, code, says):
    told = verdict(errno=errno, init_started=True, records=lines(line))
    assert (told.verdict, told.returned, told.code) == ("init-failed", -errno, code)
    assert told.cause.startswith(f"init returned {-errno} (-") and says in told.cause
    quiet = verdict(errno=errno, init_started=True, records=lines(line, level="info"))
    assert quiet.code == "KS201"


def test_init_can_print_any_line_of_the_kernel():
    forged = lines("hello: Unknown symbol x (err -2)", "hello: version magic 'a' should be 'b'")
    told = verdict(errno=2, init_started=True, records=forged)
    assert (told.verdict, told.code) == ("init-failed", "KS201")
    assert (told.returned, told.cause) == (-2, "init returned -2 (-ENOENT)")
    # The trace knows what init returned, whatever is printed of it.
    said = lines("do_init_module: 'hello'->init suspiciously returned 5, it should follow 0/-E convention")
    seen = Timeline("live", None, True, 0, 0)
    told = verdict(errno=0, has_init=True, records=said, timeline=seen)
    assert (told.verdict, told.returned, told.code) == ("loaded", 0, None)


def test_without_a_trace_the_kernels_own_line_tells_what_init_returned():
    positive = "do_init_module: '{}'->init suspiciously returned 5, it should follow 0/-E convention"
    told = verdict(errno=0, has_init=True, records=lines(positive.format("hello")))
    assert (told.verdict, told.returned, told.code) == ("loaded", 5, "KS202")
    told = verdict(errno=0, has_init=True, records=lines(positive.format("other")))
    assert (told.verdict, told.returned, told.code) == ("loaded", 0, None)


def test_a_forged_oops_has_no_taint():
    forged = loads("6.1")["oops"]
    facts = {"errno": 0, "has_init": True, "records": forged.records, "tainted": 0x3000}
    told = judge(evidence(forged.module, **facts))
    assert (told.verdict, told.code, told.complaints) == ("loaded", None, ())
    told = judge(evidence(forged.module, **{**facts, "tainted": 0x3080}))
    assert (told.verdict, told.code) == ("crashed", "KS250")
    # Where nobody could ask, the report stands.
    told = judge(evidence(forged.module, **{**facts, "tainted": None}))
    assert (told.verdict, told.code) == ("crashed", "KS250")


def test_minus_eexist_comes_back_as_ebusy_from_a_7_0_kernel():
    seen = Timeline("init", "init", True, -17, 16, {}, frozenset(), {})
    told = verdict(errno=16, timeline=seen)
    assert (told.verdict, told.errno, told.returned, told.code) == ("init-failed", "EBUSY", -17, "KS201")
    assert told.cause == "init returned -17 (-EEXIST), which this kernel tells as EBUSY"


def test_once_per_boot_lines_prove_nothing():
    noise = lines("hello: loading out-of-tree module taints kernel.", "hello: module verification failed: x")
    told = verdict(errno=1, init_started=False, capable=True, modules_disabled=False, records=noise)
    assert (told.verdict, told.code, told.certain) == ("refused", "KS245", False)


def test_a_program_cannot_write_the_kernels_words():
    written = [Record("hello: Unknown symbol x (err -2)", 1, "warn", 1, 0.0)]
    assert verdict(errno=2, init_started=False, records=written).code == "KS245"


def test_lines_about_another_module_do_not_count():
    other = lines("other: Unknown symbol x (err -2)")
    assert verdict(errno=2, init_started=False, records=other).code == "KS245"


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"modules_disabled": True, "capable": False}, "KS233"),
        ({"capable": False}, "KS232"),
        ({"capable": True, "modules_disabled": False, "seccomp": True}, "KS235"),
        ({"lockdown": True, "signed": False}, "KS229"),
        ({"cmdline": "quiet module_blacklist=foo,hello"}, "KS230"),
        ({"cmdline": "quiet module_blacklist=foo,hello2", "capable": True}, "KS245"),
        ({"records": lines("LoadPin: kernel-module denied obj=x pid=1 cmdline=y")}, "KS234"),
        ({"records": lines("hello: module tries to import module namespace: module:x")}, "KS248"),
        ({"records": lines("hello: `x' invalid for parameter `cb'")}, "KS224"),
        ({"init_started": True}, "KS201"),
    ],
)
def test_sources_of_eperm(facts, code):
    assert verdict(errno=1, **{"init_started": False, **facts}).code == code


@pytest.mark.parametrize(
    ("errno", "facts", "code"),
    [
        (17, {"loaded_before": True}, "KS203"),
        (17, {"loaded_before": False, "init_started": True}, "KS201"),
        (16, {"state_before": "Loading"}, "KS241"),
        (16, {"records": lines("hello: gave up waiting for init of module a.")}, "KS208"),
        (
            22,
            {"records": lines("hello: module uses symbol (s) from namespace N, but does not import it.")},
            "KS207",
        ),
        (22, {"builtin": True}, "KS225"),
        (22, {"records": lines("failed to validate module [hello] BTF: -22")}, "KS242"),
        (12, {}, "KS220"),
        (26, {}, "KS237"),
        (95, {}, "KS238"),
        (126, {}, "KS226"),
        (129, {"sig_enforce": True, "signed": False}, "KS226"),
        (129, {"signed": True}, "KS227"),
        (8, {}, "KS212"),
        (19, {}, "KS245"),
        (4, {}, "KS241"),
        (13, {}, "KS234"),
        (13, {"records": lines("LoadPin: kernel-module denied obj=x pid=1 cmdline=y")}, "KS234"),
        (14, {}, "KS245"),
        (27, {}, "KS236"),
        (38, {}, "KS235"),
        (65, {}, "KS228"),
        (74, {}, "KS228"),
        (80, {}, "KS228"),
        (127, {}, "KS228"),
        (22, {"records": lines("hello: has both .ctors and .init_array.")}, "KS246"),
        (22, {"records": lines("decompression failed with status 7")}, "KS238"),
        (22, {"records": lines("hello: Unknown symbol kfree (err -22)")}, "KS274"),
        (
            22,
            {
                "records": lines(
                    "hello: disagrees about version of symbol kfree", "hello: Unknown symbol kfree (err -22)"
                )
            },
            "KS206",
        ),
        (8, {"layout_version": False}, "KS212"),
        (8, {"records": lines("hello: Symbol x has an invalid section index 9 (max 5)")}, "KS271"),
        (
            17,
            {"records": lines("sysfs: cannot create duplicate filename '/module/hello/parameters/debug'")},
            "KS272",
        ),
        (2, {"records": lines("hello: Unknown symbol f (err -2)")}, "KS204"),
        (34, {"records": lines("hello: `9' invalid for parameter `n'")}, "KS222"),
        (28, {"records": lines("hello: `9' too large for parameter `n'")}, "KS222"),
    ],
)
def test_refusals_without_init(errno, facts, code):
    told = verdict(errno=errno, **{"init_started": False, **facts})
    assert told.code == code
    assert told.verdict == ("init-failed" if code == "KS201" else "refused")


def test_without_any_proof_the_likely_cause_is_not_certain():
    told = verdict(errno=19)
    assert (told.verdict, told.certain, told.init_ran, told.returned) == ("init-failed", False, None, None)


def test_unknown_symbols_are_told_apart_by_what_is_known_of_them():
    log = lines("hello: Unknown symbol f (err -2)")
    assert verdict(errno=2, init_started=False, records=log, symbols={"f": "gpl-only"}).code == "KS205"
    told = verdict(errno=2, init_started=False, records=log, symbols={"f": "other"})
    assert "other" in told.cause and "other" in told.fix
    told = verdict(errno=2, init_started=False, records=log, symbols={"f": "circle other"})
    assert (told.code, told.stage) == ("KS295", "symbols")
    assert told.cause == "other has f, and needs hello in turn: neither can be loaded first"
    told = verdict(errno=2, init_started=False, records=log, symbols={"f": "missing"})
    assert "do not export f" in told.cause


def test_a_line_is_no_proof_where_init_may_have_printed_it():
    log = lines("hello: version magic 'a' should be 'b'")
    told = verdict(errno=8, records=log)
    assert (told.verdict, told.code, told.certain, told.init_ran) == ("refused", "KS210", False, None)
    told = verdict(errno=8, records=log, init_started=False)
    assert (told.verdict, told.code, told.certain, told.init_ran) == ("refused", "KS210", True, False)


def test_a_processor_that_reset_is_a_crash():
    told = verdict(answered=False, alive=False, reset=True)
    assert (told.verdict, told.certain) == ("crashed", True)
    assert catalogue.entry(told.code)


def test_a_kernel_that_answers_did_not_panic():
    said = lines("Kernel panic - not syncing: just kidding", level="emerg")
    assert verdict(errno=0, has_init=True, records=said).verdict == "loaded"
    assert verdict(errno=22, init_started=True, records=said).verdict == "init-failed"
    assert verdict(answered=False, alive=False, records=said).code == "KS253"
    assert judge_unload(unload_evidence("hello", errno=0, records=said)).verdict == "unloaded"


@pytest.mark.parametrize(
    ("line", "complained"),
    [
        ("INFO: task init:71 blocked for more than 7 seconds.", False),
        ("watchdog: BUG: soft lockup - CPU#0 stuck for 8s! [init:71]", False),
        # As any kernel would say.
        ("INFO: task init:71 blocked for more than 122 seconds.", True),
        ("watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [init:71]", True),
        # A worker or a thread of the module's may take its time as well.
        ("INFO: task kworker/0:1:33 blocked for more than 7 seconds.", False),
        ("INFO: task kworker/0:1:33 blocked for more than 122 seconds.", True),
        ("watchdog: BUG: soft lockup - CPU#0 stuck for 8s! [poller:90]", False),
    ],
)
def test_a_call_that_took_its_time_and_came_back_did_nothing_wrong(line, complained):
    """The sandbox's kernel says early where a task is, for those that do not come back."""
    said = lines(line, "Modules linked in: hello(O)", "CPU: 0 PID: 71 Comm: init Tainted: G", "Call Trace:")
    told = verdict(errno=0, has_init=True, records=said)
    assert (told.verdict, bool(told.complaints)) == ("loaded", complained)
    gone = judge_unload(unload_evidence("hello", errno=0, records=said))
    assert (gone.verdict, bool(gone.complaints)) == ("unloaded", complained)
    stuck = verdict(errno=None, answered=True, late=True, has_init=True, records=said)
    assert (stuck.verdict, bool(stuck.complaints)) == ("hung", True)


def test_killed_while_loading_is_a_crash_even_without_a_log():
    told = verdict(answered=False, killed_by=9, state_after="Loading")
    assert (told.verdict, told.certain) == ("crashed", True)
    assert verdict(answered=False, killed_by=9).verdict == "lost"


def test_initcall_debug_is_proof():
    said = [Record("initcall hello_init+0x0/0x1000 [hello] returned -1 after 12 usecs", 1, "debug", 0, 0.0)]
    assert verdict(errno=1, records=said).verdict == "init-failed"


def unload_evidence(module, **known):
    attempt, facts = attempt_and_facts(known)
    return UnloadEvidence(module, attempt, facts, **known)


def listed(refcount=0, used_by=(), state="Live", permanent=False, taints="OE"):
    return Listed("hello", 16384, refcount, used_by, state, taints, permanent)


HELD = [Record("unregister_netdevice: waiting for eth0 to become free. Usage count = 2", 1, "emerg", 0, 0.0)]


@pytest.mark.parametrize(
    ("facts", "verdict", "code"),
    [
        ({"errno": 0}, "unloaded", None),
        ({"errno": 16}, "refused", "KS304"),
        ({"errno": 2}, "refused", "KS301"),
        ({"errno": 2, "builtin": True}, "refused", "KS311"),
        ({"errno": 11, "listed": listed(refcount=2, used_by=("a", "b"))}, "refused", "KS302"),
        ({"errno": 11, "listed": listed(refcount=1)}, "refused", "KS303"),
        ({"errno": 11, "listed": listed(refcount=1, taints="OEK")}, "refused", "KS389"),
        ({"errno": 16, "listed": listed(permanent=True)}, "refused", "KS304"),
        ({"errno": 16, "listed": listed(state="Loading")}, "refused", "KS305"),
        ({"errno": 16, "listed": listed(state="Unloading")}, "refused", "KS306"),
        ({"errno": 16, "listed": listed()}, "refused", "KS313"),
        ({"errno": 1}, "refused", "KS307"),
        ({"errno": 38}, "refused", "KS310"),
        ({"answered": False, "late": True}, "hung", "KS309"),
        ({"answered": False, "late": True, "records": HELD}, "hung", "KS356"),
        ({"answered": False, "alive": False}, "lost", "KS314"),
    ],
)
def test_unload(facts, verdict, code):
    told = judge_unload(unload_evidence("hello", **facts))
    assert (told.verdict, told.code) == (verdict, code)
    if code:
        assert told.cause and told.fix and "{" not in told.cause + told.fix


@pytest.mark.parametrize("kernel", KERNELS)
def test_recorded_crash_of_exit(kernel):
    load = loads(kernel)["exitoops"]
    assert load.unload_status == "-9"
    told = judge_unload(unload_evidence("exitoops", answered=False, killed_by=9, records=load.unload_records))
    assert (told.verdict, told.code) == ("crashed", "KS308")
    assert "exitoops_exit" in told.cause


@pytest.mark.parametrize("kernel", KERNELS)
def test_recorded_leftovers_after_exit(kernel):
    load = loads(kernel)["cacheleak"]
    told = judge_unload(unload_evidence("cacheleak", errno=0, records=load.unload_records))
    assert (told.verdict, told.code) == ("unloaded", "KS312")
    assert "cacheleak" in told.cause


ATOMIC = ("BUG: scheduling while atomic: swapper/0/0/0x00000102", "Call Trace:", " msleep+0x2d/0x40")
PANIC = "Kernel panic - not syncing: Fatal exception in interrupt"


@pytest.mark.parametrize(
    ("said", "code", "cause"),
    [
        ((*ATOMIC, PANIC), "KS256", "BUG: scheduling while atomic: swapper/0/0/0x00000102"),
        ((PANIC,), "KS253", PANIC),
        ((PANIC, *ATOMIC), "KS253", PANIC),
    ],
)
def test_a_kernel_that_crashed_of_a_sleep_crashed_of_the_sleep(said, code, cause):
    told = verdict(answered=False, alive=False, records=lines(*said, level="emerg"))
    assert (told.verdict, told.code) == ("crashed", code)
    assert told.cause.startswith(cause) and PANIC in told.cause


@pytest.mark.parametrize(
    "said", [(), ("Invalid ELF header type: 256 != 1",), ("Invalid architecture in ELF header: 22",)]
)
def test_a_module_of_another_machine_is_told_by_its_machine(said):
    refused = {"answered": True, "alive": True, "errno": 8, "records": lines(*said, level="err")}
    told = verdict(foreign="s390x", **refused)
    assert (told.verdict, told.stage, told.code) == ("refused", "elf", "KS215")
    assert told.cause.startswith("it was built for s390x") and "--arch s390x" in told.fix
    assert "s390x" not in (verdict(**refused).cause or "")


def test_an_init_that_wants_a_parameter():
    """It calls what it was given invalid, and was given nothing."""
    known = {"errno": 22, "init_started": True, "has_init": True, "records": []}
    told = judge(evidence("lacks", **known, not_given=("path", "format")))
    assert (told.verdict, told.code, told.returned) == ("init-failed", "KS201", -22)
    assert told.cause == "init returned -22 (-EINVAL); it was given none of its parameters (path, format)"
    assert told.fix and told.fix.startswith("kscaffold info lists what it takes")
    plain = judge(evidence("lacks", **known))
    assert plain.cause == "init returned -22 (-EINVAL)"

"""Whom a crash is blamed on that comes after the load or after the unload: the kernel's word, or a guess."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kscaffold.diagnosis.attempt import Attempt
from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.power import resets
from kscaffold.diagnosis.unload_verdict import UnloadEvidence, judge_unload
from kscaffold.diagnosis.verdict import judge
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.explain import phrases
from kscaffold.load.blame import blame_late_crash, blame_other_calls
from kscaffold.load.dangling import DanglingCallbacks
from kscaffold.load.plan import module_names_of
from kscaffold.load.report import LoadReport
from kscaffold.load.unload import UnloadReport, of_loaded
from kscaffold.load.unload_watch import watch_after_unload
from kscaffold.module.arguments import NO_PARAMETERS
from kscaffold.targets.absent import AbsentSandbox
from kscaffold.targets.answers import since_mark
from tests.support.elf import Ko
from tests.support.evidence import evidence, loads
from tests.support.projects import write

DIED = 0x80  # the taint of an oops
OOPS = tuple(loads("6.1")["oops"].records)
NAMED = loads("6.1")["oops"].module


@dataclass
class Kernel(AbsentSandbox):
    """A kernel that has said these records and has this taint. `is_gone`: it can't be asked for its log."""

    records: Sequence[Record] = OOPS
    taint: int = DIED
    is_gone: bool = False

    def tainted(self) -> int | None:
        return self.taint

    def log(self) -> list[Record]:
        if self.is_gone:
            raise KscaffoldError("KS610", "the sandbox does not answer")
        return list(self.records)

    def watch(self, seconds: float) -> Attempt | None:
        return Attempt(None, tuple(self.records), answered=False)


def module_file(name: str, directory: Path) -> ModuleFile:
    path = directory / f"{name}.ko"
    path.write_bytes(Ko(name).bytes())
    return ModuleFile.open(path)


def loaded(name: str, directory: Path) -> LoadReport:
    return LoadReport(
        module=name,
        file=module_file(name, directory),
        parameters=NO_PARAMETERS,
        target="sandbox",
        kernel="6.1.0-test",
        judgement=judge(evidence(name, errno=0, has_init=True)),
        log=(),
        seconds={"load": 0.0},
        accelerator="tcg",
    )


def unloaded(name: str, dangling: DanglingCallbacks | None = None) -> UnloadReport:
    return UnloadReport(name, judge_unload(UnloadEvidence(name, Attempt(0))), (), 0.0, dangling=dangling)


def test_a_module_that_took_itself_out_of_the_list_hides():
    gone = replace(unloaded("sly"), judgement=judge_unload(UnloadEvidence("sly", Attempt(2))))
    assert gone.judgement.cause == "sly is not loaded"
    found = of_loaded(gone).judgement
    assert (found.verdict, found.errno, found.code) == ("refused", "ENOENT", "KS301")
    assert found.cause and "took itself out" in found.cause and "list_del" in found.cause
    assert of_loaded(unloaded("plain")) == unloaded("plain")


def test_a_late_crash_is_of_the_module_that_the_kernel_names(tmp_path: Path):
    before = [loaded(NAMED, tmp_path), loaded("hello", tmp_path)]
    oops, hello = blame_late_crash(before, [], Kernel())
    assert (oops.judgement.verdict, oops.judgement.code, oops.judgement.certain) == ("crashed", "KS250", True)
    assert (oops.judgement.cause or "").endswith(", after init had returned")
    assert hello == before[1]


def test_a_late_crash_of_nobody_known_is_a_guess_and_says_so(tmp_path: Path):
    before = [loaded("first", tmp_path), loaded("last", tmp_path)]
    first, last = blame_late_crash(before, [], Kernel())
    assert first == before[0]
    assert (last.judgement.verdict, last.judgement.certain) == ("crashed", False)
    assert "the kernel does not name last, which was only the last one loaded" in (last.judgement.cause or "")


SLEPT = ("BUG: scheduling while atomic: swapper/0/0/0x00000102", "Call Trace:", " msleep+0x2d/0x40")
DEREFERENCED = (
    "BUG: kernel NULL pointer dereference, address: 0000000000000008",
    "CPU: 0 PID: 0 Comm: swapper/0",
)


@pytest.mark.parametrize(
    ("said", "code", "begins"),
    [
        ((*SLEPT, *DEREFERENCED), "KS256", SLEPT[0]),
        ((*DEREFERENCED, *SLEPT), "KS250", DEREFERENCED[0]),
        (DEREFERENCED, "KS250", DEREFERENCED[0]),
    ],
)
def test_a_late_crash_of_a_sleep_is_told_by_the_sleep(tmp_path: Path, said, code, begins):
    records = [Record(text, 100 + i, "emerg", 0, float(i)) for i, text in enumerate(said)]
    warned = 0x200  # the taint of a sleep
    (report,) = blame_late_crash([loaded("hello", tmp_path)], [], Kernel(records, DIED | warned))
    assert (report.judgement.verdict, report.judgement.code) == ("crashed", code)
    assert (report.judgement.cause or "").startswith(begins) and DEREFERENCED[0] in report.judgement.cause
    told = judge_unload(UnloadEvidence("hello", Attempt(None, tuple(records), answered=False)))
    assert (told.verdict, told.code) == ("crashed", code if code == "KS256" else "KS308")
    assert told.cause.startswith(begins) and DEREFERENCED[0] in told.cause


CRASHED = Attempt(None, OOPS, answered=False, heard=False, alive=False)


def test_a_crash_during_another_s_load_is_of_the_module_that_the_kernel_names(tmp_path: Path):
    meanwhile = replace(
        loaded("hello", tmp_path),
        log=OOPS,
        judgement=judge(evidence("hello", records=OOPS, answered=False, alive=False)),
    )
    assert meanwhile.judgement.verdict == "crashed"
    (oops, hello), unloads = blame_other_calls([loaded(NAMED, tmp_path), meanwhile], [])
    assert (oops.judgement.verdict, oops.judgement.code, oops.crashed_by) == ("crashed", "KS250", "")
    assert oops.log and (oops.judgement.cause or "").endswith(", after init had returned")
    assert (hello.ok, hello.crashed_by) == (False, NAMED)
    assert hello.log == OOPS[: len(hello.log)] and hello.log[-1].text == "boom: init runs"
    assert (hello.judgement.cause or "").startswith(f"{NAMED} crashed it: BUG: kernel NULL pointer")
    assert unloads == []


def test_a_crash_during_another_s_unload_is_too(tmp_path: Path):
    before = [loaded(NAMED, tmp_path), loaded("hello", tmp_path)]
    seen = replace(unloaded("hello"), log=OOPS, judgement=judge_unload(UnloadEvidence("hello", CRASHED)))
    (oops, hello), (gone,) = blame_other_calls(before, [seen])
    assert (oops.judgement.verdict, hello.ok) == ("crashed", True)
    assert (gone.crashed_by, phrases.unloaded(gone)) == (NAMED, "the kernel crashed meanwhile")
    # Its own is told as it was seen.
    own = replace(seen, module=NAMED, judgement=judge_unload(UnloadEvidence(NAMED, CRASHED)))
    assert blame_other_calls(before, [own]) == (before, [own])
    assert phrases.unloaded(own) == "the kernel crashed while its exit ran"


def test_a_crash_before_exit_ran_is_the_load_s(tmp_path: Path):
    before = [loaded(NAMED, tmp_path)]
    attempt = replace(CRASHED, begun=False)
    seen = replace(
        unloaded(NAMED), log=OOPS, judgement=judge_unload(UnloadEvidence(NAMED, attempt)), begun=False
    )
    assert phrases.unloaded(seen) == "the kernel crashed before its exit ran"
    (oops,), unloads = blame_other_calls(before, [seen])
    assert (oops.judgement.verdict, unloads) == ("crashed", [])
    assert (oops.judgement.cause or "").endswith(", after init had returned")


def test_a_request_that_the_guest_had_not_come_to_has_what_came_after_the_one_before():
    marks = ["kscaffold: request 00000000000000aa", "one", "kscaffold: request 00000000000000bb", "two"]
    records = [Record(text) for text in marks]
    assert [r.text for r in since_mark(records, "00000000000000aa")] == marks[1:]
    assert [r.text for r in since_mark(records, "00000000000000cc")] == ["two"]
    assert since_mark(records[1:2], "00000000000000cc") == tuple(records[1:2])


@pytest.mark.parametrize("kernel", [Kernel(is_gone=True), Kernel(taint=0), Kernel(records=())])
def test_without_a_log_or_a_taint_nothing_came_later(tmp_path: Path, kernel: Kernel):
    before = [loaded(NAMED, tmp_path)]
    assert blame_late_crash(before, [], kernel) == before


def test_what_is_known_already_is_not_told_again(tmp_path: Path):
    before = blame_late_crash([loaded(NAMED, tmp_path)], [], Kernel())
    assert blame_late_crash(before, [], Kernel()) == before


def test_after_the_unload_one_module_is_certain_and_several_are_a_guess(tmp_path: Path):
    (report,) = watch_after_unload([unloaded("hello")], Kernel(), 1)
    assert (report.judgement.verdict, report.judgement.code) == ("crashed", "KS617")
    assert report.judgement.certain and "hello was unloaded already" in (report.judgement.cause or "")
    before = [unloaded("first"), unloaded("last")]
    first, last = watch_after_unload(before, Kernel(), 1)
    assert first == before[0] and (last.judgement.verdict, last.judgement.certain) == ("crashed", False)
    assert "another of the unloaded modules may have left it running" in (last.judgement.cause or "")
    # The one that may have left something is likelier than the last.
    left = DanglingCallbacks("first", module_file("first", tmp_path), 0.1, "kthread_stop()", {})
    first, last = watch_after_unload([unloaded("first", left), before[1]], Kernel(), None)
    assert (first.judgement.verdict, first.judgement.certain) == ("crashed", True) and last == before[1]


def test_nobody_watches_a_kernel_that_is_not_there_or_a_module_that_stayed():
    before = [unloaded("hello")]
    assert watch_after_unload(before, AbsentSandbox(), 1) == before
    assert watch_after_unload(before, Kernel(), 0) == before
    refused = judge_unload(UnloadEvidence("hello", Attempt(11)))
    stayed = [replace(before[0], judgement=refused)]
    assert watch_after_unload(stayed, Kernel(), 1) == stayed


def test_the_projects_own_modules_are_known_without_make(ks, tmp_path: Path):
    """make would run what a stranger's Kbuild says."""
    mark = tmp_path / "ran"
    write(tmp_path, Kbuild=f"$(shell touch {mark})\nobj-m := plain-one.o \\\n  two.o $(MORE)\nifeq (x\n")
    (tmp_path / "sub").mkdir()
    for ko in (tmp_path / "built.ko", tmp_path / "sub" / "below.ko"):
        ko.write_bytes(Ko(ko.stem).bytes())
    for *command, status in (
        ("list", 0),
        ("logs", 0),
        ("unload", 1),
        ("check", "built.ko", 1),
        ("info", "built.ko", 0),
    ):
        assert ks(*command, "-C", tmp_path).status == status, command
    assert ks("sandbox", "status").status == 0
    assert not mark.exists()
    assert module_names_of(tmp_path) == {"plain_one", "two", "built", "below"}
    (tmp_path / "Kbuild").unlink()
    assert module_names_of(tmp_path) == set()


def test_a_machine_that_was_reset_before_exit_was_reset_by_what_was_loaded():
    seen = Attempt(None, (), answered=False, heard=False, alive=False, reset=True, begun=False)
    told = judge_unload(UnloadEvidence("hello", seen, resets="emergency_restart()"))
    assert (told.verdict, told.code) == ("crashed", "KS268")
    assert told.cause == (
        "the processor reset after the load, before exit ran; likely: the module calls emergency_restart(),"
        " which does just that"
    )
    # A load that had not begun is not to blame for what came before it.
    assert judge(evidence("hello", answered=False, alive=False, reset=True, begun=False)).verdict == "lost"
    loading = judge(
        replace(evidence("hello", answered=False, alive=False, reset=True), resets=resets({"handle_sysrq"}))
    )
    assert loading.code == "KS268" and (loading.cause or "").endswith(
        "calls handle_sysrq('b'), which does just that"
    )


@pytest.mark.parametrize("started", [(), ("the kernel started /sbin/poweroff",)])
def test_a_kernel_that_ends_after_exit_was_told_to(tmp_path: Path, started: tuple[str, ...]):
    said = tuple(Record(text, level="emerg") for text in (*started, "reboot: Power down"))
    left = DanglingCallbacks("hello", module_file("hello", tmp_path), 1.5, "stop", {})
    (told,) = watch_after_unload([unloaded("hello", left)], Kernel(said))
    assert (told.judgement.verdict, told.judgement.code, told.judgement.certain) == ("crashed", "KS619", True)
    assert ("orderly_poweroff()" if started else "kernel_power_off()") in (told.judgement.cause or "")

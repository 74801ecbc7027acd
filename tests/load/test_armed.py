"""What a module leaves armed when it goes is told whatever the clock says, and nothing is told of healthy
ones.
"""

import re
import shutil
import time
from pathlib import Path

import pytest

from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.dangling import DanglingCallbacks, find_dangling, forgotten_end
from kscaffold.load.report import LoadReport
from kscaffold.load.request import LoadRequest, TargetRequest
from kscaffold.load.unload import due
from kscaffold.load.verbs.run import run
from kscaffold.records import replace
from kscaffold.targets.absent import AbsentSandbox
from kscaffold.targets.target import Target, read_modules
from kscaffold.targets.timers import Timer
from tests.conftest import need_program
from tests.support.elf import Ko
from tests.support.kernels import need_kernel
from tests.zoo.armed import ARMED, FEW, built_armed, remove_armed

EACH_SERIES = pytest.mark.parametrize("series", ["6.1", "5.10", "6.12"])
HEALTHY = [name for name, each in ARMED.items() if each.verdict is None]
FAR = [name for name, each in ARMED.items() if each.verdict == "loaded"]
NEAR = [name for name, each in ARMED.items() if each.verdict == "crashed"]


@pytest.fixture(scope="module", autouse=True)
def armed():
    """One build of all of them a kernel, for every test here."""
    yield
    remove_armed()


def files(series: str, names: list[str]) -> tuple[str, dict[str, Path]]:
    """The kernel of a series, and those of the modules that are built for it."""
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel(series)
    place = built_armed(kernel) if series == "6.1" else built_armed(kernel, FEW)
    there = {name: place / f"armed_{name}.ko" for name in names}
    return kernel.release, {name: ko for name, ko in there.items() if ko.exists()}


@pytest.mark.sandbox
@pytest.mark.kernel
@EACH_SERIES
def test_nothing_is_told_of_a_module_that_ends_what_it_starts(ks, series):
    release, healthy = files(series, [*HEALTHY, "two"])
    assert len(healthy) >= 4
    ran = ks("run", "--json", "-k", release, *healthy.values())
    assert (ran.status, ran.json["ok"]) == (0, True), ran.out
    assert [r["complaints"] for r in ran.json["results"]] == [[]] * len(healthy)


@pytest.mark.sandbox
@pytest.mark.kernel
@EACH_SERIES
def test_what_is_due_in_an_hour_is_told_at_once(ks, series):
    release, far = files(series, FAR)
    ran = ks("run", "--json", "-k", release, *far.values())
    assert (ran.status, ran.json["ok"]) == (1, False)
    for name, told in zip(far, ran.json["results"], strict=True):
        if name == "notifier":  # the kernel's list leads to it: a proof, no guess by the imports
            assert (told["verdict"], told["code"], told["complaints"]) == ("loaded", "KS390", []), told
            assert "pointer to block," in told["cause"] and ARMED[name].runs in told["fix"], told
            continue
        assert (told["verdict"], told["code"]) == ("loaded", "KS617"), told
        assert ARMED[name].runs in told["cause"], told["cause"]
        assert told["cause"].startswith("likely: ") is (name in ("tasklet", "rcu", "cdev"))
        if told["cause"].startswith("likely: "):  # the line that starts it
            where = next(c["where"] for c in told["complaints"] if c["kind"] == "unload")
            assert re.fullmatch(rf"armed_{name}\.c:\d+", where), told
    fixes = {name: told["fix"] for name, told in zip(far, ran.json["results"], strict=True)}
    assert "hrtimer_cancel()" in fixes["high_hour"] and "cancel_delayed_work_sync()" in fixes["heap_hour"]


@pytest.mark.sandbox
@pytest.mark.kernel
@pytest.mark.parametrize("name", NEAR)
def test_what_is_due_soon_is_waited_for(ks, name):
    release, near = files("6.1", [name])
    ran = ks("run", "--json", "-k", release, near[name])
    assert (ran.status, ran.json["verdict"], ran.json["code"]) == (1, "crashed", "KS617"), ran.json["cause"]
    assert ARMED[name].runs in ran.json["cause"], ran.json["cause"]
    # Less where the machine let the guest take some seconds for the unload.
    assert re.search(r"what exit left is due in [2-5] s: waiting for it", ran.err), ran.err


@pytest.mark.sandbox
@pytest.mark.kernel
def test_a_busy_machine_says_what_a_quiet_one_does(tmp_path):
    """The timer is over before exit is begun: nothing of that guest's would tell what exit forgets."""
    release, there = files("6.1", ["timer_busy"])
    heard = []

    def busy(number: int, report: LoadReport, target: Target) -> None:
        heard.append(report.judgement.verdict)
        time.sleep(2)

    request = LoadRequest(tmp_path, (there["timer_busy"],))
    done = run(request, TargetRequest(kernel=release), timeout=10, listen=lambda kernel: busy)
    ((_, (unloaded,)),) = done.tries
    assert heard == ["loaded"]  # once, though two guests were loaded into
    assert (unloaded.judgement.verdict, unloaded.judgement.code) == ("crashed", "KS617")


@pytest.mark.sandbox
@pytest.mark.kernel
def test_unload_tells_of_it_too(ks, tmp_path, monkeypatch):
    release, far = files("6.1", ["heap_hour"])
    shutil.copy(far["heap_hour"], tmp_path)
    monkeypatch.chdir(tmp_path)
    assert ks("load", "-k", release, "armed_heap_hour.ko").status == 0
    ran = ks("unload", "armed_heap_hour")
    assert ran.status == 0 and "a timer that exit left armed calls late() in" in ran.err
    assert "cancel_delayed_work_sync()" in ran.err


def module(directory: Path, **more) -> ModuleFile:
    path = directory / "m.ko"
    path.write_bytes(Ko("m", **more).bytes())
    return ModuleFile.open(path)


STARTS = {"mod_timer": 1, "_printk": 2}


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"imports": STARTS}, ("mod_timer", "timer_delete_sync")),
        (
            {"imports": {"register_reboot_notifier": 1}},
            ("register_reboot_notifier", "unregister_reboot_notifier"),
        ),
        ({"imports": {"alloc_workqueue": 1}}, ("alloc_workqueue", "destroy_workqueue")),
        ({"imports": {"alloc_workqueue": 1, "destroy_workqueue": 2}}, None),
        ({"imports": {"cdev_add": 1, "cdev_init": 2}}, ("cdev_add", "cdev_del")),
        ({"imports": {"cdev_add": 1, "cdev_del": 2}}, None),
        ({"imports": {"dev_add_pack": 1, "__dev_remove_pack": 2}}, None),
        ({"imports": {"_printk": 2}}, None),
        # Others may end it, or exit waits, or the module can't go before its end.
        ({"imports": STARTS, "depends": "timers"}, None),
        ({"imports": STARTS, "exports": {"stop": "gpl"}}, None),
        ({"imports": {**STARTS, "wait_for_completion": 3}}, None),
        ({"imports": {**STARTS, "try_module_get": 3, "module_put": 4}}, None),
        ({"imports": {**STARTS, "del_timer": 3}}, None),
        # The sanitizer's helper stands before it.
        ({"imports": {**STARTS, "ks_wait_for_completion": 3}}, None),
    ],
)
def test_imports_alone_accuse_only_who_ends_all_alone(tmp_path, more, found):
    assert forgotten_end(module(tmp_path, **more)) == found


class Silent(AbsentSandbox):
    """A kernel without CONFIG_KALLSYMS_ALL: it does not tell its timers."""

    def modules(self):
        return read_modules("m 4096 0 - Live 0x1000")

    def read(self, path: str) -> bytes:
        return b"0x1000"

    def timers(self) -> None:
        return None

    def tainted(self) -> int:
        return 0


class Telling(Silent):
    def timers(self) -> list[Timer]:
        return []


@pytest.mark.parametrize(
    ("imports", "silent", "telling"),
    [
        (STARTS, 12.0, 1.5),
        ({"kthread_create_on_node": 1}, 12.0, 1.5),
        # Nothing is due: it is called when somebody else does something.
        ({"register_reboot_notifier": 1}, 1.5, 1.5),
        # Others may end it, or exit does, and may be early.
        ({**STARTS, "wait_for_completion": 3}, 1.5, 1.5),
        ({**STARTS, "timer_delete_sync": 3}, 0.25, 0.25),
        # The kernel starts a program that ends it.
        ({"orderly_poweroff": 1}, 1.5, 1.5),
    ],
)
def test_a_kernel_that_does_not_tell_its_timers_is_watched_for_longer(tmp_path, imports, silent, telling):
    """So that a timer of 2 s is met on a quiet machine as on a busy one."""
    ko = module(tmp_path, imports=imports)
    for target, seconds in ((Silent(), silent), (Telling(), telling)):
        found = find_dangling(ko, "m", target)
        assert found is not None and found.seconds == seconds


def test_what_was_over_before_exit_tells_nothing_of_exit(tmp_path):
    places = {".text": (0xFFFFFFFFC0226000, 0x40)}
    left = DanglingCallbacks("m", module(tmp_path), 1.5, "stop", places)
    timers = [
        Timer("timer", 0xFFFF888001, 0xFFFFFFFFC0226000, 0, 2.0),
        Timer("timer", 0xFFFF888002, 0xFFFFFFFF81000000, 0, 0.9),  # another's
        Timer("timer", 0xFFFF888003, 0xFFFFFFFFC0226004, 0, 0.4),  # over on each machine
    ]
    assert left.ran_before_exit(timers, 2.1)
    assert not left.ran_before_exit(timers, 1.9)
    told = replace(left, known=tuple(one.function for one in left.pending(timers)))
    assert not told.ran_before_exit(timers, 9.0)  # it is armed again


def test_a_timer_is_the_modules_by_its_function_its_work_its_place_or_its_sleepers_stack(tmp_path):
    text, data = 0xFFFFFFFFC0226000, 0xFFFFFFFFC0228000
    places = {".text": (text, 0x40), ".data": (data, 0x40)}
    static = Timer("timer", data + 8, text + 4, 0, 7.0)
    freed = Timer("timer", 0xFFFF888006, text + 4, 0, 9.0)
    left = DanglingCallbacks("m", module(tmp_path), 1.5, "stop", places, None, (static, freed))
    mine = [
        Timer("hrtimer", 0xFFFF888001, text + 1, 0, 3.0),
        Timer("timer", 0xFFFF888002, 0xFFFFFFFF81000000, text + 2, 5.0),
        Timer("timer", data + 8),  # its memory has been given back
        Timer("timer", 0xFFFF888006),  # exit gave it back
    ]
    others = [
        Timer("timer", 0xFFFF888003, 0xFFFFFFFF81000000, 0, 1.0),
        Timer("timer", 0xFFFF888004),
        Timer("timer", data + 16),  # nothing was armed there
        Timer("timer", 0xFFFF888005, 0xFFFFFFFF81000000, 0, 2.5, (0, text + 9, 4)),
    ]
    assert [one.seconds for one in left.pending([*others, *mine])] == [3.0, 5.0, 7.0, 9.0]
    assert [one.stop.split("(")[0] for one in left.pending(mine)] == [
        "hrtimer_cancel",
        "cancel_delayed_work_sync",
        "timer_delete_sync",
        "timer_delete_sync",
    ]
    assert left.wake_ups([*others, *mine]) == [2.5]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.64, "in 0.6 s"), (100.4, "in 100 s"), (86399, "in 86399 s"), (1.8e16, "in more than a day")],
)
def test_when_a_timer_is_due(seconds, text):
    assert due(seconds) == text

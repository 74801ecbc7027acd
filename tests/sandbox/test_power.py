"""A kernel that a module told to end is told as that, whatever function the module called."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kscaffold.diagnosis.verdict import judge
from kscaffold.explain import phrases
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.load import load as load_one
from kscaffold.load.unload import unload as unload_one
from kscaffold.load.unload_watch import watch_after_unload
from kscaffold.sandbox.live import registry
from tests.conftest import need_program
from tests.support.evidence import evidence
from tests.support.guests import ask, guest_of
from tests.support.kernels import need_kernel
from tests.support.modules import built


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    need_program("qemu-system-x86_64", "qemu-system-x86")
    return need_kernel("6.1")


@pytest.mark.sandbox
@pytest.mark.kernel
@pytest.mark.parametrize(
    ("how", "call"), [(1, "kernel_power_off()"), (2, "kernel_restart()"), (3, "kernel_halt()")]
)
def test_a_kernel_that_was_told_to_end_did_not_crash_by_itself(kernel, how, call):
    with guest_of(kernel) as (_, target):
        report = load_one(*ask(kernel, "ender", f"how={how}"), target, timeout=2)
    told = report.judgement
    assert (told.verdict, told.code, told.certain) == ("crashed", "KS619", True)
    assert call in told.cause and call in told.fix
    assert (
        judge(evidence("m", records=report.log, errno=0)).code is None
    )  # a kernel that answers only prints it


@pytest.mark.sandbox
@pytest.mark.kernel
def test_exit_and_a_module_that_only_prints_such_a_line(kernel):
    with guest_of(kernel) as (_, target):
        printed = load_one(*ask(kernel, "ender", "how=4"), target, timeout=5)
        assert (printed.judgement.verdict, printed.judgement.code) == ("loaded", None)
        assert unload_one("ender", target, timeout=5).ok
        assert load_one(*ask(kernel, "ender", "how=5"), target, timeout=5).ok
        told = unload_one("ender", target, timeout=5).judgement
    assert (told.verdict, told.code) == ("crashed", "KS619")
    assert "kernel_power_off()" in told.cause


@pytest.mark.sandbox
@pytest.mark.kernel
@pytest.mark.parametrize(("how", "call"), [(6, "orderly_poweroff()"), (7, "orderly_reboot()")])
def test_a_kernel_that_starts_what_ends_it_is_waited_for(kernel, how, call):
    """It does that after exit has returned, and would not end where there is no such program."""
    with guest_of(kernel) as (_, target):
        ko = ask(kernel, "ender", f"how={how}")
        assert load_one(*ko, target, timeout=5).ok
        unloaded = unload_one("ender", target, timeout=5, ko=ko[0])
        (told,) = watch_after_unload([unloaded], target)
    assert (told.judgement.verdict, told.judgement.code) == ("crashed", "KS619"), told.judgement
    assert call in told.judgement.cause


def line_of(kernel: Kernel, call: str) -> int:
    lines = (built(kernel) / "wrecker.c").read_text().splitlines()
    return next(number for number, text in enumerate(lines, 1) if call in text)


@pytest.mark.sandbox
@pytest.mark.kernel
@pytest.mark.parametrize(
    ("reset", "call", "code"), [(0, "kernel_power_off", "KS619"), (1, "emergency_restart", "KS268")]
)
def test_a_work_that_ends_the_kernel_between_load_and_unload(kernel, reset, call, code):
    with guest_of(kernel) as (_, target):
        ko = ask(kernel, "wrecker", "ms=1500", f"reset={reset}")
        assert load_one(*ko, target, timeout=5).ok
        time.sleep(3)
        told = unload_one("wrecker", target, timeout=5, ko=ko[0])
    line = line_of(kernel, f"{call}()")
    assert (told.judgement.verdict, told.judgement.code) == ("crashed", code), told.judgement
    assert f"{call}() {'was called ' if not reset else ''}at wrecker.c:{line}" in told.judgement.cause
    assert (told.place.file, told.place.line) == ("wrecker.c", line)
    said = f"its kernel was {'reset' if reset else 'ended'} before its exit ran"
    assert phrases.unloaded(told) == said


@pytest.fixture
def project(kernel, tmp_path, monkeypatch) -> Path:
    for name in ("wrecker.ko", "wrecker.c", "wrecker.mod"):
        shutil.copy(built(kernel) / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.sandbox
@pytest.mark.kernel
@pytest.mark.parametrize(
    ("reset", "said", "code"),
    [
        (0, "its kernel was switched off: kernel_power_off() was called at wrecker.c:{} ('reboot: ", "KS619"),
        (
            1,
            "its machine reset itself; likely: the module calls emergency_restart() at wrecker.c:{}, ",
            "KS268",
        ),
    ],
)
def test_a_sandbox_that_ended_so_is_told_once(ks, kernel, project, reset, said, code):
    said = said.format(line_of(kernel, "emergency_restart()" if reset else "kernel_power_off()"))
    assert ks("load", "-k", kernel.release, "wrecker.ko", f"reset={reset}").status == 0
    ran = ks("exec", "--", "sh", "-c", "echo > /proc/wrecker")
    assert ran.status == 69 and f"the sandbox did not outlive sh: {said}" in ran.err, ran.err
    assert said not in ks("list").err, "it was told"
    assert ks("load", "-k", kernel.release, "wrecker.ko", f"reset={reset}").status == 0
    told = ks("exec", "--json", "--", "sh", "-c", "echo > /proc/wrecker").json
    assert told["lost"] and told["ending"].startswith(said), told
    assert ks("load", "-k", kernel.release, "wrecker.ko", f"reset={reset}", "ms=1500").status == 0
    wait_until(lambda: registry.find_sandbox(project) is None)
    ran = ks("list")
    assert f"the sandbox has ended since the last command: {said}" in ran.err, ran.err
    assert f"kscaffold explain {code}" in ran.err
    assert said not in ks("list").err


@pytest.mark.sandbox
@pytest.mark.kernel
def test_a_qemu_that_somebody_ended_was_not_reset_by_its_guest(ks, kernel, project):
    """It exits with 0 then, as it does when its machine resets."""
    assert ks("load", "-k", kernel.release, "wrecker.ko").status == 0
    os.kill(registry.find_sandbox(project).qemu, signal.SIGTERM)
    wait_until(lambda: registry.find_sandbox(project) is None)
    ran = ks("list")
    assert "no sandbox runs" in ran.err and "reset" not in ran.err, ran.err
    with guest_of(kernel) as (guest, target):
        os.kill(guest.qemu.pid, signal.SIGTERM)
        told = load_one(*ask(kernel, "wrecker"), target, timeout=5).judgement
    assert (told.verdict, told.code) == ("lost", "KS267"), told


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)

"""A kernel that a module told to end is told as that, whatever function the module called."""

import pytest

from kscaffold.diagnosis.verdict import judge
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.load import load as load_one
from kscaffold.load.unload import unload as unload_one
from kscaffold.load.unload_watch import watch_after_unload
from tests.conftest import need_program
from tests.support.evidence import evidence
from tests.support.guests import ask, guest_of
from tests.support.kernels import need_kernel


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

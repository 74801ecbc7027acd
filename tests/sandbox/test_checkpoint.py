"""A checkpoint: guests start where one was left, each for itself; where none can be, all is as without."""

import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from kscaffold.records import replace
from kscaffold.sandbox.agent.protocol import ChannelTimeout
from kscaffold.sandbox.vm.checkpoint import checkpoint
from kscaffold.sandbox.vm.guest import Guest
from kscaffold.sandbox.vm.plan import Plan, plan_vm
from kscaffold.sandbox.vm.start import start_guest
from kscaffold.targets.sandbox import SandboxTarget
from tests.conftest import need_program
from tests.support.kernels import need_kernel

pytestmark = pytest.mark.sandbox


@pytest.fixture
def planned() -> Plan:
    need_program("qemu-system-x86_64", "qemu-system-x86")
    plan = plan_vm(need_kernel("6.1"))
    start_guest(plan).close()  # the cache has its snapshot now
    return plan


def target(guest: Guest) -> SandboxTarget:
    return SandboxTarget.from_guest(guest, "")


def test_guests_start_where_one_was_left_and_do_not_see_each_other(planned: Plan):
    before = set(os.listdir("/proc/self/fd"))
    with checkpoint(planned, lambda guest: target(guest).write("/left", b"once"), pytest.fail) as plan:
        assert plan.frozen is not None
        for mine in (b"first", b"second"):
            with closing(start_guest(plan)) as guest:
                assert guest.restored
                assert target(guest).read("/left") == b"once"
                target(guest).write("/left", mine)
    with closing(start_guest(planned)) as guest, pytest.raises(FileNotFoundError):
        target(guest).read("/left")
    assert set(os.listdir("/proc/self/fd")) == before


def test_without_a_checkpoint_the_plan_is_as_it_was(planned: Plan, tmp_path: Path, monkeypatch):
    def silent(guest: Guest) -> None:
        raise ChannelTimeout()

    said: list[str] = []
    with checkpoint(planned, silent, said.append) as plan:
        assert plan.frozen is None
    assert said == ["no checkpoint was made (no answer in time)"]
    machine = replace(planned.machine, devices=("edu",))
    for other in (replace(planned, restorable=False), replace(planned, machine=machine)):
        with checkpoint(other, pytest.fail, pytest.fail) as plan:
            assert plan is other
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with checkpoint(planned, pytest.fail, pytest.fail) as plan:
        assert plan is planned

"""Each module that leaves something is told with kind, name and line; its twin that cleans up is clean."""

import pytest

from kscaffold.elf.module_file import ModuleFile
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.leftovers import Leftovers, sections_to_watch
from kscaffold.load.load import load
from kscaffold.load.unload import unload
from kscaffold.module.arguments import NO_PARAMETERS
from kscaffold.sandbox.vm.plan import plan_vm
from kscaffold.sandbox.vm.start import start_guest
from kscaffold.targets.sandbox import SandboxTarget
from tests.support.kernels import EVERYWHERE, need_either
from tests.zoo.leavers import LEAVERS, built_leavers, remove_leavers

pytestmark = [pytest.mark.sandbox, pytest.mark.kernel]


@pytest.fixture(scope="module", autouse=True)
def leavers():
    """One build of all of them a kernel, for every test here."""
    yield
    remove_leavers()


def left_by(file: ModuleFile, kernel: Kernel):
    """What is found in a guest of its own after load and unload."""
    plan = plan_vm(kernel, "")
    guest = start_guest(plan)
    try:
        target = SandboxTarget.from_guest(guest, "")
        leftovers = Leftovers([file], sections_to_watch([file]), target)
        loaded = load(file, NO_PARAMETERS, target, timeout=20)
        unloaded = unload(file.module, target, timeout=20, ko=file)
        assert loaded.ok and unloaded.ok, (loaded.judgement, unloaded.judgement)
        return leftovers.find([loaded], [unloaded])
    finally:
        guest.close()


@pytest.mark.parametrize(("series", "arch"), EVERYWHERE)
def test_what_is_left_is_told(series: str, arch: str):
    kernel = need_either(series, arch)
    place, wrong = built_leavers(kernel), []
    for name, each in LEAVERS.items():
        found = left_by(ModuleFile.open(place / f"leave_{name}.ko"), kernel)
        told = [(r.kind, r.where) for r in found or ()]
        if arch in each.unmade:
            wrong += [f"{name}: {found}"] if found != () else []
        elif told != [(each.kind, f"leave_{name}.c:{each.line}")] or not found[0].name.startswith(each.name):
            wrong.append(f"{name}: {found}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("series", "arch"), EVERYWHERE)
def test_a_module_that_cleans_up_leaves_nothing(series: str, arch: str):
    kernel = need_either(series, arch)
    place = built_leavers(kernel)
    found = {n: left_by(ModuleFile.open(place / f"clean_{n}.ko"), kernel) for n in LEAVERS}
    assert {n: left for n, left in found.items() if left != ()} == {}

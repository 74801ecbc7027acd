"""Every template and example on other machines: compiled without a word, and used in a guest."""

import errno
from pathlib import Path

import pytest

from kscaffold.arch import table
from kscaffold.packages.busybox import busybox
from kscaffold.scaffold.create.render import templates
from tests.conftest import need_program
from tests.examples.test_build import MADE
from tests.scaffold.test_build import warnings
from tests.support import templated
from tests.support.kernels import MACHINES, need_machine, need_named
from tests.templates.test_own_tests import BUILT_BY_ONE_MAKE, own_tests

pytestmark = [pytest.mark.kernel, pytest.mark.sandbox]

# Where templates are used: a little-endian machine, a big-endian one, one of 32 bits, one more.
USED = ("arm64", "s390x", "armhf", "riscv64")


@pytest.mark.parametrize("arch", USED)
def test_no_warning_at_w1_and_under_sparse_s_endian_checks(arch: str):
    built = templated.built(MACHINES[arch], arch)
    assert built.status == 0, built.output
    ours = (str(built.place), "my-", *(f"{example}/" for example in MADE))
    assert [w for w in warnings(built.output) if any(word in w for word in ours)] == []
    machine = table.by_debian(arch)
    kos = list(built.place.rglob("*.ko"))
    assert len(kos) > len(built.names)
    assert {table.of_elf(ko.read_bytes()[:64]) for ko in kos} == {machine}
    if arch not in templated.BEYOND_SPARSE:
        need_program("sparse", "sparse")
        checked = [line for line in built.output.splitlines() if line.strip().startswith("CHECK")]
        assert len(checked) >= len(kos)


@pytest.mark.parametrize("arch", USED)
def test_each_template_does_what_its_readme_says(arch: str):
    with templated.guest(MACHINES[arch], arch) as guest:
        program = busybox(table.by_debian(arch), guest.kernel.origin, offline=False)
        guest.target.install_busybox(program.read_bytes())
        for template in (t for t in templates() if t.name in guest.built.names):
            with guest.loaded(template.name) as name:
                assert guest.load(template.name) == errno.EEXIST
                for line in template.tries:
                    typed = line.format(name=templated.module(template.name), kernel_name=name)
                    status, said = guest.target.run(["/bin/sh", "-c", typed], 20)
                    assert (template.name, typed, status) == (template.name, typed, 0), said


@pytest.mark.parametrize("arch", USED)
def test_each_passes_its_own_tests(arch: str):
    need_named(arch)
    built = templated.built(MACHINES[arch], arch)
    results, _ = own_tests(built.place, need_machine(arch).release, BUILT_BY_ONE_MAKE)
    assert [(r["test"], r["text"]) for r in results if r["outcome"] != "passed"] == []
    assert {Path(r["test"]).parts[0] for r in results} == {
        *MADE,
        *(templated.module(t) for t in built.names),
    }

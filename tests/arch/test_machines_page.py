"""docs/machines.md is what the data says, and the data what the kernels say."""

import pytest

from kscaffold.arch import table
from tests.arch import machines_page
from tests.conftest import need_program
from tests.support.kernels import MACHINES, need_kernel, need_machine


def test_the_page_has_the_tables_of_today():
    """Else: python -m tests.arch.machines_page"""
    text = machines_page.PAGE.read_text()
    assert machines_page.whole(text) == text


def test_each_machine_that_is_tried_has_a_row():
    assert {row["machine"] for row in machines_page.data()} >= {"amd64", *MACHINES}


@pytest.mark.kernel
@pytest.mark.parametrize("series", ["5.10", "6.1", "6.12"])
def test_the_rows_of_this_machine_are_measured(series: str):
    _compare(need_kernel(series))


@pytest.mark.kernel
@pytest.mark.parametrize("arch", MACHINES)
def test_the_rows_of_other_machines_are_measured(arch: str):
    _compare(need_machine(arch))


@pytest.mark.sandbox
@pytest.mark.parametrize("series", ["6.1", "6.12"])
def test_what_guests_of_this_machine_show(series: str):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    _compare(need_kernel(series), machines_page.observed)


@pytest.mark.sandbox
@pytest.mark.parametrize("arch", MACHINES)
def test_what_guests_of_other_machines_show(arch: str):
    _compare(need_machine(arch), machines_page.observed)


def _compare(kernel, look=machines_page.measured) -> None:
    """A later build of the same series says the same, but for the size that its options decide."""
    machine = table.by_uname(kernel.arch)
    assert machine is not None
    series = kernel.release.split(".")[:2]
    rows = [
        row
        for row in machines_page.data()
        if row["machine"] == machine.debian and row["release"].split(".")[:2] == series
    ]
    assert rows, f"no row for {kernel.release}: add machines_page.{look.__name__}() of it to kernels.toml"
    found = look(kernel)
    assert any({key: row.get(key) for key in found} == found for row in rows), found

"""The line of source where a task is, by its kernel stack."""

import subprocess
from pathlib import Path

import pytest

from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.addr2line import place_of_stack, with_stack
from tests.conftest import need_program

SOURCE = """\
void spin(void)
{
	asm volatile("call somewhere");
	asm volatile("1: jmp 1b"); /* the loop */
}
void last(void) { }
void cleanup_module(void) __attribute__((alias("last")));
static void *module[8] __attribute__((used, section(".gnu.linkonce.this_module"))) = { cleanup_module };
static const char info[] __attribute__((used, section(".modinfo"))) = "license=GPL\\0name=spin";
"""
BEHIND_THE_CALL = 5  # bytes that a call has
FRAME = "[<0>] spin+0x{:x}/0x{:x} [spin]\n"
ENTRIES = ("asm_sysvec_apic_timer_interrupt+0x16/0x20", "asm_exc_nmi+0xb6/0xff", "end_repeat_nmi+0xf/0x53")


@pytest.fixture(scope="module")
def spin(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModuleFile, int]:
    """A module of that source, and the bytes of its function."""
    for program, package in (("gcc", "gcc"), ("nm", "binutils"), ("addr2line", "binutils")):
        need_program(program, package)
    place: Path = tmp_path_factory.mktemp("spin")
    (place / "spin.c").write_text(SOURCE)
    words = ("-m64", "-c", "-O2", "-g", "-fcf-protection=none", "-fno-pie", "spin.c", "-o", "spin.ko")
    subprocess.run(["gcc", *words], cwd=place, check=True)
    told = subprocess.run(["nm", "-S", "spin.ko"], cwd=place, capture_output=True, text=True, check=True)
    size = next(line.split()[1] for line in told.stdout.splitlines() if line.endswith(" spin"))
    return ModuleFile.open(place / "spin.ko"), int(size, 16)


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_an_interrupt_came_upon_is_the_line_that_runs(spin, entry):
    ko, size = spin
    frame = FRAME.format(BEHIND_THE_CALL, size)
    found = place_of_stack(f"[<0>] {entry}\n{frame}", {"spin": ko})
    assert found is not None and (found.line, found.function) == (4, "spin")


def test_a_caller_is_at_its_call(spin):
    ko, size = spin
    frame = FRAME.format(BEHIND_THE_CALL, size)
    for callee in ("", "[<0>] schedule_timeout+0x1/0x2\n"):
        found = place_of_stack(callee + frame, {"spin": ko})
        assert found is not None and found.line == 3


def test_a_stack_without_one_of_the_modules_has_no_line(spin):
    assert place_of_stack(FRAME.format(BEHIND_THE_CALL, spin[1]), {"other": spin[0]}) is None
    assert place_of_stack("", {"spin": spin[0]}) is None


def test_an_exit_that_waits_in_its_last_call_is_named(spin):
    waits = "[<0>] __do_sys_delete_module+0x1b6/0x330\n[<0>] do_syscall_64+0x5d/0x90\n"
    cause, place = with_stack("exit waits", None, waits, spin[0])
    assert place is not None and (place.line, place.function) == (6, "last")
    assert cause == f"exit waits, at {place}"
    loads = waits.replace("delete_module", "finit_module")
    assert with_stack("init waits", None, loads, spin[0]) == ("init waits", None)

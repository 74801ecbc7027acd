"""The kernel's reports on other machines, cut from the logs of guests that crashed."""

import pytest

from kscaffold.diagnosis.crash import complaints
from kscaffold.diagnosis.klog import Record, parse_text

TASK = "CPU: 0 PID: 74 Comm: init Tainted: G           OE      6.1.0-50"
ERA = "ffff800002010018"
# Each machine's lines, the one that is told, and the place.
REPORTS = {
    "s390x": (
        """Unable to handle kernel pointer dereference in virtual kernel address space
Failing address: 0000000000000000 TEID: 0000000000000483
Oops: 0004 ilc:3 [#1] SMP
Modules linked in: sleeper(OE+) virtio_console
{task}
Krnl PSW : 0704c00180000000 000003ff7fd0c08c (write_there+0x2c/0x40 [sleeper])
Call Trace:
 [<0000000000100a7a>] do_one_initcall+0x15a/0x1d0
---[ end trace 0000000000000000 ]---""",
        "Unable to handle kernel pointer dereference in virtual kernel address space",
        "write_there+0x2c/0x40 [sleeper]",
    ),
    "s390x, an operation": (
        """illegal operation: 0001 ilc:1 [#1] SMP
{task}
Krnl PSW : 0704c00180000000 000003ff7fd0c08c (write_there+0x2c/0x40 [sleeper])""",
        "illegal operation: 0001 ilc:1 [#1] SMP",
        "write_there+0x2c/0x40 [sleeper]",
    ),
    "ppc64el": (
        """BUG: Kernel NULL pointer dereference on write at 0x00000000
Faulting instruction address: 0xc0080000005b0040
Oops: Kernel access of bad area, sig: 11 [#1]
Modules linked in: sleeper(OE+) virtio_console
{task}
NIP:  c0080000005b0040 LR: c0080000005b0038 CTR: 0000000000000000
NIP [c0080000005b0040] write_there+0x38/0x58 [sleeper]
LR [c0080000005b0038] write_there+0x30/0x58 [sleeper]
Call Trace:
[c00000000404f760] [c0080000005b00dc] sleeper_init+0x7c/0xa0 [sleeper]
---[ end trace 0000000000000000 ]---""",
        "BUG: Kernel NULL pointer dereference on write at 0x00000000",
        "write_there+0x38/0x58 [sleeper]",
    ),
    "armhf": (
        """Unhandled fault: page domain fault (0x81b) at 0x00000000
[00000000] *pgd=4180c835, *pte=00000000, *ppte=00000000
Internal error: : 81b [#1] SMP ARM
Modules linked in: sleeper(OE+) virtio_console
{task}
PC is at write_there+0x20/0x30 [sleeper]
LR is at write_there+0x1c/0x30 [sleeper]
---[ end trace 0000000000000000 ]---""",
        "Unhandled fault: page domain fault (0x81b) at 0x00000000",
        "write_there+0x20/0x30 [sleeper]",
    ),
    "riscv64": (
        """Oops - illegal instruction [#1]
Modules linked in: sleeper(OE+)
{task}
epc : write_there+0x28/0x1000 [sleeper]
 ra : sleeper_init+0x1a/0x1000 [sleeper]
---[ end trace 0000000000000000 ]---""",
        "Oops - illegal instruction [#1]",
        "write_there+0x28/0x1000 [sleeper]",
    ),
    "loong64": (
        """CPU 0 Unable to handle kernel paging request at virtual address 0000000000000000, era == {era}
Oops[#1]:
{task}
   ERA: ffff800002010018 write_there+0x18/0x1000 [sleeper]
---[ end trace 0000000000000000 ]---""",
        f"CPU 0 Unable to handle kernel paging request at virtual address 0000000000000000, era == {ERA}",
        "write_there+0x18/0x1000 [sleeper]",
    ),
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_is_known_with_its_place(name: str):
    text, line, place = REPORTS[name]
    records: list[Record] = parse_text(text.format(task=TASK, era=ERA))
    (found,) = complaints(records, "sleeper")
    assert (found.kind, found.text, found.where, found.module) == ("oops", line, place, "sleeper")


S390X_FAULT = """Unable to handle kernel pointer dereference in virtual kernel address space
Failing address: {address:016x} TEID: {teid:016x}
Oops: {code:04x} ilc:3 [#1] SMP
{task}
Krnl PSW : 0704c00180000000 000003ff7fd14010 (sleeper_init+0x10/0x1000 [sleeper])"""
RISCV_FAULT = """Unable to handle kernel access to user memory without uaccess routines \
at virtual address {address:016x}
Oops [#1]
{task}
epc : sleeper_init+0x18/0x1000 [sleeper]
status: 0000000200000120 badaddr: {address:016x} cause: {code:016x}"""
ARM_FAULT = """Unhandled fault: page domain fault (0x81b) at 0x{address:08x}
Internal error: : 81b [#1] SMP ARM
{task}
PC is at sleeper_init+0x20/0x30 [sleeper]"""
# What the code did, told by a report whose head line is the same for several of them.
REASONS = {
    "s390x, writes to a constant": (S390X_FAULT, 0x3FF7FD0D000, 0x3FF7FD0D407, 4, "read-only"),
    "s390x, jumps into data": (S390X_FAULT, 0x3FF7FD0E000, 0x3FF7FD0E887, 4, "nx"),
    "s390x, an error as a pointer": (S390X_FAULT, (1 << 64) - 4096, (1 << 64) - 2045, 0x38, "error-pointer"),
    "s390x, a null pointer": (S390X_FAULT, 0, 0x483, 4, None),
    # A program's addresses and the kernel's have the same values there.
    "s390x, nothing mapped": (S390X_FAULT, 0x3FFF88FA000, 0x3FFF88FA803, 0x10, None),
    "armhf, a null pointer": (ARM_FAULT, 0, 0, 0, None),
    "armhf, a program's address": (ARM_FAULT, 0xBEEC5F00, 0, 0, "user-pointer"),
    "riscv64, a null pointer": (RISCV_FAULT, 0, 0, 0xF, None),
    "riscv64, a call of nothing": (RISCV_FAULT, 0, 0, 0xC, "nx"),
    "riscv64, a program's address": (RISCV_FAULT, 0x3FFFAB1000, 0, 0xD, "user-pointer"),
}


@pytest.mark.parametrize("name", REASONS)
def test_what_the_code_did_is_read_from_the_fault(name: str):
    text, address, teid, code, reason = REASONS[name]
    said = text.format(task=TASK, address=address, teid=teid, code=code)
    (found,) = complaints(parse_text(said), "sleeper")
    assert found.reason == reason, found
    assert ("a NULL pointer was used" in found.cause) is name.endswith("a null pointer")


@pytest.mark.parametrize(
    ("line", "kind", "reason"),
    [
        ("Kernel panic - not syncing: Corrupt kernel stack, can't continue.", "stack-overflow", None),
        ("BUG: Unable to handle kernel instruction fetch (NULL pointer?)", "oops", "nx"),
        ("Unable to handle kernel execution of memory at virtual address bf024280", "oops", "nx"),
    ],
)
def test_a_line_that_tells_by_itself(line: str, kind: str, reason: str | None):
    records = parse_text(f"{line}\n{TASK}\n")
    (found,) = complaints(records, "sleeper")
    assert (found.kind, found.reason) == (kind, reason)

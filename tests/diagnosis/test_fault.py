"""What processors say of a fault, each in its own words."""

import pytest

from kscaffold.diagnosis import fault

PAGE = "Unable to handle kernel paging request at virtual address "


@pytest.mark.parametrize(
    ("line", "access", "why", "words"),
    [
        ("Oops: 0002 [#1] SMP", "write", "unmapped", "error code 0002: a write, nothing is mapped there"),
        ("Oops: Oops: 0003 [#2] PREEMPT", "write", "protection", "error code 0003"),
        ("#PF: error_code(0x0010) - not-present page", "execute", "unmapped", "error code 0010"),
        ("  ESR = 0x0000000096000004", "read", "unmapped", "data abort (read), no translation"),
        ("  ESR = 0x9600004f", "write", "protection", "data abort (write), permission"),
        ("  ESR = 0x96000021", "read", "alignment", "alignment"),
        ("  ESR = 0x86000005", "execute", "unmapped", "instruction abort"),
        ("Internal error: synchronous external abort: 96000210 [#1] SMP", "read", "bus", "external abort"),
        ("Internal error: BRK handler: f2000800 [#1] SMP", None, "trap", "BRK of BUG()"),
        ("Internal error: Oops - BTI: 0000000034000002 [#1]", "execute", "trap", "branch target"),
        (
            "Internal error: Oops: 17 [#1] ARM",
            "read",
            "unmapped",
            "FSR 0x17: read, nothing is mapped there (page)",
        ),
        ("Internal error: Oops: 817 [#1] SMP ARM", "write", "unmapped", "FSR 0x817: write"),
        ("Internal error: Oops: 80d [#1] SMP ARM", "write", "protection", "the section does not allow it"),
        ("Internal error: Oops: a06 [#1] SMP ARM", "write", "unmapped", "FSR 0xa06: write, no translation"),
        ("Unhandled fault: alignment exception (0x001) at 0xe0b41a01", "read", "alignment", "alignment"),
        ("Unhandled fault: imprecise external abort (0x1406) at 0x00000000", "read", "bus", "reported later"),
        (
            "status: 0000000200000120 badaddr: 0000000000000000 cause: 000000000000000f",
            "write",
            "unmapped",
            "store",
        ),
        (
            "status: 00000120 badaddr: 00000001 cause: 00000004",
            "read",
            "alignment",
            "load address misaligned",
        ),
        ("Cause : 00800008 (ExcCode 02)", "read", "unmapped", "TLBL"),
        ("Cause : 00800004 (ExcCode 01)", "write", "protection", "Mod"),
        ("DAR: 0000000000000010 DSISR: 42000000 IRQMASK: 0", "write", "unmapped", "DSISR 42000000: write"),
        ("DAR: c000000001234560 DSISR: 0a000000 IRQMASK: 0", "write", "protection", "does not allow it"),
        ("specification exception: 0006 ilc:3 [#1] SMP", None, "alignment", "interruption code 0006"),
        ("fixpoint divide exception: 0009 ilc:2 [#1] SMP", None, "division", "division by zero"),
        (" ESTAT: 00040000 [PME] (IS= ECode=4 EsubCode=0)", "write", "protection", "PME"),
        ("divide error: 0000 [#1] SMP PTI", None, "division", ""),
        ("hello: cause: none", None, None, ""),
    ],
)
def test_a_status_word_is_read(line, access, why, words):
    found = fault.read_fault(["a line", line])
    assert (found.access, found.why) == (access, why)
    assert words in found.words


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (PAGE + "00000010", "null"),
        ("BUG: unable to handle kernel NULL pointer dereference at           (null)", "null"),
        ("BUG: kernel NULL pointer dereference, address: 0000000000000ff8", "null"),
        (PAGE + "fffffff4", "error-pointer"),
        ("BUG: unable to handle page fault for address: fffffffffffffff4", "error-pointer"),
        ("general protection fault, probably for non-canonical address 0xdead000000000100: 0000", "freed"),
        (PAGE + "6b6b6b7b", "freed"),
        (PAGE + "00100104", None),
        (PAGE + "00100100", "freed"),
        ("BUG: unable to handle page fault for address: 00007ffd6a6b1020", "user"),
        ("Unable to handle kernel access to user memory at virtual address 0000ffffd2c3a1b0", "user"),
        ("BUG: unable to handle page fault for address: ffffffffc0a5b900", None),
        ("hello", None),
    ],
)
def test_an_address_is_known_by_its_value(line, kind):
    assert fault.kind_of_address(fault.read_fault([line])) == kind

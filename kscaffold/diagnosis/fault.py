"""What a processor says of a fault, in each architecture's own words: the address, the access, the reason.

The kernel prints the status words of the processor as numbers (ESR, FSR, scause, DSISR, ExcCode, a program
interruption code). Their meaning is in the manuals of the processors; the kernel's names of the words are in
arch/*/mm/fault.c and arch/*/kernel/traps.c.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from kscaffold.records import dataclass, replace

Access = Literal["read", "write", "execute"]
Why = Literal[
    "unmapped", "protection", "user", "alignment", "bus", "instruction", "division", "trap", "table"
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. None: the report does not say.

    `address`: the address that was touched; `bits`: how wide it was printed, 32 or 64. `access`: what the
    code wanted there. `why`: why that failed. `words`: the status word and its meaning, for people.
    `is_page`: the address is that of the page alone. `one_space`: a program's addresses have the same values
    as the kernel's, in a space of their own.
    """

    address: int | None = None
    bits: int = 64
    access: Access | None = None
    why: Why | None = None
    words: str = ""
    is_page: bool = False
    one_space: bool = False


_ADDRESS = re.compile(
    r"(?:virtual address|data at address|fault for address:?|dereference,? (?:at|address:)|paging request at|"
    r"data access(?: on (?:read|write))? at|[Ff]ailing address:|badaddr:|BadVA\s{0,3}:|instruction fetch at|"
    r"non-canonical address|(?:fault|access)(?: \(0x[0-9a-f]{1,8}\))? (?:at|address)) {1,12}"
    r"(?:0x)?(?P<address>[0-9a-f]{1,16}\b|\(null\))"
)
# mips' words, and x86's own, from 5.0 on.
_WORDS: tuple[tuple[re.Pattern[str], Access | None, Why | None], ...] = (
    (re.compile(r"^(?:Data|Instruction) bus error, epc == "), None, "bus"),
    (re.compile(r"#PF: supervisor read access"), "read", None),
    (re.compile(r"#PF: supervisor write access"), "write", None),
    (re.compile(r"#PF: supervisor instruction fetch"), "execute", None),
    (re.compile(r"not-present page"), None, "unmapped"),
    (re.compile(r"permissions violation"), None, "protection"),
    (re.compile(r"write to read-only memory"), "write", "protection"),
    (re.compile(r"data access on read"), "read", None),
    (re.compile(r"data access on write"), "write", None),
    (
        re.compile(
            r"execut(?:e from|ion of) (?:(?:non-executable|user) )?memory|(?:kernel )?instruction fetch\b"
        ),
        "execute",
        None,
    ),
    (
        re.compile(r"alignment (?:exception|fault|check)|address misaligned|unaligned access"),
        None,
        "alignment",
    ),
    (
        re.compile(
            r"external abort|SError Interrupt|(?:load|store(?:/amo)?|instruction) access fault|"
            r"(?:Data|Instruction) bus error|[Mm]achine check"
        ),
        None,
        "bus",
    ),
    (
        re.compile(
            r"(?i:undefined instruction|illegal (?:instruction|operation)|reserved instruction)"
            r"|invalid opcode"
        ),
        None,
        "instruction",
    ),
    (re.compile(r"^divide error|fixpoint divide exception"), None, "division"),
)
_AARCH64_STATUS: Mapping[int, tuple[str, Why]] = {
    0x00: ("an address of the wrong size", "unmapped"),
    0x04: ("no translation: nothing is mapped there", "unmapped"),
    0x08: ("the access flag is not set", "protection"),
    0x0C: ("permission: the page does not allow it", "protection"),
    0x10: ("external abort: the bus or the device answered with an error", "bus"),
    0x14: ("external abort while the page tables were read", "bus"),
    0x20: ("alignment: the address is not a multiple of the access's size", "alignment"),
}
_AARCH64_CLASS: Mapping[int, tuple[str, Access | None, Why | None]] = {
    0x00: ("unknown reason, most often an undefined instruction", None, "instruction"),
    0x0E: ("illegal execution state", None, "instruction"),
    0x0D: ("branch target: the function does not begin with BTI", "execute", "trap"),
    0x1C: ("pointer authentication failed: a return address was overwritten", None, "trap"),
    0x21: ("instruction abort: a jump to what is no code", "execute", None),
    0x22: ("the program counter is not aligned", "execute", "alignment"),
    0x25: ("data abort", "read", None),
    0x26: ("the stack pointer is not aligned", None, "alignment"),
    0x2F: ("SError: the bus or a device reported an error later", None, "bus"),
    0x3C: ("BRK: a trap that the compiler or BUG() put there", None, "trap"),
}
# arch/arm64/include/asm/brk-imm.h
_AARCH64_BRK = (
    (0x800, 0x800, "BUG()"),
    (0x900, 0x93F, "KASAN"),
    (0x5500, 0x55FF, "UBSAN"),
    (0x8000, 0x83FF, "CFI"),
)
_ARM_STATUS: Mapping[int, tuple[str, Why]] = {
    0x01: ("alignment: the address is not a multiple of the access's size", "alignment"),
    0x03: ("alignment: the address is not a multiple of the access's size", "alignment"),
    0x05: ("nothing is mapped there (section)", "unmapped"),
    0x07: ("nothing is mapped there (page)", "unmapped"),
    0x08: ("external abort: the bus or the device answered with an error", "bus"),
    # Programs have a domain of their own (CONFIG_CPU_SW_DOMAIN_PAN).
    0x09: ("domain: a program's memory, which the kernel may not touch so (section)", "user"),
    0x0B: ("domain: a program's memory, which the kernel may not touch so (page)", "user"),
    0x0D: ("permission: the section does not allow it", "protection"),
    0x0F: ("permission: the page does not allow it", "protection"),
    0x406: ("external abort that was reported later", "bus"),
}
_RISCV: Mapping[int, tuple[str, Access | None, Why]] = {
    0: ("instruction address misaligned", "execute", "alignment"),
    1: ("instruction access fault: no memory answers there", "execute", "bus"),
    2: ("illegal instruction", None, "instruction"),
    3: ("breakpoint: BUG() or WARN()", None, "trap"),
    4: ("load address misaligned", "read", "alignment"),
    5: ("load access fault: no memory answers there", "read", "bus"),
    6: ("store address misaligned", "write", "alignment"),
    7: ("store access fault: no memory answers there", "write", "bus"),
    12: ("instruction page fault: a jump to what is no code", "execute", "unmapped"),
    13: ("load page fault", "read", "unmapped"),
    15: ("store page fault", "write", "unmapped"),
}
_MIPS: Mapping[int, tuple[str, Access | None, Why]] = {
    1: ("Mod: a write to a page that is read-only", "write", "protection"),
    2: ("TLBL: a read of an address where nothing is mapped", "read", "unmapped"),
    3: ("TLBS: a write to an address where nothing is mapped", "write", "unmapped"),
    4: ("AdEL: a read of an address that is not aligned, or the user's", "read", "alignment"),
    5: ("AdES: a write to an address that is not aligned, or the user's", "write", "alignment"),
    6: ("IBE: bus error while an instruction was read", "execute", "bus"),
    7: ("DBE: bus error while data was read", None, "bus"),
    9: ("Bp: a break instruction, BUG()", None, "trap"),
    10: ("RI: a reserved instruction", None, "instruction"),
    11: ("CpU: the floating-point unit was used in the kernel", None, "instruction"),
    12: ("Ov: an overflow of an integer", None, "trap"),
    13: ("Tr: a trap, BUG_ON() or a division by zero", None, "trap"),
}
_S390: Mapping[int, tuple[str, Access | None, Why]] = {
    0x01: ("operation: an illegal instruction", None, "instruction"),
    0x02: ("privileged operation", None, "instruction"),
    0x04: ("protection: the page does not allow it, or a write to the first pages", None, "protection"),
    0x05: ("addressing: no memory there", None, "unmapped"),
    0x06: ("specification: an address that is not aligned, or a wrong operand", None, "alignment"),
    0x07: ("data", None, "trap"),
    0x09: ("fixed-point divide: a division by zero", None, "division"),
    0x10: ("segment translation: nothing is mapped there", None, "unmapped"),
    0x11: ("page translation: nothing is mapped there", None, "unmapped"),
    0x38: ("ASCE type: an address beyond the address space", None, "unmapped"),
    0x39: ("region first translation: nothing is mapped there", None, "unmapped"),
    0x3A: ("region second translation: nothing is mapped there", None, "unmapped"),
    0x3B: ("region third translation: nothing is mapped there", None, "unmapped"),
    0x40: ("monitor event: BUG() or WARN()", None, "trap"),
}
_LOONGARCH: Mapping[int, tuple[str, Access | None, Why]] = {
    1: ("PIL: a read of an address where nothing is mapped", "read", "unmapped"),
    2: ("PIS: a write to an address where nothing is mapped", "write", "unmapped"),
    3: ("PIF: a jump to what is no code", "execute", "unmapped"),
    4: ("PME: a write to a page that is read-only", "write", "protection"),
    8: ("ADE: an address that is not the kernel's", None, "unmapped"),
    9: ("ALE: an address that is not aligned", None, "alignment"),
    12: ("BRK: a trap that BUG() put there", None, "trap"),
    13: ("INE: an instruction that does not exist", None, "instruction"),
}


def _x86(word: str) -> Fault:
    code = int(word, 16)
    access: Access = "execute" if code & 16 else "write" if code & 2 else "read"
    why: Why = "table" if code & 8 else "protection" if code & 1 else "unmapped"
    reason = "the page does not allow it" if code & 1 else "nothing is mapped there"
    if why == "table":  # X86_PF_RSVD of arch/x86/include/asm/trap_pf.h
        reason = "the page's entry in the page table has a bit that must be 0"
    return Fault(
        access=access,
        why=why,
        words=f"error code {word}: {'an execution' if access == 'execute' else f'a {access}'}, {reason}",
    )


def _arm64(word: str) -> Fault:
    esr = int(word, 16)
    kind, access, why = _AARCH64_CLASS.get(esr >> 26 & 0x3F, ("", None, None))
    if not kind:
        return Fault()
    if why is None:  # an abort: the low bits say why
        status, why = _AARCH64_STATUS.get(esr & 0x3C if esr & 0x30 != 0x20 else 0x20, ("", "unmapped"))
        if access == "read" and esr & 0x40:
            access = "write"
        kind = f"{kind} ({access}), {status}" if status else kind
    if esr >> 26 & 0x3F == 0x3C:
        number = esr & 0xFFFF
        kind = next((f"BRK of {name}" for low, high, name in _AARCH64_BRK if low <= number <= high), kind)
    return Fault(access=access, why=why, words=f"ESR 0x{esr:x}: {kind}")


def _arm(word: str) -> Fault:
    fsr = int(word, 16)
    number = fsr & 0xF | fsr & 0x400
    known = _ARM_STATUS.get(number) or _ARM_STATUS.get(number & 0xF)
    if fsr & 0x200:  # LPAE: the codes of AArch64
        known = _AARCH64_STATUS.get(fsr & 0x3C if fsr & 0x30 != 0x20 else 0x20)
    if known is None:
        return Fault()
    access: Access = "write" if fsr & 0x800 else "read"
    return Fault(access=access, why=known[1], words=f"FSR 0x{fsr:x}: {access}, {known[0]}")


def _powerpc(word: str) -> Fault:
    dsisr = int(word, 16)
    access: Access = "write" if dsisr & 0x02000000 else "read"
    why: Why | None = "protection" if dsisr & 0x08000000 else "unmapped" if dsisr & 0x40000000 else None
    reason = {"protection": "the page does not allow it", "unmapped": "nothing is mapped there"}.get(
        why or ""
    )
    return Fault(access=access, why=why, words=f"DSISR {word}: {access}, {reason}" if reason else "")


def _teid(word: str) -> Access | None:
    """The access that faulted on s390, by its translation-exception identification (union teid)."""
    bits = int(word, 16)
    if bits & 0x84 == 0x84:  # instruction-execution protection; without 4 it is that of the first pages
        return "execute"
    return "write" if bits & 0x400 else "read" if bits & 0x800 else None


_TEID = re.compile(r"^Failing address: [0-9a-f]{16} TEID: (?P<word>[0-9a-f]{16})")


def _of(table: Mapping[int, tuple[str, Access | None, Why]], name: str, base: int) -> Callable[[str], Fault]:
    """A decoder of a word that is a number of a table, printed to that base."""

    def decoded(word: str) -> Fault:
        known = table.get(int(word, base))
        return Fault(access=known[1], why=known[2], words=f"{name} {word}: {known[0]}") if known else Fault()

    return decoded


_DECODERS: tuple[tuple[re.Pattern[str], Callable[[str], Fault]], ...] = (
    (
        re.compile(
            r"^Internal error: Oops(?: - [\w ]{1,40})?: (?P<word>[0-9a-f]{1,4}) \[#\d+\].{0,40}\bARM\b"
        ),
        _arm,
    ),
    (re.compile(r"^Unhandled fault: .{1,60} \(0x(?P<word>[0-9a-f]{1,4})\) at 0x[0-9a-f]{8}$"), _arm),
    (re.compile(r"^ {0,4}ESR = 0x(?P<word>[0-9a-f]{8,16})\b"), _arm64),
    (
        re.compile(
            r"^(?:Internal error|SError Interrupt).{1,80}?(?:: |-- |code )(?:0x)?(?P<word>[0-9a-f]{8,16})\b"
        ),
        _arm64,
    ),
    (re.compile(r"^Unhandled fault: .{1,60} \(0x(?P<word>[0-9a-f]{8})\) at 0x[0-9a-f]{16}$"), _arm64),
    (re.compile(r"\bcause: (?:00000000)?0{0,7}(?P<word>[0-9a-f]{1,2})\b"), _of(_RISCV, "cause", 16)),
    (re.compile(r"\bExcCode (?P<word>[0-9a-f]{2})\)"), _of(_MIPS, "ExcCode", 16)),
    (re.compile(r"\bDSISR: (?P<word>[0-9a-f]{8})\b"), _powerpc),
    (re.compile(r": (?P<word>[0-9a-f]{4}) ilc:\d"), _of(_S390, "interruption code", 16)),
    (re.compile(r"\bESTAT: [0-9a-f]{8} .{0,60}\bECode=(?P<word>\d{1,2})\b"), _of(_LOONGARCH, "ECode", 10)),
    (
        re.compile(
            r"^(?:Oops: (?=[0-9a-f]{4} \[#\d)|#PF: error_code\(0x|Oops: Oops: )(?P<word>[0-9a-f]{4})\b"
        ),
        _x86,
    ),
)


def read_fault(lines: Sequence[str]) -> Fault:
    """The fault that a report's lines tell of: what its words say first, then its status word."""
    found = Fault()
    for line in lines:
        if found.address is None and (hit := _ADDRESS.search(line)):
            digits = hit["address"].strip("()")
            address = 0 if digits == "null" else int(digits, 16)
            found = replace(found, address=address, bits=32 if len(digits) == 8 else 64)
        if hit := _TEID.search(line):
            found = replace(found, access=_teid(hit["word"]), is_page=True, one_space=True)
        for pattern, access, why in _WORDS:
            if pattern.search(line):
                found = replace(found, access=found.access or access, why=found.why or why)
        for pattern, decode in _DECODERS:
            if not found.words and (hit := pattern.search(line)):
                decoded = decode(hit["word"])
                found = replace(
                    found,
                    access=found.access or decoded.access,
                    why=found.why or decoded.why,
                    words=decoded.words,
                )
    return found


def kind_of_address(fault: Fault) -> str | None:
    """What the address is by its value: `null`, `error-pointer`, `freed`, `user`; None: nothing special."""
    address = fault.address
    if address is None:
        return None
    top = 1 << fault.bits
    if address < 4096:
        return "null"
    if top - (4096 if fault.is_page else 4095) <= address < top:
        return "error-pointer"
    digits = f"{address:0{fault.bits // 4}x}"
    # POISON_FREE, POISON_INUSE and the list's poison: include/linux/poison.h.
    if re.search(r"6b6b6b|5a5a5a5a|^dead0{4,8}[012]", digits) or address in (
        0x100100,
        0x200200,
        0x100,
        0x122,
    ):
        return "freed"
    # Where programs, their libraries and their stacks are on 64-bit machines.
    if (
        fault.bits == 64
        and not fault.one_space
        and re.match(r"0000(?:00)?(?:7[ef]|5[5-6]|ffff|aaaa|3f|2a)", digits)
    ):
        return "user"
    return None


def is_far_from_programs(fault: Fault) -> bool:
    """Whether an address is one where no program has its code, its data, its libraries or its stack."""
    return (
        fault.address is not None
        and fault.bits == 64
        and fault.address >= 1 << 32  # below: where a program without position-independent code is
        and kind_of_address(fault) is None
    )

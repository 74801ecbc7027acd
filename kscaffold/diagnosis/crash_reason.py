"""Why the kernel crashed or complained, where its report says more than that it did.

The head line of a report has the kind; the lines beside it decide: what was said just before, the status word
of the processor, the number of the oops, the letters of the taint.
"""

import re
from collections.abc import Sequence

from kscaffold.diagnosis import fault
from kscaffold.records import dataclass

_PLACE = r"([A-Za-z_][\w.$]{0,200}\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8})(?: \[([\w-]{1,64}))?"

# Said in the report or just before it. The first that is found counts.
_SAID: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("endbr", re.compile(r"Missing ENDBR: |Oops - BTI\b")),
    ("cfi", re.compile(r"^CFI failure (?:at |\(target: )|Oops - CFI\b")),
    ("work-left", re.compile(r"^BUG: workqueue leaked ")),
    ("atomic", re.compile(r"^Voluntary context switch within RCU read-side critical section")),
    ("usercopy", re.compile(r"^usercopy: [Kk]ernel memory |^Bad or missing usercopy whitelist")),
    ("field-spanning", re.compile(r"detected field-spanning write \(size \d")),
    ("fortify", re.compile(r"^detected buffer overflow in \w|detected buffer overflow: \d")),
    (
        "slab-left",
        re.compile(r"Objects remaining (?:in|on) |Slab cache still has objects|kmem_cache_destroy "),
    ),
    ("proc-left", re.compile(r"remove_proc_entry: removing non-empty directory")),
    ("pinned", re.compile(r"^CR[04] WP bit went missing|^pinned CR[04] bits changed")),
    ("ftrace", re.compile(r"kernel/trace/ftrace\.c:\d{1,6} (?:at )?ftrace_bug\+")),
    ("irq-free", re.compile(r"^Trying to free (?:already-free )?IRQ \d")),
    ("not-running", re.compile(r"do not call blocking ops when !TASK_RUNNING")),
    ("lock-magic", re.compile(r"DEBUG_LOCKS_WARN_ON\((?:lock->magic != lock|l->magic != l|!key)")),
    (
        "work-init",
        re.compile(r"kernel/workqueue\.c:\d{1,6} __(?:flush_work|queue_(?:delayed_)?work|cancel_work)"),
    ),
    ("sysfs-group", re.compile(r"^sysfs group '?\S{1,100} not found for kobject")),
    ("attribute", re.compile(r"^Attribute \S{1,100}: (?:write|read) permission without")),
    ("dma", re.compile(r"DMA-API: .{1,100}: (?:device driver |cacheline tracking |exceeded )")),
    ("dma", re.compile(r"DMA addr 0x[0-9a-f]{1,16}\+\d{1,12} overflow \(mask [0-9a-f]{1,16}")),
    ("page", re.compile(r"^BUG: Bad (?:page |rss-counter )|^BUG: non-zero pgtables_bytes ")),
    (
        "double-free",
        re.compile(r"^Trying to vfree\(\) |kernel BUG at mm/slub\.c|kernel BUG at mm/vmalloc\.c"),
    ),
    ("kobject", re.compile(r"^kobject: '.{0,100}: is not initialized, yet")),
    ("rcu", re.compile(r"^(?:WARNING|\[ INFO): suspicious RCU usage")),
    ("stack-smashed", re.compile(r"stack-protector: Kernel stack is corrupted in|Oops - FPAC\b")),
    ("stack-overflow", re.compile(r"kernel stack overflow \(|Insufficient stack space to handle exception")),
    ("tx-timeout", re.compile(r"^NETDEV WATCHDOG: ")),
    ("release", re.compile(r"does not have a release\(\) function")),
    (
        "page-allocation",
        re.compile(r"mm/page_alloc\.c:\d{1,6} __alloc_(?:frozen_)?pages|^WARNING: .{0,80}mm/page_alloc\.c:"),
    ),
    (
        "user-pointer",
        re.compile(r"access to user memory (?:outside uaccess routines|without uaccess routines)"),
    ),
    (
        "user-pointer",
        re.compile(r"^Kernel attempted to (?:read|write|access) user page \((?:[1-9a-f][0-9a-f]{3,15})\)"),
    ),
)
# What lockdep, or the checks of spinlocks, found: the causes by their head lines.
_LOCKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"possible recursive locking|spinlock recursion"),
        "a task takes a lock, or one of the same kind, while it holds that already",
    ),
    (
        re.compile(r"possible circular locking"),
        "two paths take the same locks in opposite orders: a deadlock once they meet",
    ),
    (
        re.compile(r"inconsistent lock state|irq lock inversion|(?:HARD|SOFT)IRQ-safe"),
        "a lock that an interrupt takes is held elsewhere with interrupts on (spin_lock_irqsave() there)",
    ),
    (
        re.compile(r"bad unlock balance|spinlock (?:already unlocked|wrong )"),
        "a lock is released by who does not hold it",
    ),
    (re.compile(r"held lock freed"), "memory was freed that has a lock in it which is held"),
    (re.compile(r"spinlock bad magic"), "a lock is not initialised, or its memory was overwritten or freed"),
)
# The faults of these functions are the end of a worker or thread that died before.
_AFTERMATH = re.compile(r"(?:kthread_data|wq_worker_(?:sleeping|running)|kthread_probe_data)\+0x")
# The loader's own functions: a crash there is the file's fault, not the module's code.
_LOADER = re.compile(
    r"^(?:RIP: [0-9a-f]{4}:|PC is at |pc : |epc : )(?:load_module|simplify_symbols|apply_relocat\w{1,12}|"
    r"layout_and_allocate|find_module_sections|setup_load_info|check_modinfo|module_finalize|module_emit_\w{3,20}|"
    r"resolve_symbol|post_relocation|add_kallsyms)\b"
)
# A jump to address 0, or to an address whose code is not there.
_NOWHERE = re.compile(
    r"^(?:RIP: [0-9a-f]{4}:|PC is at |pc : |epc : )0x0\b"
    r"|^Krnl PSW : [0-9a-f]{16} [0-9a-f]{16} \(0x[0-9a-f]{1,3}\)"
)
_AGAIN = re.compile(r"\[#(?!1\])\d{1,5}\]|Tainted: [A-Z ]{0,20}D[A-Z ]{0,20} |Tainted: .{0,200}\[D\]=DIE")
_TASK = re.compile(r"PID: (?P<pid>\d{1,10}) Comm: (?P<name>.{1,15}?) (?=Not tainted|Tainted|[KN]o |\d)")
# As arm, mips and m68k name the task, and below it as kernels before 3.10 do (crash.py has the commit).
_PROCESS = re.compile(r"^Process (?P<name>\S{1,15}) \(pid: ?(?P<pid>\d{1,10}),")
_OLD_TASK = re.compile(r"^Pid: (?P<pid>\d{1,10}), comm: (?P<name>\S{1,15})")
# Who calls a module's functions: of a function's last call a compiler makes a jump, which leaves no frame.
_CALLERS = re.compile(
    r"do_one_initcall|(?:__do_sys|__\w{1,10}_sys|__se_sys)_delete_module|call_timer_fn|process_one_work|kthread"
    r"|__handle_irq_event_percpu|__hrtimer_run_queues|tasklet_action_common"
)
_KNOWN_FRAME = re.compile(
    r"^(?: |RIP: [0-9a-f]{4}:|PC is at |pc : |epc : )(?P<function>[A-Za-z_][\w.$]{0,200})"
    r"\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8}(?P<module> \[)?"
)
_AT = re.compile(rf"(?:Missing ENDBR: |CFI failure at ){_PLACE}")

_MASK = re.compile(r"DMA addr 0x[0-9a-f]{1,16}\+\d{1,12} overflow \(mask ([0-9a-f]{1,16})")
# The last line but one of print_bad_pte() (mm/memory.c).
_MMAP = re.compile(r"\bmmap:([A-Za-z_][\w.]{0,100}) \[([\w-]{1,64})\]")
# Whose work left a lock or a count behind.
_LAST = re.compile(r"^\s*last function: ([A-Za-z_][\w.$]{0,200}) \[([\w-]{1,64})\]$")

_OF_ADDRESS = {"error-pointer": "error-pointer", "freed": "freed", "user": "user-pointer"}
_OF_WHY = {"user": "user-pointer", "alignment": "alignment", "bus": "bus", "instruction": "instruction"}


@dataclass(frozen=True, slots=True)
class Reason:
    """The reason of a crash, by the lines beside its report's head. `name`: a kind narrower than the
    head's, or None.

    `cause`: what happened, where the address or the status word says it. `words`: the status word of the
    processor and what it means. `follows_crash`: the kernel crashed before. `task`:
    `NAME (PID N)`. `place`, `module`: where it was, if a line says so better than the registers. `callee`: as
    in crash.Complaint.
    """

    name: str | None = None
    cause: str = ""
    words: str = ""
    follows_crash: bool = False
    task: str | None = None
    place: str | None = None
    module: str | None = None
    callee: str | None = None


def reason(kind: str, before: Sequence[str], block: Sequence[str], module: str | None) -> Reason:
    """The reason of a report of this kind. `module`: whose code it was in, None for the kernel's own."""
    said = [*before, *block]
    name = next((name for name, p in _SAID if any(p.search(line) for line in said)), None)
    at = next((hit for line in said if (hit := _AT.search(line))), None)
    # Right behind the head: a report without an end mark goes on into that of whoever is next.
    at = at or next((hit for line in block[1:3] if (hit := _LAST.match(line))), None)
    place, owner = (at[1], at[2]) if at else (None, None)
    follows_crash = kind in ("oops", "bug", "nx", "warn") and any(_AGAIN.search(line) for line in block)
    words = cause = ""
    if kind in ("oops", "nx"):
        found = fault.read_fault(block)
        words, cause = found.words, _cause(found, block)
        if name == "user-pointer" and fault.kind_of_address(found) == "null":
            name = None  # which riscv's kernel calls a program's memory, too
        elif name == "user-pointer" and fault.is_far_from_programs(found):
            name = "wild"
        name = name or (_of_fault(found, block) if kind == "oops" else None)
        if kind == "oops" and any(_LOADER.search(line) for line in block):
            name = "loader"
        if follows_crash and (module is None or any(_AFTERMATH.search(line) for line in block[:20])):
            name = "follow-up"
    if kind == "locking":
        cause = next((text for pattern, text in _LOCKS if pattern.search(block[0])), "")
    if name == "page":
        cause = _page(said)
    if name == "dma" and (mask := next(filter(None, (_MASK.search(line) for line in said)), None)):
        cause = (
            f"the memory is beyond what the device's DMA mask (0x{mask[1]}) reaches, and nothing copies it"
        )
    if kind == "undefined":
        cause = _undefined(block)
    if kind == "bug" and any(_LOADER.search(line) for line in block):
        name = "loader"
    task = next(
        (hit for line in block for p in (_TASK, _PROCESS, _OLD_TASK) if (hit := p.search(line))), None
    )
    task_name = f"{task['name']} (PID {task['pid']})" if task else None
    at_place = f"{place} [{owner}]" if owner else place
    return Reason(name, cause, words, follows_crash, task_name, at_place, owner, _callee(block))


def _dma(lines: Sequence[str]) -> str:
    """What is wrong with a mapping for DMA whose address is too high; empty for other faults of DMA."""
    mask = next((hit[1] for line in lines if (hit := _MASK.search(line))), None)
    reach = f"what the device's DMA mask (0x{mask}) reaches"
    return f"the memory is beyond {reach}, and nothing copies it" if mask else ""


def _page(lines: Sequence[str]) -> str:
    """What is wrong with a page, where the kernel says more than that it is: whose mmap put it there."""
    if any(line.startswith("BUG: Bad page state") for line in lines):
        return ""
    maker = next((hit for line in lines if (hit := _MMAP.search(line))), None)
    who = f"{maker[1]}() of {maker[2]}" if maker else "a driver's mmap, most often,"
    return f"{who} put a page into a program's memory, or took one out, by other means than the kernel's own"


def _undefined(block: Sequence[str]) -> str:
    """What UBSAN saw, in its own words; of an array that a member counts, what that means."""
    said = next((line for line in block[1:3] if not _TASK.search(line)), "")
    # __counted_by() of include/linux/compiler_types.h, which clang, and gcc since 15, check by that member.
    counted = "; a member of the struct counts that array, and was not set before" if "[*]'" in said else ""
    return f"{said}{counted}"


def _callee(block: Sequence[str]) -> str | None:
    """The kernel's function that stands right below who calls a module's functions in the call trace."""
    below: str | None = None
    for line in block:
        frame = _KNOWN_FRAME.match(line)
        if frame and _CALLERS.fullmatch(frame["function"]):
            return below
        below = None if frame and frame["module"] else frame["function"] if frame else below
    return None


# Where modules lie: on arm, with 3 GiB for programs; on x86-64 with KASLR.
_MODULES = {32: ("PC is at ", 0xBF000000, 0xC0000000), 64: ("RIP: ", 0xFFFFFFFFC0000000, 0xFFFFFFFFFF000000)}


def _is_of_modules(found: fault.Fault, block: Sequence[str]) -> bool:
    """Whether a fault's address is one where modules lie, on arm and x86-64."""
    mark, low, high = _MODULES[found.bits]
    return low <= (found.address or 0) < high and any(line.startswith(mark) for line in block)


def _cause(found: fault.Fault, block: Sequence[str]) -> str:
    """What happened, for the faults that have no kind of their own."""
    if found.why == "division":
        return "a division by zero"
    if found.why == "unmapped" and found.address is not None and _is_of_modules(found, block):
        return (
            "memory was used that a module had and that is gone: of one that was unloaded and is still"
            " registered or pointed to somewhere, or what is __init or __initdata, after init"
        )
    if found.why == "table":
        return "the kernel's page table is damaged: its memory was freed, or something wrote over it"
    if "general protection fault" in block[0]:
        return "an instruction, or an operand of it, that the processor does not allow (general protection)"
    if fault.kind_of_address(found) != "null" or found.address is None or found.access == "execute":
        return ""
    member = f", the member at offset {found.address:#x} of it" if found.address else ""
    return f"a NULL pointer was used{member}"


def _of_fault(found: fault.Fault, block: Sequence[str]) -> str | None:
    address = fault.kind_of_address(found)
    if found.access == "execute" or any(_NOWHERE.search(line) for line in block):
        return "nx"
    if address == "null":
        return None
    if name := _OF_ADDRESS.get(address or ""):
        return name
    if found.why == "protection":
        # A user's address, or what the kernel keeps unwritable: its code, constants, what init left.
        if found.address is not None and found.bits == 64 and found.address < 1 << 47 and not found.one_space:
            return "user-pointer"
        return "read-only" if found.access == "write" else None
    if name := _OF_WHY.get(found.why or ""):
        return name
    return "wild" if "non-canonical" in block[0] else None

"""The table of the zoo: what is loaded, and what must be found. Argued from the kernel's source, not
copied from our own answers; the numbers are those of kernel-loading's set of broken modules.
"""

import gzip
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.zoo import patches
from tests.zoo.patches import Patch, both, crc, in_section, replaced

OTHER = {"6.1": "5.10", "5.10": "6.1", "6.12": "6.1"}


@dataclass(frozen=True)
class Found:
    """What must be found. `returned`: what init returned, None where it did not come back or never ran."""

    verdict: str
    stage: str
    errno: str | None = None
    code: str | None = None
    returned: int | None = None


@dataclass(frozen=True)
class Case:
    """One load in a pristine guest.

    `source`: a module of ours, `.o` for its plain object, `/NAME` for the kernel's own, `~NAME` for one
    that came with another kernel (OTHER). `before`: what is loaded first, `=FILE=TEXT` is written in the
    guest instead. `elsewhere`: what other series find; None: not there. `on`: the same for a machine
    (Debian's name), whatever the series. `says`: what the cause must name;
    `unsaid`: machines whose kernel does not say that. `hidden`: nothing outside of the
    running kernel tells, so no prediction is asked for. `seconds`: the deadline.
    """

    name: str
    source: str
    found: Found
    patch: Patch | None = None
    parameters: str = ""
    cmdline: str = ""
    before: tuple[str, ...] = ()
    elsewhere: dict[str, Found | None] = field(default_factory=dict)
    says: str = ""
    hidden: bool = False
    seconds: float = 20.0
    on: dict[str, Found | None] = field(default_factory=dict)
    unsaid: tuple[str, ...] = ()

    def expected(self, series: str, machine: str = "amd64") -> Found | None:
        """What must be found on this series and this machine; None where there is no such case."""
        return self.on[machine] if machine in self.on else self.elsewhere.get(series, self.found)


LOADED = Found("loaded", "live", returned=0)


def warned(code: str, returned: int = 0) -> Found:
    """Loaded, and something to be told of it."""
    return Found("loaded", "live", None, code, returned)


def refused(stage: str, errno: str, code: str) -> Found:
    """The kernel said no; init never ran."""
    return Found("refused", stage, errno, code)


def failed(errno: str, number: int, code: str = "KS201") -> Found:
    """init ran and returned that."""
    return Found("init-failed", "init", errno, code, -number)


def crashed(code: str) -> Found:
    """init took the kernel down, or its own task."""
    return Found("crashed", "init", None, code)


# Debian builds these kernels without a count of preemption, too.
UNCOUNTED: dict[str, Found | None] = dict.fromkeys(("arm64", "armhf", "riscv64", "s390x", "ppc64el"), LOADED)
# What only x86's loader looks at, or what was built for it.
X86_ONLY: dict[str, Found | None] = dict.fromkeys(("arm64", "armhf", "riscv64", "s390x", "ppc64el", "i386"))
HUNG = Found("hung", "init", None, "KS260")
# 5.10 has one line for all that can be wrong with an ELF file.
ONE_LINE: dict[str, Found | None] = {"5.10": refused("elf", "ENOEXEC", "KS213")}
# What is built for 5.10's cloud kernel does not count preemption: it can't see such a sleep.
BLIND: dict[str, Found | None] = {"5.10": LOADED}

_VERMAGIC = in_section(".modinfo", b"mod_unload", b"mod_unloaX")

INIT = (
    Case("1 returns -1", "minus", failed("EPERM", 1)),
    Case("2 returns -ENOMEM", "enomem", failed("ENOMEM", 12)),
    Case("3 returns 1", "positive", warned("KS202", 1)),
    Case("4 returns -ENOSYS", "enosys", failed("ENOSYS", 38)),
    # The errnos that the loader itself has many uses for.
    Case("returns -EEXIST", "eexist", failed("EEXIST", 17)),
    Case("returns -ENOEXEC", "enoexec", failed("ENOEXEC", 8)),
    Case("returns -ENOENT", "enoent", failed("ENOENT", 2)),
    Case("returns -EINVAL", "einval", failed("EINVAL", 22)),
    Case("returns -EBUSY", "ebusy", failed("EBUSY", 16)),
    Case("returns -EKEYREJECTED", "erejected", failed("EKEYREJECTED", 129)),
    Case("prints other troubles", "liar", failed("EPERM", 1)),
    Case("prints a kernel's last words", "actor", LOADED),
    Case("prints a whole oops", "forger", LOADED),
    Case("its task is killed", "killed", LOADED),
    Case("its task is killed, and it fails", "killed-fails", failed("EINTR", 4)),
    # No errno is so large, and a C library would take it for success.
    Case("returns -5000", "enormous", failed("errno 5000", 5000)),
    Case("56 leaks /proc entry", "leaky", failed("EPERM", 1)),
    Case("56 leaks it again", "leaky", failed("EPERM", 1, "KS264"), before=("leaky",)),
    Case("47 no exit", "noexit", LOADED),
    Case("48 no init", "noinit", Found("loaded", "live")),
)
SYMBOLS = (
    Case("7 proprietary", "proprietary", LOADED),
    Case(
        "8 GPL-only from proprietary",
        "gpl",
        refused("symbols", "ENOENT", "KS205"),
        patch=in_section(".modinfo", b"license=GPL", b"license=XXX"),
        says="kobject_create_and_add",
    ),
    Case("9 undefined symbol", "nosuch", refused("symbols", "ENOENT", "KS204"), says="zoo_nosuch"),
    Case("10 provider not loaded", "taker", refused("symbols", "ENOENT", "KS204"), says="giver"),
    Case("10 provider loaded", "taker", LOADED, before=("giver",)),
    Case(
        "11 wrong CRC of a symbol",
        "hello",
        refused("symbols", "EINVAL", "KS206"),
        patch=crc("_printk", "printk"),
        says="printk",
    ),
    Case("namespace imported", "spaced", LOADED, before=("giver",)),
    Case(
        "namespace not imported",
        "spaced",
        refused("symbols", "EINVAL", "KS207"),
        patch=in_section(".modinfo", b"import_ns=ZOO", b"import_nx=ZOO"),
        before=("giver",),
        says="ZOO",
    ),
    Case(
        "common symbol", "common", refused("symbols", "ENOEXEC", "KS247"), patch=patches.common(b"zoo_common")
    ),
    Case(
        "exports what the kernel does",
        "twice",
        refused("formation", "ENOEXEC", "KS240"),
        patch=replaced(b"zoo_toint", b"kstrtoint"),
        says="kstrtoint",
    ),
    Case(
        "exports what another module does",
        "rival",
        refused("formation", "ENOEXEC", "KS240"),
        before=("twice",),
        says="zoo_toint",
    ),
    Case(
        "unknown relocation",
        "hello",
        refused("relocate", "ENOEXEC", "KS239"),
        patch=patches.relocation(200),
        on={"riscv64": refused("relocate", "EINVAL", "KS239")},
    ),
)
VERSIONS = (
    Case(
        "12 wrong CRC of module_layout",
        "hello",
        refused("version", "ENOEXEC", "KS211"),
        patch=crc("module_layout"),
    ),
    Case("13 wrong vermagic flags", "hello", refused("version", "ENOEXEC", "KS210"), patch=_VERMAGIC),
    Case("14 wrong release only", "hello", LOADED, patch=patches.release),
    Case("15 no __versions", "hello", LOADED, patch=patches.no_section("__versions")),
    Case(
        "15 no __versions, wrong release",
        "hello",
        refused("version", "ENOEXEC", "KS210"),
        patch=both(patches.no_section("__versions"), patches.release),
    ),
    Case("16 no vermagic", "hello", LOADED, patch=in_section(".modinfo", b"vermagic=", b"xermagic=")),
)
FILES = (
    Case("18 truncated", "hello", refused("elf", "ENOEXEC", "KS213"), patch=patches.cut),
    Case("19 empty", "hello", refused("copy", "EINVAL", "KS236"), patch=patches.content(b"")),
    Case("20 too short", "hello", refused("elf", "ENOEXEC", "KS213"), patch=patches.content(b"\x7fELF" * 5)),
    Case(
        "20 a text",
        "hello",
        refused("elf", "ENOEXEC", "KS214"),
        patch=patches.content(b"#include <linux/module.h>\n" * 9),
        elsewhere=ONE_LINE,
    ),
    Case(
        "21 an executable",
        "hello",
        refused("elf", "ENOEXEC", "KS214"),
        patch=patches.kind(3),
        elsewhere=ONE_LINE,
    ),
    Case(
        "22 another processor",
        "hello",
        refused("elf", "ENOEXEC", "KS215"),
        patch=patches.other_machine,
        elsewhere=ONE_LINE,
    ),
    Case("23 a plain object", "hello.o", refused("elf", "ENOEXEC", "KS216")),
    Case("24 stripped", "hello", refused("elf", "ENOEXEC", "KS217"), patch=patches.stripped),
    Case(
        "25 struct module of another size",
        "hello",
        # Checked since 6.4 only.
        LOADED,
        patch=patches.struct_size(64),
        elsewhere={"6.12": refused("elf", "ENOEXEC", "KS218")},
    ),
    # kmod's insmod unpacks it for the kernel, and so do we.
    Case("58 compressed", "hello", LOADED, patch=gzip.compress),
    Case(
        "59 built for another kernel",
        "~dummy",
        refused("version", "ENOEXEC", "KS211"),
        on=X86_ONLY,
        elsewhere={"6.12": refused("elf", "ENOEXEC", "KS218")},
    ),
    Case("W+X section", "wx", refused("layout", "ENOEXEC", "KS219")),
    Case(
        "an address in 32 bits",
        "hello",
        refused("relocate", "ENOEXEC", "KS239"),
        on=X86_ONLY,
        # As code built without -mcmodel=kernel has it.
        patch=patches.relocation_of(1, 10),
    ),
    Case(
        "code where a relocation goes",
        "hello",
        refused("relocate", "ENOEXEC", "KS275"),
        on=X86_ONLY,
        patch=patches.filled_place(".rela.init.text", ".init.text"),
    ),
    Case(
        "a symbol without a checksum",
        "hello",
        refused("symbols", "EINVAL", "KS274"),
        patch=patches.no_crc("_printk", "printk"),
        says="printk",
    ),
    Case(
        "module_layout without a checksum",
        "hello",
        refused("version", "ENOEXEC", "KS212"),
        patch=patches.no_crc("module_layout"),
    ),
    Case(
        "a symbol of no section",
        "hello",
        refused("symbols", "ENOEXEC", "KS271"),
        patch=patches.misplaced(b"hello_init"),
        # It does not look, and reads where nothing is.
        elsewhere={"5.10": None},
        says="hello_init",
    ),
    Case("versions in another order", "hello", LOADED, patch=patches.reversed_versions),
    Case("the kernel's own", "/dummy", LOADED),
    Case(
        "relocations without addends",
        "hello",
        refused("relocate", "ENOEXEC", "KS239"),
        patch=patches.other_kind_of_relocations,
    ),
    Case(
        "section names in a section of another type",
        "hello",
        refused("elf", "ENOEXEC", "KS213"),
        patch=patches.section_type(".shstrtab", 1),
        elsewhere={"6.1": None, "5.10": None},  # they do not look
    ),
    Case("37 tampered", "/dummy", refused("signature", "EKEYREJECTED", "KS227"), patch=patches.flipped),
    Case(
        "37 a message of another type",
        "/dummy",
        refused("signature", "EINVAL", "KS228"),
        patch=patches.other_type,
    ),
    Case("38 broken trailer", "hello", refused("signature", "EBADMSG", "KS228"), patch=patches.bad_trailer),
    Case("38 the magic alone", "hello", LOADED, patch=patches.magic_only),
    Case("35 huge .bss", "bigbss", refused("layout", "ENOMEM", "KS220"), hidden=True),
    Case("35 huge per-cpu data", "bigpcpu", refused("layout", "ENOMEM", "KS220"), hidden=True),
)
NAMES = (
    Case("26 loaded already", "hello", refused("list", "EEXIST", "KS203"), before=("hello",)),
    Case(
        "27 dash and underscore",
        "my_mad",
        refused("list", "EEXIST", "KS203"),
        patch=replaced(b"my_mad", b"my_mod"),
        before=("my-mod",),
    ),
    Case(
        "name of built-in code",
        "zooker",
        refused("sysfs", "EINVAL", "KS225"),
        patch=replaced(b"zooker", b"kernel"),
    ),
)
PARAMETERS = (
    Case("two of one name", "twins", refused("sysfs", "EEXIST", "KS272"), says="debug"),
    Case("30 wrong type", "hello", refused("parameters", "EINVAL", "KS221"), parameters="n=abc", says="abc"),
    Case("31 too large", "hello", refused("parameters", "ERANGE", "KS222"), parameters="n=99999999999"),
    Case(
        "31 too large for a byte", "hello", refused("parameters", "ERANGE", "KS222"), parameters="small=300"
    ),
    Case("32 no value", "hello", refused("parameters", "EINVAL", "KS221"), parameters="n"),
    Case("33 unknown name", "hello", warned("KS223"), parameters="zzz=1"),
    Case("good values", "hello", LOADED, parameters='n=-5 small=7 on=y two=1,2 text="a b"'),
    Case("a flag alone", "hello", LOADED, parameters="on flag"),
    Case("no bool", "hello", refused("parameters", "EINVAL", "KS221"), parameters="on=maybe"),
    Case("too many", "hello", refused("parameters", "EINVAL", "KS221"), parameters="two=1,2,3"),
    Case("too long", "hello", refused("parameters", "ENOSPC", "KS222"), parameters="text=123456789"),
    # All are read, the last error counts.
    Case("two wrong", "hello", refused("parameters", "ERANGE", "KS222"), parameters="n=x small=300"),
    Case("two wrong, turned", "hello", refused("parameters", "EINVAL", "KS221"), parameters="small=300 n=x"),
    Case("its own check: -EPERM", "hello", refused("parameters", "EPERM", "KS224"), parameters="rc=-1"),
    Case("its own check: -ENOENT", "hello", refused("parameters", "ENOENT", "KS224"), parameters="rc=-2"),
)
_FORBIDDEN = "module_blacklist=hello,my_mod initcall_blacklist=minus_init"
KERNEL = (
    Case(
        "39 signatures enforced",
        "hello",
        refused("signature", "EKEYREJECTED", "KS226"),
        cmdline="module.sig_enforce=1",
    ),
    Case("40 lockdown", "hello", refused("signature", "EPERM", "KS229"), cmdline="lockdown=integrity"),
    Case("41 blacklisted", "hello", refused("version", "EPERM", "KS230"), cmdline=_FORBIDDEN),
    Case("41 blacklisted, with a dash", "my-mod", refused("version", "EPERM", "KS230"), cmdline=_FORBIDDEN),
    Case("initcall blacklisted", "minus", refused("init", "EPERM", "KS231"), cmdline=_FORBIDDEN),
    Case(
        "43 modules_disabled",
        "hello",
        refused("permission", "EPERM", "KS233"),
        before=("=/proc/sys/kernel/modules_disabled=1",),
        hidden=True,
    ),
    Case(
        "44 no capability",
        "hello",
        refused("permission", "EPERM", "KS232"),
        before=("nocap",),
        hidden=True,
    ),
)
CRASHES = (
    Case("49 oops", "oops", crashed("KS250")),
    # Processors without such a fault give 0, or all ones.
    Case(
        "49 divides by zero",
        "divide",
        crashed("KS250"),
        on=dict.fromkeys(("arm64", "armhf", "riscv64", "ppc64el"), LOADED),
    ),
    # s390x's kernel has addresses of its own with the same values.
    Case("reads a user's address", "user-pointer", crashed("KS343"), on={"s390x": crashed("KS250")}),
    # RISC-V's store page fault is one of pages that are not there, too.
    Case("writes to a constant", "constant", crashed("KS346"), on={"riscv64": crashed("KS250")}),
    Case("uses an error as a pointer", "error-pointer", crashed("KS345")),
    Case("calls NULL", "calls-nothing", crashed("KS262")),
    # The check came with 6.1.
    Case("writes past a field", "spans", warned("KS342"), elsewhere=BLIND),
    Case("50 BUG()", "bug", crashed("KS251")),
    Case("50 panic()", "panics", crashed("KS253")),
    Case("jumps into data", "nx", crashed("KS262")),
    Case("list corruption", "list", crashed("KS258")),
    # Nothing guards the stack of POWER's kernel: it writes over whatever is below.
    Case("stack overflow", "deep", crashed("KS265"), says="deep+0x", unsaid=("s390x",), on={"ppc64el": None}),
    Case("a worker that init waits for", "waiter", crashed("KS250"), says=", in f+0x", seconds=5.0),
    Case("WARN()", "warns", warned("KS252")),
    # A stack is printed, and nothing tainted.
    Case("initialises a kobject twice", "kobj_twice", warned("KS334")),
    Case("refcount", "refcount", warned("KS257")),
    Case("interrupts off", "imbalance", warned("KS263")),
    Case("53 sleeps in atomic", "atomic", warned("KS256"), elsewhere=BLIND, on=UNCOUNTED),
    Case("51 endless loop", "endless", HUNG, seconds=1.5),
    Case("52 sleeps for ever", "sleeper", HUNG, seconds=1.5),
    Case(
        "49 again after an oops",
        "oops",
        Found("hung", "list", None, "KS261"),
        before=("oops",),
        # Since 6.5 loads of one file wait for each other on a list, where the dead task's stack is left.
        elsewhere={"6.12": None},
        hidden=True,
        seconds=1.5,
    ),
)
CASES = (*INIT, *SYMBOLS, *VERSIONS, *FILES, *NAMES, *PARAMETERS, *KERNEL, *CRASHES)
# What is tried always on other machines: where processors, ELF files and kernels differ.
_TELLING = {
    *("1 returns -1", "its task is killed, and it fails", "prints a whole oops", "9 undefined symbol"),
    *("11 wrong CRC of a symbol", "common symbol", "unknown relocation", "name of built-in code"),
    *("31 too large", "good values"),
}
OF_MACHINES = tuple(c for c in CASES if c.name in _TELLING or c in (*VERSIONS, *FILES, *CRASHES))


def sources_of(cases: Iterable[Case]) -> frozenset[str]:
    """The modules of ours that these cases load."""
    names = {name.removesuffix(".o") for case in cases for name in (case.source, *case.before)}
    return frozenset(name for name in names if name[0] not in "/~=-")

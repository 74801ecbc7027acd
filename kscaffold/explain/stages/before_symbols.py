"""What the stages before symbols are resolved did for a .ko."""

from collections.abc import Iterator

from kscaffold.arch import table
from kscaffold.explain.stages.anatomy import size_of
from kscaffold.explain.stages.fact import Fact, StageContext, plural


def syscall(context: StageContext) -> Iterator[Fact]:
    """The system call that asks for the load."""
    report = context.report
    if report.target == "host":
        yield Fact("asked by", "insmod, as root", "request")
        return
    yield Fact("asked by", f"a process in the guest: finit_module() with {report.path.name} open", "request")
    if report.timeline is not None and report.timeline.errno is not None:
        number = report.timeline.errno
        answer = "0: success" if not number else f"-{number} ({report.judgement.errno})"
        yield Fact("it returned", answer, "trace")


def permission(context: StageContext) -> Iterator[Fact]:
    """The right to load modules at all."""
    facts = context.observed.facts
    if facts.capable is not None:
        yield Fact("CAP_SYS_MODULE", "the loading process has it" if facts.capable else "not there", "kernel")
    if facts.modules_disabled is not None:
        yield Fact("modules_disabled", "1: nobody may load" if facts.modules_disabled else "0", "kernel")


def copy(context: StageContext) -> Iterator[Fact]:
    """The image of the file, copied whole."""
    ko = context.anatomy.ko if context.anatomy else None
    if ko is None:
        size = size_of(context.report.path)
        if size is not None:
            yield Fact("copied", plural(size, "byte"), "file")
        return
    yield Fact("copied", plural(ko.size, "byte"), "file")
    if ko.compression:
        yield Fact("compressed", f"with {ko.compression}; unpacked before it was asked for", "file")


def signature(context: StageContext) -> Iterator[Fact]:
    """Who signed the module, and whether the kernel asks for a signature."""
    if context.anatomy:
        trailer = context.anatomy.ko.signature
        if trailer is None:
            text = "none"
        elif trailer.flaw:
            text = f"can't be read: {trailer.flaw}"
        else:
            text = f"PKCS#7, {plural(trailer.length, 'byte')}"
        yield Fact("signature", text, "file")
    if context.observed.facts.sig_enforce is not None:
        asked = "required" if context.observed.facts.sig_enforce else "not required (sig_enforce is N)"
        yield Fact("the kernel's rule", asked, "kernel")
    listed = context.observed.listed
    if listed is not None and "E" in listed.taints:
        yield Fact("noted", "as not verified: the module's taint has E", "kernel")
    elif listed is not None and context.anatomy and context.anatomy.ko.signed and _checks(context):
        yield Fact("verified", "yes: the module's taint has no E", "kernel")


def _checks(context: StageContext) -> bool:
    """Whether this kernel looks at signatures at all: without CONFIG_MODULE_SIG it has no taint E."""
    kernel = context.anatomy.kernel if context.anatomy else None
    return kernel is not None and kernel.has("MODULE_SIG") is True


def elf(context: StageContext) -> Iterator[Fact]:
    """The form of the file."""
    if context.anatomy is None:
        return
    ko = context.anatomy.ko
    architecture = table.by_uname(ko.arch)
    machine = architecture.title if architecture else ko.arch
    yield Fact("file", f"ELF{ko.bits}, relocatable, for {machine}", "file")
    loaded = sum(1 for s in ko.sections if s.alloc and s.size)
    yield Fact(
        "holds", f"{plural(len(ko.sections), 'section')}, {loaded} of them to load; "
        f"{plural(context.anatomy.symbols, 'symbol')}", "file"
    )  # fmt: skip
    yield Fact("struct module", plural(ko.struct_size, "byte"), "file")


def version(context: StageContext) -> Iterator[Fact]:
    """Vermagic and checksums, held against the kernel's own."""
    if context.anatomy is None:
        return
    ko, kernel = context.anatomy.ko, context.anatomy.kernel
    yield Fact("name", ko.name or "none", "file")
    yield Fact("vermagic", (ko.vermagic or "none").strip(), "file")
    if kernel and kernel.vermagic is not None:
        same = ko.vermagic is not None and kernel.vermagic.strip() == ko.vermagic.strip()
        yield Fact("the kernel's", "the same" if same else kernel.vermagic.strip(), "build")
    if ko.versions is None:
        yield Fact("checksums", "none (__versions is not there)", "file")
        return
    crc = ko.versions.get("module_layout")
    own = kernel.exports.find_export("module_layout") if kernel and kernel.exports else None
    if crc is not None and own is not None:
        same_crc = "as the kernel's" if crc == own.crc else f"the kernel's is {own.crc:#010x}"
        yield Fact("of struct module", f"{crc:#010x}, {same_crc}", "build")


def layout(context: StageContext) -> Iterator[Fact]:
    """The sections in their memory."""
    if context.anatomy is None:
        return
    a = context.anatomy
    total = sum(s.size for s in a.sections)
    yield Fact("placed", f"{plural(len(a.sections), 'section')}, {plural(total, 'byte')}", "file")
    for kind, count, size in a.memory():
        own = [s for s in a.sections if s.memory == kind]
        width = 3 if any(s.address for s in own) else 2
        rows = tuple((s.name, f"{s.size:,}", f"{s.address:#x}" if s.address else "")[:width] for s in own)
        text = f"{plural(size, 'byte')} in {plural(count, 'section')}"
        yield Fact(kind, text, "file", ("section", "bytes", "address (kernel)")[:width], rows)
    core = context.observed.attributes.get("coresize")
    if core and core.isdecimal():
        note = "whole pages, and the names of its symbols" if int(core) > total else "whole pages"
        yield Fact("kept in memory", f"{plural(int(core), 'byte')} ({note})", "kernel")


def listed(context: StageContext) -> Iterator[Fact]:
    """The name on the kernel's list."""
    name = context.report.module
    if context.report.judgement.stage == "list":
        yield Fact("name", f"{name} is taken", "kernel")
        return
    if context.anatomy and context.anatomy.ko.name:
        yield Fact("name", context.anatomy.ko.name, "file")
    mine = context.observed.listed
    if mine is not None:
        yield Fact("on the list now", f"{mine.name}, state {mine.state}", "kernel")

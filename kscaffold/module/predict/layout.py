"""Stage `layout`: memory is planned for the module's sections, and what they hold is looked at.

Source: layout_and_allocate(), find_module_sections() and setup_modinfo() in kernel/module/main.c.
"""

from collections.abc import Iterator

from kscaffold.elf.model import SHF_EXECINSTR, SHF_WRITE
from kscaffold.module.predict import corruption
from kscaffold.module.predict.finding import REBUILD, Finding
from kscaffold.module.predict.question import Question
from kscaffold.module.predict.symbols import MODULE_NAMESPACE
from kscaffold.module.predict.version import forced

_WRITE_EXEC = SHF_WRITE | SHF_EXECINSTR


def findings(question: Question) -> list[Finding]:
    """Sections and entries of .modinfo that this kernel refuses once it lays the module out."""
    return [
        *_writable_code(question),
        *_constructors(question),
        *_closed_namespace(question),
        *_unversioned_exports(question),
        *corruption.findings("layout", question),
    ]


def _writable_code(question: Question) -> Iterator[Finding]:
    if question.kernel.has("STRICT_MODULE_RWX") is False:
        return
    both = next((s for s in question.ko.sections if s.flags & _WRITE_EXEC == _WRITE_EXEC), None)
    if both is not None:
        message = f"its section {both.name or both.index} can be written and executed"
        fix = "build it through Kbuild, with no linker script of its own"
        yield Finding("KS430", "error", "layout", message, fix, "ENOEXEC")


def _constructors(question: Question) -> Iterator[Finding]:
    names = {s.name for s in question.ko.sections if s.alloc}
    if {".ctors", ".init_array"} <= names and question.kernel.has("CONSTRUCTORS"):
        message = "it has both .ctors and .init_array"
        yield Finding("KS439", "error", "layout", message, "build all of it with one compiler", "EINVAL")


def _closed_namespace(question: Question) -> Iterator[Finding]:
    exports, spaces = question.kernel.exports, question.ko.infos("import_ns")
    closed = next((n for n in spaces if n.startswith(MODULE_NAMESPACE)), None)
    if closed is not None and exports and exports.has_module_namespaces():
        message = f"it imports {closed}, which is kept for the modules that it names"
        yield Finding("KS459", "error", "layout", message, f"take MODULE_IMPORT_NS({closed}) out", "EPERM")


def _unversioned_exports(question: Question) -> Iterator[Finding]:
    if question.kernel.has("MODVERSIONS") and any(not e.has_crc for e in question.ko.exports):
        what = "its exported symbols have no versions"
        yield forced("layout", question.kernel, what, REBUILD, code="KS438")

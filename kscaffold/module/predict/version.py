"""Stage `version`: was the module built for this kernel?

Source: blacklisted(), check_modstruct_version() and check_modinfo() in kernel/module (6.1).
"""

from collections.abc import Iterator

from kscaffold.diagnosis.cmdline import values
from kscaffold.elf.model import KoFile
from kscaffold.kernel.facts import KernelFacts
from kscaffold.module.predict.finding import UNSURE, Finding
from kscaffold.module.predict.question import Question


def findings(question: Question) -> list[Finding]:
    """The blacklist, the version of struct module, the vermagic, and live patches."""
    return [
        *_blacklisted(question),
        *_module_layout(question),
        *_vermagic(question),
        *_live_patch(question),
    ]


def _blacklisted(question: Question) -> Iterator[Finding]:
    name, said = question.ko.name, values(question.kernel.cmdline, "module_blacklist")
    # The kernel compares the names as they stand: a `-` in one matches no module.
    if said and name in said[-1].split(","):
        message = f"the kernel was started with module_blacklist={name}"
        yield Finding("KS443", "error", "version", message, "start it without", "EPERM")


def _module_layout(question: Question) -> Iterator[Finding]:
    ko, kernel, fix = question.ko, question.kernel, question.build_for_kernel
    versioned = kernel.has("MODVERSIONS")
    layout = kernel.exports.find_export("module_layout") if kernel.exports else None
    if versioned is False:
        return
    if layout is None:
        if versioned:
            message = f"the symbol versions of {kernel.name} are not known: there is no Module.symvers"
            yield Finding("KS440", "info", "version", message, "kscaffold kernel add", UNSURE)
    elif ko.versions is None:
        yield forced("version", kernel, "it has no symbol versions", fix)
    elif "module_layout" not in ko.versions:
        message = "it has versions of its symbols, and none of module_layout"
        yield Finding("KS446", "error", "version", message, fix, "ENOEXEC")
    elif ko.versions["module_layout"] != layout.crc:
        message = f"it was built with other headers than those of {kernel.name} (module_layout)"
        yield Finding("KS422", "error", "version", message, fix, "ENOEXEC")


def _vermagic(question: Question) -> Iterator[Finding]:
    ko, kernel = question.ko, question.kernel
    if ko.vermagic is None:
        yield forced("version", kernel, "it has no vermagic", question.build_for_kernel)
    elif kernel.vermagic is None:
        message = f"the vermagic of {kernel.name} is not known"
        yield Finding("KS440", "info", "version", message, None, UNSURE)
    elif not _same_magic(ko, ko.vermagic, kernel, kernel.vermagic):
        message = f"it was built for '{ko.vermagic.strip()}', the kernel is '{kernel.vermagic.strip()}'"
        yield Finding("KS423", "error", "version", message, question.build_for_kernel, "ENOEXEC")


def _same_magic(ko: KoFile, have: str, kernel: KernelFacts, want: str) -> bool:
    if ko.versions is not None and kernel.has("MODVERSIONS") is not False:
        # With symbol versions the release does not matter: same_magic() skips the first word.
        have, want = (text[text.find(" ") if " " in text else len(text) :] for text in (have, want))
    return have == want


def _live_patch(question: Question) -> Iterator[Finding]:
    kernel = question.kernel
    if question.ko.info("livepatch") is not None and kernel.has("LIVEPATCH") is False:
        message = f"it is a live patch, and {kernel.name} has no support for that"
        yield Finding("KS444", "error", "version", message, "take a kernel with CONFIG_LIVEPATCH", "ENOEXEC")


def forced(stage: str, kernel: KernelFacts, what: str, fix: str, code: str = "KS424") -> Finding:
    """The finding on what a kernel with CONFIG_MODULE_FORCE_LOAD takes with a taint, and others refuse."""
    force = kernel.has("MODULE_FORCE_LOAD")
    if force:
        return Finding(code, "warn", stage, f"{what}: the kernel takes it, but is tainted by it", fix)
    return Finding(code, "error", stage, what, fix, "ENOEXEC" if force is False else UNSURE)

"""Stage `symbols`: can the module have every symbol that it takes from elsewhere?

Source: simplify_symbols() and resolve_symbol() in kernel/module/main.c.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache

from kscaffold.arch import table
from kscaffold.elf.modinfo import gpl_compatible
from kscaffold.elf.quick import needed_back
from kscaffold.kernel.facts import KernelFacts
from kscaffold.kernel.symvers import Exported
from kscaffold.module.predict.finding import REBUILD, UNSURE, Finding
from kscaffold.module.predict.question import Question, abbreviate
from kscaffold.module.predict.symbol_crc import crc_mismatch
from kscaffold.records import dataclass

# A symbol kept for named modules has a namespace that begins so: Linux kernel commit 707f853d7fa3 "module:
# Provide EXPORT_SYMBOL_GPL_FOR_MODULES() helper" (in v6.16).
MODULE_NAMESPACE = "module:"


@dataclass(frozen=True, slots=True)
class _Trouble:
    """One way to be refused a symbol: the finding that tells of all symbols which are refused that way.

    `message` and `fix` may name {symbols}, the {owner} (a module or a namespace) and the kernel's
    {release}. `errno`, where it depends on the kernel, is a function; None is a warning. `weak_may_lack`:
    a weak symbol may stay without.
    """

    code: str
    message: str
    fix: str
    errno: str | Callable[[KernelFacts], str | None]
    weak_may_lack: bool = False


def _errno_of_misplaced(kernel: KernelFacts) -> str:
    # A kernel that does not look for it reads where nothing is.
    return "ENOEXEC" if kernel.says("has an invalid section index") else UNSURE


def _errno_of_namespace(kernel: KernelFacts) -> str | None:
    return None if kernel.has("MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS") else "EINVAL"


_MISSING = _Trouble(
    "KS425",
    "{release} does not export {symbols}",
    "use something else, or load who exports it",
    "ENOENT",
    weak_may_lack=True,
)
_NOT_LOADED = _Trouble(
    "KS426",
    "{symbols} is in {owner}, which is not loaded",
    "load {owner} first",
    "ENOENT",
    weak_may_lack=True,
)
_CIRCLE = _Trouble(
    "KS462",
    "{symbols} is in {owner}, which needs this module in turn: neither can be loaded first",
    "move what both need into a third module, or make one of the two",
    "ENOENT",
    weak_may_lack=True,
)
_GPL_ONLY = _Trouble(
    "KS428",
    "only GPL-compatible modules may use {symbols}",
    'MODULE_LICENSE("GPL");',
    "ENOENT",
    weak_may_lack=True,
)
# Taken with a warning until late 2025; the older stable kernels refuse it by now, too.
_UNVERSIONED = _Trouble("KS446", "it has versions of its symbols, and none of {symbols}", REBUILD, "EINVAL")
_OTHER_VERSION = _Trouble(
    "KS427",
    "built against another version of {symbols} than {release} has",
    "kscaffold build --kernel {release}",
    "EINVAL",
)
_CLOSED_NAMESPACE = _Trouble(
    "KS429", "{symbols} is exported for {owner} only", "use something else", "EINVAL"
)
_NAMESPACE = _Trouble(
    "KS429",
    "{symbols} is in the namespace {owner}, which it does not import",
    "MODULE_IMPORT_NS({owner}); (in quotes from 6.13 on)",
    _errno_of_namespace,
)
# Before 6.13 the macro makes a string of what it is given, the quotes too, and nothing complains of that.
_QUOTED_NAMESPACE = _Trouble(
    "KS429",
    "{symbols} is in the namespace {owner}, and it imports one whose name has quotes in it",
    "MODULE_IMPORT_NS({owner}); without the quotes, which the headers before 6.13 make a part of the name",
    _errno_of_namespace,
)
_COMMON = _Trouble(
    "KS437",
    "{symbols} is a common symbol, which the loader does not take",
    "build it with -fno-common",
    "ENOEXEC",
)
_MISPLACED = _Trouble(
    "KS406", "{symbols} is said to be in a section that is not there", REBUILD, _errno_of_misplaced
)


def findings(question: Question) -> list[Finding]:
    """The symbols that can't be had. The last one of the table decides the errno, so its finding is last."""
    ko, kernel = question.ko, question.kernel
    if kernel.exports is None:
        message = f"which symbols {kernel.name} exports is not known: there is no Module.symvers"
        return [Finding("KS440", "info", "symbols", message, "kscaffold kernel add", UNSURE)]
    architecture = table.by_uname(ko.arch)
    linker = architecture.from_linker if architecture else lambda _: False
    exporters = [(symbol, question.exporter(symbol)) for symbol in ko.undefined if not linker(symbol)]
    refused: dict[tuple[_Trouble, str], list[str]] = {}
    for symbol, trouble, owner in _troubles(question, exporters):
        # Taken out and put back: the trouble met last comes last.
        refused[trouble, owner] = [*refused.pop((trouble, owner), []), symbol]
    for trouble, symbols in ((_COMMON, ko.commons), (_MISPLACED, ko.misplaced)):
        if symbols:
            refused[trouble, ""] = list(symbols)
    findings = (_finding(trouble, owner, symbols, kernel) for (trouble, owner), symbols in refused.items())
    return [*_needed_modules(question, exporters), *findings]


def _needed_modules(
    question: Question, exporters: Sequence[tuple[str, Exported | None]]
) -> Iterator[Finding]:
    """The modules that must be loaded first, where nothing is known of what is loaded."""
    owners = (exported.module for _, exported in exporters if exported)
    needed = [owner for owner in dict.fromkeys(owners) if owner and owner != question.ko.name]
    if needed and question.kernel.loaded is None:
        yield Finding("KS426", "info", "symbols", f"it needs {', '.join(needed)} loaded before it")


def _troubles(
    question: Question, exporters: Sequence[tuple[str, Exported | None]]
) -> Iterator[tuple[str, _Trouble, str]]:
    """Each symbol that can't be had, why, and the module or the namespace that the reason names."""
    ko, weak = question.ko, frozenset(question.ko.weak_imports)

    @cache
    def needs_this(owner: str) -> bool:
        return needed_back(ko.name, owner, ko.path.absolute().parent)

    for symbol, exported in exporters:
        of_project = exported.module if exported and not _in_kernel(question.kernel, symbol) else None
        if of_project and not question.is_loaded(of_project) and needs_this(of_project):
            refused: tuple[_Trouble, str] | None = (_CIRCLE, of_project)
        else:
            refused = _refused(question, symbol, exported)
        if refused and not (refused[0].weak_may_lack and symbol in weak):
            yield symbol, *refused


def _in_kernel(kernel: KernelFacts, symbol: str) -> bool:
    return kernel.exports is not None and kernel.exports.find_export(symbol) is not None


def _refused(question: Question, symbol: str, exported: Exported | None) -> tuple[_Trouble, str] | None:
    """Why resolve_symbol() would refuse a symbol, asked in its order; None where it would not."""
    ko, kernel = question.ko, question.kernel
    if exported is None:
        return _MISSING, ""
    if kernel.loaded is not None and exported.module and exported.module not in kernel.loaded:
        return _NOT_LOADED, exported.module
    if exported.gpl and not gpl_compatible(ko.license):
        return _GPL_ONLY, ""
    if mismatch := crc_mismatch(question, symbol, exported):
        return (_UNVERSIONED if mismatch == "unversioned" else _OTHER_VERSION), ""
    if exported.namespace and not _may_use(exported.namespace, question):
        closed = exported.namespace.startswith(MODULE_NAMESPACE)
        owner = exported.namespace.removeprefix(MODULE_NAMESPACE)
        quoted = f'"{owner}"' in ko.infos("import_ns")
        return (_CLOSED_NAMESPACE if closed else _QUOTED_NAMESPACE if quoted else _NAMESPACE), owner
    return None


def _may_use(namespace: str, question: Question) -> bool:
    """verify_namespace_is_imported() of 6.16 and later: one that begins with `module:` is open to the
    modules it names, `-` being `_` and `*` at an end anything; others are open to who imports them.
    """
    if namespace in question.ko.infos("import_ns"):
        return True
    if not namespace.startswith(MODULE_NAMESPACE):
        return False
    name = question.name
    patterns = namespace.removeprefix(MODULE_NAMESPACE).replace("-", "_").split(",")
    return any(name.startswith(p[:-1]) if p.endswith("*") else name == p for p in patterns)


def _finding(trouble: _Trouble, owner: str, symbols: Sequence[str], kernel: KernelFacts) -> Finding:
    names = abbreviate(symbols) or "a symbol without a name"
    message = trouble.message.format(symbols=names, owner=owner, release=kernel.name)
    fix = trouble.fix.format(owner=owner, release=kernel.name)
    errno = trouble.errno(kernel) if callable(trouble.errno) else trouble.errno
    return Finding(trouble.code, "error" if errno else "warn", "symbols", message, fix, errno)

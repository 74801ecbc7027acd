"""Will this kernel take this module? The loader's questions, in its order, answered before it asks.

Source: load_module() in kernel/module/main.c (6.1), with what other versions do otherwise. What can't be
told from outside (init itself, memory, notifiers, overflowing relocations) is not guessed at.
"""

from collections.abc import Sequence

from kscaffold.diagnosis.cmdline import is_on, values
from kscaffold.elf import content, signature
from kscaffold.elf.model import KoFile
from kscaffold.elf.validity import THIS_MODULE
from kscaffold.kernel.facts import KernelFacts, own_copy
from kscaffold.kernel.signature_check import SignatureCheck
from kscaffold.kernel.symvers import Symvers
from kscaffold.module.predict.corruption import damage
from kscaffold.module.predict.finding import UNSURE, Finding, Prediction
from kscaffold.module.predict.param_values import refusal
from kscaffold.module.predict.sig_enforce import enforced, locked_down
from kscaffold.module.predict.signature import findings as of_signature
from kscaffold.module.predict.symbols import MODULE_NAMESPACE, exports, relocations, symbols

# What may take the kernel down instead of being refused.
_DAMAGED = frozenset({"KS406", "KS460"})
_WRITE_EXEC = 0x1 | 0x4
_REBUILD = "kscaffold clean && kscaffold build"


def predict(
    ko: KoFile,
    facts: KernelFacts,
    arguments: Sequence[str] = (),
    project: Symvers | None = None,
    examined: SignatureCheck | None = None,
) -> Prediction:
    """Whether the kernel of `facts` will take `ko` up to its init, and where it would refuse it.

    `arguments`: words in the kernel's syntax (arguments.split). `project`: what the modules built with it
    export, which may be loaded before it. `examined`: its signature, where it has one (signed.examine).
    """
    version, linked = _version(ko, facts), symbols(ko, facts, project)
    if any(f.code == "KS422" for f in version):
        linked = [f for f in linked if f.code != "KS427"]  # the same, told symbol by symbol
    listed, layout = _list(ko, facts), _layout(ko, facts)
    damaged = list(damage(ko, facts))
    layout += [f for f in damaged if f.stage == "layout"]
    return _prediction(
        [
            _permission(facts),
            _signature(ko, facts, examined),
            [*_elf(ko, facts), *(f for f in damaged if f.stage == "elf")],
            version,
            # 6.4 looks for a module of that name before it lays this one out.
            *([listed, layout] if facts.since_6_4 else [layout, listed]),
            linked,
            relocations(ko, facts),
            exports(ko, facts, project),
            _parameters(ko, arguments, facts),
            [*_sysfs(ko, facts), *(f for f in damaged if f.stage == "sysfs")],
            _init(ko, facts),
        ]
    )


def _prediction(answers: Sequence[Sequence[Finding]]) -> Prediction:
    """The first question with a refusal decides; of several refusals in it the last, as in the kernel."""
    findings = tuple(finding for answer in answers for finding in answer)
    for answer in answers:
        refusals = [f for f in answer if f.errno is not None and f.errno != UNSURE]
        if refusals:
            return Prediction(False, refusals[-1].stage, refusals[-1].errno, findings)
        if any(f.errno == UNSURE and f.code in _DAMAGED for f in answer):
            return Prediction(None, None, None, findings)  # it need not come as far as the next question
    return Prediction(None if any(f.errno == UNSURE for f in findings) else True, None, None, findings)


def _permission(facts: KernelFacts) -> list[Finding]:
    # The same switch by its two names; the second is written at the end of the boot.
    names = ("nomodule", "sysctl.kernel.modules_disabled")
    said = next((n for n in names if any(map(is_on, values(facts.cmdline, n)))), None)
    if said is None:
        return []
    message = f"the kernel was started with {said}"
    return [Finding("KS443", "error", "permission", message, "start it without", "EPERM")]


def _signature(ko: KoFile, facts: KernelFacts, examined: SignatureCheck | None) -> list[Finding]:
    if facts.has("MODULE_SIG") is False:
        return []
    flaw = ko.signature.flaw if ko.signature else None
    again = "kscaffold sign, or build it again"
    if ko.signature and ko.signature.errno not in (None, "ENOPKG"):
        message = f"its signature can't be read: {flaw}"
        return [Finding("KS417", "error", "signature", message, again, ko.signature.errno)]
    wants = facts.has("MODULE_SIG_FORCE") or enforced(facts.cmdline)
    locked = locked_down(facts.cmdline)
    if ko.signed:
        told = _tampered(ko, facts)
        # The kernel's own key signed one thing: what else seems to be its signature nobody can be sure of.
        if told and (told[0].level == "error" or examined is None or _seems_own(examined)):
            return told
        if examined is not None:
            return of_signature(examined, facts)
        if wants or locked:
            message = "it is signed; whether the kernel knows the key can't be seen from outside"
            return [Finding("KS441", "info", "signature", message, None, UNSURE)]
        return []
    state = f"its signature can't be read ({flaw})" if flaw else "it is not signed"
    if wants:
        message = f"{state}, and the kernel takes signed modules only"
        return [Finding("KS441", "error", "signature", message, "kscaffold sign", "EKEYREJECTED")]
    if locked and facts.has("SECURITY_LOCKDOWN_LSM") is not False:
        message = f"{state}, and the kernel is locked down"
        return [Finding("KS441", "error", "signature", message, "kscaffold sign", "EPERM")]
    return [Finding("KS417", "warn", "signature", state, again)] if flaw else []


def _seems_own(examined: SignatureCheck) -> bool:
    return examined.certificate is None or bool(examined.in_kernel)


def _tampered(ko: KoFile, facts: KernelFacts) -> list[Finding]:
    """A signature of the kernel's own module on other content: fatal even where none is asked for."""
    own = own_copy(ko, facts)
    if own is None or own.signature is None or ko.signature is None or own.digest == ko.digest:
        return []
    if own.signature.digest != ko.signature.digest:
        if _signed_bytes(own) != _signed_bytes(ko):
            return []  # another's module, and another's key
        message = f"it is {facts.release}'s own module with another signature"
        fix = "take the kernel's own file, or the signature off: strip -g"
        return [Finding("KS445", "warn", "signature", message, fix, UNSURE)]
    message = f"it is {facts.release}'s own module, changed after it was signed"
    return [
        Finding("KS445", "error", "signature", message, "take the signature off: strip -g", "EKEYREJECTED")
    ]


def _signed_bytes(ko: KoFile) -> bytes:
    raw = content.read_content(ko.path)[0]
    return raw[: signature.find_signature(raw)[1]]


def _elf(ko: KoFile, facts: KernelFacts) -> list[Finding]:
    found = []
    if ko.arch != facts.arch:
        message = f"it is for {ko.arch}, the kernel is {facts.arch}"
        fix = "build it for the kernel that shall load it"
        found.append(Finding("KS407", "error", "elf", message, fix, "ENOEXEC"))
    if facts.since_6_4:
        held = [s for s in ko.sections[1:] if s.type not in ("SHT_NULL", "SHT_NOBITS")]
        once = {name: sum(s.name == name for s in held) for name in (".modinfo", THIS_MODULE)}
        tables = sum(s.type == "SHT_SYMTAB" for s in held)
        if once[".modinfo"] > 1 or once[THIS_MODULE] != 1 or tables != 1:
            message = f"{facts.release} wants one symbol table, one .modinfo and one {THIS_MODULE}"
            found.append(Finding("KS442", "error", "elf", message, _REBUILD, "ENOEXEC"))
    symbols = next(s for s in ko.sections if s.type == "SHT_SYMTAB")
    if ko.sections[symbols.link].type != "SHT_STRTAB" and facts.says("Invalid ELF symbol string table type"):
        message = "the names of its symbols are in no string table"
        found.append(Finding("KS406", "error", "elf", message, _REBUILD, "ENOEXEC"))
    if facts.struct_size is not None and ko.struct_size != facts.struct_size and ko.arch == facts.arch:
        message = (
            f"its struct module has {ko.struct_size} bytes, that of {facts.release} {facts.struct_size}: "
            "it was built with another configuration"
        )
        fix = f"kscaffold build --kernel {facts.release}"
        if facts.since_6_4:
            found.append(Finding("KS421", "error", "elf", message, fix, "ENOEXEC"))
        else:
            found.append(Finding("KS421", "warn", "elf", message, fix))
    return found


def _version(ko: KoFile, facts: KernelFacts) -> list[Finding]:
    found = []
    if ko.name in _blacklist(facts.cmdline):
        message = f"the kernel was started with module_blacklist={ko.name}"
        found.append(Finding("KS443", "error", "version", message, "start it without", "EPERM"))
    fix = f"kscaffold build --kernel {facts.release}"
    versioned = facts.has("MODVERSIONS")
    layout = facts.exports.find("module_layout") if facts.exports else None
    if versioned is not False and layout is not None:
        built_with = (ko.versions or {}).get("module_layout")
        if ko.versions is None:
            found.append(_forced(facts, "it has no symbol versions", fix))
        elif built_with is None:
            message = "it has versions of its symbols, and none of module_layout"
            found.append(Finding("KS446", "error", "version", message, fix, "ENOEXEC"))
        elif built_with != layout.crc:
            message = f"it was built with other headers than those of {facts.release} (module_layout)"
            found.append(Finding("KS422", "error", "version", message, fix, "ENOEXEC"))
    elif versioned:
        message = f"the symbol versions of {facts.release} are not known: there is no Module.symvers"
        found.append(Finding("KS440", "info", "version", message, "kscaffold kernel add", UNSURE))
    found += _vermagic(ko, facts, fix)
    if ko.info("livepatch") is not None and facts.has("LIVEPATCH") is False:
        message = f"it is a live patch, and {facts.release} has no support for that"
        found.append(
            Finding("KS444", "error", "version", message, "take a kernel with CONFIG_LIVEPATCH", "ENOEXEC")
        )
    return found


def _vermagic(ko: KoFile, facts: KernelFacts, fix: str) -> list[Finding]:
    if ko.vermagic is None:
        return [_forced(facts, "it has no vermagic", fix)]
    if facts.vermagic is None:
        message = f"the vermagic of {facts.release} is not known"
        return [Finding("KS440", "info", "version", message, None, UNSURE)]
    have, want = ko.vermagic, facts.vermagic
    if ko.versions is not None and facts.has("MODVERSIONS") is not False:
        # With symbol versions the release does not matter: same_magic() skips the first word.
        have, want = (text[text.find(" ") if " " in text else len(text) :] for text in (have, want))
    if have == want:
        return []
    message = f"it was built for '{ko.vermagic.strip()}', the kernel is '{facts.vermagic.strip()}'"
    return [Finding("KS423", "error", "version", message, fix, "ENOEXEC")]


def _forced(facts: KernelFacts, what: str, fix: str) -> Finding:
    """What a kernel with CONFIG_MODULE_FORCE_LOAD takes with a taint, and others refuse."""
    force = facts.has("MODULE_FORCE_LOAD")
    if force:
        return Finding("KS424", "warn", "version", f"{what}: the kernel takes it, but is tainted by it", fix)
    return Finding("KS424", "error", "version", what, fix, "ENOEXEC" if force is False else UNSURE)


def _blacklist(cmdline: str) -> set[str]:
    """The names that are compared as they stand: a `-` in one matches no module."""
    told = values(cmdline, "module_blacklist")
    return set(told[-1].split(",")) if told else set()


def _list(ko: KoFile, facts: KernelFacts) -> list[Finding]:
    name = ko.struct_name or ko.name
    if facts.loaded is None or name not in facts.loaded:
        return []
    return [Finding("KS435", "error", "list", f"{name} is loaded already", "kscaffold reload", "EEXIST")]


def _layout(ko: KoFile, facts: KernelFacts) -> list[Finding]:
    found = []
    if facts.has("STRICT_MODULE_RWX") is not False:
        both = next((s for s in ko.sections if s.flags & _WRITE_EXEC == _WRITE_EXEC), None)
        if both is not None:
            message = f"its section {both.name or both.index} can be written and executed"
            fix = "build it through Kbuild, with no linker script of its own"
            found.append(Finding("KS430", "error", "layout", message, fix, "ENOEXEC"))
    names = {s.name for s in ko.sections if s.alloc}
    if {".ctors", ".init_array"} <= names and facts.has("CONSTRUCTORS"):
        message = "it has both .ctors and .init_array"
        found.append(
            Finding("KS439", "error", "layout", message, "build all of it with one compiler", "EINVAL")
        )
    closed = next((n for n in ko.infos("import_ns") if n.startswith(MODULE_NAMESPACE)), None)
    if closed is not None and facts.exports and facts.exports.has_module_namespaces():
        message = f"it imports {closed}, which is kept for the modules that it names"
        fix = f"take MODULE_IMPORT_NS({closed}) out"
        found.append(Finding("KS459", "error", "layout", message, fix, "EPERM"))
    if facts.has("MODVERSIONS") and any(not e.has_crc for e in ko.exports):
        finding = _forced(facts, "its exported symbols have no versions", _REBUILD)
        found.append(Finding("KS438", finding.level, "layout", finding.message, finding.fix, finding.errno))
    return found


def _parameters(ko: KoFile, arguments: Sequence[str], facts: KernelFacts) -> list[Finding]:
    """As parse_args(): all are read, the last error counts."""
    parameters = {p.name.replace("-", "_"): p for p in ko.parameters}
    found = []
    for argument in arguments:
        if argument.startswith('"'):  # a quote before the name ends with the word
            argument = argument[1:].removesuffix('"')
        name, equals, value = argument.partition("=")
        if name == "--" and not equals:
            break
        parameter = parameters.get(name.replace("-", "_"))
        if parameter is None:
            if name not in ("dyndbg", "async_probe"):
                known = ", ".join(p.name for p in ko.parameters) or "none"
                message = f"it has no parameter {name}: the kernel will ignore it (there are: {known})"
                found.append(Finding("KS434", "warn", "parameters", message, "kscaffold info"))
            continue
        if value.startswith('"'):
            value = value[1:].removesuffix('"')
        refused = refusal(parameter, value if equals else None, ko.bits, facts.version)
        shown = f"{parameter.name} ({parameter.type})" if parameter.type else parameter.name
        if refused == UNSURE:
            message = f"whether {shown} takes {value!r} only its own code knows"
            found.append(Finding("KS433", "info", "parameters", message, None, UNSURE))
        elif refused:
            message = f"{shown} does not take {value!r}" if equals else f"{shown} needs a value"
            fix = f"{parameter.name}=VALUE, a value of type {parameter.type}"
            found.append(Finding("KS433", "error", "parameters", message, fix, refused))
    return found


def _sysfs(ko: KoFile, facts: KernelFacts) -> list[Finding]:
    name = ko.struct_name or ko.name
    if name in facts.in_sysfs and name not in (facts.loaded or ()):
        message = f"{facts.release} has built-in code called {name}, whose /sys/module/{name} is in the way"
        return [Finding("KS436", "error", "sysfs", message, "give the module another name", "EINVAL")]
    if ko.doubled:
        message = f"two of its files have a parameter {ko.doubled[0]}"
        return [Finding("KS461", "error", "sysfs", message, "rename one of the two", "EEXIST")]
    if name in facts.perhaps_in_sysfs and name not in (facts.loaded or ()):
        message = (
            f"{facts.release} may have built-in code called {name}, with a /sys/module/{name} in the way"
        )
        return [Finding("KS436", "warn", "sysfs", message, "give the module another name", UNSURE)]
    if name in facts.builtin:
        message = f"{facts.release} has {name} built in already"
        return [Finding("KS436", "warn", "sysfs", message, "give the module another name")]
    return []


def _init(ko: KoFile, facts: KernelFacts) -> list[Finding]:
    """The one refusal at init that is known before: the function's name is on initcall_blacklist=."""
    if ko.init is None or facts.has("KALLSYMS") is False:
        return []
    names = {name for told in values(facts.cmdline, "initcall_blacklist") for name in told.split(",")}
    if ko.init.listed not in names:
        return []
    message = f"the kernel was started with initcall_blacklist={ko.init.listed}"
    return [Finding("KS443", "error", "init", message, "start it without", "EPERM")]

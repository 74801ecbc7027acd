"""What the stages from the symbols on did for a .ko."""

from collections import Counter
from collections.abc import Collection, Iterator

from kscaffold.elf.model import Function
from kscaffold.explain.stages.anatomy import Import
from kscaffold.explain.stages.fact import Fact, StageContext, plural

_DEEPEST = 20  # frames of a stack that are shown


def symbols(context: StageContext) -> Iterator[Fact]:
    """The symbols it needs, and who has them."""
    if context.anatomy is None:
        return
    loaded = context.observed.loaded
    # What can't be had is not folded away.
    imports = sorted(context.anatomy.imports, key=lambda i: _is_there(i, loaded) and not _differs(i))
    rows = tuple((i.symbol, _provider(i, loaded), _how(i), _crc(i)) for i in imports)
    owners = Counter(i.provider for i in imports)
    counts = ", ".join(f"{n} {_from(owner)}" for owner, n in owners.most_common())
    text = f"{plural(len(imports), 'symbol')}: {counts}" if imports else "no symbol of others"
    known = context.anatomy.kernel is not None and context.anatomy.kernel.exports is not None
    columns = ("symbol", "from", "for", "checksum")
    yield Fact("needs", text, "build" if known and imports else "file", columns if rows else (), rows)
    asked = context.count("resolve_symbol")
    if asked is not None:
        yield Fact("looked up", f"{plural(asked, 'symbol')} (resolve_symbol)", "trace")
    if context.observed.providers:
        yield Fact("uses modules", ", ".join(context.observed.providers), "kernel")


def _from(owner: str | None) -> str:
    return f"from {owner}" if owner else "that nobody known exports"


def _is_there(found: Import, loaded: Collection[str] | None) -> bool:
    return found.provider == "vmlinux" or (
        found.provider is not None and (loaded is None or found.provider in loaded)
    )


def _provider(found: Import, loaded: Collection[str] | None) -> str:
    if found.is_hook:
        return f"{found.provider}, kscaffold's helper"
    if found.provider:
        return found.provider if _is_there(found, loaded) else f"{found.provider}, not loaded"
    return "nobody (it can do without)" if found.weak else "nobody known"


def _how(found: Import) -> str:
    if found.provider is None:
        return ""
    who = "GPL only" if found.gpl else "any licence"
    return f"{who}, namespace {found.namespace}" if found.namespace else who


def _crc(found: Import) -> str:
    if found.crc is None:
        return "none"
    if not _differs(found):
        return f"{found.crc:#010x}"
    return f"{found.crc:#010x}, there {found.kernel_crc:#010x}"


def _differs(found: Import) -> bool:
    return None not in (found.crc, found.kernel_crc) and found.crc != found.kernel_crc


def relocate(context: StageContext) -> Iterator[Fact]:
    """The places in the code that got an address."""
    if context.anatomy is None:
        return
    found = context.anatomy.relocations
    types: Counter[str] = Counter()
    for r in found:
        types.update(r.types)
    rows = tuple(
        (r.section, f"{r.count:,}", ", ".join(f"{n:,} {t}" for t, n in r.types.items())) for r in found
    )
    count = sum(r.count for r in found)
    text = f"{plural(count, 'relocation')} in {plural(len(found), 'section')}"
    yield Fact("written", text, "file", ("section", "number", "of type") if rows else (), rows)
    if types:
        yield Fact("of type", ", ".join(f"{n:,} {t}" for t, n in types.most_common()), "file")
    ran = context.count("apply_relocate_add")
    if ran is not None:
        yield Fact("sections done", f"{ran} (apply_relocate_add)", "trace")


def arguments(context: StageContext) -> Iterator[Fact]:
    """The line of parameters, as text."""
    line = context.report.parameters.text
    size = len(line.encode(errors="surrogateescape")) + 1
    what = f"'{line}'" if line else "the empty line"
    yield Fact("copied", f"{plural(size, 'byte')}: {what} and its ending NUL", "request")


def formation(context: StageContext) -> Iterator[Fact]:
    """The symbols that the module exports."""
    if context.anatomy is None:
        return
    exports = context.anatomy.ko.exports
    rows = tuple((e.symbol, "GPL only" if e.gpl else "any licence", e.namespace) for e in exports)
    text = plural(len(exports), "symbol") if exports else "no symbol"
    yield Fact("exports", text, "file", ("symbol", "for", "namespace") if rows else (), rows)


def parameters(context: StageContext) -> Iterator[Fact]:
    """The values, as they were given and as the kernel has them."""
    if context.anatomy is None:
        return
    settings = context.anatomy.settings
    given = [s for s in settings if s.given is not None]
    if not settings:
        yield Fact("parameters", "it has none", "file")
    else:
        asked = f"{len(given)} given" if given else "none given"
        read = any(s.value is not None for s in settings)
        # In a long list those that were asked for are not folded away.
        rows = tuple(
            (
                s.name,
                s.type or "?",
                s.given if s.given is not None else "",
                s.value if s.value is not None else "not shown in /sys" if read else "",
            )
            for s in sorted(settings, key=lambda s: s.given is None)
        )
        columns = ("parameter", "type", "given", "value (kernel)")
        width = 4 if read else 3
        text = f"{plural(len(settings), 'parameter')}, {asked}"
        remaining = tuple(row[:width] for row in rows)
        yield Fact("parameters", text, "file", columns[:width], remaining)
    for name in context.anatomy.ignored:
        yield Fact("ignored", f"{name}: it has no such parameter", "request")


def sysfs(context: StageContext) -> Iterator[Fact]:
    """/sys/module/NAME."""
    o, place = context.observed, f"/sys/module/{context.report.module}"
    if not o.attributes:
        if context.report.judgement.stage == "init" and context.report.judgement.errno:
            yield Fact("made", f"{place}, and taken away again when the load had failed", "trace")
        return
    yield Fact("made", f"{place}/: {', '.join(o.attributes)}", "kernel")
    if o.parameters:
        yield Fact("parameters/", ", ".join(o.parameters), "kernel")
    if o.sections:
        yield Fact("sections/", plural(len(o.sections), "file"), "kernel")


def init(context: StageContext) -> Iterator[Fact]:
    """The function that ran, and what it returned."""
    j = context.report.judgement
    if context.anatomy is not None:
        yield Fact("function", _function(context.anatomy.ko.init), "file")
    seen = context.report.timeline is not None
    if j.init_ran and j.returned is not None:
        name = f" (-{j.errno})" if j.returned < 0 and j.errno and j.errno.startswith("E") else ""
        traced = context.report.timeline is not None and context.report.timeline.returned is not None
        yield Fact("returned", f"{j.returned}{name}", "trace" if traced else "kernel")
    elif j.init_ran and j.verdict in ("crashed", "hung"):
        yield Fact("returned", "never: it did not come back", "trace" if seen else "kernel")
        yield from stuck(context)
    elif j.init_ran is False:
        why = "there is none to run" if j.verdict == "loaded" else "the kernel did not call it"
        yield Fact("ran", f"no: {why}", "trace" if seen else "file")


def stuck(context: StageContext) -> Iterator[Fact]:
    """Where the loading task stands, if it did not come back."""
    from kscaffold.diagnosis.stacks import stack_of_call  # start-up time: few do not come back

    lines = [line.removeprefix("[<0>] ") for line in stack_of_call(context.report.stack).splitlines()]
    if lines:
        rows = tuple((line,) for line in lines[:_DEEPEST])
        yield Fact("it stands in", lines[0], "kernel", ("function, its caller below it",), rows)


def _function(function: Function | None) -> str:
    if function is None:
        return "none: this module has no init"
    return f"{function.symbol}() in {function.section}" if function.section else f"{function.symbol}()"


def live(context: StageContext) -> Iterator[Fact]:
    """The module, as lsmod shows it."""
    o = context.observed
    if o.listed is None:
        return
    users = f", used by {o.listed.refcount}" if o.listed.refcount else ", not in use"
    yield Fact("state", f"{o.listed.state}{users}", "kernel")
    size = o.attributes.get("initsize")
    if size and size.isdecimal():
        text = "given back" if size == "0" else f"{plural(int(size), 'byte')} still there"
        yield Fact("init's memory", text, "kernel")
    if o.listed.taints:
        yield Fact("taint", _taints(o.listed.taints), "kernel")


# As module_flags_taint() prints them.
_TAINTS = {
    "P": "proprietary licence",
    "O": "built out of the kernel's tree",
    "F": "force-loaded",
    "C": "staging",
    "E": "unsigned",
    "K": "live patch",
    "X": "auxiliary",
    "T": "randomized layout",
    "N": "test",
}


def _taints(letters: str) -> str:
    return ", ".join(f"{c} ({_TAINTS[c]})" if c in _TAINTS else c for c in letters)

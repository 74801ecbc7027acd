"""What a kernel itself says of a module that it has just loaded: /sys/module/NAME, /proc/modules."""

import contextlib
from collections.abc import Mapping, Sequence

from kscaffold.diagnosis.attempt import NOT_KNOWN, Facts, Listed
from kscaffold.elf.model import KoFile
from kscaffold.errors import KscaffoldError
from kscaffold.load.report import LoadReport
from kscaffold.records import dataclass, field, replace
from kscaffold.targets.facts import KernelFiles, read_facts
from kscaffold.targets.target import Target

# Beyond this many sections or parameters of one kind nobody reads on; each costs a question.
_MOST = 400
_ATTRIBUTES = ("coresize", "initsize", "initstate", "refcnt", "taint", "version", "srcversion")


@dataclass(frozen=True, slots=True)
class Observed:
    """What a kernel said after a load. Empty where it said nothing, or where there was nothing to ask.

    `listed`: the module's line of /proc/modules. `attributes`: the files of /sys/module/NAME by name,
    `parameters` those below parameters/ (values without their newline), `sections` the addresses it gave to
    sections. `providers`: modules that say this one uses them; `loaded`: every module on the list, None
    where that is not known. `facts`: what the kernel says of itself.
    """

    listed: Listed | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    sections: Mapping[str, int] = field(default_factory=dict)
    providers: tuple[str, ...] = ()
    loaded: frozenset[str] | None = None
    facts: Facts = NOT_KNOWN


def observe_module(report: LoadReport, ko: KoFile | None, target: Target) -> Observed:
    """Ask a sandbox's kernel what became of a load. A kernel that can't be asked says nothing.

    This machine's own kernel is not asked: root alone may read most of these files, and the others would
    tell of the task that asks instead of the elevated one that loaded.
    """
    if target.kind == "host":
        return Observed()
    files = KernelFiles(target.read)
    facts = read_facts(report.module, files)
    listed: list[Listed] | None = None
    if not files.is_silent:
        with contextlib.suppress(KscaffoldError):
            listed = target.modules()
    settings = Observed(loaded=frozenset(m.name for m in listed) if listed is not None else None, facts=facts)
    if listed is None or not _is_there(report):
        return settings
    settings = replace(
        settings,
        listed=next((m for m in listed if m.name == report.module), None),
        providers=tuple(m.name for m in listed if report.module in m.used_by),
    )
    return _with_sysfs(settings, f"/sys/module/{report.module}", ko, files)


def _with_sysfs(seen: Observed, place: str, ko: KoFile | None, files: KernelFiles) -> Observed:
    """The same observation, with what /sys/module/NAME says."""
    parameters = [p.name for p in ko.parameters] if ko else []
    sections = [s.name for s in ko.sections if s.size and s.name] if ko else []
    return replace(
        seen,
        attributes=_texts(files, place, _ATTRIBUTES),
        parameters=_texts(files, f"{place}/parameters", parameters),
        sections=_addresses(_texts(files, f"{place}/sections", sections)),
    )


def _is_there(report: LoadReport) -> bool:
    """Whether /sys/module/NAME is this load's own: after a refusal it may be an older module's."""
    j = report.judgement
    return j.verdict == "loaded" or (j.verdict in ("crashed", "hung") and j.stage in ("init", "live"))


def _addresses(texts: Mapping[str, str]) -> dict[str, int]:
    found = {}
    for name, text in texts.items():
        try:
            found[name] = int(text, 16)
        except ValueError:
            continue
    # All zeros: the kernel does not tell addresses to this reader.
    return found if any(found.values()) else {}


def _texts(files: KernelFiles, directory: str, names: Sequence[str]) -> dict[str, str]:
    """The texts of those files that are there."""
    texts = (
        (name, files.text(f"{directory}/{name}")) for name in dict.fromkeys(names[:_MOST]) if _plain(name)
    )
    return {name: text for name, text in texts if text is not None}


def _plain(name: str) -> bool:
    """A name of one file: what a hostile .ko calls a section could be a path."""
    return bool(name) and "/" not in name and "\0" not in name and name not in (".", "..")

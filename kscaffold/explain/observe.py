"""What a kernel itself says of a module that it has just loaded: /sys/module/NAME, /proc/modules."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kscaffold.elf.model import KoFile
from kscaffold.errors import KscaffoldError
from kscaffold.load.report import LoadReport
from kscaffold.targets.sandbox import SandboxTarget
from kscaffold.targets.target import Listed, Target

_CAP_SYS_MODULE = 1 << 16
# Beyond this many sections or parameters of one kind nobody reads on; each costs a question.
_MOST = 400
_ATTRIBUTES = ("coresize", "initsize", "initstate", "refcnt", "taint", "version", "srcversion")

Read = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Observed:
    """What a kernel said after a load. Empty where it said nothing, or where there was nothing to ask.

    `listed`: its line of /proc/modules. `attributes`: the files of /sys/module/NAME by name, `parameters`
    those below parameters/ (values without their newline), `sections` the addresses it gave to sections.
    `providers`: modules that say this one uses them; `loaded`: every module on the list, None where that
    was not told. `capable`: the loading task has CAP_SYS_MODULE;
    `modules_disabled`, `sig_enforce`: the kernel's settings.
    """

    listed: Listed | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    sections: Mapping[str, int] = field(default_factory=dict)
    providers: tuple[str, ...] = ()
    loaded: frozenset[str] | None = None
    capable: bool | None = None
    modules_disabled: bool | None = None
    sig_enforce: bool | None = None


def observe_module(report: LoadReport, ko: KoFile | None, target: Target) -> Observed:
    """Ask a sandbox's kernel what became of a load. A kernel that can't be asked any more, and this
    machine's own (whose files root alone may read), say nothing.
    """
    if not isinstance(target, SandboxTarget):
        return Observed()
    asked = _Questions(target.read)
    capable, disabled = asked.capable(), asked.text("/proc/sys/kernel/modules_disabled")
    enforced = asked.text("/sys/module/module/parameters/sig_enforce")
    listed: list[Listed] | None = None
    if not asked.silent:
        with contextlib.suppress(KscaffoldError):
            listed = target.modules()
    settings = Observed(
        loaded=frozenset(m.name for m in listed) if listed is not None else None,
        capable=capable,
        modules_disabled=disabled == "1" if disabled else None,
        sig_enforce=enforced == "Y" if enforced else None,
    )
    if listed is None or not _is_there(report):
        return settings
    place = f"/sys/module/{report.module}"
    names = [s.name for s in ko.sections if s.size and s.name] if ko else []
    return replace(
        settings,
        listed=next((m for m in listed if m.name == report.module), None),
        attributes=asked.files(place, _ATTRIBUTES),
        parameters=asked.files(f"{place}/parameters", [p.name for p in ko.parameters] if ko else []),
        sections=_addresses(asked.files(f"{place}/sections", names)),
        providers=tuple(m.name for m in listed if report.module in m.used_by),
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


class _Questions:
    """Files of a kernel, until it does not answer."""

    def __init__(self, read: Read) -> None:
        self.silent = False
        self._read = read

    def text(self, path: str) -> str | None:
        """A file's text without its last newline; None where it can't be had."""
        if self.silent:
            return None
        try:
            raw = self._read(path)
        except OSError:
            return None
        except KscaffoldError:
            self.silent = True
            return None
        return raw.decode("utf-8", "backslashreplace").removesuffix("\n")

    def files(self, directory: str, names: Sequence[str]) -> dict[str, str]:
        """The texts of those files that are there."""
        texts = (
            (name, self.text(f"{directory}/{name}")) for name in dict.fromkeys(names[:_MOST]) if _plain(name)
        )
        return {name: text for name, text in texts if text is not None}

    def capable(self) -> bool | None:
        """Whether the agent, and so the child that loads, may load modules."""
        for line in (self.text("/proc/self/status") or "").splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) & _CAP_SYS_MODULE)
        return None


def _plain(name: str) -> bool:
    """A name of one file: what a hostile .ko calls a section could be a path."""
    return bool(name) and "/" not in name and "\0" not in name and name not in (".", "..")

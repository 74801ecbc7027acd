"""A guest whose modules are instrumented copies: what tests with `--sanitize` and `--coverage` have."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.reports.sanitizer import is_instruments, read_reports
from kscaffold.diagnosis.residue.kinds import Residue
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.instrument.copies import InstrumentedPlan, instrumented
from kscaffold.instrument.coverage import LIST, Counters, read_counters
from kscaffold.instrument.fault_rows import CALLS, read_calls
from kscaffold.instrument.findings import as_users, copies_by_module
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.finding import Finding, locate, place_in
from kscaffold.load.flaws import Flaw
from kscaffold.load.leftovers import Leftovers, sections_to_watch
from kscaffold.load.plan import LoadPlan
from kscaffold.load.report import LoadReport
from kscaffold.load.request import SLOWER, Instruments
from kscaffold.load.sandbox import Sandbox
from kscaffold.load.tries import load_helpers
from kscaffold.load.unload import UnloadReport
from kscaffold.module.arguments import Parameters
from kscaffold.records import replace


class InstrumentedSandbox(Sandbox):
    """A Sandbox that loads a copy of each .ko. Reports and the log are as of the user's own modules."""

    def __init__(
        self,
        kernel: Kernel,
        asked: Instruments,
        *,
        cmdline: str = "",
        devices: Sequence[str] = (),
        fail: int = 0,
    ) -> None:
        """`fail`: with `asked.faults`, the number of the call after init that fails, from 1; 0: none, all are
        counted.
        """
        super().__init__(kernel, cmdline=cmdline, devices=devices)
        self._asked = asked
        self._fail = fail
        self._copies: list[InstrumentedPlan] = []
        self._first: Leftovers | None = None  # of what is loaded first, with the helpers in already
        self._watched: set[Path] = set()

    def load(self, ko: str | Path, *, timeout: float = 10.0, **parameters: object) -> LoadReport:
        """As Sandbox.load()."""
        report = super().load(ko, timeout=timeout * SLOWER, **parameters)
        return as_users(([report], []), self._copies[-1])[0][0]

    def unload(self, module: str | Path, *, timeout: float = 10.0) -> UnloadReport:
        """As Sandbox.unload()."""
        report = super().unload(module, timeout=timeout * SLOWER)
        return as_users(([], [report]), self._copies[-1])[1][0] if self._copies else report

    def log_since_first_request(self) -> list[Record]:
        """As Sandbox.log_since_first_request()."""
        return [r for r in super().log_since_first_request() if not is_instruments(r)]

    def residue(
        self, loads: Sequence[LoadReport], unloads: Sequence[UnloadReport]
    ) -> tuple[Residue, ...] | None:
        """As Sandbox.residue(), for the modules that are loaded first; memory is the sanitizer's matter."""
        known = {report.file.path for report in loads} == self._watched
        if self._first is None or not known or any(report.dependencies for report in loads):
            return None
        return self._first.find(loads, unloads)

    def findings(self) -> list[Finding]:
        """What the sanitizer found so far."""
        kos: dict[str, ModuleFile] = {}
        for one in self._copies:
            kos |= copies_by_module(one)
        return [locate(report, kos, "") for report in read_reports(super().log())]

    @property
    def looks_for_leaks(self) -> bool:
        """As Sandbox.looks_for_leaks; where calls fail, the list of calls comes before the unload."""
        return bool(self._asked.sanitize) and not self._asked.faults

    def bugs(self) -> tuple[Flaw, ...]:
        """What the sanitizer found so far, as flaws."""
        if not (self._asked.sanitize or self._asked.faults):
            return ()
        return tuple(
            Flaw(
                f.entry.code,
                f.report.kind,
                f.head + f.lock_site,
                f.entry.fix,
                str(f.place) if f.place else None,
                f.place,
            )
            for f in self.findings()
        )

    def counters(self) -> Counters:
        """The counters so far; none of a kernel that crashed."""
        if self._asked.coverage and self._copies:
            with contextlib.suppress(OSError, KscaffoldError):
                return read_counters(self.read(LIST))
        return {}

    @property
    def has_faults(self) -> bool:
        """Whether calls after init are counted, or one of them fails."""
        return bool(self._asked.faults)

    def places(self, calls: str) -> dict[str, tuple[str, int, str]]:
        """The file, line and function of each place that a list of calls names."""
        kos: dict[str, ModuleFile] = {}
        for one in self._copies:
            kos |= copies_by_module(one)
        sites = {call.site: call.module for call in read_calls(calls)[0]}
        found = {site: place_in(site, module, kos) for site, module in sites.items()}
        return {site: (p.file, p.line, p.function) for site, p in found.items() if p}

    def calls(self) -> str:
        """The list of the calls after init that can fail; empty where one was made to fail."""
        with contextlib.suppress(OSError, KscaffoldError):
            return self.read(CALLS).decode(errors="replace") if self._copies and not self._fail else ""
        return ""

    def homes(self) -> Mapping[Path, Path]:
        """The user's directory of each one in which copies were compiled."""
        return dict(one.homes(ko) for copies in self._copies for ko, one in copies.compiled.items())

    def _prepared(self, plan: LoadPlan) -> LoadPlan:
        begun, target = self._open()
        copies = instrumented(plan, begun.kernel, self._asked, self._progress)
        if not self._copies:
            words = Parameters.parse(f"later=1 fail={self._fail}")
            given = ((ko, words if ko.module == "ks_faults" else own) for ko, own in copies.plan.first)
            load_helpers(replace(copies.plan, first=tuple(given)), target, 10.0)
            self._first = Leftovers(plan.kos, sections_to_watch(plan.kos), target)
            self._first.after_helpers()
            self._watched = {ko.path for ko in plan.kos}
        self._copies.append(copies)
        return replace(copies.plan, first=())

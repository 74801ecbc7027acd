"""A test that failed, run once more by a pytest of its own: with the sanitizer, which knows where memory was
allocated, and with the calls into the module, which tell the operation that gave a wrong answer.
"""

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kscaffold import lazy, process
from kscaffold.errors import KscaffoldError
from kscaffold.files import reader
from kscaffold.files.scratch import scratch_directory
from kscaffold.instrument.helper_module import helper
from kscaffold.instrument.sandbox import InstrumentedSandbox
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.addr2line import SourceLine
from kscaffold.load.report import LoadReport
from kscaffold.load.request import NO_INSTRUMENTS, Instruments
from kscaffold.load.sandbox import Sandbox
from kscaffold.progress import SILENT
from kscaffold.records import dataclass
from kscaffold.testing.calls import Calls, CallTrace
from kscaffold.testing.guest import Guest, GuestFailure

OPTION = "--kscaffold-second-run"
_DONE = pytest.StashKey[int]()
_WAITED = pytest.StashKey[bool]()
# A build for the sanitizer, and a test that takes longer with it.
_TIMEOUT, _SLOWER = 120.0, 8
# How a line of source asks for a lock: /proc/PID/stack has no functions that sleep, only who called them.
_LOCKING = lazy.pattern(r"(?:lock|\bdown)\w*\s*\(")


@dataclass(frozen=True, slots=True)
class SecondRun:
    """`text`: the sentences for the failure. `rows`: the calls into the modules, for the report. `source`:
    FILE:LINE of the first bug that the sanitizer saw, from the project's directory.
    """

    text: str
    rows: str = ""
    source: str | None = None


class TracingSandbox(InstrumentedSandbox):
    """As InstrumentedSandbox, with the calls into the modules; without the sanitizer where that can't be
    had for the kernel.
    """

    def __init__(self, kernel: Kernel, cmdline: str, devices: Sequence[str]) -> None:
        asked = Instruments.of(sanitize=True)
        try:
            helper("sanitize", kernel, SILENT)
        except KscaffoldError:
            asked = NO_INSTRUMENTS
        super().__init__(kernel, asked, cmdline=cmdline, devices=devices)
        self.trace = CallTrace(self)

    @property
    def looks_for_leaks(self) -> bool:
        """False: note_second_run() unloads, after it has taken the calls."""
        return False

    def load(self, ko: str | Path, *, timeout: float = 10.0, **parameters: object) -> LoadReport:
        """As Sandbox.load()."""
        self.trace.take()
        report = super().load(ko, timeout=timeout, **parameters)
        if report.ok:
            self.trace.begin(report.file)
        return report


def note_second_run(request: pytest.FixtureRequest, guests: Sequence[Guest], used: Sequence[Sandbox]) -> None:
    """At the end of a test that is run again: write down what was seen. What is still loaded is unloaded, so
    that leaks are seen.
    """
    file = request.config.getoption(OPTION)
    bugs: list[tuple[str, str | None, str | None]] = []
    calls: list[Calls] = []
    for guest, sandbox in zip(guests, used, strict=False):
        if not file or not isinstance(sandbox, TracingSandbox) or guest.evidence.lost:
            continue
        sandbox.trace.take()
        calls += sandbox.trace.calls()
        for report in reversed(guest.evidence.loads):
            with contextlib.suppress(KscaffoldError, GuestFailure, OSError):
                sandbox.unload(report.module)
        with contextlib.suppress(KscaffoldError, OSError):
            bugs += [(flaw.text, flaw.where, _file(flaw.place, guest)) for flaw in sandbox.bugs()]
    if file:
        document = {
            "bugs": bugs,
            "rows": [one.row for one in calls],
            "last": [one.end for one in calls if one.is_last],
        }
        Path(file).write_text(json.dumps(document))


def _file(place: SourceLine | None, guest: Guest) -> str | None:
    """The whole path of a line's file: a build apart from the checkout has links to its sources."""
    files = [ko.parent / place.file for ko in guest.evidence.modules.values()] if place else []
    return next((os.fspath(file.resolve()) for file in files if file.is_file()), None)


def run_again(item: pytest.Item, guests: Sequence[Guest], seconds: float) -> SecondRun | None:
    """Run a failed test again, and say what that showed; None where it can't show anything, and for all but
    the first tests that fail. `seconds`: what the first run took.
    """
    config = item.config
    if not _is_worth_it(config, guests):
        return None
    config.stash[_DONE] = config.stash.get(_DONE, 0) + 1
    with scratch_directory() as place:
        file = place / "seen"
        try:
            done = process.run(
                _argv(item, guests[0].kernel.release, file),
                timeout=_TIMEOUT + _SLOWER * seconds,
                cwd=config.invocation_params.dir,
                env={name: value for name, value in process.environment().items() if not _is_pytests(name)},
            )
        except KscaffoldError:
            return None
        if not file.is_file():
            return None
        return _summary(json.loads(reader.read_text(file)), config.rootpath, passed=done.returncode == 0)


def waits_for_lock(guests: Sequence[Guest]) -> bool:
    """Whether a program did not end because it waits for a lock: the line where it waits is known then, and
    not the one that keeps the lock.
    """
    places = [one.evidence.place for one in guests if one.evidence.late]
    texts = (dict(place.lines).get(place.line, "") for place in places if place)
    return any(_LOCKING.search(text) for text in texts)


def _is_worth_it(config: pytest.Config, guests: Sequence[Guest]) -> bool:
    most = int(config.getoption("--kscaffold-second-runs"))
    others = (OPTION, "--kscaffold-instruments")
    if any(config.getoption(one) for one in others) or config.stash.get(_DONE, 0) >= most:
        return False
    if any(guest.evidence.lost for guest in guests):
        return False
    if any(guest.evidence.late for guest in guests):
        # It may take its whole deadline again: one such test a pytest, and only for what that can show.
        if not waits_for_lock(guests) or config.stash.get(_WAITED, False):
            return False
        config.stash[_WAITED] = True
    return any(report.ok for guest in guests for report in guest.evidence.loads)


def _is_pytests(name: str) -> bool:
    """Whether a variable is for the first pytest, or for a worker of pytest-xdist."""
    return name.startswith("PYTEST_")


def _argv(item: pytest.Item, release: str, file: Path) -> list[str]:
    """pytest's command line for one test: without the options of the project's settings, which may write
    reports or begin workers.
    """
    config = item.config
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "kscaffold",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
    ]
    words += ["--rootdir", str(config.rootpath), "--import-mode", str(config.getoption("importmode"))]
    words += ["-c", str(config.inipath)] if config.inipath else []
    words += [OPTION, str(file)]
    if "_kscaffold_kernel" in getattr(getattr(item, "callspec", None), "params", {}):
        words += ["--kscaffold-kernel", release]
    project = config.getoption("--kscaffold-project")
    words += ["--kscaffold-project", str(project)] if project else []
    if config.getoption("--kscaffold-apart") or len(config.getoption("--kscaffold-kernel") or ()) > 1:
        words.append("--kscaffold-apart")
    return [*words, f"{item.path}::{item.nodeid.partition('::')[2]}"]


def _summary(seen: dict[str, Any], project: Path, *, passed: bool) -> SecondRun | None:
    lines: list[str] = []
    source: str | None = None
    for text, where, file in dict.fromkeys(map(tuple, seen["bugs"])):  # each load of a module may have one
        lines.append(f"in a second run the sanitizer saw: {text}" + (f" ({where})" if where else ""))
        if source is None and file:
            source = f"{os.path.relpath(file, project)}:{where.rpartition(':')[2]}"
    lines += [f"in a second run the last call that reached the module: {one}" for one in seen["last"]]
    if passed:
        lines.append("in a second run it passed")
    return SecondRun("\n".join(lines), "\n".join(seen["rows"]), source) if lines else None

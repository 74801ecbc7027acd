"""Tests with instruments: which sandbox their guests have, and the counters that each leaves behind."""

import base64
import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from kscaffold.errors import KscaffoldError
from kscaffold.files import reader
from kscaffold.instrument.coverage import Counters, Coverage, add_counters, coverage_of, gcov_of
from kscaffold.instrument.sandbox import InstrumentedSandbox
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.request import Instruments
from kscaffold.load.sandbox import Sandbox
from kscaffold.testing.guest import Guest, GuestFailure
from kscaffold.testing.second_run import OPTION, TracingSandbox


@contextlib.contextmanager
def sandbox_of(
    config: pytest.Config, kernel: Kernel, cmdline: str, devices: Sequence[str] = ()
) -> Iterator[Sandbox]:
    """The sandbox of a guest, by pytest's options."""
    if config.getoption(OPTION):
        with TracingSandbox(kernel, cmdline, devices) as tracing:
            yield tracing
        return
    words = str(config.getoption("--kscaffold-instruments") or "")
    if not words:
        with Sandbox(kernel, cmdline=cmdline, devices=devices) as plain:
            yield plain
        return
    asked, fail = Instruments.named(words.split(",")), int(config.getoption("--kscaffold-fail"))
    sandbox = InstrumentedSandbox(kernel, asked, cmdline=cmdline, devices=devices, fail=fail)
    with sandbox:
        yield sandbox
        directory = config.getoption("--kscaffold-counts")
        if directory:
            _keep(Path(directory), sandbox)


def _keep(directory: Path, sandbox: InstrumentedSandbox) -> None:
    counters = sandbox.counters()
    if counters:
        document = {
            "counters": {n: base64.b64encode(data).decode() for n, data in counters.items()},
            "homes": {os.fspath(copied): os.fspath(home) for copied, home in sandbox.homes().items()},
        }
        directory.mkdir(exist_ok=True)
        (directory / f"{uuid.uuid4().hex}.counts").write_text(json.dumps(document))


def note_calls(request: pytest.FixtureRequest, guests: Sequence[Guest], sandboxes: Sequence[Sandbox]) -> None:
    """At a test's end, where calls after init are made to fail: write down the calls of its first guest, and
    what is wrong there. What the test left loaded is unloaded, so that leaks are seen.
    """
    directory = request.config.getoption("--kscaffold-counts")
    sandbox = sandboxes[0] if sandboxes else None
    if not directory or not isinstance(sandbox, InstrumentedSandbox) or not sandbox.has_faults:
        return
    guest = guests[0]
    calls = sandbox.calls()
    for report in reversed(guest.evidence.loads):
        with contextlib.suppress(KscaffoldError, GuestFailure):
            guest.try_unload(report.module)
    wrong = [(c.kind, c.summary, c.where, c.fatal) for c in guest.complaints()]
    if guest.evidence.lost:
        wrong.append(("lost", "the guest was lost: its kernel crashed, or hangs", None, True))
    else:
        wrong += [(f.kind, f.text, f.where, False) for f in sandbox.bugs()]
    document = {"test": request.node.nodeid, "calls": calls, "places": sandbox.places(calls), "wrong": wrong}
    Path(directory).mkdir(exist_ok=True)
    (Path(directory) / f"{uuid.uuid4().hex}.calls").write_text(json.dumps(document))


def coverage_in(directory: Path, project: Path, kernel: Kernel) -> Coverage:
    """The coverage of all tests that left their counters in a directory. Raises KscaffoldError KS733."""
    counters: Counters = {}
    homes: dict[Path, Path] = {}
    for file in sorted(directory.glob("*.counts")):
        document = json.loads(reader.read_text(file))
        add_counters(counters, {n: base64.b64decode(data) for n, data in document["counters"].items()})
        homes |= {Path(copied): Path(home) for copied, home in document["homes"].items()}
    return coverage_of(counters, homes, gcov_of(kernel), {}, project)

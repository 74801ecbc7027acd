"""Tests with instruments: which sandbox their guests have, and the counters that each leaves behind."""

import base64
import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from kscaffold.files import reader
from kscaffold.instrument.coverage import Counters, Coverage, add_counters, coverage_of, gcov_of
from kscaffold.instrument.sandbox import InstrumentedSandbox
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.request import Instruments
from kscaffold.load.sandbox import Sandbox


@contextlib.contextmanager
def sandbox_of(config: pytest.Config, kernel: Kernel, cmdline: str) -> Iterator[Sandbox]:
    """The sandbox of a guest, by pytest's options."""
    words = str(config.getoption("--kscaffold-instruments") or "")
    if not words:
        with Sandbox(kernel, cmdline=cmdline) as plain:
            yield plain
        return
    sandbox = InstrumentedSandbox(kernel, Instruments.named(words.split(",")), cmdline=cmdline)
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
        (directory / uuid.uuid4().hex).write_text(json.dumps(document))


def coverage_in(directory: Path, project: Path, kernel: Kernel) -> Coverage:
    """The coverage of all tests that left their counters in a directory. Raises KscaffoldError KS733."""
    counters: Counters = {}
    homes: dict[Path, Path] = {}
    for file in sorted(directory.iterdir()) if directory.is_dir() else ():
        document = json.loads(reader.read_text(file))
        add_counters(counters, {n: base64.b64decode(data) for n, data in document["counters"].items()})
        homes |= {Path(copied): Path(home) for copied, home in document["homes"].items()}
    return coverage_of(counters, homes, gcov_of(kernel), {}, project)

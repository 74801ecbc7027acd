"""The fake world at the edge: a home of the test's own, the real command through main()."""

import compileall
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from kscaffold.cli.app import main
from kscaffold.sandbox.live import registry

# Fixtures that more than one room uses: a real kernel, a mirror without a network.
pytest_plugins = (
    "tests.support.accounts",
    "tests.support.kernels",
    "tests.support.kdirs",
    "tests.support.mirror",
)

# A job of a script (`sh tests/run.sh &`) is born deaf to Ctrl-C, and so would be all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is the machine's affair. A fixture serves all of a test's examples.
settings.register_profile(
    "here", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("here")

ROOT = Path(__file__).resolve().parent.parent
# The caches of kernels are the user's own: fetched once per machine, kept out of the tests' homes.
REAL_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
# What CI declares as required: a missing tool is a failure there, not a skip.
REQUIRED = set(os.environ.get("KSCAFFOLD_REQUIRE", "").replace(",", " ").split())


def pytest_configure(config: pytest.Config) -> None:
    """Write kscaffold's bytecode, which is there where kscaffold is installed. Where PYTHONDONTWRITEBYTECODE
    is set, each of a thousand processes that tests start would compile all that it imports.
    """
    if not hasattr(config, "workerinput"):  # of pytest-xdist: once, before its workers start
        assert compileall.compile_dir(ROOT / "kscaffold", quiet=1)


def missing(what: str, mend: str) -> None:
    """Skip a test for want of a tool; fail where KSCAFFOLD_REQUIRE names it."""
    if what in REQUIRED or "all" in REQUIRED:
        pytest.fail(f"{what} is required here and missing; mend it with: {mend}", pytrace=False)
    pytest.skip(f"{what} is missing; mend it with: {mend}")


def need_program(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        missing(name, f"apt-get install {package}")
    assert path
    return path


@dataclass(frozen=True)
class Ran:
    """One run of the command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one document on stdout."""
        document = json.loads(self.out)
        assert document["schema"] == 1
        return document


@pytest.fixture(autouse=True)
def own_world(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home, and a runtime directory short enough for a socket; the cache of kernels stays shared.

    Sandboxes that a test leaves are stopped after it.
    """
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(REAL_CACHE))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("KSCAFFOLD_ACCEL", "tcg")
    with tempfile.TemporaryDirectory(prefix="ks-", dir="/tmp", ignore_cleanup_errors=True) as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        yield home
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        for card in registry.all_sandboxes():
            registry.stop_sandbox(card.project)


@pytest.fixture
def ks(capfd: pytest.CaptureFixture[str]):
    """Run kscaffold in this process: ks("new", "hello") gives status, out and err."""

    def run(*argv: str | Path) -> Ran:
        capfd.readouterr()
        status = main([str(a) for a in argv])
        captured = capfd.readouterr()
        return Ran(status, captured.out, captured.err)

    return run

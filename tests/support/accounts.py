"""Two accounts of this machine for as long as a test runs: made and removed by root, as in CI."""

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT, Ran, missing
from tests.support.worlds import World

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_IMPORTS = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])


def _interpreter() -> str:
    """This Python, or the distribution's of the same version where this one is in root's home."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for path in (
        os.path.realpath(sys.executable),
        f"/usr/bin/python{version}",
        f"/usr/local/bin/python{version}",
    ):
        above = Path(path).parents
        if os.path.exists(path) and all(place.stat().st_mode & 0o001 for place in above):
            return path
    missing("accounts", f"install python{version} where every user can run it")
    raise AssertionError


@dataclass(frozen=True)
class Account:
    """A user with a home; `run` starts a command as that user."""

    name: str
    uid: int
    gid: int
    home: Path

    def python(self, *argv: str, cwd: Path | None = None, umask: int = 0o022, **env: str) -> Ran:
        """Python with this kscaffold, in an environment that has nothing but HOME, PATH and `env`."""
        done = subprocess.run(
            [_interpreter(), "-B", *argv],
            cwd=cwd or self.home,
            env={"HOME": str(self.home), "PATH": _PATH, "PYTHONPATH": _IMPORTS, **env},
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            umask=umask,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def ks(self, *argv: str | Path, cwd: Path | None = None, umask: int = 0o022, **env: str) -> Ran:
        """kscaffold as this user."""
        return self.python("-m", "kscaffold", *map(str, argv), cwd=cwd, umask=umask, **env)

    def own(self, *paths: Path) -> None:
        """Give files to this user."""
        for path in paths:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def store_kernel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put a World's kernel into this user's cache, and give all of that to this user."""
        cache = self.home / ".cache"
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        World().stored()
        self.own(cache, *cache.rglob("*"))


@contextmanager
def _account(name: str) -> Iterator[Account]:
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True, capture_output=True)
    try:
        entry = pwd.getpwnam(name)
        yield Account(name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))
    finally:
        shutil.rmtree(f"/tmp/kscaffold-{entry.pw_uid}", ignore_errors=True)
        subprocess.run(["userdel", "--remove", name], check=True, capture_output=True)


@pytest.fixture
def accounts() -> Iterator[tuple[Account, Account]]:
    """Two users who are no friends."""
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        missing("accounts", "run the tests as root, with useradd (Debian's package passwd)")
    with _account(f"ksa{os.getpid()}") as one, _account(f"ksb{os.getpid()}") as other:
        yield one, other

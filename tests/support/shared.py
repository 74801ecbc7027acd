"""What one test session makes once, whichever of pytest-xdist's workers asks for it first."""

import functools
import hashlib
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kscaffold.files.lock import wait_for_lock
from kscaffold.kernel.kernel import Kernel

T = TypeVar("T")
_TIMEOUT = 900.0  # s that another worker may take


@functools.cache
def session_directory() -> Path:
    """A directory of this session: of all workers, which pytest-xdist gives one name."""
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if session is None:
        return Path(tempfile.mkdtemp(prefix="ks-session-"))
    place = Path(tempfile.gettempdir(), f"ks-session-{session}")
    place.mkdir(mode=0o700, exist_ok=True)
    return place


def once(name: str, kernel: Kernel, more: tuple[str, ...], make: Callable[[Path], T]) -> T:
    """What `make` returns, called once in a session for a kernel and `more` words. It gets the path of a
    directory to make. Later callers get copies of the answer; where `make` raised, the next one tries anew.
    """
    key = "\0".join((kernel.release, str(kernel.build), *more))
    name = f"{name}-{hashlib.blake2b(key.encode(), digest_size=6).hexdigest()}"
    place = session_directory() / name
    answer = place.with_name(f"{name}.answer")
    with place.with_name(f"{name}.lock").open("w") as lock:
        assert wait_for_lock(lock.fileno(), _TIMEOUT), f"{name} is not made in {_TIMEOUT:g} s"
        if not answer.exists():
            shutil.rmtree(place, ignore_errors=True)
            answer.write_bytes(pickle.dumps(make(place)))
    made: T = pickle.loads(answer.read_bytes())
    return made

"""The executor that a word of the command line names: any of concurrent.futures."""

import contextlib
import importlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Any

from kscaffold.errors import KscaffoldError, UsageError


@contextlib.contextmanager
def open_executor(word: str) -> Iterator[Executor]:
    """`dask`: workers of this machine; `dask:ADDRESS`: those of a Dask cluster; `MODULE:NAME`: what the
    function or class of that name gives. Closed at the end.

    Raises UsageError KS657 for what is no executor, KscaffoldError KS658 where Dask is missing.
    """
    module, _, name = word.partition(":")
    if module == "dask":
        with _dask(name) as executor:
            yield executor
        return
    made = _made(module, name, word)()
    if not isinstance(made, Executor):
        raise _no_executor(word, f"it gives a {type(made).__name__}")
    with made as executor:
        yield executor


def _made(module: str, name: str, word: str) -> Callable[[], object]:
    if not name:
        raise _no_executor(word, "it has no `:`")
    try:
        found: Callable[[], object] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise _no_executor(word, str(error)) from None
    if not callable(found):
        raise _no_executor(word, "it can't be called")
    return found


def _no_executor(word: str, why: str) -> UsageError:
    fix = "--executor dask, dask:ADDRESS or MODULE:NAME (concurrent.futures:ProcessPoolExecutor)"
    return UsageError("KS657", f"{word!r} names no executor", cause=why, fix=fix)


@contextlib.contextmanager
def _dask(address: str) -> Iterator[Executor]:
    try:
        # start-up time: a library that few install; it has no types
        distributed: Any = importlib.import_module("distributed")
    except ImportError:
        fix = "pip install 'kscaffold[dask]'"
        raise KscaffoldError("KS658", "Dask is not installed", fix=fix) from None
    with contextlib.ExitStack() as stack:
        # Processes with one thread each: a job starts programs, and waits for them.
        cluster = address or stack.enter_context(
            distributed.LocalCluster(threads_per_worker=1, processes=True, dashboard_address=None)
        )
        client = stack.enter_context(distributed.Client(cluster))
        executor: Executor = client.get_executor(retries=0)
        yield executor

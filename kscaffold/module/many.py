"""Check many modules, on all cores where that pays."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.kernel.kernel import Kernel
from kscaffold.module.check import NO_TRUST, CheckReport, Trust, check, unreadable

T = TypeVar("T")
_SUFFIXES = (".ko", ".ko.xz", ".ko.gz", ".ko.zst")
# Below it a second process costs more than it saves.
_WORTH_PROCESSES = 48


def modules_in(paths: Sequence[Path]) -> list[Path]:
    """The .ko files meant: files as they are, directories with all that is in them, each sorted.

    Raises UsageError (KS401) for what isn't there, (KS419) for a directory without any.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            if not os.path.lexists(path):
                raise UsageError("KS401", f"there is no {path}", fix="kscaffold build")
            files.append(path)
            continue
        inside = sorted(
            Path(where, name)
            for where, _, names in os.walk(path)
            for name in names
            if name.endswith(_SUFFIXES)
        )
        if not inside:
            raise UsageError("KS419", f"there is no .ko in {path}", fix="kscaffold build")
        files += inside
    return files


def check_many(
    paths: Sequence[Path],
    kernel: Kernel | None,
    convert: Callable[[CheckReport], T],
    arguments: Sequence[str] = (),
    trust: Trust = NO_TRUST,
) -> Iterator[T]:
    """What `convert` makes of each .ko's report, in order. A .ko of several that can't be read is a report
    with that finding, no exception: the others shall have their answer.

    `convert` runs where the report is made, in one of several processes: it is a function of a module.
    """
    if len(paths) == 1:
        yield convert(check(paths[0], kernel=kernel, arguments=arguments, trust=trust))
        return
    if len(paths) >= _WORTH_PROCESSES:
        trust = replace(trust, thorough=False)
    one = partial(_check_one, kernel=kernel, convert=convert, arguments=tuple(arguments), trust=trust)
    cores = os.cpu_count() or 1
    if len(paths) < _WORTH_PROCESSES or cores == 1:
        yield from map(one, paths)
        return
    import multiprocessing  # start-up time

    if kernel is not None:
        one(paths[0])  # the kernel's facts are read once, here, and shared with all by fork
    # Ctrl-C is this process's to answer; the others end with it.
    quiet = (signal.SIGINT, signal.SIG_IGN)
    with multiprocessing.get_context("fork").Pool(cores, signal.signal, quiet) as pool:
        yield from pool.imap(one, paths, chunksize=16)


def _check_one(
    path: Path,
    *,
    kernel: Kernel | None,
    convert: Callable[[CheckReport], T],
    arguments: tuple[str, ...],
    trust: Trust,
) -> T:
    try:
        return convert(check(path, kernel=kernel, arguments=arguments, trust=trust))
    except KscaffoldError as error:
        return convert(unreadable(path, kernel, error))

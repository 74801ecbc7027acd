"""This checkout beside an older one: the same commands in turn, each in a home of its own, as ratios.

Wall and processor time of whole processes. The bars are those that the last work on speed was given, against
the commit before it.
"""

import contextlib
import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench.timing import BenchError, Took, checked
from tests.bench.world import ROOT, World, enter, home_of


@dataclass(frozen=True, slots=True)
class Pair:
    """A command that both take. `words`: its command line in hello; `before`: command lines before each time,
    which do not count. `wall`, `cpu`: the most that the ratio new to old may be, None without a bar.
    """

    name: str
    words: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    wall: float | None = None
    cpu: float | None = None


PAIRS = (
    Pair("--version", ("--version",), wall=1.0),
    Pair("run", ("run",), wall=0.70, cpu=0.60),
    Pair("run --repeat 20", ("run", "--repeat", "20"), wall=0.65, cpu=0.60),
    Pair("load, sandbox up", ("load",), (("reload",), ("unload",)), wall=0.75),
    Pair("check, one .ko", ("check", "hello.ko"), wall=0.70),
    Pair("build, nothing to do", ("build",), wall=1.0),
)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A pair, measured: medians in seconds of the new and the old, and of the ratios of each turn."""

    name: str
    count: int
    new: float
    old: float
    wall: float
    cpu: float
    wall_bar: float | None
    cpu_bar: float | None


def measure_against(
    made: World, revision: str, turns: int, word: str, say: Callable[[str], None]
) -> list[Ratio]:
    """Each pair whose name has `word`, so many turns after one that does not count. `revision`: a commit, or
    the directory of a checkout. Raises BenchError where that can't be had, or a command fails.
    """
    with _older(made, revision) as older:
        sides = (made, older)
        for side in sides:
            with _in(side):
                _kscaffold(side, "run")  # makes the snapshot
        found = [_measured(pair, sides, turns, say) for pair in PAIRS if word in pair.name]
        for side in sides:
            with _in(side):
                _kscaffold(side, "sandbox", "stop")
    return found


def _measured(pair: Pair, sides: tuple[World, World], turns: int, say: Callable[[str], None]) -> Ratio:
    taken: tuple[list[Took], list[Took]] = ([], [])
    for turn in range(turns + 1):
        say(f"{f'turn {turn} of {turns}' if turn else 'warm-up'}: {pair.name}")
        for side, times in zip(sides, taken, strict=True):
            with _in(side):
                for words in pair.before:
                    _kscaffold(side, *words)
                took = _kscaffold(side, *pair.words)
            if turn:
                times.append(took)
    new, old = taken
    return Ratio(
        pair.name,
        turns,
        median(t.seconds for t in new),
        median(t.seconds for t in old),
        median(n.seconds / o.seconds for n, o in zip(new, old, strict=True)),
        median(n.cpu / o.cpu for n, o in zip(new, old, strict=True)),
        pair.wall,
        pair.cpu,
    )


def _kscaffold(side: World, *words: str) -> Took:
    return checked(side.command(*words), cwd=side.hello)[0]


@contextlib.contextmanager
def _in(side: World) -> Iterator[None]:
    """This process's environment as `side` has it."""
    before = dict(os.environ)
    try:
        home_of(side.place, side.code)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _older(made: World, revision: str) -> Iterator[World]:
    """The older checkout in a home of its own, with hello built; its sandbox is stopped at the end."""
    place = made.place / "older"
    place.mkdir()
    code = Path(revision).resolve() if Path(revision).is_dir() else _unpacked(revision, place / "code")
    before = dict(os.environ)
    try:
        kernels = Path(os.environ["XDG_CACHE_HOME"]) / "kscaffold/kernels"
        enter(place, code)
        (place / "cache/kscaffold").mkdir(exist_ok=True)
        (place / "cache/kscaffold/kernels").symlink_to(kernels)
        older = World(place, made.kernel, place / "hello", made.plain, made.sets, code)
        checked(older.command("new", "hello"), cwd=place)
        checked(older.command("build"), cwd=older.hello)
    finally:
        os.environ.clear()
        os.environ.update(before)
    try:
        yield older
    finally:
        with _in(older):
            checked(older.command("sandbox", "stop"), cwd=older.hello)


def _unpacked(revision: str, code: Path) -> Path:
    """The files of a commit. Raises BenchError where git has none of that name."""
    git = ["git", "-C", str(ROOT), "archive", "--format=tar", revision]
    archive = subprocess.run(git, capture_output=True, timeout=60, check=False)
    if archive.returncode:
        raise BenchError(f"--against {revision}: {archive.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
        packed.extractall(code, filter="data")
    return code


def lines(revision: str, ratios: list[Ratio]) -> list[str]:
    """A table for people."""
    width = max(len(one.name) for one in ratios)
    head = f"{f'beside {revision[:12]}':<{width}}    n     new     old    wall   bar  met     cpu   bar  met"
    return [head, "-" * len(head), *(_line(one, width) for one in ratios)]


def _line(one: Ratio, width: int) -> str:
    def part(ratio: float, bar: float | None) -> str:
        met = "" if bar is None else "yes" if ratio <= bar else "no"
        return f"x{ratio:5.2f}  {'' if bar is None else f'{bar:.2f}':>4}  {met:>3}"

    times = f"{one.new:6.3f}  {one.old:6.3f}"
    ratios = f"{part(one.wall, one.wall_bar)}  {part(one.cpu, one.cpu_bar)}"
    return f"{one.name:<{width}}  {one.count:3}  {times}  {ratios}"

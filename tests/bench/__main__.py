"""How fast kscaffold is, and what it costs in memory. From the checkout, in its virtual environment:

    python -m tests.bench                      all figures, about five minutes without KVM
    python -m tests.bench --json figures.json  the same, kept
    python -m tests.bench --only load          those whose name has the word, and what they are compared with
    python -m tests.bench --boots 100 --busy 3 cold boots beside busy loops: none may be lost
    python -m tests.bench --against REV        the daily commands beside those of an older commit, as ratios

Each figure is a whole process, started and reaped; after a warm-up all cases run in turns, so that the
ratios of one run hold on a busy machine, where the seconds don't. `bar` is what the project promises, for
2 cores without KVM; whether it is met is told, and never the exit status.

It works in a directory of its own under /tmp and takes only the kernel from the user's cache (one is
fetched where there is none). What it starts has ended when it ends; nothing is left.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kscaffold import __version__, process
from kscaffold.errors import KscaffoldError
from tests.bench import against, boots, cases, instruments, machines, memory, plain, table, testing
from tests.bench.timing import BenchError, Case, Row, measure
from tests.bench.world import World, world


def main() -> int:
    """0 when everything could be measured."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    given = _options()
    try:
        with world(given.kernel) as made:
            work = _against if given.against else _boots if given.boots else _figures
            document = {"machine": _machine(made), **work(made, given)}
    except KeyboardInterrupt:
        return 130
    except (BenchError, KscaffoldError, subprocess.SubprocessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if given.json:
        given.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=15, metavar="N", help="of what takes tenths of a second")
    parser.add_argument("--slow", type=int, default=5, metavar="N", help="turns of what takes seconds")
    parser.add_argument("--warm-up", type=int, default=1, metavar="N", help="turns before that don't count")
    parser.add_argument("--sets", type=int, default=20, metavar="N", help="parameter sets of the one run")
    parser.add_argument("--only", default="", metavar="WORD", help="cases whose name has it")
    parser.add_argument("--this-machine", action="store_true", help="no guests of other machines")
    parser.add_argument("--kernel", metavar="R", help="release, as kscaffold takes it")
    parser.add_argument("--boots", type=int, default=0, metavar="N", help="only so many cold boots")
    parser.add_argument("--busy", type=int, default=3, metavar="N", help="busy loops beside them")
    parser.add_argument("--against", default="", metavar="REV", help="only beside this commit, or directory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    return parser.parse_args()


def _figures(made: World, given: argparse.Namespace) -> dict[str, Any]:
    rows: list[Row] = []
    every_day = cases.every_day(made)
    restore = [case for case in every_day if case.name == "bare restore"]
    groups = [(every_day, given.turns), (cases.rare(made, given.sets), given.slow)]
    groups.append(([*restore, *testing.cases(made)], given.slow))
    here = [case for case in every_day if case.name in machines.HERE]
    if not given.this_machine:
        groups.append(([*here, *machines.cases(made)], given.slow))
    groups.append((instruments.cases(made), given.slow))
    if any(given.only in name for name in plain.NAMES):
        groups.append((plain.cases(made), given.slow))
    for group, turns in groups:
        chosen = _chosen(group, given.only)
        rows += measure(chosen, turns, given.warm_up, _say) if chosen else []
    amounts = [] if given.only else memory.measure(made)
    _say("")
    _print([_described(made)], table.times(rows) if rows else [], table.amounts(amounts) if amounts else [])
    return {
        "times": [{**asdict(row), "met": row.met} for row in rows],
        "memory": [asdict(amount) for amount in amounts],
    }


def _chosen(group: list[Case], word: str) -> list[Case]:
    """The cases that are meant, and those they are compared with, in the group's order."""
    meant = [case for case in group if word in case.name]
    needed = {name for case in meant for name in (case.name, *case.against)}
    return [case for case in group if case.name in needed]


def _boots(made: World, given: argparse.Namespace) -> dict[str, Any]:
    report = boots.boots(made, given.boots, given.busy, _say)
    _say("")
    _print([_described(made)], boots.lines(report))
    return {"boots": asdict(report)}


def _against(made: World, given: argparse.Namespace) -> dict[str, Any]:
    ratios = against.measure_against(made, given.against, given.turns, given.only, _say)
    _say("")
    _print([_described(made)], against.lines(given.against, ratios))
    return {"against": [asdict(one) for one in ratios]}


def _machine(made: World) -> dict[str, Any]:
    qemu = process.run([made.planned().program, "--version"], timeout=10).stdout.splitlines()[0]
    return {
        "kscaffold": __version__,
        "python": platform.python_version(),
        "qemu": qemu,
        "kernel": made.kernel.release,
        "accelerator": made.planned().machine.accelerator,
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
    }


def _described(made: World) -> str:
    facts = _machine(made)
    cores = f"{facts['cores']} cores (load {facts['load']:.1f})"
    return f"kernel {facts['kernel']}, {facts['accelerator']}, {cores}, Python {facts['python']}"


def _say(text: str) -> None:
    """What is going on: one line that is written over on a terminal, and nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _print(*blocks: list[str]) -> None:
    print("\n\n".join("\n".join(block) for block in blocks if block))


if __name__ == "__main__":
    sys.exit(main())

"""What the instruments cost, each beside a plain run of the same module; helpers and copies are there."""

import os
import re
from pathlib import Path

from tests.bench.timing import BenchError, Case, Took, checked
from tests.bench.world import World

CALLS = 30
"""Calls of init that fail, one at a time."""
_PAIRS = 100_000
_PLAIN = "kscaffold run, hello, beside the instruments"
_PAIR = re.compile(r"(\d+) pairs took (\d+) ns")
_MODULE = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/slab.h>

{body}
module_init(one_init);
module_exit(one_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("is measured");
"""
_MANY = f"""\
static void *held[{CALLS}];

static void one_exit(void)
{{
	int i;

	for (i = 0; i < {CALLS}; i++)
		kfree(held[i]);
}}

static int __init one_init(void)
{{
{{calls}}
	return 0;
fail:
	one_exit();
	return -ENOMEM;
}}
"""
_TIMED = f"""\
static int __init one_init(void)
{{
	u64 began = ktime_get_ns();
	int i;

	for (i = 0; i < {_PAIRS}; i++) {{
		void *p = kmalloc(64, GFP_KERNEL);

		barrier_data(p);
		kfree(p);
	}}
	pr_info("{_PAIRS} pairs took %llu ns\\n", ktime_get_ns() - began);
	return 0;
}}

static void __exit one_exit(void)
{{
}}
"""


def cases(world: World) -> list[Case]:
    """`run` of hello by itself, with the sanitizer and with counters; allocations; failing calls."""
    many, pairs = _many(world.place), _project(world.place, "pairs", _TIMED)
    cores = len(os.sched_getaffinity(0))
    return [
        Case(_PLAIN, lambda: world.kscaffold("run"), prepare=world.freeze),
        _beside(world, world.hello, "--sanitize", "hello", 2.0),
        _beside(world, world.hello, "--coverage", "hello", 1.3),
        Case("a pair of kmalloc and kfree", lambda: _pair(world, pairs)),
        Case(
            "a pair of kmalloc and kfree, --sanitize",
            lambda: _pair(world, pairs, "--sanitize"),
            against=("a pair of kmalloc and kfree",),
            bar_ratio=20.0,
        ),
        Case(f"kscaffold run, an init of {CALLS} calls", lambda: world.kscaffold("run", at=many)),
        Case(
            f"kscaffold run --faults, an init of {CALLS} calls",
            lambda: world.kscaffold("run", "--faults", at=many, timeout=300),
            prepare=lambda: world.kscaffold("run", "--faults", at=many, timeout=300) if _new(many) else None,
            against=(f"kscaffold run, an init of {CALLS} calls",),
            bar_ratio=35.0 / cores,
        ),
    ]


def _beside(world: World, at: Path, option: str, what: str, ratio: float) -> Case:
    """A run with an instrument, its helper and copies built by an earlier one."""
    return Case(
        f"kscaffold run {option}, {what}",
        lambda: world.kscaffold("run", option, at=at),
        prepare=lambda: world.kscaffold("run", option, at=at, timeout=300) if _new(at / option) else None,
        against=(_PLAIN,),
        bar_ratio=ratio,
    )


_ready: set[Path] = set()


def _new(what: Path) -> bool:
    """Whether this is asked for the first time."""
    is_new = what not in _ready
    _ready.add(what)
    return is_new


def _pair(world: World, at: Path, *options: str) -> Took:
    """Seconds for one pair, as the guest's own clock has them."""
    text = checked(world.command("run", *options), cwd=at, timeout=300)[1]
    found = _PAIR.search(text)
    if found is None:
        raise BenchError(f"the module did not say how long its pairs took\n{text[-2000:]}")
    seconds = int(found[2]) / int(found[1]) / 1e9
    return Took(seconds, seconds)


def _many(place: Path) -> Path:
    each = "\theld[{n}] = kmalloc(32, GFP_KERNEL);\n\tif (!held[{n}])\n\t\tgoto fail;"
    calls = "\n".join(each.replace("{n}", str(n)) for n in range(CALLS))
    return _project(place, "many", _MANY.replace("{calls}", calls))


def _project(place: Path, name: str, body: str) -> Path:
    here = place / name
    here.mkdir()
    (here / f"{name}.c").write_text(_MODULE.replace("{body}", body))
    (here / "Kbuild").write_text(f"obj-m := {name}.o\n")
    return here

"""The instruments on projects that kscaffold did not make: several files, directories below, their own make,
modules that use each other.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.support.kernels import need_kernel
from tests.support.projects import write

pytestmark = [pytest.mark.sandbox, pytest.mark.kernel]

MAIN = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include "sub/part.h"

static int __init pair_init(void)
{
\treturn part_start();
}

static void __exit pair_exit(void)
{
\tpart_stop();
}

module_init(pair_init);
module_exit(pair_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("is made of two files");
"""
PART = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/slab.h>
#include "part.h"
#include "made.h"

static char *note, *other;

int part_start(void)
{
\tnote = kmalloc(SIZE, GFP_KERNEL);
\tif (!note)
\t\treturn -ENOMEM;
\tother = kmalloc(MADE, GFP_KERNEL);
\tif (!other)
\t\treturn -ENOMEM;
\tnote[SIZE] = 1;
\treturn 0;
}

void part_stop(void)
{
\tkfree(other);
\tkfree(note);
}
"""
PART_H = "int part_start(void);\nvoid part_stop(void);\n"
BODY = "pair-y := main.o sub/part.o\nccflags-y := -DSIZE=$(SIZE)\n"
KBUILD_ALONE = f"SIZE := 24\nobj-m := pair.o\n{BODY}"
# Nothing is made without what its recipe gives, and a header that a rule makes.
OWN_MAKE = f"""\
obj-$(CONFIG_PAIR) := pair.o
{BODY}
all: sub/made.h
\t$(MAKE) -C /lib/modules/$(shell uname -r)/build M=$(CURDIR) CONFIG_PAIR=m SIZE=24 modules

sub/made.h:
\techo '#define MADE 40' > $@
"""
BELOW = "obj-m := deep/\n"


def line(text: str) -> int:
    return PART.splitlines().index(text) + 1


def files(directory: Path) -> dict[str, bytes]:
    return {str(f.relative_to(directory)): f.read_bytes() for f in directory.rglob("*") if f.is_file()}


@pytest.fixture(params=["Kbuild alone", "own make", "a directory below"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    here = tmp_path / "pair"
    at = here / "deep" if request.param == "a directory below" else here
    write(at, main__c=MAIN, sub_0_part__c=PART, sub_0_part__h=PART_H)
    if request.param == "own make":
        write(at, Makefile=OWN_MAKE)
    else:
        write(at, Makefile=KBUILD_ALONE, sub_0_made__h="#define MADE 40\n")
    if at != here:
        write(here, Makefile=BELOW)
    return here


def where(document: dict[str, Any]) -> tuple[str, int]:
    return Path(document["file"]).name, document["line"]


def test_every_instrument_finds_the_lines_of_each_file(ks, pair: Path):
    release = need_kernel("6.1").release
    assert ks("build", "--kernel", release, "-C", pair).status == 0
    before = files(pair)
    words = ("--sanitize", "--faults", "--coverage", "--json", "--kernel", release, "-C", pair)
    ran = ks("run", *words)
    assert ran.status == 1, ran.err
    assert files(pair) == before
    assert ran.json["sanitizer"]["unseen"] == []
    (report,) = ran.json["sanitizer"]["reports"]
    assert (report["kind"], where(report["where"])) == (
        "slab-out-of-bounds",
        ("part.c", line("\tnote[SIZE] = 1;")),
    )
    rows = ran.json["faults"]["rows"]
    assert [(where(r["where"]), r["outcome"]) for r in rows] == [
        (("part.c", line("\tnote = kmalloc(SIZE, GFP_KERNEL);")), "clean"),
        (("part.c", line("\tother = kmalloc(MADE, GFP_KERNEL);")), "leaked"),
    ]
    covered = {Path(f["file"]).name: f for f in ran.json["coverage"]["files"]}
    assert sorted(covered) == ["main.c", "part.c"]
    assert all(f["count"] for c in covered.values() for f in c["functions"])
    assert all(one["count"] for c in covered.values() for one in c["lines"])


LENDER = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include <linux/slab.h>

char *lend(void)
{
\treturn kmalloc(8, GFP_KERNEL);
}
EXPORT_SYMBOL_GPL(lend);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("lends memory");
"""
TAKER = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include <linux/slab.h>

char *lend(void);
static char *taken;

static int __init taker_init(void)
{
\ttaken = lend();
\tif (!taken)
\t\treturn -ENOMEM;
\ttaken[8] = 0;
\treturn 0;
}

static void __exit taker_exit(void)
{
\tkfree(taken);
}

module_init(taker_init);
module_exit(taker_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("takes memory");
"""


def test_every_instrument_on_modules_that_use_each_other(ks, tmp_path: Path):
    here = write(tmp_path / "two", lender__c=LENDER, taker__c=TAKER, Kbuild="obj-m := taker.o lender.o\n")
    release = need_kernel("6.1").release
    ran = ks("run", "--sanitize", "--faults", "--coverage", "--json", "--kernel", release, "-C", here)
    assert ran.status == 1, ran.err
    assert {r["module"]: r["loaded"] for r in ran.json["results"]} == {"lender": True, "taker": True}
    (report,) = ran.json["sanitizer"]["reports"]
    assert where(report["where"]) == ("taker.c", 13)
    assert [s["where"]["function"] for s in report["sites"]] == ["taker_init", "lend"]
    (row,) = ran.json["faults"]["rows"]
    assert (row["call"], where(row["where"]), row["outcome"]) == ("kmalloc", ("lender.c", 7), "clean")
    covered = {f["file"]: f for f in ran.json["coverage"]["files"]}
    assert {name: [f["count"] > 0 for f in c["functions"]] for name, c in covered.items()} == {
        "lender.c": [True],
        "taker.c": [True, True],
    }

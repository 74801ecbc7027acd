"""`run --coverage`: which lines and functions ran, of init and exit too, in all tries together."""

import struct
from pathlib import Path

import pytest

from kscaffold.instrument.coverage import FileCoverage, FunctionCount, read_counters
from tests.support.kernels import need_kernel
from tests.support.projects import write

SOURCE = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include "more.h"

static int way;
module_param(way, int, 0);

static int never(int n)
{
\treturn n * 3;
}

static int __init ways_init(void)
{
\tint i, sum = 0;

\tfor (i = 0; i < 10; i++)
\t\tsum += i;
\tif (way == 1)
\t\tpr_info("one %d\\n", sum);
\telse if (way == 2)
\t\tpr_info("two %d\\n", more(sum));
\tif (way == 3)
\t\treturn never(way);
\treturn 0;
}

static void __exit ways_exit(void)
{
\tif (way)
\t\tpr_info("a way\\n");
}

module_init(ways_init);
module_exit(ways_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("goes one way");
"""
MORE = '#include "more.h"\n\nint more(int n)\n{\n\treturn n + 1;\n}\n'
KBUILD = "obj-m := ways.o\nways-y := main.o sub/more.o\nccflags-y := -I$(src)\n"


def _gcda(*values: int) -> bytes:
    """What GCC 12's gcov_write would have written of one function."""
    head = struct.pack("<IIII", 0x67636461, 0x4232322A, 7, 8)
    function = struct.pack("<IIIII", 0x01000000, 12, 1, 2, 3)
    return (
        head
        + function
        + struct.pack("<II", 0x01A10000, 8 * len(values))
        + struct.pack(f"<{len(values)}Q", *values)
    )


def test_counters_of_one_object_are_summed():
    def listed(name: bytes, content: bytes) -> bytes:
        return name + b"\0" + struct.pack("<I", len(content)) + content

    data = (
        listed(b"/a.gcda", _gcda(1, 2**32 - 1))
        + listed(b"/b.gcda", _gcda(5))
        + listed(b"/a.gcda", _gcda(2, 1))
    )
    assert read_counters(data) == {"/a.gcda": _gcda(3, 2**32), "/b.gcda": _gcda(5)}
    assert read_counters(data[:-9]) != {}
    assert read_counters(b"") == {}
    # The module has written over a length.
    torn = bytearray(_gcda(3, 2**32))
    at = torn.index(struct.pack("<I", 0x01A10000)) + 4
    torn[at : at + 4] = b"\xff\xff\xff\x7f"
    one = b"/a.gcda\0" + struct.pack("<I", len(torn)) + torn
    assert len(read_counters(one * 2)["/a.gcda"]) == len(torn)


def test_lines_that_did_not_run_are_told_as_ranges():
    counts = {1: 1, 2: 0, 4: 0, 5: 2, 9: 0}
    file = FileCoverage("a.c", Path("/a.c"), counts, (FunctionCount("f", 1, 1), FunctionCount("g", 9, 0)))
    assert (file.ran, file.called, file.missing) == (2, 1, [(2, 4), (9, 9)])


@pytest.mark.sandbox
@pytest.mark.kernel
@pytest.mark.parametrize("series", ["6.1", "5.10", "6.12"])
def test_lines_and_functions_of_all_tries(ks, tmp_path: Path, series: str):
    here = write(tmp_path / "ways", main__c=SOURCE, more__h="int more(int n);\n", Kbuild=KBUILD)
    (here / "sub").mkdir()
    (here / "sub/more.c").write_text(MORE)
    release = need_kernel(series).release
    record = tmp_path / "ways.lcov"
    words = ("--kernel", release, "-C", here, "-p", "way=1", "-p", "way=2", "--lcov", record)
    ran = ks("run", "--coverage", "--json", *words)
    assert ran.status == 0, ran.err
    main, more = ran.json["coverage"]["files"]
    counts = {line["line"]: line["count"] for line in main["lines"]}
    lines = SOURCE.splitlines()

    def count(text: str) -> int:
        return counts[next(i for i, line in enumerate(lines, 1) if text in line)]

    assert [count(t) for t in ("sum += i", '"one', '"two', "return never", '"a way')] == [20, 1, 1, 0, 2]
    assert {f["name"]: f["count"] for f in main["functions"]} == {"never": 0, "ways_init": 2, "ways_exit": 2}
    assert (more["file"], more["functions"]) == ("sub/more.c", [{"name": "more", "line": 3, "count": 1}])
    text = record.read_text()
    assert f"SF:{here}/main.c\n" in text and "FNDA:2,ways_init\n" in text and "FNDA:0,never\n" in text
    assert not list(here.rglob("*.gcno"))


@pytest.mark.sandbox
@pytest.mark.kernel
def test_failing_calls_reach_error_paths(ks, tmp_path: Path):
    asks = '\tvoid *p = kmalloc(8, GFP_KERNEL);\n\n\tif (!p) {\n\t\tpr_info("none\\n");\n'
    asks += "\t\treturn -ENOMEM;\n\t}\n\tkfree(p);"
    source = SOURCE.replace("\tint i, sum = 0;\n", f"\tint i, sum = 0;\n{asks}\n")
    source = source.replace('#include "more.h"', "#include <linux/slab.h>").replace("more(sum)", "sum")
    here = write(tmp_path / "ways", ways__c=source, Kbuild="obj-m := ways.o\nccflags-y := -Wno-error\n")
    words = ("--coverage", "--kernel", need_kernel("6.1").release, "-C", here)
    ran = ks("run", *words)
    assert 'pr_info("none' in ran.out and "ways.c:8  never() was not called" in ran.out
    ran = ks("run", "--faults", *words)
    assert ran.status == 0, ran.err
    assert 'pr_info("none' not in ran.out and "ways.c:8  never() was not called" in ran.out

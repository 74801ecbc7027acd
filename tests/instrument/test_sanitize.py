"""`run --sanitize`: clean modules are silent, the user's files stay, and what is not seen is said."""

import shutil
from pathlib import Path

import pytest

from tests.support.kernels import need_kernel
from tests.support.projects import HELLO, identity, write

pytestmark = [pytest.mark.sandbox, pytest.mark.kernel]

OVERRUN = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include <linux/slab.h>

static int size = 24;
module_param(size, int, 0);

static int __init overrun_init(void)
{
\tchar *p = kmalloc(size, GFP_KERNEL);

\tif (!p)
\t\treturn -ENOMEM;
\tmemset(p, 0, 25);
\tkfree(p);
\treturn 0;
}

static void __exit overrun_exit(void)
{
}

module_init(overrun_init);
module_exit(overrun_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("sets a byte too many");
"""


@pytest.fixture
def release() -> str:
    return need_kernel("6.1").release


def project(directory: Path, name: str, source: str) -> Path:
    (directory / f"{name}.c").parent.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.c").write_text(source)
    return write(directory, Kbuild=f"obj-m := {name}.o\n")


def files(directory: Path) -> dict[str, tuple[int, int, int]]:
    return {str(f.relative_to(directory)): identity(f) for f in sorted(directory.rglob("*"))}


def test_a_clean_module_is_silent_and_its_files_stay(ks, tmp_path: Path, release: str):
    here = project(tmp_path / "hello", "hello", HELLO)
    assert ks("build", "--kernel", release, "-C", here).status == 0
    before = files(here)
    first = ks("run", "--sanitize", "--json", "--kernel", release, "-C", here)
    assert first.status == 0, first.err
    assert first.json["ok"] is True
    assert first.json["sanitizer"] == {"reports": [], "unseen": []}
    assert first.json["path"] == str(here / "hello.ko")
    assert [line["text"] for line in first.json["log"] if "sanit" in line["text"]] == []
    assert "Instrumenting" in first.err
    again = ks("run", "--sanitize", "--kernel", release, "-C", here)
    assert again.status == 0
    assert "Instrumenting" not in again.err
    assert "Clean" in again.err
    assert files(here) == before


def test_a_bug_is_told_with_its_line_and_those_of_its_memory(ks, tmp_path: Path, release: str):
    here = project(tmp_path / "overrun", "overrun", OVERRUN)
    ran = ks("run", "--sanitize", "--kernel", release, "-C", here)
    assert ran.status == 1
    assert "BUG: KASAN: slab-out-of-bounds in overrun_init+0x" in ran.out
    assert "write of 25 bytes at +0 of a 24-byte object (kmalloc)" in ran.out
    assert ">   14 |     memset(p, 0, 25);" in ran.out
    assert "allocated: overrun.c:10, overrun_init()" in ran.out
    assert "kscaffold explain KS701" in ran.out
    (report,) = ks("run", "--sanitize", "--json", "--kernel", release, "-C", here).json["sanitizer"][
        "reports"
    ]
    assert (report["kind"], report["code"], report["access"]) == ("slab-out-of-bounds", "KS701", "write")
    assert report["where"] == {"file": "overrun.c", "line": 14, "function": "overrun_init"}
    assert report["object"] == {"kind": "kmalloc", "size": 24, "offset": 0, "count": 1}
    assert [site["role"] for site in report["sites"]] == ["at", "alloc"]


def test_a_changed_source_is_instrumented_again(ks, tmp_path: Path, release: str):
    here = project(tmp_path / "overrun", "overrun", OVERRUN)
    assert ks("run", "--sanitize", "--kernel", release, "-C", here).status == 1
    project(here, "overrun", OVERRUN.replace("25", "24"))
    assert ks("run", "--sanitize", "--kernel", release, "-C", here).status == 0


def test_each_set_of_parameters_is_looked_at(ks, tmp_path: Path, release: str):
    here = project(tmp_path / "overrun", "overrun", OVERRUN)
    ran = ks("run", "--sanitize", "--json", "--kernel", release, "-C", here, "-p", "size=25", "-p", "size=20")
    assert ran.status == 1
    (report,) = ran.json["sanitizer"]["reports"]
    assert report["parameters"] == "size=20"
    assert [(r["parameters"], r["clean"]) for r in ran.json["results"]] == [
        ("size=25", True),
        ("size=20", False),
    ]


def test_what_is_accepted_is_told_and_fails_nothing(ks, tmp_path: Path, release: str):
    here = project(tmp_path / "overrun", "overrun", OVERRUN)
    words = ("run", "--sanitize", "--json", "--kernel", release, "-C", here)
    other = ks(*words, "--allow", "KS705")
    assert (other.status, other.json["clean"]) == (1, False)
    accepted = ks(*words, "--allow", "ks701")
    assert (accepted.status, accepted.json["clean"]) == (0, True), accepted.err
    assert [r["code"] for r in accepted.json["sanitizer"]["reports"]] == ["KS701"]
    (here / "kscaffold.toml").write_text('[run]\nallow = ["KS701"]\n')
    assert ks(*words).status == 0


def test_a_module_without_its_source_shows_what_its_imports_allow(ks, tmp_path: Path, release: str):
    here = project(tmp_path / "overrun", "overrun", OVERRUN)
    assert ks("build", "--kernel", release, "-C", here).status == 0
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(here / "overrun.ko", alone)
    shutil.rmtree(here)
    ran = ks("run", "--sanitize", "--json", "--kernel", release, "-C", alone, "overrun.ko")
    assert ran.status == 1, ran.err
    (report,) = ran.json["sanitizer"]["reports"]
    assert report["kind"] == "slab-out-of-bounds"
    (unseen,) = ran.json["sanitizer"]["unseen"]
    assert unseen["module"] == "overrun.ko"
    assert "undefined behaviour" in unseen["what"]


def test_modules_that_use_each_other(ks, tmp_path: Path, release: str):
    lend = "char *lend(void)\n{\n\treturn kmalloc(8, GFP_KERNEL);\n}\nEXPORT_SYMBOL_GPL(lend);\n\n"
    lender = OVERRUN.replace("overrun", "lender").replace("25", "24")
    lender = lender.replace("static int __init", lend + "static int __init")
    taker = (
        HELLO.replace("hello", "taker")
        .replace(
            "#include <linux/module.h>",
            "#include <linux/module.h>\n#include <linux/slab.h>\nchar *lend(void);",
        )
        .replace('\tpr_info("taker\\n");', "\tchar *p = lend();\n\n\tp[8] = 0;\n\tkfree(p);")
    )
    here = write(tmp_path / "two", lender__c=lender, taker__c=taker, Kbuild="obj-m := taker.o lender.o\n")
    ran = ks("run", "--sanitize", "--json", "--kernel", release, "-C", here)
    assert ran.status == 1, ran.err
    (report,) = ran.json["sanitizer"]["reports"]
    assert (report["kind"], report["where"]["file"]) == ("slab-out-of-bounds", "taker.c")
    assert report["sites"][1]["where"]["function"] == "lend"

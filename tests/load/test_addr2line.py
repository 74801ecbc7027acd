"""A crash is told with the line of the user's own source."""

import subprocess
from pathlib import Path

import pytest

from kscaffold.diagnosis.crash import Complaint
from kscaffold.diagnosis.klog import parse_text
from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.addr2line import locate_complaints, with_source_line
from tests.conftest import need_program
from tests.support.kernels import need_kernel
from tests.support.projects import write

pytestmark = [pytest.mark.kernel, pytest.mark.sandbox]

MAIN = """// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>

int deep(int n);
static int crash = 1;
module_param(crash, int, 0444);

static int __init two_init(void)
{
	pr_info("two: begin\\n");
	return crash == 1 ? deep(crash) : 0;
}

static void __exit two_exit(void)
{
	if (crash == 2)
		deep(crash); /* from exit */
	WARN_ON(crash == 3); /* the warning */
}

module_init(two_init);
module_exit(two_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("of two files");
"""
DEEP = """// SPDX-License-Identifier: GPL-2.0
#include <linux/list.h>

int deep(int n);

static inline int store(volatile int *p, int n)
{
	*p = n; /* the fault */
	return n;
}

noinline int deep(int n)
{
	return store(NULL, n);
}
"""


def line(text: str, mark: str) -> int:
    return next(n for n, one in enumerate(text.splitlines(), 1) if mark in one)


@pytest.fixture
def project(ks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    need_program("qemu-system-x86_64", "qemu-system-x86")
    need_program("addr2line", "binutils")
    release = need_kernel("6.1").release
    assert ks("kernel", "default", release).status == 0
    monkeypatch.chdir(tmp_path)
    kbuild = "obj-m := two.o\ntwo-y := main.o sub/deep.o\n"
    return write(tmp_path, Kbuild=kbuild, main__c=MAIN, **{"sub/deep__c": DEEP})


def test_the_line_of_a_crash(ks, project: Path):
    fault = f"sub/deep.c:{line(DEEP, 'the fault')}"
    told = ks("run", "--json")
    assert told.status == 1
    assert [c["where"] for c in told.json["complaints"]] == [fault]
    assert told.json["verdict"] == "crashed" and fault in told.json["cause"]
    shown = ks("run").out
    assert f"source: {fault}, deep()" in shown
    assert "the fault" in next(one for one in shown.splitlines() if one.lstrip().startswith(">"))
    # In exit, the caller is in another file: the innermost line of the module's counts.
    told = ks("run", "crash=2", "--json")
    assert (told.status, told.json["verdict"]) == (1, "crashed")
    assert [c["where"] for c in told.json["complaints"]] == [fault]
    warned = ks("run", "crash=3", "--json")
    assert [c["where"] for c in warned.json["complaints"]] == [f"main.c:{line(MAIN, 'the warning')}"]


def test_without_debug_information_or_addr2line_the_symbol_stays(
    ks, project: Path, monkeypatch: pytest.MonkeyPatch
):
    assert ks("build").status == 0
    (path,) = project.glob("*.ko")
    ko = ModuleFile.open(path)
    where = "deep+0x5/0x10 [two]"
    complaint = Complaint("oops", "BUG: of a test", where, module="two")
    records = parse_text(f"<1>[    1.000000] RIP: 0010:{where}\n")
    assert (
        locate_complaints([complaint], "two", ko, records)[0][0].where
        == f"sub/deep.c:{line(DEEP, 'the fault')}"
    )
    other = Complaint("oops", "BUG: of another", where.replace("two", "one"), module="one")
    assert locate_complaints([other], "two", ko, records) == ((other,), None)
    gone = Complaint("oops", "BUG: of a test", "nosuch+0x5/0x10 [two]", module="two")
    assert locate_complaints([gone], "two", ko, records) == ((gone,), None)
    assert locate_complaints([complaint], "two", ModuleFile(project / "no.ko", ko.raw), records) == (
        (complaint,),
        None,
    )
    bare = project / "bare" / "two.ko"
    bare.parent.mkdir()
    strip = need_program("strip", "binutils")
    subprocess.run([strip, "--strip-debug", "-o", str(bare), str(path)], check=True)
    assert locate_complaints([complaint], "two", ModuleFile.open(bare), records) == ((complaint,), None)
    monkeypatch.setenv("PATH", "/nowhere")
    assert locate_complaints([complaint], "two", ko, records) == ((complaint,), None)
    assert with_source_line("because", [complaint], [complaint]) == "because"

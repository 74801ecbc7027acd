"""A load that succeeded and is still wrong: exit status 1, the complaint first, with line and code."""

import re
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from kscaffold.errors import KscaffoldError
from kscaffold.sandbox.live import registry
from kscaffold.targets.sandbox import SandboxTarget
from tests.conftest import need_program
from tests.support.kernels import need_kernel
from tests.support.projects import write

pytestmark = [pytest.mark.kernel, pytest.mark.sandbox]

HEAD = """#include <linux/delay.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("is loaded, and wrong");
static int count;
module_param(count, int, 0444);
static int row[4];
module_param_array(row, int, NULL, 0444);
"""
ENDS = """
static void __exit leave(void) {{ {undo} }}
module_init(enter);
module_exit(leave);
"""
ATOMIC = """static DEFINE_SPINLOCK(lock);
static int __init enter(void)
{{
	spin_lock(&lock);
	msleep(1); /* here */
	spin_unlock(&lock);
	return 0;
}}
"""
POISON = """static char *volatile kept;
static int __init enter(void)
{{
	kept = kmalloc(200, GFP_KERNEL);
	kfree(kept);
	kept[100] = 1;
	kfree(kmalloc(200, GFP_KERNEL)); /* here */
	return 0;
}}
"""
KOBJECT = """static struct kobject object;
static struct kobj_type type;
static int __init enter(void)
{{
	kobject_init(&object, &type);
	kobject_init(&object, &type); /* here */
	return 0;
}}
"""
TAKEN = """static ssize_t show(struct kobject *k, struct kobj_attribute *a, char *b) {{ return 0; }}
static struct kobj_attribute attribute = __ATTR(m_file, 0444, show, NULL);
static int __init enter(void)
{{
	if (sysfs_create_file(kernel_kobj, &attribute.attr))
		return -ENOMEM;
	count = sysfs_create_file(kernel_kobj, &attribute.attr); /* here */
	sysfs_remove_file(kernel_kobj, &attribute.attr);
	return 0;
}}
"""
POSITIVE = "static int __init enter(void) {{ return 1; }}\n"
HEALTHY = "static int __init enter(void) {{ return 0; }}\n"
WORKER = """static int *volatile nowhere;
static void work(struct work_struct *w)
{{
	*nowhere = 1; /* here */
}}
static DECLARE_WORK(item, work);
static int go(const char *value, const struct kernel_param *p) {{ schedule_work(&item); return 0; }}
static const struct kernel_param_ops ops = {{ .set = go }};
module_param_cb(go, &ops, NULL, 0200);
static int __init enter(void) {{ return 0; }}
"""


def project(ks, place: Path, monkeypatch: pytest.MonkeyPatch, body: str, undo: str = "") -> str:
    """A project of one module `m`; the place of its marked line."""
    need_program("qemu-system-x86_64", "qemu-system-x86")
    need_program("addr2line", "binutils")
    assert ks("kernel", "default", need_kernel("6.1").release).status == 0
    monkeypatch.chdir(place)
    text = HEAD + (body + ENDS).format(undo=undo)
    write(place, Kbuild="obj-m := m.o\n", m__c=text)
    return next((f"m.c:{n}" for n, one in enumerate(text.splitlines(), 1) if "/* here */" in one), "")


class Wrong(NamedTuple):
    """A module that loads and is not clean, the words of the command, and the complaint of it."""

    body: str
    words: tuple[str, ...]
    code: str
    kind: str
    text: str


@pytest.mark.parametrize(
    "wrong",
    [
        Wrong(ATOMIC, (), "KS256", "atomic", "BUG: scheduling while atomic"),
        Wrong(POISON, ("--cmdline", "slub_debug=FZP,kmalloc-256"), "KS259", "memory", "Poison overwritten"),
        Wrong(KOBJECT, (), "KS334", "kobject-twice", "tried to init an initialized object"),
        Wrong(TAKEN, (), "KS264", "taken", "/kernel/m_file is registered already"),
        Wrong(POSITIVE, (), "KS202", "returned", "init of m returned 1"),
        Wrong(HEALTHY, ("cuont=1",), "KS223", "parameter", "m has no parameter cuont"),
    ],
    ids=["sleeps-in-atomic", "slab-poison", "kobject-twice", "name-taken", "returns-1", "unknown-parameter"],
)
def test_a_loaded_module_that_is_wrong(ks, tmp_path, monkeypatch, wrong):
    body, words, code, kind, text = wrong
    where = project(ks, tmp_path, monkeypatch, body)
    told = ks("run", *words)
    first = next(one for one in told.out.splitlines() if "complaint:" in one)
    assert told.status == 1 and text in first and where in first
    assert f"kscaffold explain {code}" in told.out and "but not clean" in told.out
    document = ks("run", *words, "--json").json
    assert (document["verdict"], document["loaded"], document["clean"]) == ("loaded", True, False)
    assert document["code"] == code and document["ok"] is False
    complaint = next(c for c in document["complaints"] if c["kind"] == kind)
    assert text in complaint["text"] and (complaint["where"] or "") == where
    # As insmod would, a load alone succeeds, and says it.
    loaded = ks("load", *words)
    assert loaded.status == 0 and text in loaded.err and code in loaded.err
    assert ks("sandbox", "stop").status == 0
    # A sleep with a lock leaves the count of locks wrong, which is a kind of its own.
    codes = sorted(set(re.findall(r"kscaffold explain (KS\d{3})", told.out)))
    accepted = ks("run", *words, *(word for each in codes for word in ("--allow", each.lower())))
    assert accepted.status == 0 and text in accepted.err
    refused = ks("run", *words, "--allow", f"{code}x", "--json")
    assert refused.status == 2 and refused.json["error"]["fix"] == f"--allow {code}"
    assert ks("run", *words, "--allow", "KS259" if code != "KS259" else "KS256").status == 1


def test_a_last_call_leaves_no_frame_and_has_its_line(ks, tmp_path, monkeypatch):
    """A compiler makes a jump of it: of exit nothing is in the kernel's trace."""
    where = project(ks, tmp_path, monkeypatch, HEALTHY, 'remove_proc_entry("m_nosuch", NULL); /* here */')
    told = ks("run", "--json")
    assert told.status == 1 and told.json["code"] == "KS252"
    assert [c["where"] for c in told.json["complaints"]] == [where]
    assert "m_nosuch" in told.json["complaints"][0]["text"]


SUB = """static int __init enter(void)
{{
	WARN_ON(1);
	proc_mkdir("m_left", NULL); /* here */
	return 0;
}}
"""


def test_a_line_of_a_sub_directory_is_named_from_the_project(ks, tmp_path, monkeypatch):
    where = project(ks, tmp_path, monkeypatch, SUB)
    (tmp_path / "sub").mkdir()
    (tmp_path / "m.c").rename(tmp_path / "sub/m.c")
    write(tmp_path, Kbuild="obj-m += sub/\n", sub_0_Kbuild="obj-m := m.o\n")
    ran = ks("run", "--json")
    assert ran.json["residue"] == [{"kind": "proc", "name": "m_left", "where": f"sub/{where}"}], ran.err
    name, _, number = where.partition(":")
    assert ran.json["complaints"][0]["where"] == f"sub/{name}:{int(number) - 1}"
    assert ks("load").status == 0
    gone = ks("unload", "--json")
    assert gone.json["residue"] == ran.json["residue"]
    assert ks("sandbox", "stop").status == 0


def test_a_project_keeps_what_it_accepts(ks, tmp_path, monkeypatch):
    project(ks, tmp_path, monkeypatch, POSITIVE)
    (tmp_path / "kscaffold.toml").write_text('[run]\nallow = ["KS202"]\n')
    ran = ks("run", "--json")
    assert ran.status == 0 and ran.json["clean"] is True
    assert ran.json["complaints"][0]["kind"] == "returned"
    misplaced = ('allow = ["KS202"]\n', '[run]\nalow = ["KS202"]\n')
    for text in ("[run\n", '[run]\nallow = "KS202"\n', "x = " + "[" * 60000, *misplaced):
        (tmp_path / "kscaffold.toml").write_text(text)
        refused = ks("run", "--json")
        assert refused.status == 2 and refused.json["error"]["code"] == "KS090"
    # What is too large to be a settings file is not looked into: as every other file that is read.
    (tmp_path / "kscaffold.toml").write_text("x = " + "[" * 70000)
    refused = ks("run", "--json")
    assert refused.status == 69 and refused.json["error"]["code"] == "KS093"
    assert "70004 bytes, more than the 65536 bytes" in refused.json["error"]["cause"]


def test_a_near_name_is_told_and_each_module_gets_its_own(ks, tmp_path, monkeypatch):
    project(ks, tmp_path, monkeypatch, HEALTHY)
    assert "count=… where count was meant" in ks("run", "cuont=1").out
    other = HEAD.replace("count", "size").replace("row", "line") + (HEALTHY + ENDS).format(undo="")
    write(tmp_path, Kbuild="obj-m := m.o n.o\n", n__c=other)
    both = ks("run", "count=1", "n.size=2", "--json")
    assert both.status == 0
    assert [(r["module"], r["parameters"]) for r in both.json["results"]] == [
        ("m", "count=1"),
        ("n", "size=2"),
    ]
    assert "o.count=… is for the module o, and this is m" in ks("run", "o.count=1").out
    # The kernel's log names the first element of an array, whichever is wrong.
    assert "row (array of int) does not take '1,x,3': 'x' is none" in ks("run", "row=1,x,3").out
    many = ks("run", "row=1,2,3,4,5").out
    assert "takes 4 values at most, and 5 were given" in many and "fix: row=1,2,3,4\n" in many
    assert (
        "count (int) does not take '99999999999' (it holds -2147483648 to"
        in ks("run", "count=99999999999").out
    )


LEFT = """static int __init enter(void)
{{
	proc_mkdir("m_left", NULL); /* here */
	return count;
}}
"""


def test_a_live_sandbox_tells_what_an_unload_and_a_failed_init_left(ks, tmp_path, monkeypatch):
    where = project(ks, tmp_path, monkeypatch, LEFT)
    failed = ks("load", "count=-5")
    assert failed.status == 1 and f"/proc/m_left is still there, at {where}" in failed.err
    assert ks("sandbox", "stop").status == 0
    assert "m_left" not in ks("load").err
    gone = ks("unload", "--json")
    assert gone.status == 0 and gone.json["clean"] is False
    assert gone.json["residue"] == [{"kind": "proc", "name": "m_left", "where": where}]
    # What was told is not told again; the next load finds it there.
    assert "already registered" in ks("load").err
    assert ks("unload", "--json").json["residue"] == []
    assert ks("sandbox", "stop").status == 0


def test_a_crash_between_two_commands_is_told_by_the_next(ks, tmp_path, monkeypatch):
    where = project(ks, tmp_path, monkeypatch, WORKER)
    assert ks("load").status == 0
    assert "complained" not in ks("list").err
    with registry.connect(tmp_path) as connection:
        target = SandboxTarget.from_connection(connection)
        target.write("/sys/module/m/parameters/go", b"1", 0)
        until = time.monotonic() + 20
        while not (target.tainted() or 0) & 1 << 7 and time.monotonic() < until:
            time.sleep(0.05)
    told = ks("list").err
    assert "NULL pointer dereference" in told and f", at {where}" in told and "KS250" in told
    # Not again in full, and never silent.
    status = ks("sandbox", "status").err
    assert where not in status and "has crashed (BUG: kernel NULL pointer dereference" in status
    again = ks("load")
    assert again.status == 0 and "kscaffold logs --previous" in again.err
    assert "RIP: 0010:work+0x" in ks("logs", "--previous").out
    assert ks("sandbox", "stop").status == 0


def test_a_sandbox_that_died_between_two_commands(ks, tmp_path, monkeypatch):
    where = project(ks, tmp_path, monkeypatch, WORKER.replace("schedule_work(&item)", "work(&item)"))
    assert ks("load").status == 0
    with registry.connect(tmp_path) as connection, pytest.raises(KscaffoldError):
        # The agent itself is PID 1, and takes the guest along.
        SandboxTarget.from_connection(connection).write("/sys/module/m/parameters/go", b"1", 0)
    told = ks("unload").err
    assert "no sandbox runs" in told and "NULL pointer dereference" in told and f", at {where}" in told
    assert "NULL pointer dereference" not in ks("list").err
    assert ks("load").status == 0 and ks("sandbox", "stop").status == 0

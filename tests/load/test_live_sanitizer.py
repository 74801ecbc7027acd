"""`load --sanitize`: copies in the live sandbox, whose reports the next command tells once."""

import time
from pathlib import Path

import pytest

from kscaffold import api
from kscaffold.diagnosis.klog import Record
from kscaffold.instrument.findings import findings_of
from kscaffold.load import live_copies
from kscaffold.sandbox.live import registry
from tests.support.kernels import need_kernel
from tests.support.projects import HELLO, write

pytestmark = [pytest.mark.sandbox, pytest.mark.kernel]

# A leak and an overrun in init; a timer that writes to freed memory some time later.
BUGGY = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/slab.h>
#include <linux/timer.h>

static bool overrun, later, leave;
module_param(overrun, bool, 0);
module_param(later, bool, 0);
module_param(leave, bool, 0);
static char *gone, *lost;

static void late(struct timer_list *timer)
{
\tgone[0] = 1;
}
static DEFINE_TIMER(timer, late);

static int __init buggy_init(void)
{
\tgone = kmalloc(24, GFP_KERNEL);
\tlost = kmalloc(40, GFP_KERNEL);
\tif (!gone || !lost)
\t\treturn -ENOMEM;
\tif (overrun)
\t\tgone[24] = 1;
\tkfree(gone);
\tif (later)
\t\tmod_timer(&timer, jiffies + HZ / 2);
\tif (leave)
\t\tproc_create_single("buggy_left", 0, NULL, NULL);
\treturn 0;
}

static void __exit buggy_exit(void)
{
\tdel_timer_sync(&timer);
\tpr_info("buggy: goodbye\\n");
}

module_init(buggy_init);
module_exit(buggy_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("has bugs that a load does not show");
"""


@pytest.fixture
def buggy(ks, tmp_path: Path) -> Path:
    assert ks("kernel", "default", need_kernel("6.1").release).status == 0
    return write(tmp_path / "buggy", Kbuild="obj-m := buggy.o\n", buggy__c=BUGGY)


def line(text: str) -> int:
    return BUGGY.splitlines().index(text) + 1


def test_a_load_and_an_unload_tell_what_was_found(ks, buggy: Path):
    loaded = ks("load", "--sanitize", "--json", "-C", buggy, "overrun=1")
    assert loaded.status == 0, loaded.err
    assert (loaded.json["loaded"], loaded.json["clean"]) == (True, False)
    assert loaded.json["path"] == str(buggy / "buggy.ko")
    assert not any("ks_sanitize" in record["text"] for record in loaded.json["log"])
    (report,) = loaded.json["sanitizer"]["reports"]
    assert (report["kind"], report["where"]["line"]) == ("slab-out-of-bounds", line("\t\tgone[24] = 1;"))
    assert [m["name"] for m in ks("list", "--json", "-C", buggy).json["modules"]] == ["buggy"]
    gone = ks("unload", "--json", "-C", buggy)
    assert gone.status == 0, gone.err
    assert "since the last command" not in gone.err
    assert (gone.json["verdict"], gone.json["clean"]) == ("unloaded", False)
    assert [record["text"] for record in gone.json["log"]] == ["buggy: goodbye"]
    (leak,) = gone.json["sanitizer"]["reports"]
    assert leak["kind"] == "memory-leak" and leak["object"]["size"] == 40
    assert leak["where"] == {"file": "buggy.c", "line": line("\tlost = kmalloc(40, GFP_KERNEL);"),
                             "function": "buggy_init"}  # fmt: skip


def test_people_read_the_reports_of_both(ks, buggy: Path):
    loaded = ks("load", "--sanitize", "-C", buggy, "overrun=1")
    assert "BUG: KASAN: slab-out-of-bounds in buggy_init+0x" in loaded.out
    assert ">   26 |         gone[24] = 1;" in loaded.out
    assert "Loaded" in loaded.err and "ks_sanitize" not in loaded.out + loaded.err
    gone = ks("unload", "-C", buggy)
    assert "BUG: memory leak: an object of 40 bytes, never freed" in gone.out
    assert "kscaffold explain KS709" in gone.out
    again = ks("load", "--sanitize", "-C", buggy)
    assert "Clean" in again.err and "Loaded" in again.err and "BUG" not in again.out


def test_the_same_bug_is_told_again_of_the_next_load(ks, buggy: Path):
    for _ in range(2):
        loaded = ks("load", "--sanitize", "--json", "-C", buggy, "overrun=1")
        assert [r["kind"] for r in loaded.json["sanitizer"]["reports"]] == ["slab-out-of-bounds"]
        gone = ks("unload", "--json", "-C", buggy)
        assert [r["kind"] for r in gone.json["sanitizer"]["reports"]] == ["memory-leak"]


@pytest.mark.parametrize("verb", ["list", "logs", "unload", "exec"])
def test_what_is_found_between_two_commands_the_next_one_tells(ks, buggy: Path, verb: str):
    loaded = ks("load", "--sanitize", "-C", buggy, "later=1")
    assert loaded.status == 0, loaded.err
    time.sleep(1.0)
    words = ("--", "true") if verb == "exec" else ()
    told = ks(verb, "-C", buggy, *words)
    assert told.status == 0, told.err
    assert "the sanitizer has found since the last command: BUG: KASAN: use-after-free" in told.err
    assert f" source: buggy.c:{line(chr(9) + 'gone[0] = 1;')}, late()" in told.err
    assert "more: kscaffold explain KS705" in told.err
    assert "ks_sanitize" not in told.out + told.err
    for later in ("list", "logs"):
        again = ks(later, "-C", buggy)
        assert "since the last command" not in again.err


def test_what_the_module_leaves_behind_is_told_as_without_the_helper(ks, buggy: Path):
    assert ks("load", "--sanitize", "-C", buggy, "leave=1").status == 0
    gone = ks("unload", "--json", "-C", buggy)
    (left,) = gone.json["residue"]
    assert (left["kind"], left["name"]) == ("proc", "buggy_left")


def test_a_module_loaded_as_it_was_built_is_no_copy_any_more(ks, buggy: Path):
    assert ks("load", "--sanitize", "-C", buggy).status == 0
    assert ks("unload", "-C", buggy).status == 0
    assert ks("load", "-C", buggy).status == 0
    gone = ks("unload", "--json", "-C", buggy)
    assert gone.status == 0 and "sanitizer" not in gone.json


@pytest.mark.parametrize("words", [["sandbox", "stop"], ["reload"]])
def test_what_ends_a_sandbox_tells_its_reports(ks, buggy: Path, words: list[str]):
    assert ks("load", "--sanitize", "-C", buggy, "later=1").status == 0
    time.sleep(1.0)
    told = ks(*words, "-C", buggy)
    assert told.status == 0, told.err
    assert told.err.count("the sanitizer has found since the last command: BUG: KASAN: use-after-free") == 1
    assert "since the last command" not in ks("list", "-C", buggy).err


def test_reload_has_it_too_and_a_host_has_not(ks, buggy: Path):
    fresh = ks("reload", "--sanitize", "--json", "-C", buggy, "overrun=1")
    assert fresh.status == 0, fresh.err
    assert [r["kind"] for r in fresh.json["sanitizer"]["reports"]] == ["slab-out-of-bounds"]
    host = ks("load", "--sanitize", "--host", "-C", buggy)
    assert (host.status, "KS004" in host.err) == (2, True)


def test_a_script_has_what_was_found(buggy: Path, tmp_path: Path):
    done = api.load(directory=buggy, parameters=["overrun=1"], sanitize=True)
    assert done.ok and done.sanitizer is not None
    assert [f.report.kind for f in done.sanitizer.findings] == ["slab-out-of-bounds"]
    (gone,) = api.unload(directory=buggy)
    assert gone.findings is not None
    assert [f.report.kind for f in gone.findings] == ["memory-leak"]
    clean = write(tmp_path / "hello", Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    plain = api.load(directory=clean)
    assert plain.ok and plain.sanitizer is None
    assert [u.findings for u in api.unload(directory=clean)] == [None]


REPORT = (
    "ks_sanitize: 1 report use-after-free task kworker/0:2/44 cpu 0",
    "ks_sanitize: 1 access read 4 ffff8880063a8818",
    "ks_sanitize: 1 at late+0x4/0x20 [buggy]",
    "ks_sanitize: 1 end",
)


def test_a_report_that_some_task_still_writes_is_told_when_it_is_whole(tmp_path: Path):
    registry.sandbox_dir(tmp_path).mkdir(parents=True)
    live_copies.note_copies(tmp_path, ())
    log = [Record(text) for text in REPORT]
    for lines in range(4):
        assert live_copies.take_news(tmp_path, log[:lines]) == []
    (told,) = live_copies.take_news(tmp_path, log)
    assert told.report.where is not None and told.report.where.function == "late"
    assert live_copies.take_news(tmp_path, log) == []


def test_a_run_reads_a_report_to_its_end_wherever_the_call_ended():
    log = [Record(text) for text in REPORT]
    (found,) = findings_of(([], []), {}, log)
    assert found.report.is_whole and found.head == "BUG: KASAN: use-after-free in late+0x4/0x20 [buggy]"

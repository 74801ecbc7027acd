"""adopt: what a directory builds is make's word; nothing is changed but what was asked for, and whole."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kscaffold.scaffold.adopt.sources import read_source
from tests.conftest import ROOT, need_program
from tests.support.projects import COURSE, HELLO, write

KEYS = {
    "schema",
    "command",
    "ok",
    "directory",
    "kbuild",
    "modules",
    "flags",
    "own_way",
    "unused",
    "habits",
    "proposal",
    "problem",
    "diff",
    "written",
}
HABIT_KEYS = {"kind", "file", "line", "text", "message", "fix", "mendable", "mended"}
OLD = """\
obj-m := foo.o
foo-objs := one.o two.o
EXTRA_CFLAGS := -DX -I$(PWD)/include # ours
KDIR := /lib/modules/$(shell uname -r)/build
all:
\tmake -C $(KDIR) SUBDIRS=$(PWD) modules
clean:
        make -C $(KDIR) M=$(PWD) clean
"""
MENDED = """\
obj-m := foo.o
foo-objs := one.o two.o
ccflags-y += -DX -I$(src)/include # ours
KDIR := /lib/modules/$(shell uname -r)/build
all:
\tmake -C $(KDIR) M=$(CURDIR) modules
clean:
\tmake -C $(KDIR) M=$(CURDIR) clean
"""


@pytest.fixture(autouse=True)
def make() -> None:
    need_program("make", "make")


def state(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    files = [p for p in directory.rglob("*") if p.is_file()]
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns, p.stat().st_ino) for p in files}


def built(ran) -> dict[str, list[str]]:
    directory = ran.json["directory"]
    return {os.path.relpath(m["path"], directory): m["objects"] for m in ran.json["modules"]}


WAYS = {
    "single": ("obj-m := hello.o\n", {"hello.ko": ["hello.o"]}),
    "the course's": (COURSE.replace("$(PWD)", "$(CURDIR)"), {"ownname.ko": ["ret-1.o"]}),
    "several": ("obj-m += a.o b.o\nb-y := c.o d.o\n", {"a.ko": ["a.o"], "b.ko": ["c.o", "d.o"]}),
    "conditional": (
        "ifneq ($(CONFIG_NO_SUCH_THING),y)\nobj-m := a.o\na-$(if x,y) := x.o\nelse\nobj-m := b.o\nendif\n",
        {"a.ko": ["x.o"]},
    ),
    "below": ("obj-m := one/ a.o\n", {"a.ko": ["a.o"], "one/one.ko": ["x.o", "y.o"]}),
    "single Makefile": (
        "ifneq ($(KERNELRELEASE),)\nobj-m := a.o\nelse\nall: ; $(MAKE) -C /nowhere M=$(CURDIR)\nendif\n",
        {"a.ko": ["a.o"]},
    ),
    "other targets": (
        "obj-m := a.o\nall: prog\nprog: prog.c ; touch made-prog\ninstall:\n\ttouch installed\n",
        {"a.ko": ["a.o"]},
    ),
    "asks a program": ("obj-m := $(shell echo a).o\n", {"a.ko": ["a.o"]}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["Kbuild", "Makefile"])
def test_what_make_says_it_builds(ks, tmp_path, way, name):
    text, expected = WAYS[way]
    write(tmp_path, **{name: text, "one_0_Kbuild": "obj-m := one.o\none-objs := x.o\none-y := y.o\n"})
    before = state(tmp_path)
    ran = ks("adopt", tmp_path, "--json", "--write", "--fix")
    assert (ran.status, ran.json["ok"], set(ran.json)) == (0, True, KEYS)
    assert built(ran) == expected
    assert (ran.json["habits"], ran.json["diff"], ran.json["written"], ran.json["proposal"]) == (
        [],
        "",
        [],
        None,
    )
    assert ran.json["kbuild"] == str(tmp_path / name)
    assert state(tmp_path) == before


def test_flags_missing_and_unused_sources(ks, tmp_path):
    write(
        tmp_path,
        Kbuild="obj-m := m.o\nm-y := main.o lost.o sub/x.o\nccflags-y += -DA\nCFLAGS_main.o := -DB\n",
        main__c='#include "part.c"\n',
        part__c="",
        stray__c="",
        sub_0_x__c="",
    )
    ran = ks("adopt", tmp_path, "--json")
    assert [m["missing"] for m in ran.json["modules"]] == [["lost.o"]]
    assert ran.json["unused"] == [str(tmp_path / "stray.c")]
    assert {f["variable"]: f["value"] for f in ran.json["flags"]} == {
        "ccflags-y": "-DA",
        "CFLAGS_main.o": "-DB",
    }
    told = ks("adopt", tmp_path, "-v")
    assert told.out == "m.ko: main.o lost.o sub/x.o\n"
    assert "lost.o of m.ko has no source" in told.err
    assert "stray.c: no module is made of it" in told.err
    assert "ccflags-y = -DA" in told.err


def test_old_habits_are_told_and_mended_only_when_asked(ks, tmp_path):
    write(tmp_path, Makefile=OLD, one__c="", two__c="")
    (tmp_path / "Makefile").chmod(0o640)
    before = state(tmp_path)
    ran = ks("adopt", tmp_path, "--json")
    assert ran.status == 1 and state(tmp_path) == before
    assert ran.json["problem"]["code"] == "KS103"
    assert [(h["kind"], h["line"]) for h in ran.json["habits"]] == [
        ("extra-flags", 3),
        ("pwd", 3),
        ("subdirs", 6),
        ("pwd", 6),
        ("spaces", 8),
        ("pwd", 8),
    ]
    assert all(set(h) == HABIT_KEYS and h["mendable"] and not h["mended"] for h in ran.json["habits"])
    assert built(ran) == {"foo.ko": ["one.o", "two.o"]}
    shown = ks("adopt", tmp_path)
    assert state(tmp_path) == before
    assert "+\tmake -C $(KDIR) M=$(CURDIR) modules" in shown.out
    fixed = ks("adopt", tmp_path, "--fix", "--json")
    assert fixed.status == 0 and fixed.json["diff"] == ran.json["diff"]
    assert all(h["mended"] for h in fixed.json["habits"])
    assert (tmp_path / "Makefile").read_text() == MENDED
    assert stat.S_IMODE((tmp_path / "Makefile").stat().st_mode) == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["Makefile", "one.c", "two.c"]
    again = ks("adopt", tmp_path, "--json")
    assert (again.status, again.json["habits"], again.json["diff"]) == (0, [], "")


KEPT = {
    "PWD is set by the file": "obj-m := a.o\nPWD := $(shell pwd)\nall:\n\tmake M=$(PWD)\n",
    "the shell's own": "obj-m := a.o\nall:\n\techo $$PWD\n",
    "a comment": "obj-m := a.o\n# EXTRA_CFLAGS and SUBDIRS=$(PWD) are old\n",
    "one that is handed on": "obj-m := a.o\nEXTRA_CFLAGS += -DX\nccflags-y += $(EXTRA_CFLAGS)\n",
    "a variable of that name": "obj-m := a.o\nSUBDIRS = one two\nall:\n\tmake $(SUBDIRS)\n",
    "spaces where they may be": "obj-m := a.o\nifeq (1,1)\n    obj-m += b.o\nendif\nall: ; true\n  X := 1\n",
}


@pytest.mark.parametrize("way", KEPT)
def test_what_is_no_old_habit(ks, tmp_path, way):
    write(tmp_path, Makefile=KEPT[way], a__c="", b__c="")
    assert ks("adopt", tmp_path, "--json").json["habits"] == []


MENDS = {
    "a tab outside of a rule": (
        "obj-m := a.o\nall:\n\ttrue\nX := y\nifeq ($(X),y)\n\tEXTRA_CFLAGS += -DX\nendif\n",
        "obj-m := a.o\nall:\n\ttrue\nX := y\nifeq ($(X),y)\n\tccflags-y += -DX\nendif\n",
    ),
    "a condition among commands": (
        "obj-m := a.o\nall:\nifdef X\n\tmake M=$(PWD)\nelse\n\n# no\n\tmake SUBDIRS=${PWD} V=1\nendif\n",
        "obj-m := a.o\nall:\nifdef X\n\tmake M=$(CURDIR)\nelse\n\n# no\n\tmake M=$(CURDIR) V=1\nendif\n",
    ),
    "both words": (
        "obj-m := a.o\nall:\n\tmake -C /k SUBDIRS=$(PWD) M=$(PWD) modules\n",
        "obj-m := a.o\nall:\n\tmake -C /k M=$(CURDIR) modules\n",
    ),
    "a variable for commands": (
        "obj-m := a.o\nHERE = $(PWD)\nall:\n\tmake M=$(HERE)\n",
        "obj-m := a.o\nHERE = $(CURDIR)\nall:\n\tmake M=$(HERE)\n",
    ),
    "in the Kbuild part only": (
        "ifneq ($(KERNELRELEASE),)\nobj-m := a.o\nccflags-y := -I$(PWD)/inc\nelse\nPWD := $(shell pwd)\n"
        "all: ; make M=$(PWD)\nendif\n",
        "ifneq ($(KERNELRELEASE),)\nobj-m := a.o\nccflags-y := -I$(src)/inc\nelse\nPWD := $(shell pwd)\n"
        "all: ; make M=$(PWD)\nendif\n",
    ),
    "continued": (
        "obj-m := a.o\nEXTRA_CFLAGS = -DX \\\n\t-I$(PWD)/inc\n",
        "obj-m := a.o\nccflags-y += -DX \\\n\t-I$(src)/inc\n",
    ),
    "the other options": (
        "obj-m := a.o\nEXTRA_AFLAGS := -DA\nEXTRA_LDFLAGS := -s\n",
        "obj-m := a.o\nasflags-y += -DA\nldflags-y += -s\n",
    ),
}


@pytest.mark.parametrize("way", MENDS)
def test_how_it_is_mended(ks, tmp_path, way):
    text, expected = MENDS[way]
    write(tmp_path, Makefile=text, a__c="")
    ran = ks("adopt", tmp_path, "--fix", "--json")
    assert ran.status == 0 and ran.json["habits"]
    assert (tmp_path / "Makefile").read_text() == expected
    assert ks("adopt", tmp_path, "--json").json["habits"] == []


def test_asking_make_about_tabs_leaves_no_file_behind(ks, tmp_path, monkeypatch):
    write(tmp_path / "p", Makefile="obj-m := a.o\nall:\n    make M=$(PWD)\n", a__c="")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)  # asked for again
    habits = ks("adopt", tmp_path / "p", "--json").json["habits"]
    assert "spaces" in str(habits) and os.listdir(tmp_path / "tmp") == []


def test_a_makefile_that_includes_its_modules_is_a_project(ks, tmp_path):
    write(
        tmp_path, Makefile="include $(src)/mods.mk\n", mods__mk="obj-m := a.o\nEXTRA_CFLAGS += -DX\n", a__c=""
    )
    ran = ks("adopt", tmp_path, "--fix", "--json")
    assert built(ran) == {"a.ko": ["a.o"]}
    assert (tmp_path / "mods.mk").read_text() == "obj-m := a.o\nccflags-y += -DX\n"
    assert ks("kbuild", "add-module", "b", "-C", tmp_path, "--json").json["error"]["code"] == "KS042"


UNMENDED = {
    "on make's command line": "obj-m := a.o\nall:\n\tmake M=$(CURDIR) EXTRA_CFLAGS=-DX\n",
    "exported": "obj-m := a.o\nexport EXTRA_CFLAGS := -DX\n",
    "read by Kbuild and by people": "obj-m := a.o\nHERE := $(PWD)\nccflags-y := -I$(HERE)\n",
    "an order that would change": "obj-m := a.o\nEXTRA_CFLAGS := -DX\nccflags-y := -DY\n",
}


@pytest.mark.parametrize("way", UNMENDED)
def test_what_can_t_be_mended_safely_is_only_told(ks, tmp_path, way):
    write(tmp_path, Makefile=UNMENDED[way], a__c="")
    before = state(tmp_path)
    ran = ks("adopt", tmp_path, "--fix", "--json")
    assert [h["mendable"] for h in ran.json["habits"]] == [False]
    assert ran.json["habits"][0]["fix"]
    assert (ran.json["diff"], ran.json["written"]) == ("", [])
    assert state(tmp_path) == before


def test_a_composite_that_lists_itself(ks, tmp_path):
    write(
        tmp_path,
        Kbuild="obj-m := foo.o bar.o\nfoo-objs := foo.o util.o\nbar-y := bar.o\n",
        foo__c="F",
        util__c="",
    )
    ran = ks("adopt", tmp_path, "--json")
    assert [(h["kind"], h["line"]) for h in ran.json["habits"]] == [("circle", 2), ("circle", 3)]
    assert "rename from foo.c\nrename to foo_main.c" in ran.json["diff"]
    assert (tmp_path / "foo.c").exists()
    assert ks("adopt", tmp_path, "--fix").status == 0
    assert (tmp_path / "foo_main.c").read_text() == "F" and not (tmp_path / "foo.c").exists()
    assert built(ks("adopt", tmp_path, "--json")) == {"foo.ko": ["foo_main.o", "util.o"], "bar.ko": ["bar.o"]}
    assert ks("adopt", tmp_path, "--json").json["habits"] == []


UTIL = '#include "util.h"\nint util_answer(int (*how)(int))\n{\n\treturn 42;\n}\n'
USER = HELLO.replace("\treturn 0;", "\treturn util_answer(NULL);").replace(
    "\n\nstatic", '\n#include "util.h"\n\nstatic', 1
)


def test_macros_may_share_a_line():
    text = 'module_init(h); module_exit(b); MODULE_LICENSE("GPL");\n'
    found = read_source(Path("hello.c"), text)
    assert (found.init, found.exit, found.license) == (True, True, True)


def test_a_kbuild_is_proposed_from_sources_and_written_only_when_asked(ks, tmp_path):
    project = write(
        tmp_path / "greeter",
        hello__c=USER,
        util__c=UTIL,
        include_0_util__h="int util_answer(int (*how)(int));\n",
        tool__c="#include <stdio.h>\nint main(void) { return 0; }\n",
        stray__c="static int nobody;\n",
    )
    ran = ks("adopt", project, "--json")
    expected = (
        "# SPDX-License-Identifier: GPL-2.0\nobj-m := greeter.o\ngreeter-objs := hello.o util.o\n"
        "ccflags-y := -I$(src)/include\n"
    )
    assert ran.status == 0
    assert ran.json["proposal"]["text"] == expected
    assert ran.json["proposal"]["modules"] == [{"name": "greeter", "objects": ["hello", "util"]}]
    unsure = "\n".join(ran.json["proposal"]["unsure"])
    assert "tool.c: left out, it is a program" in unsure
    assert "stray.c: left out, nothing links it" in unsure
    assert not (project / "Kbuild").exists()
    assert "+greeter-objs := hello.o util.o" in ks("adopt", project).out
    assert not (project / "Kbuild").exists()
    wrote = ks("adopt", project, "--write", "--json")
    assert wrote.json["written"] == [str(project / "Kbuild")]
    assert (project / "Kbuild").read_text() == expected
    assert built(wrote) == {"greeter.ko": ["hello.o", "util.o"]}


def test_several_modules_and_their_kin_are_told_apart(ks, tmp_path):
    write(
        tmp_path,
        a__c=HELLO.replace('pr_info("hello\\n")', "shared(); given()"),
        b__c=HELLO.replace('pr_info("hello\\n")', "shared(); given()"),
        shared__c="void shared(void)\n{\n}\n",
        giver__c='void given(void)\n{\n}\nEXPORT_SYMBOL_GPL(given);\nMODULE_LICENSE("GPL");\n',
        user_0_main__c="int main(int argc, char **argv) { return 0; }\n",
    )
    proposal = ks("adopt", tmp_path, "--json").json["proposal"]
    assert {m["name"]: m["objects"] for m in proposal["modules"]} == {
        "a_mod": ["a", "shared"],
        "b_mod": ["b", "shared"],
        "giver": ["giver"],
    }
    assert any("shared.c: used by a.c and b.c" in u for u in proposal["unsure"])
    # Without an init, it goes without an exit, too (delete_module() of kernel/module/main.c).
    assert not any("giver.c" in u for u in proposal["unsure"])


def test_modules_of_one_file_name_get_names_of_their_own(ks, tmp_path):
    files = {f"{d}_0_base__c": HELLO.replace('pr_info("hello\\n")', f"{d}_help()") for d in "abc"}
    helps = {f"{d}_0_{d}_help__c": f"void {d}_help(void)\n{{\n}}\n" for d in "abc"}
    write(tmp_path, **files, **helps)
    proposal = ks("adopt", tmp_path, "--json").json["proposal"]
    names = [m["name"] for m in proposal["modules"]]
    assert len(set(names)) == len(names) == 3, names


def test_what_directories_below_say_themselves_is_not_said_again(ks, tmp_path):
    write(
        tmp_path,
        Makefile="all:\n\t$(MAKE) -C driver\n",
        driver_0_Makefile="obj-m := a.o\n",
        driver_0_a__c=HELLO,
        more_0_deep_0_Kbuild="obj-m := b.o\nb-y := b1.o b2.o\n",
        more_0_deep_0_b1__c=HELLO,
        more_0_deep_0_b2__c="int b2;\n",
    )
    refused = ks("build", "-C", tmp_path)
    of_all = f"kscaffold adopt {tmp_path} --write, for all of {tmp_path}/driver {tmp_path}/more/deep"
    assert refused.status == 69 and of_all in refused.err
    wrote = ks("adopt", tmp_path, "--write", "--json")
    assert (tmp_path / "Kbuild").read_text().splitlines()[1] == "obj-m := driver/ more/deep/"
    assert built(wrote) == {"driver/a.ko": ["a.o"], "more/deep/b.ko": ["b1.o", "b2.o"]}


def test_a_directory_below_that_builds_nothing_is_left_out(ks, tmp_path):
    write(
        tmp_path,
        driver_0_Makefile="obj-m := a.o\n",
        driver_0_a__c=HELLO,
        include_0_Kbuild="header-y += a.h\n",
    )
    ran = ks("adopt", tmp_path, "--write", "--json")
    assert (tmp_path / "Kbuild").read_text().splitlines()[1] == "obj-m := driver/"
    assert ran.json["proposal"]["unsure"] == [
        "driver says itself what it builds",
        "include builds no module now",
    ]


@pytest.mark.parametrize("style", ["top", "below"])
def test_where_an_option_decides_no_kbuild_is_proposed_before_it(ks, tmp_path, monkeypatch, style):
    top = {
        "top": "obj-$(CONFIG_OPT) += hello.o\n",
        "below": "all:\n\t$(MAKE) -C sub CONFIG_OPT=m\n",
    }[style]
    write(tmp_path, Makefile=top, hello__c=HELLO)
    if style != "top":
        write(tmp_path, sub_0_Makefile="obj-$(CONFIG_OPT) += hello.o\n", sub_0_hello__c=HELLO)
    ran = ks("adopt", tmp_path, "--write", "--json")
    assert (ran.status, ran.json["error"]["code"]) == (1, "KS104")
    assert "count only where CONFIG_OPT is m" in ran.json["error"]["cause"]
    assert not (tmp_path / "Kbuild").exists()
    # And what it says to do does it.
    assert "CONFIG_OPT=m kscaffold build" in ran.json["error"]["fix"]
    monkeypatch.setenv("CONFIG_OPT", "m")
    told = ks("adopt", tmp_path, "--write", "--json")
    assert [m["name"] for m in told.json["modules"]] == ["hello"]


def test_one_directory_below_that_make_can_t_read(ks, tmp_path):
    write(tmp_path, sub_0_Kbuild="include $(nowhere)/mconfig\nobj-m := a.o\n", sub_0_a__c=HELLO)
    ran = ks("adopt", tmp_path, "--json")
    assert (ran.status, ran.json["error"]["code"]) == (69, "KS103")
    assert "mconfig" in ran.json["error"]["cause"] and ran.json["error"]["fix"].endswith("/sub")
    assert not (tmp_path / "Kbuild").exists()


def test_a_makefile_that_builds_something_else_stays(ks, tmp_path):
    write(tmp_path, Makefile="all:\n\techo none of ours\n", hello__c=HELLO)
    ran = ks("adopt", tmp_path, "--write", "--json")
    assert built(ran) == {"hello.ko": ["hello.o"]}
    assert (tmp_path / "Makefile").read_text() == "all:\n\techo none of ours\n"


def test_words_in_comments_and_strings_are_no_macros(ks, tmp_path):
    write(tmp_path, a__c='/*\nmodule_init(x);\n*/\n// module_init(y)\nchar *s = "\\\nmodule_init(z)";\n')
    ran = ks("adopt", tmp_path, "--json")
    assert (ran.status, ran.json["error"]["code"]) == (69, "KS040")


def test_nothing_to_adopt(ks, tmp_path):
    ran = ks("adopt", tmp_path, "--write", "--fix", "--json")
    assert (ran.status, ran.json["error"]["code"]) == (69, "KS040")
    write(tmp_path, Kbuild="obj-m := a.o\n$(error no)\n")
    assert ks("adopt", tmp_path, "--json").json["error"]["code"] == "KS103"
    (tmp_path / "a b").mkdir()
    assert ks("adopt", tmp_path / "a b", "--json").json["error"]["code"] == "KS102"


def test_links_and_bytes_are_kept_and_what_a_killed_run_left_goes(ks, tmp_path):
    real = write(tmp_path / "real", text="") / "text"
    real.write_bytes(b"obj-m := a.o\n# caf\xe9\nEXTRA_CFLAGS += -DX\n")
    project = tmp_path / "project"
    project.mkdir()
    (project / "Kbuild").symlink_to("../real/text")
    left = real.parent / ".kscaffold-write-4194999-0123abcd.tmp"
    left.touch()
    assert ks("adopt", project, "--fix").status == 0
    assert (project / "Kbuild").is_symlink()
    assert real.read_bytes() == b"obj-m := a.o\n# caf\xe9\nccflags-y += -DX\n"
    assert not left.exists()


@pytest.mark.kernel
@pytest.mark.parametrize("series", ["5.10", "6.1", "6.12"])
def test_what_is_proposed_and_what_is_mended_builds(ks, tmp_path, kernel, series):
    k = kernel(series)
    project = write(
        tmp_path / "greeter",
        hello__c=USER,
        util__c=UTIL,
        include_0_util__h="int util_answer(int (*how)(int));\n",
    )
    assert ks("adopt", project, "--write", "-k", k.release).status == 0
    assert ks("build", "-C", project, "-k", k.release).status == 0
    old = write(tmp_path / "old", Makefile=OLD.replace("one.o two.o", "foo.o two.o"))
    shutil.copy(project / "hello.c", old / "foo.c")
    shutil.copy(project / "util.c", old / "two.c")
    shutil.copytree(project / "include", old / "include")
    assert ks("adopt", old, "--fix", "-k", k.release).status == 0
    ran = ks("build", "-C", old, "-k", k.release)
    assert ran.status == 0, ran.err
    assert (old / "foo.ko").exists() and (old / "foo_main.o").exists()


def test_the_kbuild_of_every_template_is_found_again_from_its_sources(ks, tmp_path):
    names = [t["name"] for t in ks("new", "--list", "--json").json["templates"]]
    for name in names:
        assert ks("new", f"my-{name}", "-t", name, "-C", tmp_path).status == 0
        project = tmp_path / f"my-{name}"
        expected = {k: sorted(v) for k, v in built(ks("adopt", project, "--json")).items()}
        (project / "Kbuild").unlink()
        (project / "Makefile").unlink()
        wrote = ks("adopt", project, "--write", "--json")
        assert {k: sorted(v) for k, v in built(wrote).items()} == expected, name


def test_a_disk_that_is_full_changes_nothing(tmp_path):
    write(tmp_path, Kbuild="obj-m := a.o\n", Makefile="all:\n\tmake M=$(PWD)\n", a__c="")
    before = state(tmp_path)
    command = f"ulimit -f 0; exec '{sys.executable}' -m kscaffold adopt --fix '{tmp_path}'"
    ran = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 69, ran.stderr
    assert "file too large" in ran.stderr
    assert state(tmp_path) == before
    with_room = command.partition("; ")[2]
    assert subprocess.run(["sh", "-c", with_room], cwd=ROOT, capture_output=True, timeout=60).returncode == 0
    assert "$(CURDIR)" in (tmp_path / "Makefile").read_text()


def test_the_keys_of_the_documents_within(ks, tmp_path):
    write(tmp_path, Makefile="obj-m := a.o\nccflags-y := -DX\nall:\n    make M=$(PWD)\n", a__c="")
    document = ks("adopt", tmp_path, "--json").json
    assert set(document["modules"][0]) == {"name", "path", "objects", "missing"}
    assert set(document["flags"][0]) == {"directory", "variable", "value"}
    assert set(document["problem"]) == {"code", "message", "cause", "fix"}
    assert {frozenset(h) for h in document["habits"]} == {frozenset(HABIT_KEYS)}
    bare = write(tmp_path / "bare", hello__c=HELLO)
    proposal = ks("adopt", bare, "--json").json["proposal"]
    assert set(proposal) == {"text", "modules", "unsure"}
    assert set(proposal["modules"][0]) == {"name", "objects"}

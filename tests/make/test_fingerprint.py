""" "Nothing to do" is never said when make would do something: random changes, judged by make itself."""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.compiler import toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.build import build
from kscaffold.make.fingerprint.compare import fresh_targets, is_fresh
from kscaffold.make.fingerprint.kbuild_text import unjudgeable
from kscaffold.project.ask import read_project
from tests.support.kernels import need_kernel
from tests.support.projects import HELLO, own_tree, unlink_copy, write

STEPS = int(os.environ.get("KSCAFFOLD_FRESHNESS_STEPS", "12"))


@dataclass
class World:
    """A project, a kernel tree of its own, and what has been done to them."""

    project: Path
    kernel: Kernel
    programs: Path
    random: random.Random

    @property
    def tree(self) -> Path:
        assert self.kernel.build
        return self.kernel.build

    def build(self) -> None:
        report = build(read_project(self.project, self.kernel), self.kernel)
        assert report.ok, report.log.read_text()

    def fresh(self) -> bool:
        return is_fresh(read_project(self.project, self.kernel), self.kernel)

    def make_works(self) -> bool:
        """Whether plain make finds something to do, doing it."""
        return any(line.startswith("  ") for line in plain_make(self.project, self.tree).splitlines())


def plain_make(project: Path, tree: Path) -> str:
    variables = toolchain(read_tree(tree)).variables
    argv = ["make", "-C", tree, f"M={project}", *variables, "modules"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def touch(file: Path) -> None:
    os.utime(file)


def append(file: Path, text: str) -> None:
    with file.open("a") as opened:
        opened.write(text)


def set_variable(w: World) -> None:
    os.environ["KCFLAGS"] = f"-DCHANGE={w.random.randrange(10**6)}"


def rewrite_quietly(w: World) -> None:
    """New text, old date, as `cp -p` or a checkout may do: make itself does not see it."""
    file = w.project / "a.c"
    stat = file.stat()
    append(file, "/* quiet */\n")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def wrap_compiler(w: World) -> None:
    wrapper = w.programs / "gcc-12"
    wrapper.unlink(missing_ok=True)  # first: a wrapper of itself would never end
    real = shutil.which("gcc-12") or shutil.which("gcc")
    wrapper.write_text(f'#!/bin/sh\n# {w.random.random()}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)


def date(w: World, days: float) -> None:
    then = time.time() + days * 86400
    os.utime(w.project / "b.c", (then, then))


# The files of the kernel's tree that are changed.
OF_TREE = ("include/linux/kernel.h", "include/linux/printk.h", "include/config/MODULES", "Module.symvers")
CHANGES: dict[str, Callable[[World], None]] = {
    "nothing": lambda w: None,
    "touch a source": lambda w: touch(w.project / "a.c"),
    "edit a source": lambda w: append(w.project / "b.c", "/* more */\n"),
    "edit it with its old date": rewrite_quietly,
    "touch own header": lambda w: touch(w.project / "own.h"),
    "edit own header": lambda w: append(w.project / "own.h", "/* more */\n"),
    "replace own header": lambda w: (
        shutil.copy(w.project / "own.h", w.project / "new.h")
        and os.replace(w.project / "new.h", w.project / "own.h")
    ),
    "date a source back": lambda w: date(w, -10),
    "date a source ahead": lambda w: date(w, 0.5),
    "remove an object": lambda w: (w.project / "b.o").unlink(),
    "remove the module": lambda w: (w.project / "one.ko").unlink(),
    "remove a command": lambda w: (w.project / ".a.o.cmd").unlink(),
    "edit a command": lambda w: append(w.project / ".one.o.cmd", "\n"),
    "remove Module.symvers": lambda w: (w.project / "Module.symvers").unlink(),
    "remove modules.order": lambda w: (w.project / "modules.order").unlink(),
    "touch what modpost wrote": lambda w: touch(w.project / "one.mod.c"),
    "change flags": lambda w: append(w.project / "Kbuild", f"ccflags-y += -DY{w.random.randrange(10**6)}\n"),
    "change one object's flags": lambda w: append(w.project / "sub/Kbuild", "CFLAGS_two.o := -DZ\n"),
    "set KCFLAGS": set_variable,
    "unset KCFLAGS": lambda w: os.environ.pop("KCFLAGS", None),
    "touch a kernel header": lambda w: touch(unlink_copy(w.tree / "include/linux/kernel.h")),
    "edit a kernel header": lambda w: append(unlink_copy(w.tree / "include/linux/printk.h"), "/* x */\n"),
    "touch a configuration marker": lambda w: touch(unlink_copy(w.tree / "include/config/MODULES")),
    "touch the kernel's symbols": lambda w: touch(unlink_copy(w.tree / "Module.symvers")),
    "another compiler": wrap_compiler,
    "the old compiler": lambda w: (w.programs / "gcc-12").unlink(missing_ok=True),
    "a file beside": lambda w: append(w.project / "notes.txt", "x"),
    "a new source for an object": lambda w: append(w.project / "a.S", "/* not used while there is a.c */\n"),
}


@dataclass(frozen=True)
class Before:
    """A project that plain make has built, in its place and `kept` beside it; the tree it was built for, and
    where the links of that tree lead that a test may have changed.
    """

    project: Path
    kept: Path
    kernel: Kernel
    links: dict[Path, Path]

    def restore(self) -> None:
        """Put all as it was, with its old dates: make finds nothing to do."""
        shutil.rmtree(self.project)
        shutil.copytree(self.kept, self.project)
        for file, leads_to in self.links.items():
            file.unlink()
            file.symlink_to(leads_to)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Before:
    place = tmp_path_factory.mktemp("own")
    kernel = own_tree(need_kernel("6.1"), place / "tree")
    assert kernel.build
    project = write(
        place / "project",
        Kbuild="obj-m := one.o sub/\none-y := a.o b.o\nccflags-y := -I$(src)\n",
        a__c='#include "own.h"\n' + HELLO,
        b__c='#include <linux/kernel.h>\n#include "own.h"\nint b(void)\n{\n\treturn OWN;\n}\n',
        own__h="#define OWN 1\nint b(void);\n",
        sub_0_Kbuild="obj-m := two.o\n",
        sub_0_two__c=HELLO,
    )
    plain_make(project, kernel.build)
    shutil.copytree(project, place / "kept")
    links = {kernel.build / name: (kernel.build / name).readlink() for name in OF_TREE}
    return Before(project, place / "kept", kernel, links)


@pytest.fixture
def world(tmp_path: Path, before: Before, monkeypatch: pytest.MonkeyPatch) -> World:
    seed = int(os.environ.get("KSCAFFOLD_SEED", random.randrange(10**9)))
    print(f"KSCAFFOLD_SEED={seed}")
    before.restore()
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("KCFLAGS", "")
    return World(before.project, before.kernel, programs, random.Random(seed))


@pytest.mark.kernel
def test_random_changes_against_make(world: World):
    for step in range(STEPS):
        certain = world.random.random() < 0.8
        if certain:  # what can't be judged goes, so that the next change starts from "nothing to do"
            CHANGES["the old compiler"](world)
            touch(world.project / "b.c")
            time.sleep(0.02)  # the file system's clock ticks this often
        world.build()
        assert world.fresh() or not certain
        names = world.random.sample(sorted(CHANGES), k=world.random.choice((1, 1, 1, 2)))
        for name in names:
            CHANGES[name](world)
        # Plain make is the judge of a yes only: a no is always right.
        assert not (world.fresh() and world.make_works()), (
            f"step {step}: {names}: said fresh, and make had something to do"
        )


@pytest.mark.kernel
@pytest.mark.parametrize("name", sorted(set(CHANGES) - {"nothing", "unset KCFLAGS", "the old compiler"}))
def test_each_change_asks_make(world: World, name: str):
    """Cheap, so each one: after a build nothing is to do, after the change make is asked."""
    world.build()
    assert world.fresh()
    CHANGES[name](world)
    assert not world.fresh()


@pytest.mark.kernel
def test_another_kernel_is_not_fresh(world: World, kernel):
    world.build()
    assert fresh_targets(world.project, world.kernel) == read_project(world.project, world.kernel)
    assert fresh_targets(world.project, kernel("6.1")) is None
    assert fresh_targets(world.project.parent, world.kernel) is None


JUDGED = [
    "obj-m := a.o\n",
    "obj-m := a.o\na-objs := b.o c.o # why\nccflags-y += -DX=1 -I$(src)/include\n",
    "obj-m := a.o\nall:\n\tmake -C /lib/modules/$(shell uname -r)/build M=$(PWD) modules\nclean:\n\trm *.o\n",
    "KDIR ?= /lib/modules/$(shell uname -r)/build\nobj-m := a.o\nall:\n\t$(MAKE) -C $(KDIR) M=$(CURDIR)\n",
    "ifneq ($(KERNELRELEASE),)\nobj-m := a.o\nelse\nX := $(shell x)\ninclude x\nall: $(wildcard *)\nendif\n",
    "ifeq ($(KERNELRELEASE),)\nX := $(shell date)\nelse\nobj-m := a.o\nendif\n",
    "ifndef KERNELRELEASE\nfoo%: ;\nelse\nobj-m := a.o\nendif\n",
    "obj-$(CONFIG_X) += a.o\nifeq ($(CONFIG_Y),y)\nccflags-y += $(call cc-option,-Wx)\nendif\n",
    "obj-m := $(addsuffix .o,$(filter-out x,a b))\n.PHONY: all clean\n",
    "obj-m := a.o\nCFLAGS_a.o := -DV=$(KERNELRELEASE)\nMY_FLAGS := -O1\nccflags-y += $(MY_FLAGS) \\\n\t-DY\n",
]
JUDGED += [
    "PWD := $(shell pwd)\nobj-m := a.o\nccflags-y := -I$(PWD)\n",
    "obj-m := a.o\nccflags-y := -I$(PWD)/include\n",
    "ifeq ($(shell uname -m),x86_64)\nobj-m := a.o\nendif\n",
    "VERS := $(shell uname -r)\nobj-m := a.o\nccflags-y += -DV=$(VERS)\n",
    "obj-m := a.o\ninstall_ko: all\n\tcp a.ko /x\nmy-own:\n\tdate\n",
    "HERE = $(shell pwd -P)\nobj-m := a.o\ndkms reload: all\n\tinsmod a.ko\n",
]
NOT_JUDGED = [
    "obj-m := a.o\nccflags-y := -DV=$(shell cat version)\n",
    "obj-m := a.o\nV != cat version\n",
    "obj-m := $(patsubst %.c,%.o,$(wildcard *.c))\n",
    "obj-m := a.o\ninclude $(src)/more.mk\n",
    "-include $(src)/more.mk\nobj-m := a.o\n",
    "obj-m := a.o\n$(obj)/a.o: $(src)/generated.h\n",
    "obj-m := a.o\n$(src)/generated.h: FORCE\n\tdate > $@\n",
    "obj-m := a.o\nalways-y := x\nhostprogs := x\n",
    "obj-m := a.o\nccflags-y += -DU=$(USER)\n",
    "obj-m := a.o\nifdef SSH_TTY\nccflags-y += -DU\nendif\n",
    "obj-m := a.o\n$(eval X := $(shell date))\n",
    "define X\n$(shell date)\nendef\nobj-m := a.o\n",
    "KDIR := $(shell cat where)\nobj-m := a.o\nccflags-y := -I$(KDIR)\n",
    "ifeq ($(shell uname -m | cat),x86_64)\nobj-m := a.o\nendif\n",
    "obj-m := a.o\nccflags-y := -DV=$(shell pwd; cat version)\n",
    "obj-m := a.o\na.o: date\n",
    "obj-m := a.o\nversion.h:\n\tdate > $@\n",
    "obj-m := a.o\n%: ;\n",
    "ifeq ($(DEBUG),1)\nX := $(shell date)\nendif\nobj-m := a.o\n",
    "ifneq ($(KERNELRELEASE),)\nccflags-y := $(shell date)\nelse\nendif\nobj-m := a.o\n",
    "ifeq ($(DEBUG),1)\nelse\nX := $(shell date)\nendif\nobj-m := a.o\n",
    "obj-m := a.o\nX := $($(Y))\n",
    "obj-m := a.o\n$(warning look here)\n",
    "obj-m := a.o\nSHELL := /bin/bash\n",
    "obj-m := a.o\nvpath %.c other\n",
    "\tobj-m := $(wildcard *.o)\n",
]


@pytest.mark.parametrize("text", JUDGED)
def test_plain_kbuilds_are_judged(text: str):
    assert unjudgeable(text) is None


@pytest.mark.parametrize("text", NOT_JUDGED)
def test_what_can_t_be_judged_is_left_to_make(text: str):
    assert unjudgeable(text) is not None


@pytest.mark.kernel
def test_a_kbuild_that_asks_the_shell_is_never_fresh(tmp_path: Path, kernel):
    write(
        tmp_path,
        Kbuild="obj-m := a.o\nccflags-y := -DV=$(shell cat $(src)/version)\n",
        a__c=HELLO,
        version="1",
    )
    w = World(tmp_path, kernel("6.1"), tmp_path, random.Random(1))
    w.build()
    assert not w.fresh()
    write(tmp_path, version="2")
    before = (tmp_path / "a.ko").stat().st_mtime_ns
    w.build()
    assert (tmp_path / "a.ko").stat().st_mtime_ns != before

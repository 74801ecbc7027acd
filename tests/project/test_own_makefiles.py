"""What a project's Makefile and dkms.conf do around Kbuild, as read: nothing of them is run."""

from pathlib import Path

import pytest

from kscaffold.make.own_way import last_resort, own_way
from kscaffold.project.dkms_conf import configures_build, read_dkms_conf
from kscaffold.project.makefile import kernel_variables, read_makefile
from tests.conftest import ROOT, need_program
from tests.support.projects import COURSE

PLAIN = {
    "another goal has variables": "obj-m := a.o\ndefault:\n\t$(MAKE) -C $(KDIR) M=$(PWD) modules\n"
    "debug:\n\t$(MAKE) DEBUG=y -C $(KDIR) M=$(PWD) modules\n",
    "the course's": COURSE,
    "what follows the build": "obj-m := a.o\nall:\n\tmake -C /k M=$(PWD) modules\n"
    "\tcp a.ko /x\n\tsudo insmod a.ko\n",
    "its variables say where": "obj-m := a.o\nall:\n"
    "\t$(MAKE) ARCH=$(ARCH) CROSS_COMPILE=$(CROSS) -C $(KDIR) O=$(O) M=`pwd` V=1 modules\n",
    "a phony rule before": "obj-m := a.o\n.PHONY: all check\nall: check\n\tmake -C $(KDIR) M=$(CURDIR)\n"
    "check:\n\t@echo building for $(KDIR)\n\t@test -d $(KDIR)\n",
    "clean makes files": "obj-m := a.o\nall:\n\tmake -C /k M=$(PWD)\nclean:\n"
    "\trm -f x > log\n\tmake -C /k M=$(PWD) X=1 clean\n",
    "a directory by a variable": "obj-m := a.o\nHERE := $(PWD)\nall:\n\tmake -C /k M=$(HERE) modules\n",
    "exported where Kbuild reads": "ifneq ($(KERNELRELEASE),)\nexport CONFIG_A := m\nobj-$(CONFIG_A) := a.o\n"
    "else\nall:\n\tmake -C /k M=$(PWD)\nendif\n",
    "to the terminal": "obj-m := a.o\nall:\n\t@echo start >&2\n"
    "\t@which gcc > /dev/null\n\tmake -C /k M=$(PWD)\n",
    "a program beside": "obj-m := a.o\nall: module tool\nmodule:\n"
    "\tmake -C /k M=$(PWD)\ntool: tool.c\n\tgcc -o $@ $<\n",
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_makefile_that_only_calls_kbuild(tmp_path: Path, name: str):
    (tmp_path / "Makefile").write_text(PLAIN[name])
    found = read_makefile(tmp_path)
    assert (found.reason, found.reaches) == (None, True)
    assert own_way(tmp_path) is None


def test_the_makefiles_of_our_templates_only_call_kbuild(tmp_path: Path):
    files = [p for p in (ROOT / "templates").rglob("Makefile") if p.is_file()]
    files += [p for p in (ROOT / "examples").rglob("Makefile") if p.is_file()]
    for number, file in enumerate(files):
        place = tmp_path / str(number)
        place.mkdir()
        (place / "Makefile").write_text(file.read_text())
        assert read_makefile(place).reason is None, file


def test_a_makefile_of_something_else(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/Makefile").write_text("all:\n\tgcc x.c\n")
    (tmp_path / "Makefile").write_text("all:\n\t$(MAKE) -C sub\n\tcd sub && make\n\tgcc -DM=1 y.c\n")
    assert not read_makefile(tmp_path).reaches
    assert last_resort(tmp_path, "why") is None


def test_the_variables_by_which_a_makefile_finds_the_kernel(tmp_path: Path):
    text = (
        "KVER ?= $(shell uname -r)\nKDIR := /lib/modules/$(KVER)/build\nexport SRC ?= /usr/src/linux\n"
        'DEST = /lib/modules/$(KVER)/kernel/drivers\nOTHER := "/lib/modules/`uname -r`/source" # here\n'
        "KBUILD_OUTPUT := /lib/modules/$(KVER)/build\nMORE = $(KDIR)/include\n"
    )
    (tmp_path / "Makefile").write_text(text)
    assert kernel_variables(tmp_path) == ("KDIR", "SRC", "OTHER")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('MAKE[0]="make -C ${kernel_source_dir} M=${dkms_tree}/p/1/build modules"', None),
        ("MAKE=\"'make' all KVER=$kernelver\"", None),
        ("MAKE[0]='make KERNELDIR=/lib/modules/${kernelver}/build ARCH=x86'", None),
        ("BUILT_MODULE_NAME=a", None),
        ('MAKE[0]="make HDAPS=1 KDIR=$kernel_source_dir"', "dkms.conf gives make HDAPS"),
        ('MAKE="make -C $kernel_source_dir \\\n  CONFIG_A=m M=$PWD"', "dkms.conf gives make CONFIG_A"),
        ("PRE_BUILD='gen.sh --x'", "dkms.conf runs gen.sh --x first"),
        ('MAKE="./configure && make"', "dkms.conf configures first"),
        ('MAKE="cd src; make"', "dkms.conf builds in src"),
    ],
)
def test_what_dkms_conf_asks_for(tmp_path: Path, text: str, told: str | None):
    (tmp_path / "dkms.conf").write_text(f"PACKAGE_NAME=p\n{text}\n")
    assert configures_build(tmp_path) == told


@pytest.mark.parametrize(
    ("release", "make", "exclusion"),
    [
        ("5.10.1-a", "new", None),
        ("4.9.0-a", "old", "dkms.conf excludes 4.9.0-a (BUILD_EXCLUSIVE_KERNEL_MIN=4.14)"),
        ("6.12.3-a", "new", "dkms.conf excludes 6.12.3-a (BUILD_EXCLUSIVE_KERNEL_MAX=6.11)"),
        ("6.11.9-a", "new", None),
        ("6.1.0-rt", "new", "dkms.conf excludes 6.1.0-rt (BUILD_EXCLUSIVE_KERNEL=-a$)"),
    ],
)
def test_dkms_conf_as_dkms_reads_it(tmp_path: Path, release: str, make: str, exclusion: str | None):
    need_program("bash", "bash")
    source = tmp_path / "p"
    source.mkdir()
    (source / "dkms.conf").write_text(
        "PACKAGE_NAME=p\nPACKAGE_VERSION=1.0\nMAKE[0]='new'\nMAKE[1]=old\nMAKE_MATCH[1]='^4\\.'\n"
        "BUILD_EXCLUSIVE_KERNEL='-a$'\nBUILD_EXCLUSIVE_KERNEL_MIN=4.14\nBUILD_EXCLUSIVE_KERNEL_MAX=6.11\n"
        'PRE_BUILD="before $kernelver $arch"\n'
    )
    found = read_dkms_conf(source, tmp_path, release, Path("/k"), "x86_64")
    assert (found.make, found.exclusion) == (make, exclusion)
    assert found.before == f"before {release} x86_64"
    assert (tmp_path / "dkms/p/1.0/build").resolve() == source

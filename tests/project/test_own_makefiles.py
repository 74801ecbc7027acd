"""What a project's Makefile and dkms.conf do around Kbuild, as read: nothing of them is run."""

from pathlib import Path

import pytest

from kscaffold.errors import KscaffoldError
from kscaffold.make.first_error import failed_before_kbuild
from kscaffold.make.own_way import OwnWay, _commands, _seen, last_resort, own_way
from kscaffold.make.stand_in import _parted, _without_install
from kscaffold.project.dkms_conf import configures_build, read_dkms_conf
from kscaffold.project.find import find_project, is_project
from kscaffold.project.makefile import kernel_variables, leads_to_kbuild, read_makefile
from tests.conftest import ROOT, need_program
from tests.support.projects import COURSE, write

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


MORE = {
    "a script of its own": (
        "obj-m := a.o\nall:\n\tif [ ! -f c.h ]; then ./conf.sh; fi\n\tmake -C /k M=$(PWD)\n",
        "its Makefile first runs: if [ ! -f c.h ]; then ./conf.sh; fi",
    ),
    "a shell's script": (
        "obj-m := a.o\nall:\n\tsh conf.sh\n\tmake -C /k M=$(PWD)\n",
        "its Makefile first runs: sh conf.sh",
    ),
    "a part that is made": (
        "obj-m := a.o\ninclude $(M)/flags.mk\nall:\n\tmake -C /k M=$(PWD)\n$(M)/flags.mk:\n\t./conf $@\n",
        "a rule of its Makefile makes flags.mk, which it includes",
    ),
    "rules with spaces before": (
        "ifdef KERNELRELEASE\n  obj-m := a.o\nelse\n  P := -C /k M=$(CURDIR)\n  P += WANT=1\n"
        "  modules module:\n\t@$(MAKE) $(P) $@\nendif\n",
        "its Makefile gives Kbuild WANT",
    ),
    "a function of what is included": (
        "IT := $(wildcard $(src)/common.mk)\n  include ${IT}\nall:\n\t@+$(call kernelbuild,modules)\n",
        "its Makefile gives Kbuild CONFIG_A",
    ),
    "a function of a function, whose arguments hold others": (
        "include common.mk\nbuild = $(call kernelbuild,$(if $(filter -DX,${E}),CONFIG_B=n) ${2},${1})\n"
        "all:\n\t@+$(call build,modules)\n",
        "its Makefile gives Kbuild CONFIG_A",
    ),
}
"""Makefiles that do more than that, and how the reason is told."""


@pytest.mark.parametrize("name", MORE)
def test_a_makefile_that_does_more(tmp_path: Path, name: str):
    (tmp_path / "common.mk").write_text(
        'kernelbuild = ${Q}$(call warn) \\\n\t${MAKE} -C "${KSRC}" \\\n\tCONFIG_A=m M="${CURDIR}" ${2} ${1}\n'
    )
    text, reason = MORE[name]
    (tmp_path / "Makefile").write_text(text)
    found = read_makefile(tmp_path)
    assert (found.reason, found.reaches) == (reason, True)


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ("$(MAKE) -C lib", "its Makefile builds in lib, too"),
        ("$(MAKE) -C $(HERE)/$(KIND)", "its Makefile builds in os/linux, too"),
        ("$(MAKE) -C tool", None),
        ("", None),
    ],
    ids=lambda word: word or "nothing",
)
def test_a_makefile_that_builds_elsewhere_too(tmp_path: Path, recipe: str, reason: str | None):
    """A rule that plain make needs goes on in a directory with modules of its own."""
    for place in ("lib", "os/linux", "other"):
        write(tmp_path / place, Makefile=COURSE)
    write(tmp_path / "tool", Makefile="tool: tool.c\n\tcc -o $@ $<\n")
    text = "obj-m := a.o\nHERE := os\nKIND := $(shell echo linux)\nall: more\n\tmake -C /k M=$(PWD)\n"
    (tmp_path / "Makefile").write_text(f"{text}more:\n\t{recipe}\nrest:\n\tmake -C other\n")
    way = own_way(tmp_path)
    assert (way.reason if way else None) == reason


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
        "HEADERS = /lib/modules/$(KVER)/build/include/\nWHERE := $(HEADERS)/..\n"
        "PLACES := /lib/modules/${KVER}/source \\\n  /lib/modules/${KVER}/build \\\n"
        "  /usr/src/kernel-${KVER}\n"
        "FILES = /usr/src/a /usr/src/b\n"
        "BASE = /lib/modules/$(KVER)\n  TREE ?= $(BASE)/build\n"
        "NESTED ?= /lib/modules/$(or $(KERNELRELEASE),$(shell uname -r))/build\n"
        "SEEN ?= $(wildcard /lib/modules/$(KVER)/build)\n"
        "BESIDE := $(subst /build,/source, $(firstword $(KDIR)) )\nELSE := $(subst /a,/b,$(KDIR))\n"
    )
    (tmp_path / "Makefile").write_text(text)
    assert kernel_variables(tmp_path, Path("/b"), Path("/s")) == {
        "SEEN": "/b",
        **dict.fromkeys(("KDIR", "SRC", "OTHER", "TREE", "NESTED"), "/b"),
        "HEADERS": "/b/include",
        "PLACES": "/s /b",
        "BESIDE": "/s",
    }


@pytest.mark.parametrize(
    "recipe",
    [
        "for d in $(PARTS); do $(MAKE) -C $$d || exit 1; done",
        "$(MAKE) -C $(PART) modules",
        '@for d in $(PARTS); do (cd "$${d}" && make); done',
    ],
)
def test_a_makefile_that_goes_where_a_variable_says(tmp_path: Path, recipe: str):
    for name, rule in (("tool", "gcc x.c"), ("driver", "make -C /k M=$(CURDIR) modules")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Makefile").write_text(f"all:\n\t{rule}\n")
    (tmp_path / "Makefile").write_text(f"all:\n\t{recipe}\n")
    assert leads_to_kbuild(tmp_path) and is_project(tmp_path)
    (tmp_path / "driver/Makefile").write_text("all:\n\tgcc y.c\n")
    assert not leads_to_kbuild(tmp_path) and not is_project(tmp_path)


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


@pytest.mark.parametrize(
    ("files", "command"),
    [
        (("CMakeLists.txt", "src/Kbuild.in"), "cmake ."),
        (("autogen.sh", "configure.ac"), "sh autogen.sh && ./configure"),
        (("configure.ac", "kernel/Makefile.in"), "autoreconf -i && ./configure"),
    ],
)
def test_a_kbuild_that_is_yet_to_be_made(tmp_path: Path, files: tuple[str, ...], command: str):
    for name in (*files, "conf/dkms.conf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("MAKE=make\n")
    with pytest.raises(KscaffoldError) as error:
        find_project(tmp_path)
    assert (error.value.code, error.value.fix) == ("KS101", f"{command} (in {tmp_path}), then again")
    said = [
        "$ ./configure; make clean; make install",
        "/usr/bin/bash: line 1: ./configure: No such file or directory",
        "make: *** No rule to make target 'clean'.  Stop.",
    ]
    found = failed_before_kbuild(said, tmp_path)
    assert found and (found.what, found.fix) == (
        "./configure is not there",
        f"{command} (in the project), then build again",
    )


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("install", ""),
        ("-C src install X=1", "-C src X=1"),
        ("-C install all", "-C install all"),
        ("all install", "all install"),
        ("", ""),
    ],
)
def test_nothing_is_installed_while_building(words: str, left: str, monkeypatch, capsys):
    monkeypatch.delenv("MAKELEVEL", raising=False)
    args = words.split()
    kept = _without_install(args, _parted(args)[2])
    assert kept == left.split() and ("not run while building" in capsys.readouterr().out) == (kept != args)
    monkeypatch.setenv("MAKELEVEL", "1")
    assert _without_install(args, _parted(args)[2]) == args


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("default: help\nhelp:\n\t$(Q)echo usage: make all\nall: x\n\tmake -C /k M=$(PWD)\n", "make all"),
        ("help:\n\t@echo make\nmodules: it\nit:\n\t$(MAKE) -C /k M=$(PWD) modules\n", "make modules"),
        ("first:\n\t$(MAKE) -f other.mk\nall:\n\tmake -C /k M=$(PWD)\n", "make"),
        ("all: it\nit:\n\tmake -C /k M=$(PWD)\nhelp:\n\techo\n", "make"),
        ("help:\n\t@echo make\nclean:\n\tmake -C /k M=$(PWD) clean\n", "make"),
    ],
)
def test_a_default_goal_that_only_tells(tmp_path: Path, text: str, command: str):
    (tmp_path / "Makefile").write_text(text)
    assert _commands(tmp_path, tmp_path, OwnWay("", dkms=False), None, None)[0] == [command]


def test_modules_that_only_kbuild_s_own_list_names(tmp_path: Path):
    """Absolute names with .ko in older kernels, names below the directory with .o in newer ones."""
    write(tmp_path, one__ko="", sub_0_two__ko="", modules__order=f"{tmp_path}/one.ko\nsub/two.o\nnone.o\n")
    answers = f"@kscaffold@ kbuild {tmp_path}\n@kscaffold@ read {tmp_path} Makefile\n@kscaffold@ status 0\n"
    seen = _seen(tmp_path, answers, 0)
    assert [(t.name, t.ko.relative_to(tmp_path).as_posix()) for t in seen.project.targets] == [
        ("one", "one.ko"),
        ("two", "sub/two.ko"),
    ]
    asked = answers.replace(
        "@kscaffold@ status", f"@kscaffold@ module {tmp_path} a.o a.o\n@kscaffold@ status"
    )
    assert [t.name for t in _seen(tmp_path, asked, 0).project.targets] == ["a"]


def test_what_is_made_stays_where_its_kernel_is_built_for():
    """MO= (since Linux 6.13) names one place for all kernels."""
    words = ["-C", "/lib/modules/1/build", "M=/p/src", "MO=/tmp/p", "W=1", "modules"]
    assert _parted(words) == ("/lib/modules/1/build", "/p/src", ["W=1", "modules"])


def test_a_version_that_dkms_conf_computes_has_its_place(tmp_path: Path):
    need_program("bash", "bash")
    source = tmp_path / "p"
    source.mkdir()
    (source / "version").write_text("PACKAGE_VERSION=4.1.15\n")
    text = 'PACKAGE_NAME=p\n. "${BASH_SOURCE%/dkms.conf}/version"\n'
    text += 'MAKE="make -C $dkms_tree/p/$PACKAGE_VERSION/build"\n'
    (source / "dkms.conf").write_text(text)
    found = read_dkms_conf(source, tmp_path, "6.1.0-a", Path("/k"), "x86_64")
    assert found.make == f"make -C {tmp_path}/dkms/p/4.1.15/build"
    assert (tmp_path / "dkms/p/4.1.15/build").resolve() == source


def test_a_version_that_is_no_name_leads_nowhere_else(tmp_path: Path):
    need_program("bash", "bash")
    source, place = tmp_path / "p", tmp_path / "place"
    source.mkdir()
    place.mkdir()
    (source / "dkms.conf").write_text("PACKAGE_NAME=..\nPACKAGE_VERSION=$(echo ..)\nMAKE=make\n")
    read_dkms_conf(source, place, "6.1.0-a", Path("/k"), "x86_64")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p", "place"]
    assert not [p for p in tmp_path.rglob("*") if p.is_symlink()]

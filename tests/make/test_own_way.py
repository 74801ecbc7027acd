"""Projects whose own make does more than Kbuild: habits of real ones, made again small, built for real.

Each is told by its files, by the .ko files that are to be there, and by what the build's one line says.
"""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kscaffold.make.fingerprint.compare import fresh_targets
from kscaffold.make.fingerprint.other_kernel import release_of
from tests.support.projects import HELLO, write

pytestmark = pytest.mark.kernel

KDIR = "KVER ?= $(shell uname -r)\nKDIR ?= /lib/modules/$(KVER)/build\n"
TREES = "/lib/modules/$(shell uname -r)"
USES_VERSION = HELLO.replace("#include <linux/module.h>", '#include <linux/module.h>\n#include "version.h"')
USES_VERSION = USES_VERSION.replace("MODULE_DESC", "MODULE_VERSION(OUR_VERSION);\nMODULE_DESC")
WANTS = HELLO.replace(
    "#include <linux/module.h>", "#include <linux/module.h>\n#ifndef WANTED\n#error no\n#endif"
)


@dataclass(frozen=True)
class Habit:
    """`kos`: where the modules are left. `says`: in the line that tells why. `holds`: text in the first."""

    files: dict[str, str]
    kos: tuple[str, ...]
    says: str
    holds: bytes = b"vermagic="
    scripts: tuple[str, ...] = field(default=())


HABITS = {
    # A file is made before Kbuild.
    "a rule makes a header": Habit(
        {
            "Makefile": f"obj-m := hello.o\n{KDIR}all: version.h\n\t$(MAKE) -C $(KDIR) M=$(PWD) modules\n"
            'version.h: VERSION\n\techo "#define OUR_VERSION \\"`cat VERSION`\\"" > $@\n',
            "VERSION": "7.5.1",
            "hello.c": USES_VERSION,
        },
        ("hello.ko",),
        "a rule of its Makefile makes version.h first",
        b"version=7.5.1",
    ),
    "the recipe makes it itself, and tries what the kernel has": Habit(
        {
            "Makefile": "ifneq ($(KERNELRELEASE),)\nobj-m := hello.o\nelse\n"
            f"{KDIR}default:\n\tsh try.sh $(KDIR) > version.h\n\tmake -C $(KDIR) M=$(CURDIR)\nendif\n",
            # Each in a directory of its own, without the environment; that one fails is an answer.
            "try.sh": 'try() {\n\techo "obj-m := $1" > $d/Makefile\n'
            '\tenv -i PATH="$PATH" make -C $KDIR M=$d modules >/dev/null 2>&1\n}\n'
            "KDIR=$1 d=$(mktemp -d)\ntry none.o || try && echo '#define OUR_VERSION \"7.5.2\"'\nrm -r $d\n",
            "hello.c": USES_VERSION,
        },
        ("hello.ko",),
        "its Makefile first runs: sh try.sh",
        b"version=7.5.2",
    ),
    "dkms runs a script before": Habit(
        {
            "dkms.conf": 'PACKAGE_NAME="p"\nPACKAGE_VERSION="1"\nPRE_BUILD="before.sh $kernelver"\n'
            'BUILT_MODULE_NAME[0]="hello"\nDEST_MODULE_LOCATION[0]="/updates"\n',
            "before.sh": '#!/bin/sh\necho "#define OUR_VERSION \\"$1\\"" > version.h\n',
            "Makefile": "obj-m := hello.o\n",
            "hello.c": USES_VERSION,
        },
        ("hello.ko",),
        "dkms.conf runs before.sh",
        b"version=",
        ("before.sh",),
    ),
    "configure in dkms's MAKE": Habit(
        {
            "dkms.conf": 'MAKE[0]="./configure --with-kernel=${kernel_source_dir} && make -C src"\n'
            'BUILT_MODULE_NAME[0]="hello"\nBUILT_MODULE_LOCATION[0]="src"\n',
            "configure": "#!/bin/sh\ntest -f ${1#*=}/Makefile || exit 1\n"
            'sed "s,@KERNEL@,${1#*=}," src/Makefile.in > src/Makefile\n'
            "echo '#define OUR_VERSION \"7.5.4\"' > src/version.h\n",
            "src/Makefile.in": "obj-m := hello.o\nall:\n\t$(MAKE) -C @KERNEL@ M=`pwd` modules\n",
            "src/hello.c": USES_VERSION,
        },
        ("src/hello.ko",),
        "dkms.conf configures first",
        b"version=7.5.4",
        ("configure",),
    ),
    "a script of a phony rule makes it": Habit(
        {
            "Makefile": f"obj-m := hello.o\n{KDIR}all:\n\t$(MAKE) ready\n"
            "\t$(MAKE) -C $(KDIR) M=$(PWD) modules\nready:\n\tpython3 make_version.py\n",
            "make_version.py": "open('version.h', 'w').write('#define OUR_VERSION \"7.5.3\"')\n",
            "hello.c": USES_VERSION,
        },
        ("hello.ko",),
        "make_version.py writes version.h",
        b"version=7.5.3",
    ),
    # Variables.
    "CONFIG_ on the recipe's line": Habit(
        {
            "Makefile": "obj-$(CONFIG_HELLO) := hello.o\n"
            f"{KDIR}all:\n\t$(MAKE) -C $(KDIR) M=$(PWD) CONFIG_HELLO=m modules\n",
            "hello.c": HELLO,
        },
        ("hello.ko",),
        "its Makefile gives Kbuild CONFIG_HELLO",
    ),
    "exported in the other branch": Habit(
        {
            "Makefile": "ifneq ($(KERNELRELEASE),)\nobj-$(CONFIG_HELLO) += hello.o\nelse\n"
            f"{KDIR}export CONFIG_HELLO = m\nmodules:\n\t$(MAKE) -C $(KDIR) M=$(PWD) $@\nendif\n",
            "hello.c": HELLO,
        },
        ("hello.ko",),
        "its Makefile exports CONFIG_HELLO",
    ),
    "flags through a variable": Habit(
        {
            "Makefile": "obj-m := hello.o\n"
            f"{KDIR}OPTS := -C $(KDIR) M=$(PWD) KCFLAGS=-DWANTED=1\nall:\n\tmake $(OPTS) modules\n",
            "hello.c": WANTS,
        },
        ("hello.ko",),
        "its Makefile gives Kbuild KCFLAGS",
    ),
    "dkms's command line": Habit(
        {
            # Only a release has its configure: the rest does without.
            "dkms.conf": "MAKE=\"'make' -C ${kernel_source_dir} M=${PWD} WANT=1 modules\"\n"
            "PRE_BUILD='configure --with-kernel=$kernel_source_dir'\n"
            'BUILT_MODULE_NAME="hello"\n',
            "Makefile": "obj-m := hello.o\nifdef WANT\nccflags-y += -DWANTED\nendif\n",
            "hello.c": WANTS,
        },
        ("hello.ko",),
        "dkms.conf runs configure first, which is not there: done without it",
    ),
    # Directories.
    "another directory": Habit(
        {
            "Makefile": f"{KDIR}all:\n\t$(MAKE) -C $(KDIR) M=$(PWD)/driver modules\n",
            "driver/Kbuild": "obj-m := hello.o\n",
            "driver/hello.c": HELLO,
        },
        ("driver/hello.ko",),
        "its Makefile builds in driver",
    ),
    "several directories": Habit(
        {
            # The places of sub-directories and of the kernel's tree are in variables only.
            "Makefile": "PARTS := one two\nall: $(PARTS)\n$(PARTS):\n\t$(MAKE) -C $@\n.PHONY: $(PARTS)\n",
            "one/Makefile": f"obj-m := one.o\nHEADERS := {TREES}/build/include\n"
            "all:\n\tmake -C $(HEADERS)/.. M=$(CURDIR) modules\n",
            "two/Makefile": f"obj-m := two.o\nPLACES := {TREES}/source {TREES}/build /usr/src/kernel-x\n"
            "KSRC := $(firstword $(foreach d,$(PLACES),$(wildcard $(d))))\n"
            "ifndef KSRC\n$(error no kernel)\nendif\n"
            "all:\n\tmake -C $(KSRC) SUBDIRS=$(CURDIR) modules\n",
            "one/one.c": HELLO,
            "two/two.c": HELLO,
        },
        ("one/one.ko", "two/two.ko"),
        "builds no module",
    ),
    "a make of its own below": Habit(
        {
            "Makefile": "all:\n\t$(MAKE) -C src all\n",
            "src/Makefile": f"obj-m := hello.o\n{KDIR}all:\n\t$(MAKE) -C $(KDIR) M=$(CURDIR) modules\n",
            "src/hello.c": HELLO,
        },
        ("src/hello.ko",),
        "builds no module",
    ),
    "dkms says where": Habit(
        {
            "dkms.conf": 'MAKE="make -C kernel/linux KERNELDIR=${kernel_source_dir}"\n'
            'BUILT_MODULE_NAME="hello"\nBUILT_MODULE_LOCATION="kernel/linux"\n',
            "kernel/linux/Makefile": "ifneq ($(KERNELRELEASE),)\nobj-m := hello.o\nendif\n"
            "KERNELDIR ?= /lib/modules/$(shell uname -r)/build\n"
            "all:\n\t$(MAKE) -C $(KERNELDIR) M=$(CURDIR) modules\n",
            "kernel/linux/hello.c": HELLO,
        },
        ("kernel/linux/hello.ko",),
        "dkms.conf builds in kernel/linux",
    ),
    "the recipe moves what Kbuild made out of the sources' way": Habit(
        {
            "Makefile": "all: module tool\nmodule:\n\tcd drv && $(MAKE)\n"
            "tool:\n\tmkdir -p out && date +%N > out/tool\n",
            "drv/Makefile": f"obj-m := hello.o\n{KDIR}all:\n\tmake -C $(KDIR) M=$(shell pwd) modules\n"
            "\tmkdir -p ../out && mv *.ko *.o .*.cmd ../out/\n",
            "drv/hello.c": HELLO,
        },
        ("out/hello.ko",),
        "Makefile builds no module",
    ),
}


def lay_out(directory: Path, habit: Habit) -> Path:
    for name, text in habit.files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for name in habit.scripts:
        (directory / name).chmod(0o755)
    return directory


@pytest.mark.parametrize("name", HABITS)
def test_it_builds_as_its_own_make_does(tmp_path: Path, kernel, ks, name: str):
    # Half of them for the oldest kernel, whose Kbuild writes its lists otherwise.
    habit, k = HABITS[name], kernel(("6.1", "5.10", "6.12")[list(HABITS).index(name) % 3])
    lay_out(tmp_path, habit)
    ran = ks("build", "-C", tmp_path, "-k", k.release)
    assert ran.status == 0, ran.err
    assert habit.says in ran.err
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.ko")) == sorted(habit.kos)
    for ko in habit.kos:
        assert release_of(tmp_path / ko) == k.release
    assert habit.holds in (tmp_path / habit.kos[0]).read_bytes()
    told = ks("build", "-C", tmp_path, "-k", k.release, "--json").json
    assert [m["path"] for m in told["modules"]] == [str(tmp_path / ko) for ko in habit.kos]
    assert told["up_to_date"] is True
    # Nothing to do is proven by the project's files, without its make.
    proven = fresh_targets(tmp_path, k)
    assert proven and [t.ko for t in proven.targets] == [tmp_path / ko for ko in habit.kos]
    source = next(p for p in tmp_path.rglob("*.c") if not p.name.endswith(".mod.c"))
    source.write_text(source.read_text() + "\n")
    assert fresh_targets(tmp_path, k) is None


CONFIGURES = {
    "configure": "#!/bin/sh\nkernel=/lib/modules/`uname -r`/build\nfor word; do case $word in\n"
    "--help) echo '  --kernel-dir=DIR  the kernel'; echo '  --prefix=DIR  where to'; exit;;\n"
    "--kernel-dir=*) kernel=${word#*=};;\n*) exit 9;;\nesac; done\n"
    "test -f $kernel/Makefile || { echo error: no kernel in $kernel; exit 1; }\n"
    "sed s,@KERNEL@,$kernel, linux/config.mak.in > config.mak; cp linux/Kbuild.in Kbuild\n"
    'echo "#define OUR_VERSION \\"`uname -r`\\"" > version.h\n',
    "GNUmakefile": "all:\n-include config.mak\nconfig.mak:\n\t./configure\n",
    "linux/Kbuild.in": "obj-m := hello.o\n",
    "linux/config.mak.in": "all:\n\t$(MAKE) -C @KERNEL@ M=$(CURDIR) modules\n",
    "hello.c": USES_VERSION,
}


def test_a_configure_that_makes_what_kbuild_reads_runs_once_a_kernel(tmp_path: Path, kernel, ks):
    k, other = kernel("6.1"), kernel("6.12")
    lay_out(tmp_path, Habit(CONFIGURES, (), "", scripts=("configure",)))
    unbuilt = ks("list", "-C", tmp_path, "-k", k.release)
    assert not (tmp_path / "config.mak").exists(), unbuilt.err
    for each in (k, other):
        ran = ks("build", "-C", tmp_path, "-k", each.release)
        assert ran.status == 0, ran.err
        assert "configure makes what Kbuild reads" in ran.err
        assert release_of(tmp_path / "hello.ko") == each.release
        assert f"version={each.release}".encode() in (tmp_path / "hello.ko").read_bytes()
    (tmp_path / "hello.c").write_text(USES_VERSION + "\n")
    before = (tmp_path / "version.h").stat().st_mtime_ns
    assert ks("build", "-C", tmp_path, "-k", other.release).status == 0
    assert (tmp_path / "version.h").stat().st_mtime_ns == before


def test_what_its_make_writes_each_time_is_no_change_of_somebody_s(tmp_path: Path, kernel, ks):
    k = kernel("6.1")
    lay_out(tmp_path, HABITS["the recipe moves what Kbuild made out of the sources' way"])
    for _ in range(3):
        with (tmp_path / "drv/hello.c").open("a") as source:
            source.write("\n")
        assert ks("build", "-C", tmp_path, "-k", k.release).status == 0
    assert fresh_targets(tmp_path, k) is not None


def test_a_rule_that_fails_leaves_no_half_made_file_to_build_with(tmp_path: Path, kernel, ks):
    write(
        tmp_path,
        Makefile=f"obj-m := hello.o\n{KDIR}all: version.h\n\t$(MAKE) -C $(KDIR) M=$(PWD) modules\n"
        "version.h:\n\t./not-there > $@\n",
        hello__c=USES_VERSION,
    )
    ran = ks("build", "-C", tmp_path, "-k", kernel("6.1").release, "--json")
    assert (ran.status, ran.json["code"]) == (1, "KS107")
    assert "Makefile:" in ran.json["cause"] and "not-there: not found" in ran.json["cause"]
    assert "make version.h" in ran.json["fix"]
    assert not (tmp_path / "version.h").exists() and not (tmp_path / "hello.ko").exists()


def test_modules_that_are_in_a_variable_nobody_sets(tmp_path: Path, kernel, ks):
    write(tmp_path, Kbuild="MODULES := hello.o\nobj-m := $(MODULE)\n", hello__c=HELLO)
    ran = ks("build", "-C", tmp_path, "-k", kernel("6.1").release, "--json")
    error = ran.json["error"]
    assert (ran.status, error["code"]) == (1, "KS104")
    assert error["cause"] == "obj-m is $(MODULE) in Kbuild, and nothing sets MODULE"
    assert error["fix"].startswith("write $(MODULES), which is set there")

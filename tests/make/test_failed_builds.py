"""Failed builds of real sources: what compilers said with the headers of real kernels, and what it means.

`data/build/changes-SERIES.txt` holds the output of make, with paths shortened, for small modules that are
written for another kernel's interface, one section each.
"""

import re
from pathlib import Path

import pytest

from kscaffold.kernel.buildtree import BuildTree
from kscaffold.make.api_changes import changes_for
from kscaffold.make.explain import explain_build
from kscaffold.make.first_error import failed_before_kbuild
from kscaffold.make.generated import maker_of
from kscaffold.make.kernel_api import guard_of
from kscaffold.make.output import Output
from kscaffold.make.report import BuildExplanation
from kscaffold.project.project import ModuleTarget, Project
from tests.conftest import ROOT
from tests.support.headers import need_headers
from tests.support.projects import HELLO, write

DATA = ROOT / "tests/data/build"
# What each module of the data uses, and what became of it.
CHANGED = {
    "bdops": "block_device_operations.open",
    "binattr": "bin_attribute.read",
    "blkdisk": "blk_alloc_disk",
    "busmatch": "bus_type.match",
    "busmatchnew": "bus_type.match",
    "classattr": "class_attribute.show",
    "classattrnew": "class_attribute.show",
    "classname": "class_create",
    "classowner": "class_create",
    "ctime": "inode.i_mtime",
    "devaddr": "net_device.dev_addr",
    "devnode": "class.devnode",
    "dropinode": "generic_drop_inode",
    "eventfd": "eventfd_signal",
    "fbflag": "FBINFO_DEFAULT",
    "fromtimer": "from_timer",
    "fsget": "mm_segment_t",
    "ftracef": "ftrace_ops.func",
    "genhd": "linux/genhd.h",
    "getattr": "generic_fillattr",
    "gpioset": "gpio_chip.set",
    "gup": "get_user_pages",
    "gupnew": "get_user_pages",
    "hrinit": "hrtimer_init",
    "hrsetup": "hrtimer_setup",
    "i2cprobe": "i2c_driver.probe",
    "i2cprobe1": "i2c_driver.probe",
    "i2cremove": "i2c_driver.remove",
    "ida": "ida_simple_remove",
    "iops": "inode_operations.create",
    "iopsmk": "inode_operations.mkdir",
    "irq": "in_irq",
    "iterate": "file_operations.iterate",
    "kobjtype": "kobj_type.default_attrs",
    "llseek": "no_llseek",
    "napi": "netif_napi_add",
    "napinew": "netif_napi_add",
    "pageflt": "vm_operations_struct.fault",
    "pcidma": "pci_set_dma_mask",
    "pdrvint": "platform_driver.remove",
    "pdrvnew": "platform_driver.remove_new",
    "pdrvvoid": "platform_driver.remove",
    "prandom": "prandom_u32",
    "procfops": "proc_create",
    "shrinker": "register_shrinker",
    "spimaster": "spi_master",
    "spiremove": "spi_driver.remove",
    "stdarg": "linux/stdarg.h",
    "strlcpyx": "strlcpy",
    "sysctl": "register_sysctl_table",
    "sysctlh": "ctl_table.proc_handler",
    "taskstate": "task_struct.state",
    "timercontainer": "timer_container_of",
    "ttyroom": "tty_operations.write_room",
    "ttywrite": "tty_operations.write",
    "unaligned": "asm/unaligned.h",
    "unalignednew": "linux/unaligned.h",
    "vmflags": "vm_area_struct.vm_flags",
    "vmflagsset": "vm_flags_set",
    # Where the first error of another kernel is another one.
    "fsget-5.10": "get_fs",
    "spimaster-7.3": "spi_alloc_master",
}


def changed(series: str, name: str) -> str:
    return CHANGED.get(f"{name}-{series}", CHANGED[name])


def sections(file: Path) -> dict[str, str]:
    parts = re.split(r"^=== (\w+)\n", file.read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


LOGS = [
    (file.stem.removeprefix("changes-"), name, text)
    for file in sorted(DATA.glob("changes-*.txt"))
    for name, text in sections(file).items()
]


def nowhere(directory: Path) -> Project:
    return Project(directory, directory / "Kbuild", ())


def plain_tree(directory: Path) -> BuildTree:
    return BuildTree(
        directory, directory, "6.1.0-1", ("6", "1", "0"), "x86", None, "", False, False, "x86", "", ""
    )


def told(directory: Path, lines: list[str]) -> BuildExplanation:
    return explain_build(nowhere(directory), plain_tree(directory), [], lines)


@pytest.mark.parametrize(("series", "name", "text"), LOGS, ids=[f"{s}-{n}" for s, n, _ in LOGS])
def test_a_pasted_log_of_a_known_version(series: str, name: str, text: str):
    """Without any headers, as `explain` has it."""
    major, minor = series.split(".")
    (first, *_) = changes_for(text, (int(major), int(minor)))
    assert first.subject == changed(series, name)


@pytest.mark.kernel
@pytest.mark.parametrize(("series", "name", "text"), LOGS, ids=[f"{s}-{n}" for s, n, _ in LOGS])
def test_a_build_with_the_headers_at_hand(tmp_path: Path, series: str, name: str, text: str):
    tree = need_headers("7" if series.startswith("7.") else series)
    found = explain_build(nowhere(tmp_path), tree, [], text.splitlines())
    assert (found.code, found.what) == ("KS119", f"{changed(series, name)} is different in this kernel")
    assert found.fix is not None and "LINUX_VERSION_CODE" in found.fix


@pytest.mark.parametrize(
    ("name", "cause", "fix"),
    [
        (
            "errdir",
            "errdir.c:3: this driver needs CONFIG_MY_BUS: build it with make MY_BUS=1",
            "do what it asks",
        ),
        ("errdirq", "errdirq.c:2: no support for this kernel yet", "do what it asks"),
        ("attr666", "0666 in attr666.c:4: everybody may write", "write 0644"),
        ("attrperm", "0777 in attrperm.c:4: everybody may write", "write 0644"),
        ("param666", "0666 in param666.c:3: everybody may write", "write 0644"),
        ("compatdef", "compat_def.h is not in the project, and no rule or script of it makes it", "README"),
    ],
)
@pytest.mark.parametrize("series", ["6.1", "6.12"])
def test_what_the_first_error_says_itself(tmp_path: Path, series: str, name: str, cause: str, fix: str):
    text = sections(DATA / f"first-{series}.txt")[name]
    lines = text.replace("/home/user/mods", str(tmp_path)).splitlines()
    found = told(tmp_path, lines)
    assert cause in (found.cause or "") and fix in (found.fix or "")


def test_an_option_that_error_asks_for(tmp_path: Path):
    write(tmp_path, include_0_config_0_auto__conf="CONFIG_THERE=y\n")
    (absent, there) = (
        told(tmp_path, [f'a.c:3:2: error: #error "needs CONFIG_{name}"']) for name in ("GONE", "THERE")
    )
    assert "is built without CONFIG_GONE" in (absent.fix or "")
    assert "has CONFIG_THERE" in (there.fix or "")


UEVENT = """a.c:4:12: error: initialization of 'int (*)(struct device *, struct kobj_uevent_env *)' from \
incompatible pointer type 'int (*)(const struct device *, struct kobj_uevent_env *)' [-Wall]
a.c:4:12: note: (near initialization for 'x.uevent')"""


@pytest.mark.parametrize(
    ("struct", "told_of"), [("bus_type", "bus_type"), ("device_type", "device_type"), ("our_ops", None)]
)
def test_a_member_is_of_the_struct_that_the_source_sets(tmp_path: Path, struct: str, told_of: str | None):
    write(
        tmp_path, a__c=f"struct bus_type b = {{\n}};\nstatic const struct {struct} x = {{\n.uevent = f }};\n"
    )
    found = told(tmp_path, UEVENT.splitlines())
    assert (told_of is None) == ("uevent" not in found.what)
    assert told_of is None or found.what == f"{told_of}.uevent is different in this kernel"


def test_a_macro_s_member_is_not_of_the_struct_above(tmp_path: Path):
    """CLASS_ATTR_WO() makes a struct of its own; an initializer before it has ended."""
    write(tmp_path, a__c="static struct file_operations f = {\n.open = o,\n};\nstatic CLASS_ATTR_WO(x);\n")
    wanted, given = (
        "const struct class *, const struct class_attribute *",
        "struct class *, struct class_attribute *",
    )
    rest = "const char *, size_t)'"
    lines = [
        f"a.c:4:22: error: initialization of 'ssize_t (*)({wanted}, {rest} from incompatible pointer type "
        f"'ssize_t (*)({given}, {rest} [-Wall]",
        "a.c:4:22: note: (near initialization for 'class_attr_x.store')",
    ]
    assert told(tmp_path, lines).what == "class_attribute.store is different in this kernel"


GUARDED = """#ifdef CONFIG_NET
#if defined(CONFIG_ACPI_XY) || defined(CONFIG_ACPI_XY_MODULE)
bool xy_has(int a);
#else
#endif
bool xy_always(int a);
extern struct xy xy_table;
/* @b: for others */
struct xy {
	int a;
#if IS_ENABLED(CONFIG_XY_MORE)
	int b;
#endif
};
#endif
"""
IMPLICIT = "a.c:3:2: error: implicit declaration of function 'xy_has' [-Werror=implicit-function-declaration]"


def test_what_lacks_a_submodule_says_so_wherever_it_fails(tmp_path: Path, kernel, ks):
    write(
        tmp_path,
        Kbuild="obj-m := hello.o\n",
        hello__c='#include "absent/has.h"\n' + HELLO,
        __gitmodules='[submodule "a"]\n\tpath = absent\n\turl = https://example.org/a.git\n',
    )
    (tmp_path / "absent").mkdir()
    ran = ks("build", "-C", tmp_path, "-k", kernel("6.1").release, "--json")
    assert ran.json["code"] == "KS118" and ran.json["fix"].startswith("git submodule update --init")
    assert ran.json["cause"].endswith("absent is empty: a submodule that was not fetched")


STUBS = """#ifdef CONFIG_NET
int xy_net(void);
#else
static inline int xy_net(void) { return -1; }
#endif
#ifndef CONFIG_XY_FF
static inline void xy_of_others(void) {}
#else
int xy_start(int a);
#endif
#if IS_ENABLED(CONFIG_XY_FF)
int xy_begin(int a);
#else
static inline int xy_begin(int a) { return -1; }
#endif
"""


def test_what_a_header_of_the_project_has_for_kernels_without_an_option(tmp_path: Path):
    write(tmp_path, xy__h=STUBS, a__c='#include "xy.h"\n', Kbuild="obj-m := a.o\n")
    write(tmp_path, include_0_config_0_auto__conf="CONFIG_NET=y\n", Module__symvers="")
    found = told(tmp_path, ["a.c:9:5: error: redefinition of 'xy_begin'"])
    assert (found.code, found.what) == ("KS144", "kernel 6.1.0-1 is built without CONFIG_XY_FF")
    assert found.cause == "xy.h has a xy_begin() for kernels without CONFIG_XY_FF"
    found = told(tmp_path, ["a.c:9:5: error: redefinition of 'xy_of_others'"])
    assert found.what == "kernel 6.1.0-1 is built without CONFIG_XY_FF"
    for name in ("xy_net", "xy_start"):
        assert told(tmp_path, [f"a.c:9:5: error: redefinition of '{name}'"]).what != found.what


def test_what_a_header_has_with_an_option_only(tmp_path: Path):
    """Where a declaration or a member stands in an #if of a header that is included."""
    write(tmp_path, include_0_linux_0_xy__h=GUARDED, a__c="#include <linux/xy.h>\n", Kbuild="obj-m := a.o\n")
    write(tmp_path, include_0_config_0_auto__conf="CONFIG_NET=y\n", Module__symvers="")
    tree = plain_tree(tmp_path)
    assert guard_of("xy_has", "linux/xy.h", tree) == "CONFIG_ACPI_XY"
    assert guard_of("xy_always", "linux/xy.h", tree) is None
    module = ModuleTarget("a", ("a.o",), tmp_path, tmp_path / "a.ko")
    project = Project(tmp_path, tmp_path / "Kbuild", (module,))
    found = explain_build(project, tree, [], [IMPLICIT])
    assert found.what == "kernel 6.1.0-1 is built without CONFIG_ACPI_XY"
    found = told(tmp_path, ["a.c:3:2: error: 'struct xy' has no member named 'b'"])
    assert (found.code, found.what) == ("KS142", "kernel 6.1.0-1 is built without CONFIG_XY_MORE")
    found = told(tmp_path, ["a.c:3:2: error: 'struct xy' has no member named 'c'"])
    assert found.cause == "struct xy has no member c in this kernel"
    found = told(tmp_path, ['ERROR: modpost: "xy_table" [a.ko] undefined!'])
    assert (found.cause or "").startswith("xy_table is declared in linux/xy.h, and kernel 6.1.0-1 is built")
    assert "did you mean" not in (found.fix or "")


@pytest.mark.parametrize(
    ("said", "what", "cause", "fix"),
    [
        (
            "$ make\ncommon.mk:71: *** No headers here.\ncommon.mk:72: *** Install them.  Stop.\n",
            "its Makefile stops the build itself",
            "common.mk:72: No headers here. Install them",
            "common.mk, line 72",
        ),
        (
            "$ make\nmake[1]: Entering directory '/p/tool'\ncc -c x.c\n"
            "x.c:2:10: fatal error: xy.h: No such file or directory\ncompilation terminated.\n"
            "make[1]: *** [<builtin>: x.o] Error 1\nmake[1]: Leaving directory '/p/tool'\n"
            "make: *** [Makefile:3: all] Error 2\n",
            "the rule for x.o failed",
            "x.c:2:10: fatal error: xy.h: No such file or directory",
            "kscaffold build -C driver",
        ),
        (
            "$ make\nmake[1]: Entering directory '/p/s'\nmake[2]: *** No rule to make target 'inc'.  Stop.\n"
            "make[1]: *** [/p/sub/extra.mk:17: sync] Error 2\nmake[1]: Leaving directory '/p/sub'\n"
            "make: *** [Makefile:24: modules] Error 2\n",
            "the rule for modules failed",
            "No rule to make target 'inc'",
            "make modules shows it alone",
        ),
        (
            "$ make\nmake: rubyish: No such file or directory\nmake: *** [Makefile:26: x.h] Error 127\n",
            "the rule for x.h failed",
            "Makefile:26: it runs rubyish, which is not on this machine",
            "install rubyish, then build again",
        ),
        (
            "$ make\n./gen: cannot open list\nmake: *** [Makefile:3: a.h] Error 1\n",
            "the rule for a.h failed",
            "Makefile:3: ./gen: cannot open list",
            "make a.h",
        ),
        (
            "$ make\nmake -C '' M=''\nmake: the '-C' option requires a non-empty string argument\n"
            "Usage: make [options] [target] ...\nReport bugs to <x>\nmake: *** [Makefile:9: all] Error 2\n",
            "the rule for all failed",
            "Makefile:9: make: the '-C' option requires a non-empty string argument",
            "make all",
        ),
        (
            "$ ./configure --kernel=/k\nchecking x... no\nError: try --with-x=\n",
            "./configure failed before anything was built",
            "Error: try --with-x=",
            "./configure --kernel=/k",
        ),
    ],
)
def test_a_make_that_ends_before_kbuild(tmp_path: Path, said: str, what: str, cause: str, fix: str):
    write(tmp_path, driver_0_Makefile="all:\n\tmake -C /k M=$(CURDIR)\n", tool_0_Makefile="x.o: x.c\n")
    found = failed_before_kbuild(said.splitlines(), tmp_path)
    assert found is not None
    assert (found.what, found.cause) == (what, cause) and fix in (found.fix or "")


DATE = 'a.c:5:34: error: macro "__DATE__" might prevent reproducible builds [-Werror=date-time]'


@pytest.mark.parametrize(
    ("makefile", "lib", "line", "what"),
    [
        ("EXTRA_CFLAGS += -O2 -Wno-date-time", "", DATE, "-Wno-date-time of EXTRA_CFLAGS is not given"),
        ("EXTRA_CFLAGS += -O2 -Wno-date-time", "$(EXTRA_CFLAGS)", DATE, "a warning that stops this build"),
        ("ccflags-y += -Wno-date-time", "", DATE, "a warning that stops this build"),
        (
            "EXTRA_CFLAGS := -DOURS=1",
            "",
            "a.c:5:3: error: 'OURS' undeclared (first)",
            "-DOURS of EXTRA_CFLAGS",
        ),
    ],
)
def test_options_that_newer_kernels_do_not_read(
    tmp_path: Path, makefile: str, lib: str, line: str, what: str
):
    """EXTRA_CFLAGS, until Linux 6.14."""
    write(tmp_path, Makefile=f"obj-m := a.o\n{makefile}\n", scripts_0_Makefile__lib=lib, Module__symvers="")
    module = ModuleTarget("a", ("a.o",), tmp_path, tmp_path / "a.ko")
    project = Project(tmp_path, tmp_path / "Makefile", (module,), read=(tmp_path / "Makefile",))
    assert explain_build(project, plain_tree(tmp_path), [], [line]).what.startswith(what)


def test_a_submodule_that_was_not_fetched(tmp_path: Path):
    write(tmp_path, there_0_a="")
    (tmp_path / "absent").mkdir()
    (tmp_path / ".gitmodules").write_text(
        '[submodule "a"]\n\tpath = there\n[submodule "b"]\n\tpath = absent\n'
    )
    lines = [
        "$ make",
        "make[1]: *** No rule to make target 'inc'.  Stop.",
        "make: *** [Makefile:2: all] Error 2",
    ]
    found = failed_before_kbuild(lines, tmp_path)
    assert found and found.fix == "git submodule update --init, then build again"
    assert found.cause == ("No rule to make target 'inc'; absent is empty: a submodule that was not fetched")


def test_error_in_the_words_of_clang(tmp_path: Path):
    lines = ["a.c:3:2: error: use the other driver", "    3 | #error use the other driver", "      |  ^"]
    assert told(tmp_path, lines).cause == "a.c:3: use the other driver"


@pytest.mark.parametrize(
    ("files", "cause", "command"),
    [
        (
            {"Makefile": "all: x\ncompat_def.h: gen\n\t./gen > $@\n"},
            "a rule of Makefile makes",
            "make compat_def.h",
        ),
        ({"Makefile": "$(src)/compat_def.h:\n\t./gen > $@\n"}, "a rule of Makefile", "make compat_def.h"),
        (
            {"src_0_Makefile": "prepare:\n\t./gen --x > compat_def.h\n"},
            "the rule prepare of src/Makefile",
            "make -C src prepare",
        ),
        (
            {"compat_def__h__in": "", "configure": ""},
            "configure makes compat_def.h of compat_def.h.in",
            "./configure",
        ),
        (
            {"compat_def__h__in": "", "configure__ac": ""},
            "configure makes",
            "autoreconf -i && ./configure",
        ),
        ({"tools_0_probe__sh": "out=compat_def.h\n"}, "tools/probe.sh is what names", "sh tools/probe.sh"),
        ({"gen__py": "open('compat_def.h', 'w')\n"}, "gen.py writes compat_def.h", "python3 gen.py"),
        (
            {"dkms__conf": 'PRE_BUILD="conf.pl -k $kernelver"\n'},
            "dkms runs conf.pl",
            "./conf.pl -k $kernelver",
        ),
        ({"__gitignore": "*.o\ncompat_def.h\n"}, ".gitignore lists it", None),
    ],
)
def test_who_makes_a_header(tmp_path: Path, files: dict[str, str], cause: str, command: str | None):
    write(tmp_path, **files)
    maker = maker_of("compat_def.h", tmp_path)
    assert maker is not None and cause in maker.cause
    assert maker.command == command


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"Makefile": "SRC := compat_def.h\nall:\n\techo\n"},
        {"Makefile": "my_compat_def.h:\n\ttouch $@\n"},
        {"hello__c": '#include "compat_def.h"\n'},
    ],
)
def test_nobody_makes_it(tmp_path: Path, files: dict[str, str]):
    write(tmp_path, **files)
    assert maker_of("compat_def.h", tmp_path) is None


@pytest.mark.kernel
def test_a_generated_header_is_told_by_build(tmp_path: Path, kernel, ks):
    write(
        tmp_path,
        Kbuild="obj-m := hello.o\n",
        hello__c=f'#include "compat_def.h"\n{HELLO}',
        gen__sh="echo > compat_def.h\n",
    )
    ran = ks("build", "-C", tmp_path, "-k", kernel("6.1").release, "--json")
    assert (ran.status, ran.json["code"]) == (1, "KS118"), ran.err
    assert "gen.sh writes compat_def.h" in ran.json["cause"]
    assert "sh gen.sh" in ran.json["fix"]


@pytest.mark.kernel
def test_a_source_listed_through_a_variable(tmp_path: Path, kernel, ks):
    write(tmp_path, Makefile="NAME := helo\nobj-m := $(NAME).o\n", hello__c=HELLO)
    ran = ks("build", "-C", tmp_path, "-k", kernel("6.1").release, "--json")
    assert (ran.status, ran.json["code"]) == (1, "KS111"), ran.err
    assert "Makefile names it as $(NAME).o, and NAME is helo" in ran.json["cause"]
    assert "NAME := hello" in ran.json["fix"]


BRANCHES = """\
ifeq ($(KERNELRELEASE),)
TARGET := hello
all:
\tmake -C /lib/modules/$(shell uname -r)/build M=$(PWD) modules
else
obj-m := $(TARGET).o
endif
"""


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("makefile", "cause", "fix"),
    [
        (
            BRANCHES,
            "Makefile lists $(TARGET).o, and TARGET is empty there: line 2",
            "move line 2, TARGET := hello",
        ),
        ("obj-m := $(MOD).o\n$(MOD)-y := hello.o\n", "and nothing sets MOD", "MOD=VALUE kscaffold build"),
    ],
)
def test_a_module_whose_name_is_empty(tmp_path: Path, kernel, ks, makefile: str, cause: str, fix: str):
    write(tmp_path, Makefile=makefile, hello__c=HELLO)
    ran = ks("build", "-C", tmp_path, "-k", kernel("6.1").release, "--json")
    assert (ran.status, ran.json["code"]) == (1, "KS111"), ran.err
    assert cause in ran.json["cause"] and fix in ran.json["fix"]


@pytest.mark.kernel
def test_a_header_of_another_directory_comes_before_a_near_name(tmp_path: Path, kernel, ks):
    write(tmp_path, Kbuild="obj-m := hello.o\n", hello__c=f"#include <linux/v4l2-device.h>\n{HELLO}")
    ran = ks("build", "-C", tmp_path, "-k", kernel("6.1").release, "--json")
    assert (ran.status, ran.json["code"]) == (1, "KS118"), ran.err
    assert "write #include <media/v4l2-device.h>" in ran.json["fix"]


def shown(lines: list[str], directory: Path) -> list[str]:
    seen: list[str] = []
    output = Output(directory, seen.append)
    for line in lines:
        output.feed(line)
    return seen


def test_a_long_way_of_includes_is_one_line():
    text = sections(DATA / "first-6.1.txt")["param666"]
    lines = shown(text.splitlines(), Path("/home/user/mods"))
    assert lines[0] == "In file included from param666.c:1 (through 3 more headers):"
    assert "error: negative width in bit-field" in lines[1]
    notes = [line for line in lines if "note: in expansion of macro" in line]
    assert notes == ["param666.c:3:1: note: in expansion of macro ‘module_param’"]
    assert any("module_param(n, int, 0666);" in line for line in lines)


def test_one_include_stays_as_it_is():
    lines = ["In file included from /p/a.c:1:", "/p/a.h:2:1: error: unknown type name 'x'"]
    assert shown(lines, Path("/p")) == [
        "In file included from a.c:1:",
        "a.h:2:1: error: unknown type name 'x'",
    ]


def test_the_output_of_probes_is_folded():
    probes = [f"checking for struct member{n}... yes" for n in range(40)]
    lines = shown([*probes, "configure: error: no kernel source found"], Path("/p"))
    assert lines == [
        "checking for struct member0... yes",
        "(and 39 more such lines; the whole output is in the build's log)",
        "configure: error: no kernel source found",
    ]

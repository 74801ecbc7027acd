"""Why a build failed: real logs of every known failure, and real failures with their exact answers."""

import tomllib
from pathlib import Path

import pytest

from kscaffold.diagnosis import catalogue
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.make import output
from kscaffold.make.explain import explain_build
from kscaffold.make.output import Output
from kscaffold.project.project import ModuleTarget, Project
from tests.support.evidence import DATA
from tests.support.projects import HELLO, write

REPORTS = tomllib.loads((DATA / "reports.toml").read_text(encoding="utf-8"))
LOGS = sorted((DATA / "build").glob("*.log"))


def codes(log: Path) -> list[str]:
    findings = catalogue.match(log.read_text().splitlines(), "15")
    return [f.entry.code for f in findings if not f.entry.noise]


@pytest.mark.parametrize("log", [p for p in LOGS if p.name.startswith("KS")], ids=lambda p: p.stem)
def test_a_real_log_is_known(log: Path):
    code = log.name[:5]
    assert code in codes(log)


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("KS112-license", "no MODULE_LICENSE in hello.ko"),
        ("KS113-gplonly", "hello.ko uses kobject_create_and_add, which is"),
        ("KS114-undefined", "nothing exports zoo_nosuch"),
        ("KS115-namespace", "hello.ko uses dma_buf_put of namespace DMA_BUF"),
        ("KS123-softfloat", "a float or double"),
        ("KS127-export", "EXPORT_SYMBOL stays, and early does not"),
        ("KS127-mismatch", "later stays, and early does not"),
        ("KS128-kernel", "zlib_inflate_blob is exported twice"),
    ],
)
def test_in_the_words_of_7_3(log: str, cause: str):
    """modpost names the module first, and symbols in single quotes."""
    (path,) = (p for p in LOGS if p.stem == f"{log}-7.3")
    findings = {f.entry.code: f for f in catalogue.match(path.read_text().splitlines(), "15")}
    assert cause in findings[log[:5]].cause


@pytest.mark.parametrize("log", [p for p in LOGS if p.name.startswith("healthy")], ids=lambda p: p.stem)
def test_a_healthy_log_has_no_cause(log: Path):
    assert codes(log) == []
    shown: list[str] = []
    output = Output(Path("/home/user/gplboth"), shown.append)
    for line in log.read_text().splitlines():
        output.feed(line)
    assert (shown, output.complaints, output.worked) == ([], [], True)


def test_every_pattern_has_a_log():
    covered = {p.name[:5] for p in LOGS} | {code for report in REPORTS.values() for code in report["codes"]}
    assert {c for c, e in catalogue.entries("1").items() if e.patterns and not e.noise} <= covered


def source(head: str = "", body: str = "", licence: str = 'MODULE_LICENSE("GPL");') -> str:
    text = HELLO.replace("#include <linux/module.h>\n", f"#include <linux/module.h>\n{head}\n")
    return text.replace("\treturn 0;", f"\t{body}\n\treturn 0;").replace('MODULE_LICENSE("GPL");', licence)


ONE = "obj-m := hello.o\n"
TWO = "obj-m := own.o\nown-y := hello.o other.o\n"
# The files, the code, and what cause and fix must say.
CASES: dict[str, tuple[dict[str, str], str, str]] = {
    "syntax": ({"hello__c": source(body="int x = 3")}, "KS107", "mend the first error"),
    "no licence": ({"hello__c": source(licence="")}, "KS112", 'MODULE_LICENSE("GPL")'),
    "GPL only": (
        {
            "hello__c": source(
                "#include <linux/kprobes.h>\nstatic struct kprobe k;",
                "register_kprobe(&k);",
                'MODULE_LICENSE("Proprietary");',
            )
        },
        "KS113",
        "register_kprobe",
    ),
    "a header missing": (
        {"hello__c": source(body="kfree(kmalloc(1, GFP_KERNEL));\n\tvfree(NULL);")},
        "KS116",
        "#include <linux/slab.h>, #include <linux/vmalloc.h>",
    ),
    "found in the tree": ({"hello__c": source(body="debugfs_remove(NULL);")}, "KS116", "linux/debugfs.h"),
    "no such function": ({"hello__c": source(body="frobnicate_it();")}, "KS116", "no header of kernel"),
    "user space": ({"hello__c": source(body='printf("x");')}, "KS117", "pr_info()"),
    "user space's header": ({"hello__c": source("#include <stdio.h>")}, "KS117", "stdio.h"),
    "a header's name": ({"hello__c": source("#include <linux/modul.h>")}, "KS118", "linux/module.h?"),
    "own header elsewhere": (
        {"hello__c": source('#include "own.h"'), "include_0_own__h": ""},
        "KS118",
        "ccflags-y += -I$(src)/include",
    ),
    "newer interface": ({"hello__c": source(body="timer_container_of(0, 0, 0);")}, "KS119", "from_timer()"),
    "older interface": ({"hello__c": source(body="set_fs(0);")}, "KS119", "5.18"),
    "own function, wrong arguments": (
        {"hello__c": source("static int own(int x) { return x; }", "own(1, 2);")},
        "KS107",
        "mend the first error",
    ),
    "a list of Kbuild's": (
        {"Kbuild": "obj-m := obj.o\n", "obj__c": HELLO},
        "KS111",
        "its own lists of modules",
    ),
    "no source": ({"Kbuild": "obj-m := own.o\nown-y := helo.o\n", "hello__c": HELLO}, "KS111", "hello.o"),
    "not linked": (
        {"hello__c": source("int there(void);", "there();"), "other__c": "int there(void)\n{\n}\n"},
        "KS114",
        "other.c defines there",
    ),
    "nearly exported": (
        {"hello__c": source("int kmem_cache_freee(void);", "kmem_cache_freee();")},
        "KS114",
        "did you mean kmem_cache_free",
    ),
    "exported by nobody": (
        {"hello__c": source("int frobnicate(void);", "frobnicate();")},
        "KS114",
        "does not export frobnicate",
    ),
    "no longer exported": (
        {"hello__c": source("int kallsyms_lookup_name(char *);", 'kallsyms_lookup_name("x");')},
        "KS119",
        "5.7",
    ),
    "of a part that the kernel is built without": (
        {"hello__c": source("#include <linux/usb.h>", "usb_control_msg(0, 0, 0, 0, 0, 0, 0, 0, 0);")},
        "KS114",
        "kernel add 6.1 --flavour amd64",
    ),
    "declared only where it is built": (
        {
            "hello__c": source('#include "own.h"', "i2c_add_adapter(NULL);"),
            "own__h": "#include <linux/i2c.h>",
        },
        "KS116",
        "i2c_add_adapter of linux/i2c.h belongs to CONFIG_I2C build for the full kernel of that release",
    ),
    "a flag of a newer compiler": (
        {"Kbuild": f"{ONE}ccflags-y := -fnot-a-flag-yet\n", "hello__c": HELLO},
        "KS122",
        "take -fnot-a-flag-yet out of Kbuild",
    ),
    "a flag without its rest": (
        {"Kbuild": f"{ONE}ccflags-y := -DA\nccflags-y += -I$(LDDINC) # set by make\n", "hello__c": HELLO},
        "KS107",
        "ccflags-y ends with -I and nothing: LDDINC is empty set it, for example in the environment: LDDINC=",
    ),
    "an old flag without its rest, of two": (
        {"Kbuild": f"A = .\n{ONE}EXTRA_CFLAGS += -I$(A)\nEXTRA_CFLAGS += -I$(B)\n", "hello__c": HELLO},
        "KS107",
        "EXTRA_CFLAGS ends with -I and nothing: A or B is empty",
    ),
    "what only looks so": (
        {"Kbuild": f"{ONE}ccflags-y := -I$(LDDINC) -DA\n", "hello__c": f"#undef MODULE\n{HELLO}"},
        "KS107",
        "None mend the first error",
    ),
    "a namespace": (
        {"hello__c": source("#include <linux/dma-buf.h>", "dma_buf_put(NULL);")},
        "KS115",
        "MODULE_IMPORT_NS(DMA_BUF)",
    ),
    "two inits": ({"Kbuild": TWO, "hello__c": HELLO, "other__c": HELLO}, "KS121", "init_module"),
    "two of a name": (
        {"Kbuild": f"{ONE}obj-m += sub/\n", "hello__c": HELLO, "sub_0_Kbuild": ONE, "sub_0_hello__c": HELLO},
        "KS120",
        "rename",
    ),
    "a flag of clang": (
        {"Kbuild": f"{ONE}ccflags-y := -fsplit-lto-unit\n", "hello__c": HELLO},
        "KS122",
        "-fsplit-lto-unit",
    ),
    "floating point": (
        {"hello__c": source("double f(double x) { return x * 2; }")},
        "KS123",
        "integers",
    ),
    "init of no value": (
        {"hello__c": HELLO.replace("static int __init", "static void __init").replace("\treturn 0;\n", "")},
        "KS126",
        "static int __init",
    ),
    "exit misspelt": (
        {"hello__c": HELLO.replace("module_exit(hello", "module_exit(helo")},
        "KS140",
        "did you mean",
    ),
    "a constant of a header": ({"hello__c": source(body="int x = ETH_HLEN;")}, "KS140", "linux/if_ether.h"),
    "a constant of nobody": (
        {"hello__c": source(body="int x = ZOO_MAX;")},
        "KS140",
        "nor has any header of kernel",
    ),
    "a type of a header": (
        {"hello__c": source(body="struct in_addr *a = NULL;\n\treturn a->s_addr;")},
        "KS141",
        "linux/in.h",
    ),
    "a function of a header of the processor's": (
        {"hello__c": source(body="inat_get_opcode_attribute(1);")},
        "KS116",
        "write #include <asm/inat.h>",
    ),
    # In linux/memcontrol.h a parameter of this name begins a line.
    "a variable of nobody": ({"hello__c": source(body="x = 1;")}, "KS140", "nothing that is included has x"),
    "the struct of a variable": (
        {"hello__c": source(body="struct zoo_thing a;")},
        "KS141",
        "nothing that is included has struct zoo_thing",
    ),
    "a variable of a struct that is not known": (
        {"hello__c": source("static struct genl_family f = { .version = 1 };")},
        "KS141",
        "struct genl_family is defined in net/genetlink.h",
    ),
    "a member of one": (
        {"hello__c": source("struct mine { struct genl_info one; };")},
        "KS141",
        "struct genl_info is defined in net/genetlink.h",
    ),
    "the size of one": (
        {"hello__c": source("static char room[sizeof(struct miscdevice)];")},
        "KS141",
        "struct miscdevice is defined in linux/miscdevice.h",
    ),
    "a type of nobody": ({"hello__c": source("static zoo_t a;")}, "KS141", "nor has any header of kernel"),
    "a member that went": (
        {"hello__c": source("#include <linux/fs.h>\nstatic struct file_operations f = { .ioctl = 0 };")},
        "KS142",
        "struct file_operations has no member ioctl",
    ),
    "a callback of other arguments": (
        {
            "hello__c": source(
                "#include <linux/fs.h>\nstatic int op(struct file *f) { return 0; }\n"
                "static struct file_operations f = { .open = op };"
            )
        },
        "KS143",
        "the arguments and the return type",
    ),
    "a name of the kernel's": (
        {"hello__c": source("#include <linux/slab.h>\nint kfree(int x);")},
        "KS144",
        "kfree is the kernel's own, declared in linux/slab.h",
    ),
    "arguments as before C89": (
        {"hello__c": source("static int add(a, b) int a; int b; { return a + b; }")},
        "KS145",
        "strict-prototypes",
    ),
    "a parameter's type": (
        {"hello__c": source("static int n;\nmodule_param(n, integer, 0);")},
        "KS146",
        "charp",
    ),
    "much on the stack": (
        {
            "Kbuild": f"{ONE}ccflags-y := -Werror=frame-larger-than=1024\n",
            "hello__c": source(body='char b[2000];\n\tasm volatile("" :: "r"(b) : "memory");'),
        },
        "KS147",
        "kmalloc()",
    ),
    "a namespace in the other form": (
        {
            "hello__c": source(
                "#undef MODULE_IMPORT_NS\n#define MODULE_IMPORT_NS(ns) MODULE_INFO(import_ns, ns)\n"
                "MODULE_IMPORT_NS(DMA_BUF);"
            )
        },
        "KS149",
        'MODULE_IMPORT_NS("DMA_BUF");',
    ),
    "a header of asm misspelt": (
        {"hello__c": source("#include <asm/prozessor.h>")},
        "KS118",
        "has no asm/prozessor.h",
    ),
    "C++": ({"hello__cpp": HELLO}, "KS111", "write it as hello.c"),
    "assembly in lower case": (
        {"Kbuild": "obj-m := own.o\nown-y := hello.o low.o\n", "hello__c": HELLO, "low__s": "ret\n"},
        "KS111",
        "mv low.s low.S",
    ),
    "assembly of another machine": (
        {"Kbuild": "obj-m := own.o\nown-y := hello.o low.o\n", "hello__c": HELLO, "low__S": "rett\n"},
        "KS183",
        "the assembler does not know the instruction rett",
    ),
}


@pytest.mark.kernel
@pytest.mark.parametrize("case", CASES)
def test_a_failed_build_is_explained(tmp_path: Path, kernel, ks, case: str):
    files, code, said = CASES[case]
    write(tmp_path, **{"Kbuild": ONE, **files})
    ran = ks("build", "-C", tmp_path, "-k", kernel("6.1").release, "--json")
    assert (ran.status, ran.json["code"]) == (1, code), ran.err
    assert said in f"{ran.json['cause']} {ran.json['fix']}"
    assert any(c["level"] == "error" for c in ran.json["complaints"])


@pytest.mark.parametrize(
    ("version", "head", "told"),
    [
        (("6", "13", "0"), "MODULE_IMPORT_NS(OURS);", 'MODULE_IMPORT_NS("NAME")'),
        (("7", "3", "4"), "EXPORT_SYMBOL_NS( f , OURS );", 'EXPORT_SYMBOL_NS(symbol, "NAME")'),
        (("7", "3", "4"), '#define OURS "OURS"\nMODULE_IMPORT_NS(OURS);', None),
        (("7", "3", "4"), 'MODULE_IMPORT_NS("OURS");\nEXPORT_SYMBOL(f);', None),
        (("6", "12", "9"), 'MODULE_IMPORT_NS("OURS");', "without quotes"),
        (("6", "12", "9"), "MODULE_IMPORT_NS(OURS);", None),
        (("6", "12", "9"), '#if 0\nMODULE_IMPORT_NS("OURS");\n#else\nMODULE_IMPORT_NS(OURS);\n#endif', None),
    ],
)
def test_the_quotes_of_a_namespace(
    tmp_path: Path, version: tuple[str, str, str], head: str, told: str | None
):
    """No compiler says that they are missing: "junk at end of line", it says, or "undeclared"."""
    write(tmp_path, Kbuild=ONE, hello__c=source(head))
    project = Project(
        tmp_path,
        tmp_path / "Kbuild",
        (ModuleTarget("hello", ("hello.o",), tmp_path, tmp_path / "hello.ko"),),
    )
    tree = BuildTree(
        tmp_path, tmp_path, ".".join(version), version, "x86", None, "", False, False, "x86", "", ""
    )
    found = explain_build(project, tree, [], ["/tmp/a.s:7: Error: junk at end of line"])
    assert found.code == ("KS119" if told else "KS107")
    assert found.fix is not None and (told or "mend the first error") in found.fix


@pytest.mark.kernel
def test_a_namespace_in_the_quotes_of_newer_kernels(tmp_path: Path, kernel, ks):
    write(
        tmp_path, Kbuild=ONE, hello__c=source('void f(void);\nvoid f(void) {}\nEXPORT_SYMBOL_NS_GPL(f, "X");')
    )
    ran = ks("build", "-C", tmp_path, "-k", kernel("6.1").release, "--json")
    assert (ran.status, ran.json["code"]) == (1, "KS119"), ran.err
    assert "EXPORT_SYMBOL_NS_GPL(symbol, NAME), the name without quotes" in ran.json["fix"]


@pytest.mark.kernel
def test_a_symbol_of_the_project_beside(tmp_path: Path, kernel, ks):
    release = kernel("6.1").release
    giver = write(
        tmp_path / "giver",
        Kbuild=ONE,
        hello__c=source("int given(void);\nint given(void) { return 1; }\nEXPORT_SYMBOL(given);"),
    )
    taker = write(tmp_path / "taker", Kbuild=ONE, hello__c=source("int given(void);", "given();"))
    assert ks("build", "-C", giver, "-k", release).status == 0
    ran = ks("build", "-C", taker, "-k", release, "--json")
    line = f"KBUILD_EXTRA_SYMBOLS := {giver}/Module.symvers"
    assert (ran.status, ran.json["code"]) == (1, "KS114")
    assert line in ran.json["fix"]
    write(taker, Kbuild=f"{ONE}{line}\n")
    assert ks("build", "-C", taker, "-k", release).status == 0


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("/usr/src/linux-headers-6.1/include/a.h:3: note: x", "…/include/a.h:3: note: x"),
        ("from /a/linux-headers-1/b/linux-headers-2/c.h,", "from …/c.h,"),
        ("a.h//x/linux-headers-1/c.h", "a.h/…/c.h"),
        ("/linux-headers-1/c.h and /x/linux-headers-/c.h", "/linux-headers-1/c.h and /x/linux-headers-/c.h"),
        ("/x/linux-headers-1", "/x/linux-headers-1"),
    ],
)
def test_the_way_to_the_kernel_s_headers_is_told_short(line: str, shown: str):
    assert output.short(line, Path("/project")) == shown


def test_commands_that_a_project_has_shown_are_folded():
    """Of KBUILD_VERBOSE=1, which Makefiles set for themselves; a user who asks for V=1 gets them."""
    said = [
        "# CC [M]  /home/user/p/hello.o",
        "   gcc-12 -Wp,-MMD,/home/user/p/.hello.o.d -nostdinc -c -o /home/user/p/hello.o hello.c  ",
        "  if nm /home/user/p/hello.o 2>/dev/null | grep -q __ksymtab; then gcc-12 -E; fi",
        "  /usr/src/linux/scripts/check-local-export /home/user/p/hello.o",
        "  { echo  /home/user/p/hello.ko;  :; } > /home/user/p/modules.order",
        "/usr/bin/make -f /usr/src/linux/scripts/Makefile.build obj=/home/user/p need-builtin=1",
        "# cmd_mod /home/user/p/hello.mod",
    ]
    kept = [
        "hello.c:3:1: warning: no",
        "    3 |  gcc_thing(1);",
        "      |  ^~~",
        "Building hello 1.2 for gcc 12",
    ]
    for commands, shown in ((False, kept), (True, [*said, *kept])):
        seen: list[str] = []
        told = Output(Path("/home/user/p"), seen.append, commands=commands)
        for line in (*said, *kept):
            told.feed(line)
        assert seen == [output.short(line, Path("/home/user/p")) for line in shown]
        assert told.made == 1

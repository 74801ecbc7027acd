"""`explain load`: what the kernel did for this very .ko, on three kernels, held against other tools' word."""

import re
import subprocess
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from kscaffold.diagnosis.stages import ORDER
from kscaffold.diagnosis.trace import StageTime, enclosing_stage
from kscaffold.elf.model import Section
from kscaffold.explain.stages.anatomy import MEMORY, memory_of
from tests.conftest import Ran, need_program
from tests.support.elf import Ko
from tests.support.kernels import need_kernel
from tests.support.modules import built
from tests.support.projects import HELLO, write
from tests.support.worlds import World
from tests.test_house import modules_of

KERNELS = ("5.10", "6.1", "6.12")

PARAMS = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>

extern int noinit_shared;
static int howmany = 1;
module_param(howmany, int, 0444);
MODULE_PARM_DESC(howmany, "how many");
static char *whom = "world";
module_param(whom, charp, 0644);
static bool loud;
module_param(loud, bool, 0444);
static int hidden = 7;
module_param(hidden, int, 0);

static int __init params_init(void)
{
\tpr_info("%d %s %d %d\\n", howmany, whom, loud, hidden + noinit_shared);
\treturn 0;
}

static void __exit params_exit(void)
{
}

module_init(params_init);
module_exit(params_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("has parameters");
"""
NOINIT = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>

int noinit_shared = 3;
EXPORT_SYMBOL_GPL(noinit_shared);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("offers a variable, and does nothing");
"""


@pytest.fixture
def project(ks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A project of two modules for a kernel: `project("6.1")`."""

    def make(series: str) -> Path:
        need_program("qemu-system-x86_64", "qemu-system-x86")
        assert ks("kernel", "default", need_kernel(series).release).status == 0
        at = tmp_path / "own"
        write(at, Kbuild="obj-m := params.o noinit.o\n", params__c=PARAMS, noinit__c=NOINIT)
        monkeypatch.chdir(at)
        return at

    return make


def told(ran: Ran, status: int = 0) -> dict[str, Any]:
    """The document of one load, looked at for what holds of every one."""
    assert ran.status == status, ran.err
    document = ran.json
    check(document)
    return document


def check(document: dict[str, Any]) -> None:
    steps = document["steps"]
    assert [s["stage"] for s in steps] == list(ORDER)
    assert [(s["status"], s["microseconds"]) for s in steps] == [
        (s["status"], s["microseconds"]) for s in document["stages"]
    ]
    timed = [s for s in steps if s["microseconds"] is not None]
    spent = 0
    for step in timed:
        assert step["start"] == spent and step["within"] is None
        spent += step["microseconds"]
    for step in steps:
        if step["status"] in ("not-reached", "unobserved"):
            assert step["facts"] == []
        for fact in step["facts"]:
            assert fact["source"] in ("file", "build", "kernel", "trace", "request")
            assert all(len(row) == len(fact["columns"]) for row in fact["rows"])


def facts(document: dict[str, Any], stage: str) -> dict[str, str]:
    (step,) = (s for s in document["steps"] if s["stage"] == stage)
    return {f["label"]: f["value"] for f in step["facts"]}


def states(document: dict[str, Any]) -> dict[str, list[str]]:
    found = defaultdict(list)
    for step in document["steps"]:
        found[step["status"]].append(step["stage"])
    return found


def readelf(*argv: str | Path) -> str:
    program = need_program("readelf", "binutils")
    return subprocess.run([program, "-W", *map(str, argv)], capture_output=True, text=True, check=True).stdout


# ---- good loads ----


@pytest.mark.sandbox
@pytest.mark.parametrize("series", KERNELS)
def test_a_project_of_two_modules(ks, project, series):
    at = project(series)
    ran = ks("explain", "load", "howmany=5", "whom=a b", "zzz=1", "--json")
    assert ran.status == 0, ran.err
    lib, user = ran.json["results"]
    assert (lib["module"], user["module"]) == ("noinit", "params")
    for document in (lib, user):
        check(document)
        assert states(document) == {"passed": list(ORDER)}
        as_other_tools_say(at / f"{document['module']}.ko", document)
        as_the_kernel_placed_it(document)

    assert lib["init_ran"] is False and lib["ko"]["init"] is None
    assert facts(lib, "init")["function"].startswith("none")
    assert facts(lib, "formation")["exports"] == "1 symbol"
    assert "state" in facts(lib, "live")

    assert facts(user, "init") == {"function": "params_init() in .init.text", "returned": "0"}
    own = {p["name"]: (p["given"], p["value"]) for p in user["ko"]["parameters"]}
    assert own == {
        "howmany": ("5", "5"),
        "whom": ("a b", "a b"),
        "loud": (None, "N"),
        "hidden": (None, None),  # its file's permission is 0
    }
    line = 'howmany=5 whom="a b" zzz=1'
    assert facts(user, "arguments")["copied"].startswith(f"{len(line) + 1} bytes: '{line}'")
    assert facts(user, "parameters")["ignored"].startswith("zzz")
    assert facts(user, "symbols")["uses modules"] == "noinit"  # /proc/modules says so
    (shared,) = (i for i in user["ko"]["imports"] if i["symbol"] == "noinit_shared")
    assert (shared["provider"], shared["gpl"], shared["weak"]) == ("noinit", True, False)
    assert {i["provider"] for i in user["ko"]["imports"]} == {"noinit", "vmlinux"}
    assert facts(user, "copy")["copied"] == f"{(at / 'params.ko').stat().st_size:,} bytes"


def as_other_tools_say(ko: Path, document: dict[str, Any]) -> None:
    """Sections, imports and relocations, by binutils; how often the kernel went there, by its trace."""
    own = document["ko"]
    header = re.compile(r"\[ *\d+\] (\S+) +(\S+) +[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+) [0-9a-f]+ +(\S*) +\d")
    found = [m.groups() for m in map(header.search, readelf("-S", ko).splitlines()) if m]
    loaded = {n: int(size, 16) for n, _, size, flags in found if "A" in flags and int(size, 16)}
    assert {s["name"]: s["size"] for s in own["sections"]} == {
        n: size for n, size in loaded.items() if n not in (".modinfo", "__versions")
    }
    undefined = [line.split()[-1] for line in readelf("-s", ko).splitlines() if " UND " in line]
    undefined = [name for name in undefined if name != "UND"]
    assert [i["symbol"] for i in own["imports"]] == undefined
    applied: dict[str, Counter[str]] = {}
    section = ""
    for line in readelf("-r", ko).splitlines():
        if head := re.match(r"Relocation section '\.rela(\S+)'", line):
            section = head[1]
        elif (entry := re.search(r" (R_X86_64_\w+) ", line)) and section in loaded:
            applied.setdefault(section, Counter())[entry[1]] += 1
    assert {r["section"]: r["types"] for r in own["relocations"]} == applied
    # The kernel did it as often as the file has it.
    looked = facts(document, "symbols").get("looked up")
    assert looked is None or looked.startswith(f"{len(undefined)} symbol")
    assert looked or not undefined, "no kernel here lacks that anchor"
    assert facts(document, "relocate")["sections done"].startswith(f"{len(applied)} ")


def as_the_kernel_placed_it(document: dict[str, Any]) -> None:
    """The addresses are the kernel's own. Memory of two kinds has different rights, so never one page."""
    pages = defaultdict(set)
    for section in document["ko"]["sections"]:
        assert section["memory"] in MEMORY
        address = int(section["address"], 16)
        assert address >> 47 == (1 << 17) - 1, section
        for page in range(address >> 12, (address + section["size"] - 1 >> 12) + 1):
            pages[page].add(section["memory"])
    assert all(len(kinds) == 1 for kinds in pages.values()), pages


@pytest.mark.sandbox
def test_what_a_person_sees(ks, project):
    project("6.1")
    ran = ks("explain", "load", "-m", "params", "howmany=5")
    assert ran.status == 0
    assert ran.out.startswith("params.ko was loaded into 6.1.")
    assert "was loaded" not in ran.out.partition("\n")[2]  # noinit came before it, and is not told
    lines = ran.out.splitlines()
    rows = [line.split()[1] for line in lines if re.match(r" ?\d+  \w+ ", line)]
    assert rows == list(ORDER)
    for n in range(1, 11):
        assert f"[course, step {n}: " in ran.out
    assert max(map(len, lines[: lines.index("")])) < 80
    assert max(len(line) for line in lines if not line.startswith("  |")) <= 80
    assert "howmany    int    5      5" in ran.out
    assert "… and " in ran.out and ": -v shows all" in ran.out
    whole = ks("explain", "load", "-m", "params", "howmany=5", "-v").out
    assert ": -v shows all" not in whole and len(whole) > len(ran.out)
    # No sandbox is left, and none was used.
    assert "no sandbox" in ks("list").err


@pytest.mark.sandbox
def test_what_it_needs_is_not_loaded(ks, project):
    at = project("6.1")
    assert ks("build").status == 0
    document = told(ks("explain", "load", at / "params.ko", "--no-deps", "--json"), 1)
    assert (document["stage"], document["errno"]) == ("symbols", "ENOENT")
    needs = document["steps"][ORDER.index("symbols")]["facts"][0]
    assert needs["rows"][0][:2] == ["noinit_shared", "noinit, not loaded"]
    assert ks("explain", "load", at / "params.ko", "--json").json["dependencies"] == ["noinit"]


# ---- loads that fail ----


@pytest.fixture
def kos(tmp_path: Path):
    """A directory of modules for a kernel, broken ones among them."""

    def make(series: str) -> Path:
        need_program("qemu-system-x86_64", "qemu-system-x86")
        source = built(need_kernel(series))
        good = (source / "hello.ko").read_bytes()
        name = b"printk\0" if series == "5.10" else b"_printk\0"
        (tmp_path / "vermagic.ko").write_bytes(good.replace(b" SMP ", b" SMX ", 1))
        (tmp_path / "unknown.ko").write_bytes(good.replace(name, name.replace(b"in", b"xx")))
        (tmp_path / "cut.ko").write_bytes(good[: len(good) // 2])
        (tmp_path / "empty.ko").write_bytes(b"")
        for path in source.glob("*.ko"):
            (tmp_path / path.name).symlink_to(path)
        return tmp_path

    return make


@pytest.mark.sandbox
@pytest.mark.parametrize("series", KERNELS)
def test_where_loads_fail(ks, kos, series):
    place = kos(series)
    release = need_kernel(series).release

    def explain(name: str, *words: str) -> dict[str, Any]:
        return told(ks("explain", "load", place / f"{name}.ko", *words, "-k", release, "--json"), 1)

    for name, stage, errno, verdict in (
        ("vermagic", "version", "ENOEXEC", "refused"),
        ("unknown", "symbols", "ENOENT", "refused"),
        ("cut", "elf", "ENOEXEC", "refused"),
        ("empty", "copy", "EINVAL", "refused"),
        ("minus", "init", "EPERM", "init-failed"),
        ("oopses", "init", None, "crashed"),
    ):
        document = explain(name)
        assert (document["verdict"], document["stage"], document["errno"]) == (verdict, stage, errno), name
        at = ORDER.index(stage)
        seen = states(document)
        assert seen["failed"] == [stage] and seen["passed"] == list(ORDER[:at])
        assert seen["not-reached"] == list(ORDER[at + 1 :])
        assert document["cause"] and document["fix"]
        assert (document["ko"] is None) == (name in ("cut", "empty")) == (document["flaw"] is not None)
        if name == "vermagic":
            assert " SMX " in facts(document, "version")["vermagic"]
            assert " SMP " in facts(document, "version")["the kernel's"]
        if name == "unknown":
            assert "1 that nobody known exports" in facts(document, "symbols")["needs"]
            (needs,) = (
                f for f in document["steps"][ORDER.index("symbols")]["facts"] if f["label"] == "needs"
            )
            assert needs["rows"][0][1] == "nobody known"  # first, so that it is never folded away
        if name == "minus":
            assert facts(document, "init")["returned"] == "-1 (-EPERM)"
            assert "taken away again" in facts(document, "sysfs")["made"]
            assert all(s["address"] is None for s in document["ko"]["sections"])
        if name == "oopses":
            assert facts(document, "list")["on the list now"] == "oopses, state Loading"
            as_the_kernel_placed_it(document)
    document = explain("flood", "n=many")
    assert (document["stage"], document["errno"]) == ("parameters", "EINVAL")


@pytest.mark.sandbox
def test_a_kernel_that_is_lost_with_its_trace(ks, kos):
    place = kos("6.1")
    release = need_kernel("6.1").release
    document = told(ks("explain", "load", place / "panics.ko", "-k", release, "--json"), 1)
    assert document["verdict"] == "crashed" and all(s["microseconds"] is None for s in document["steps"])
    text = ks("explain", "load", place / "panics.ko", "-k", release).out
    assert "the trace was lost with the kernel" in text
    document = told(ks("explain", "load", place / "endless.ko", "-k", release, "--timeout", "1", "--json"), 1)
    assert document["verdict"] == "hung" and states(document)["failed"] == ["init"]
    assert facts(document, "init")["returned"].startswith("never")
    text = ks("explain", "load", place / "sleeper.ko", "-k", release, "--timeout", "1").out
    assert re.search(r"^15 .* failed here +> ", text, re.M)  # it had not ended
    assert re.search(r"it stands in +sleeper_init", text)


@pytest.mark.sandbox
def test_the_kernels_own_rules_are_told(ks, kos):
    place = kos("6.1")
    words = ("explain", "load", place / "hello.ko", "-k", need_kernel("6.1").release, "--json", "--cmdline")
    document = told(ks(*words, "module.sig_enforce=1"), 1)
    assert document["stage"] == "signature"
    assert facts(document, "signature")["the kernel's rule"] == "required"
    own = next(p for p in need_kernel("6.1").modules.rglob("libcrc32c.ko*"))
    signed = told(ks("explain", "load", own, "-k", need_kernel("6.1").release, "--json"))
    assert facts(signed, "signature")["verified"].startswith("yes")  # the kernel's own key
    document = told(ks(*words, "initcall_blacklist=hello_init"), 1)
    assert (document["stage"], document["init_ran"]) == ("init", False)
    assert facts(document, "init")["ran"] == "no: the kernel did not call it"


# ---- when there is nothing to load, or nowhere ----


def test_without_a_project_the_text_is_told(ks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = ks("explain", "load")
    assert ran.status == 0 and ran.out.startswith("What happens when a module is loaded")
    assert ks("explain", "load", "--json").json["kind"] == "load"
    for words in (("n=1",), ("--html", "x.html"), ("--kernel", "6.1"), ("--directory", tmp_path)):
        assert ks("explain", "load", *words).status in (2, 69), words
    assert not (tmp_path / "x.html").exists()
    assert ks("explain", "load", "no.ko").status == 2
    assert ks("explain", "EPERM", "--html", "x.html").status == 2


def test_without_a_guest(ks, tmp_path, monkeypatch):
    """A project's reader gets the text, and is told why; who named a .ko has no answer."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    World().stored()
    at = write(tmp_path / "p", Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    (at / "hello.ko").write_bytes(Ko().bytes())
    monkeypatch.chdir(at)
    monkeypatch.setenv("PATH", str(at))
    ran = ks("explain", "load")
    assert ran.status == 0 and ran.out.startswith("What happens when a module is loaded")
    # Last, where a reader of a long text still sees it.
    assert "could not be loaded: qemu-system-x86_64 is not installed" in ran.err.splitlines()[-2]
    assert ran.err.splitlines()[-1].startswith("  fix: ")
    ran = ks("explain", "load", "hello.ko", "--json")
    assert ran.status == 69 and "qemu" in ran.json["error"]["fix"]


def test_a_project_that_is_wrong_is_no_lack_of_a_guest(ks, tmp_path, monkeypatch):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    assert ks("kernel", "default", need_kernel("6.1").release).status == 0
    monkeypatch.chdir(write(tmp_path / "a b", Kbuild="obj-m := hello.o\n", hello__c=HELLO))
    ran = ks("explain", "load", "--json")
    assert ran.status == 69 and ran.json["error"]["code"] == "KS102"


@pytest.mark.kernel
def test_a_build_that_fails_is_the_answer(ks, tmp_path, monkeypatch):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    assert ks("kernel", "default", need_kernel("6.1").release).status == 0
    monkeypatch.chdir(write(tmp_path, Kbuild="obj-m := hello.o\n", hello__c="int x = ;\n"))
    ran = ks("explain", "load", "--json")
    assert ran.status == 1 and ran.json["build"]["complaints"]


def test_errnos_are_topics_still(ks):
    """Options that explain has now are letters of some of these."""
    for topic in ("-EACCES", "-ECHILD", "-EKEYREJECTED", "-1", "-13"):
        assert ks("explain", topic).status == 0, topic


def test_other_topics_import_none_of_it(tmp_path):
    status, loaded = modules_of("explain", "KS204", cwd=tmp_path)
    assert status == 0
    heavy = (
        "kscaffold.load",
        "kscaffold.sandbox.vm.guest",
        "kscaffold.explain.walkthrough",
        "jinja2",
        "elftools",
    )
    assert not [m for m in loaded if m.startswith(heavy)]


# ---- pure parts ----


def section(name: str, flags: int, size: int = 1) -> Section:
    return Section(1, name, "SHT_PROGBITS", flags, 0, 0, size, 0, 0, 0, 1)


@pytest.mark.parametrize(
    ("name", "flags", "memory"),
    [
        (".text", 6, "text"),
        (".init.text", 6, "init text"),
        (".exit.text", 6, "text"),
        (".rodata", 2, "rodata"),
        (".init.rodata", 2, "init rodata"),
        (".data", 3, "data"),
        (".init.data", 3, "init data"),
        (".data..ro_after_init", 3, "rodata after init"),
        ("__jump_table", 3, "rodata after init"),
        (".data..percpu", 3, "per-cpu"),
        (".modinfo", 2, None),
        ("__versions", 2, None),
        (".comment", 0, None),
    ],
)
def test_which_memory_a_section_goes_to(name, flags, memory):
    assert memory_of(section(name, flags)) == memory
    assert memory_of(section(name, flags, size=0)) is None


def test_whose_time_holds_that_of_a_stage_without_an_anchor():
    times = {"copy": 5, "layout": 7}
    stages = tuple(StageTime(s, "passed", times.get(s)) for s in ORDER)
    found = {s.id: enclosing_stage(s, stages) for s in stages}
    assert found["syscall"] is None and found["copy"] is None and found["layout"] is None
    assert found["signature"] == found["elf"] == "copy" and found["list"] == found["live"] == "layout"
    assert enclosing_stage(StageTime("live", "not-reached"), stages) is None

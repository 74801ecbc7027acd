"""What a module needs is loaded before it: from its project, or from what came with the kernel."""

from pathlib import Path

import pytest

from kscaffold.elf.module_file import ModuleFile
from kscaffold.kernel import symvers
from kscaffold.load.dependencies import ModuleFiles, dependencies, in_dependency_order
from tests.conftest import need_program
from tests.support.elf import Ko
from tests.support.kernels import need_kernel
from tests.support.projects import write

GIVER = """// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>

static int number = 7;
module_param(number, int, 0444);
int given(void);
int given(void)
{
	return number;
}
EXPORT_SYMBOL_GPL(given);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("has something to give");
"""
TAKER = """// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>

int given(void);
static int times = 1;
module_param(times, int, 0444);

static int __init taker_init(void)
{
	pr_info("taker: %d\\n", times * given());
	return 0;
}

static void __exit taker_exit(void)
{
}

module_init(taker_init);
module_exit(taker_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("takes it");
"""
# Needs nf_nat, which needs nf_conntrack, which needs two or three more.
NETWORK = TAKER.replace("int given(void);", "extern int nf_nat_setup_info(void);").replace(
    "times * given()", "times * !!((unsigned long)nf_nat_setup_info)"
)


@pytest.fixture
def on(ks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """on("6.1"): that kernel is every command's, and they are given in an empty directory."""

    def choose(series: str) -> Path:
        need_program("qemu-system-x86_64", "qemu-system-x86")
        assert ks("kernel", "default", need_kernel(series).release).status == 0
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return choose


@pytest.mark.sandbox
def test_a_module_of_the_same_project(ks, on):
    here = on("6.1")
    write(here, Kbuild="obj-m := taker.o giver.o\n", taker__c=TAKER, giver__c=GIVER)
    loaded = ks("load", "--module", "taker", "times=3", "--json")
    assert loaded.status == 0, loaded.err
    assert (loaded.json["module"], loaded.json["dependencies"]) == ("taker", ["giver"])
    assert any(line["text"] == "taker: 21" for line in loaded.json["log"])
    assert {m["name"] for m in ks("list", "--json").json["modules"]} == {"taker", "giver"}
    # What is there already is left alone.
    assert ks("unload", "taker").status == 0
    again = ks("load", "--module", "taker", "--json").json
    assert (again["ok"], again["dependencies"]) == (True, [])
    # As insmod has it.
    alone = ks("reload", "taker.ko", "--no-deps", "--json")
    assert (alone.status, alone.json["stage"], alone.json["errno"]) == (1, "symbols", "ENOENT")
    assert (alone.json["code"], alone.json["dependencies"]) == ("KS204", [])
    assert "giver" in alone.json["cause"] and "giver" in alone.json["fix"]
    assert "will refuse taker.ko: given is in giver, which is not loaded" in alone.err
    # Named by their files, in whatever order.
    both = ks("run", "taker.ko", "giver.ko", "--json").json
    assert both["ok"] and [r["module"] for r in both["results"]] == ["giver", "taker"]
    one = ks("run", "taker.ko", "--json").json
    assert one["ok"] and one["dependencies"] == ["giver"]
    all_ = ks("run", "--json").json
    assert [r["module"] for r in all_["results"]] == ["giver", "taker"]
    assert [r["dependencies"] for r in all_["results"]] == [[], []]


@pytest.mark.sandbox
@pytest.mark.parametrize("series", ["6.1", "6.12"])  # plain, and compressed
def test_modules_that_came_with_the_kernel(ks, on, series: str, tmp_path_factory):
    here = on(series)
    write(here, Kbuild="obj-m := taker.o\n", taker__c=NETWORK)
    ran = ks("run", "--json")
    assert ran.status == 0, ran.out + ran.err
    found = ran.json["dependencies"]
    assert found[-1] == "nf_nat" and found.index("nf_conntrack") < found.index("nf_nat")
    assert {"nf_defrag_ipv4", "nf_defrag_ipv6"} <= set(found)
    alone = ks("run", "--no-deps", "--json").json
    assert (alone["verdict"], alone["code"]) == ("refused", "KS204")
    assert "nf_nat" in alone["cause"]
    # One of them itself, as it lies there; outside of a project all that was loaded is the user's.
    whole = next(need_kernel(series).modules.rglob("nf_nat.ko*"))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    given = ks("load", whole, "--directory", elsewhere, "--json")
    assert given.status == 0 and given.json["dependencies"][-1] == "nf_conntrack", given.err
    listed = ks("list", "--directory", elsewhere, "--json").json["modules"]
    assert {m["name"] for m in listed} == {"nf_nat", *given.json["dependencies"]}
    assert ks("unload", "--directory", elsewhere).status == 0
    assert ks("list", "--directory", elsewhere, "--json").json["modules"] == []


def test_the_order(tmp_path: Path):
    files = ModuleFiles()

    def ko(name: str, depends: str) -> ModuleFile:
        path = tmp_path / f"{name}.ko"
        path.write_bytes(Ko(name, info=[("depends", depends)]).bytes())
        return files.open(path)

    def needed(one: ModuleFile, *beside: ModuleFile) -> tuple[ModuleFile, ...]:
        return dependencies(one, [b.path for b in beside], None, files)

    a, b, c, d = ko("a", "b,c"), ko("b", "c"), ko("c", ""), ko("d", "e,nosuch")
    e = ko("e", "d")  # a circle, which no kernel would take
    assert in_dependency_order([a, b, c]) == (c, b, a)
    assert in_dependency_order([d, c, a]) == (d, c, a)  # a's b is not among them
    assert set(in_dependency_order([d, e])) == {d, e}
    assert needed(a, a, b, c, d) == (c, b)
    assert needed(a, a) == ()
    assert needed(d, a, d, e) == (e,)
    # A file beside it that can't be read is nobody's need.
    assert dependencies(a, [tmp_path / "none.ko", b.path, c.path], None, files) == (c, b)


def test_symbols_and_modules_of_another_project_are_found(tmp_path):
    mine, other = tmp_path / "mine", tmp_path / "other"
    for place, symbol in ((mine, "own"), (other, "theirs")):
        place.mkdir()
        (place / "Module.symvers").write_text(
            f"0x00000001\t{symbol}\t{place}/{place.name}\tEXPORT_SYMBOL\t\n"
        )
    command = (
        f"savedcmd := modpost -o {mine}/Module.symvers -i Module.symvers -i {other}/Module.symvers -T -\n"
    )
    (mine / ".Module.symvers.cmd").write_text(command)
    found = symvers.beside(mine / "m.ko")
    assert found is not None
    assert [e.module for name in ("own", "theirs") if (e := found.find_export(name))] == ["mine", "other"]
    (other / "Module.symvers").unlink()
    assert symvers.other_builds(mine / "m.ko") == ()

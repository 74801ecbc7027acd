"""package dkms: every field is checked, and the real dkms builds with what is written."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kscaffold.errors import UsageError
from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.compiler import toolchain
from kscaffold.make.fingerprint.other_kernel import release_of
from kscaffold.package.dkms import Built, dkms, dkms_conf, own_dkms_conf, placeholder_fix
from kscaffold.project.project import ModuleTarget, Project
from tests.conftest import need_program
from tests.support.projects import HELLO, write

KEYS = {"schema", "command", "ok", "directory", "file", "name", "version", "modules", "diff", "written"}
TEXT = """\
# dkms reads this file as a shell script. It builds with the kernel's own make,
# make -C KERNEL M=HERE, when no MAKE is said.
PACKAGE_NAME="pair"
PACKAGE_VERSION="1.2~rc1"
AUTOINSTALL="yes"

BUILT_MODULE_NAME[0]="one"
DEST_MODULE_LOCATION[0]="/updates/dkms"

BUILT_MODULE_NAME[1]="two-b"
BUILT_MODULE_LOCATION[1]="sub/"
DEST_MODULE_LOCATION[1]="/updates/dkms"
"""


@pytest.fixture(autouse=True)
def make() -> None:
    need_program("make", "make")


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    return write(
        tmp_path / "pair",
        Kbuild="obj-m := one.o sub/\n",
        one__c=HELLO,
        sub_0_Kbuild="obj-m := two-b.o\n",
        sub_0_two_1_b__c=HELLO,
    )


def test_the_text():
    assert dkms_conf("pair", "1.2~rc1", [Built("one"), Built("two-b", "sub/")]) == TEXT


def test_it_is_written_once_and_never_over_another(ks, pair):
    ran = ks("package", "dkms", "--version", "1.2~rc1", "-C", pair, "--json")
    assert (ran.status, set(ran.json)) == (0, KEYS)
    assert (pair / "dkms.conf").read_text() == TEXT
    again = ks("package", "dkms", "--version", "1.2~rc1", "-C", pair, "--json")
    assert (again.status, again.json["written"], again.json["diff"]) == (0, False, "")
    (pair / "dkms.conf").write_text(TEXT + "POST_ADD=x\n")
    other = ks("package", "dkms", "-C", pair, "--json")
    assert (other.status, other.json["error"]["code"]) == (2, "KS045")
    assert "-POST_ADD=x" in other.json["error"]["cause"]
    assert (pair / "dkms.conf").read_text() == TEXT + "POST_ADD=x\n"
    assert ks("package", "dkms", "--version", "1.2~rc1", "--force", "-C", pair).status == 0
    assert (pair / "dkms.conf").read_text() == TEXT


def test_name_and_version_of_the_project(ks, tmp_path):
    source = HELLO + 'MODULE_VERSION("2.5.1");\n'
    hello = write(tmp_path / "dir", Kbuild="obj-m := hello.o\n", hello__c=source)
    ran = ks("package", "dkms", "-C", hello)
    assert ran.status == 0 and "hello/2.5.1" in ran.err
    assert 'PACKAGE_VERSION="2.5.1"' in ran.out
    (hello / "hello.c").write_text(HELLO + 'MODULE_VERSION("$(touch x)");\n')
    assert "hello/0.1.0" in ks("package", "dkms", "-C", hello, "--force").err


@pytest.mark.parametrize(
    "name", ["", "a b", 'x"; touch y; "', "$(id)", "`id`", "../up", "a/b", "-a", "é", "a\nb", "a..b"]
)
def test_a_field_that_a_shell_could_read_otherwise_is_refused(ks, pair, name):
    for option in ("--name", "--version"):
        ran = ks("package", "dkms", f"{option}={name}", "-C", pair, "--json")
        if name == "":  # not given is the same
            assert ran.status == 0
            continue
        assert (ran.status, ran.json["error"]["code"]) == (2, "KS044")
        assert not (pair / "dkms.conf").exists()


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_any_text_is_refused_or_says_itself_to_a_shell(name, version, module, place):
    try:
        text = dkms_conf(name, version, [Built(module, place)])
    except UsageError:
        return
    assert all(c.isascii() and (c.isalnum() or c in "._+~-/") for c in name + version + module + place)
    assert f'PACKAGE_NAME="{name}"\n' in text


@pytest.mark.kernel
def test_a_compiler_that_only_dkms_lacks_is_told(ks, pair, tmp_path, kernel, monkeypatch):
    """6.1 names gcc-12, `build` takes another; dkms gives make no other name."""
    k = kernel("6.1")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("make", "gcc", "ld", "sh"):
        (programs / name).symlink_to(need_program(name, name))
    monkeypatch.setenv("PATH", str(programs))
    ran = ks("package", "dkms", "-C", pair, "-k", k.release)
    assert ran.status == 0 and (pair / "dkms.conf").exists()
    assert f"dkms builds for {k.release} with gcc-12, which is not installed" in ran.err
    assert "fix: sudo apt-get install --no-install-recommends gcc-12" in ran.err
    (programs / "gcc-12").symlink_to(programs / "gcc")
    assert "gcc-12" not in ks("package", "dkms", "-C", pair, "-k", k.release).err


@pytest.mark.kernel
@pytest.mark.parametrize("series", ["6.1", "6.12"])
def test_the_real_dkms_builds_it(ks, pair, tmp_path, kernel, series, monkeypatch):
    dkms = need_program("dkms", "dkms")
    k = kernel(series)
    tree = read_tree(k.build)
    if tree.compiler and not shutil.which(tree.compiler):
        # dkms takes no other one. The one that `build` takes, under that name.
        (found,) = (v.removeprefix("CC=") for v in toolchain(tree).variables if v.startswith("CC="))
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / tree.compiler).symlink_to(need_program(found, found))
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert ks("package", "dkms", "--version", "1.2~rc1", "-C", pair).status == 0
    sources, tree = tmp_path / "src", tmp_path / "tree"
    shutil.copytree(pair, sources / "pair-1.2~rc1")
    tree.mkdir()
    where = ["-m", "pair", "-v", "1.2~rc1", "--sourcetree", sources, "--dkmstree", tree]
    build = ["-k", k.release, "-a", "x86_64", "--kernelsourcedir", k.build]
    for words in (["add", *where], ["build", *where, *build]):
        ran = subprocess.run(
            [dkms, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
        )
        assert ran.returncode == 0, ran.stdout
        assert "Error" not in ran.stdout and "eprecated" not in ran.stdout, ran.stdout
    made = {p.name.partition(".")[0]: p for p in (tree / "pair/1.2~rc1" / k.release).rglob("*.ko*")}
    assert set(made) == {"one", "two-b"}
    kos = [p for p in made.values() if p.suffix == ".ko"]
    assert all(release_of(ko) == k.release for ko in kos)


OWN = """\
PACKAGE_NAME="pair"
PACKAGE_VERSION="7.5"
BUILD_EXCLUSIVE_KERNEL="^6\\."
PRE_BUILD="before.sh"
MAKE[0]="'make' KDIR=${kernel_source_dir} WANT=1"
BUILT_MODULE_NAME[0]="one"
BUILT_MODULE_LOCATION[0]="src"
DEST_MODULE_LOCATION[0]="/updates"
"""


@pytest.mark.parametrize("where", ["", "sub"])
def test_a_project_s_own_dkms_conf_is_kept(ks, pair, where):
    file = pair / where / "dkms.conf"
    file.write_text(OWN)
    ran = ks("package", "dkms", "-C", pair / where, "--json")
    assert (ran.status, ran.json["written"], ran.json["diff"]) == (0, False, "")
    assert (ran.json["name"], ran.json["version"]) == ("pair", "7.5")
    assert ran.json["modules"] == [{"name": "one", "location": "src"}]
    assert file.read_text() == OWN
    assert "the project has one of its own" in ks("package", "dkms", "-C", pair / where).err
    other = ks("package", "dkms", "--version", "8", "-C", pair / where, "--json")
    assert (other.status, other.json["error"]["code"]) == (2, "KS045")
    assert file.read_text() == OWN


@pytest.mark.parametrize(
    ("version", "makefile", "told"),
    [
        ("7.5", "dkms:\n\tsed s/@VERSION@/1/ dkms.conf\n", None),
        (
            "@VERSION@",
            "V := 1\nall: x\ndkms-install: x\n\tcp a b\n\tsed -e 's/@VERSION@/$(V)/' -i d\n",
            "dkms-install",
        ),
        ("to be filled", "dkms:\n\t@sed -i -e '/^PACKAGE_VERSION=/ s/=.*/=1/' dkms.conf\n", "dkms"),
        ("#VERSION#", "all:\n\tmake\n", "README"),
    ],
)
def test_a_place_for_a_version_is_none(ks, pair, version, makefile, told):
    """Which a rule of the project fills in."""
    write(pair, dkms__conf=OWN.replace("7.5", version), Makefile=makefile)
    assert own_dkms_conf(pair, None, None).version == version
    found = placeholder_fix(pair, version)
    assert (found is None) if told is None else (told in found and f"({version})" in found)
    assert ("sudo dkms install" in ks("package", "dkms", "-C", pair).err) == (told is None)


@pytest.mark.kernel
def test_dkms_builds_what_only_its_own_make_builds(ks, tmp_path, kernel, monkeypatch):
    dkms, k = need_program("dkms", "dkms"), kernel("6.1")
    versioned = HELLO.replace("MODULE_DESC", "MODULE_VERSION(OURS);\nMODULE_DESC")
    write(
        tmp_path / "p",
        Makefile="obj-m := hello.o\nKDIR ?= /lib/modules/$(shell uname -r)/build\n"
        "all: ours.h\n\t$(MAKE) -C $(KDIR) M=$(CURDIR) modules\n"
        "ours.h:\n\techo '#define OURS \"7.5\"' > $@\n",
        hello__c='#include "ours.h"\n' + versioned,
    )
    tree = read_tree(k.build)
    if tree.compiler and not shutil.which(tree.compiler):
        (found,) = (v.removeprefix("CC=") for v in toolchain(tree).variables if v.startswith("CC="))
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / tree.compiler).symlink_to(need_program(found, found))
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert ks("package", "dkms", "--name", "p", "--version", "1", "-C", tmp_path / "p").status == 0
    text = (tmp_path / "p/dkms.conf").read_text()
    assert "MAKE[0]=\"'make' KDIR=${kernel_source_dir}\"" in text
    sources, dkms_tree = tmp_path / "src", tmp_path / "tree"
    shutil.copytree(tmp_path / "p", sources / "p-1")
    dkms_tree.mkdir()
    where = ["-m", "p", "-v", "1", "--sourcetree", sources, "--dkmstree", dkms_tree]
    build = ["-k", k.release, "-a", "x86_64", "--kernelsourcedir", k.build]
    for words in (["add", *where], ["build", *where, *build]):
        ran = subprocess.run(
            [dkms, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
        )
        assert ran.returncode == 0, ran.stdout
    assert any((dkms_tree / "p/1" / k.release).rglob("hello.ko*"))


def test_several_commands_at_once_write_one_dkms_conf(tmp_path: Path):
    """Whoever comes second finds what it would have written, and no error."""
    kbuild = tmp_path / "Kbuild"
    project = Project(tmp_path, kbuild, (ModuleTarget("one", ("one.o",), tmp_path, tmp_path / "one.ko"),))
    for _ in range(20):
        start = Barrier(8)

        def write_once(_: int, start: Barrier = start) -> bool:
            start.wait()
            return dkms(project, tmp_path).written

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(write_once, range(8))) == [False] * 7 + [True]
        (tmp_path / "dkms.conf").unlink()

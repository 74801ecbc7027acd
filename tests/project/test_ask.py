"""What a directory builds is make's word: every way of writing a Kbuild, and nothing there is changed."""

import contextlib
import os
import tempfile
from pathlib import Path

import pytest

from kscaffold.errors import KscaffoldError
from kscaffold.files import paths
from kscaffold.project import trust
from kscaffold.project.ask import UnsetOptionError, read_project
from kscaffold.project.find import find_project, home, is_project
from kscaffold.project.known import project_at
from kscaffold.project.project import ModuleTarget, Project
from tests.conftest import need_program
from tests.support.projects import COURSE, HELLO, write


@pytest.fixture(autouse=True)
def make() -> None:
    need_program("make", "make")


def built(directory: Path, kernel=None) -> dict[str, tuple[str, ...]]:
    project = read_project(directory, kernel)
    return {str(t.ko.relative_to(directory)): t.objects for t in project.targets}


def snapshot(directory: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_ino) for p in directory.rglob("*")}


WAYS = {
    "single": ("obj-m := hello.o\n", {"hello.ko": ("hello.o",)}),
    "the course's": (COURSE, {"ownname.ko": ("ret-1.o",)}),
    "objs": ("obj-m := a.o\na-objs := x.o y.o\n", {"a.ko": ("x.o", "y.o")}),
    "y and m": ("obj-m := a.o\na-y := x.o\na-m := y.o\na-objs := z.o\n", {"a.ko": ("z.o", "x.o", "y.o")}),
    "several": ("obj-m += a.o b.o\nb-y := c.o\n", {"a.ko": ("a.o",), "b.ko": ("c.o",)}),
    "below": ("obj-m := a.o\na-y := main.o sub/x.o\n", {"a.ko": ("main.o", "sub/x.o")}),
    "a path in obj-m": ("obj-m := sub/a.o\n", {"sub/a.ko": ("sub/a.o",)}),
    "condition": ("ifeq (1,1)\nobj-m := a.o\nelse\nobj-m := b.o\nendif\n", {"a.ko": ("a.o",)}),
    "built in, no module": ("obj-y := a.o\nobj-m := a.o b.o\n", {"b.ko": ("b.o",)}),
    "from a variable": (
        "MODULES := a b\nobj-m := $(addsuffix .o,$(MODULES))\n",
        {"a.ko": ("a.o",), "b.ko": ("b.o",)},
    ),
    "as built": ("obj-$(if $(M),m) := a.o\n", {"a.ko": ("a.o",)}),
    "outside of the tree": ("obj-$(if $(KBUILD_EXTMOD),m) := a.o\n", {"a.ko": ("a.o",)}),
    "KERNELRELEASE": (
        "ifneq ($(KERNELRELEASE),)\nobj-m := a.o\nelse\nKDIR ?= /lib/modules/$(shell uname -r)/build\n"
        "all:\n\t$(MAKE) -C $(KDIR) M=$(CURDIR)\nendif\n",
        {"a.ko": ("a.o",)},
    ),
    "other targets": (
        "obj-m := a.o\nPWD := $(shell pwd)\nall: a.ko user\n\techo $(PWD)\nuser: user.c\n\tgcc -o $@ $<\n"
        "%.x: %.y\n\tfalse\n.PHONY: all\ninstall: all\n\tinsmod a.ko\n",
        {"a.ko": ("a.o",)},
    ),
    "talks": ("$(info hello there)\n$(info @kscaffold@)\nobj-m := a.o\n$(warning old)\n", {"a.ko": ("a.o",)}),
    "dots": ("obj-m := a.b.o\n", {"a.b.ko": ("a.b.o",)}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["Kbuild", "Makefile"])
def test_ways_of_writing_it(tmp_path: Path, way: str, name: str):
    text, expected = WAYS[way]
    (tmp_path / name).write_text(text)
    before = snapshot(tmp_path)
    assert built(tmp_path) == expected
    assert snapshot(tmp_path) == before


def test_kbuild_comes_before_makefile(tmp_path: Path):
    write(tmp_path, Kbuild="obj-m := a.o\n", Makefile="obj-m := b.o\nthis is no makefile\n")
    assert built(tmp_path) == {"a.ko": ("a.o",)}


def test_subdirectories_includes_and_what_is_passed_down(tmp_path: Path):
    write(
        tmp_path,
        Kbuild="export FLAVOUR := m\nsubdir-ccflags-y := -DX\nobj-m += top.o one/\nobj-y += two/\n"
        "include $(src)/more.mk\n",
        more__mk="obj-m += more.o\n",
        one_0_Makefile="obj-$(FLAVOUR) := one.o deep/\none-y := a.o b.o\n",
        one_0_deep_0_Kbuild="obj-m := deep.o\n",
        two_0_Kbuild="obj-m := two.o\n",
    )
    project = read_project(tmp_path, None)
    assert {str(t.ko.relative_to(tmp_path)) for t in project.targets} == {
        "top.ko",
        "more.ko",
        "one/one.ko",
        "one/deep/deep.ko",
        "two/two.ko",
    }
    one = next(t for t in project.targets if t.name == "one")
    assert (one.directory, one.objects) == (tmp_path / "one", ("a.o", "b.o"))
    assert {p.relative_to(tmp_path).as_posix() for p in project.read} == {
        "Kbuild",
        "more.mk",
        "one/Makefile",
        "one/deep/Kbuild",
        "two/Kbuild",
    }


def test_a_variable_of_the_shell_names_no_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MAKEFLAGS", "-n --debug")
    monkeypatch.setenv("obj-m", "evil.o")
    write(tmp_path, Kbuild="obj-m += a.o\n")
    assert built(tmp_path) == {"a.ko": ("a.o",)}


@pytest.mark.kernel
def test_the_kernel_s_configuration_counts(tmp_path: Path, kernel):
    write(
        tmp_path,
        Kbuild="obj-$(CONFIG_MODULES:y=m) += a.o\nobj-$(CONFIG_NO_SUCH_OPTION) += b.o\n"
        "ifeq ($(CONFIG_X86_64),y)\nobj-m += c.o\nendif\n"
        "ifeq ($(VERSION).$(PATCHLEVEL),6.1)\nobj-m += d.o\nendif\n"
        "ccflags-y += $(call cc-option,-Wno-such-thing)\n",
    )
    assert list(built(tmp_path, kernel("6.1"))) == ["a.ko", "c.ko", "d.ko"]
    assert list(built(tmp_path, kernel("5.10"))) == ["a.ko", "c.ko"]


@pytest.mark.parametrize(
    ("lines", "start"),
    [("    echo hi\n    echo ho\n", "4 spaces"), ("make -C x\n", "'make -C x'"), (" echo hi\n", "a space")],
)
def test_spaces_for_a_tab_are_shown_and_mended_by_the_fix(tmp_path: Path, lines: str, start: str):
    write(tmp_path, Makefile=f"obj-m := a.o\nall:\n{lines}")
    with pytest.raises(KscaffoldError) as caught:
        read_project(tmp_path, None)
    error = caught.value
    assert (error.code, error.exit_code) == ("KS103", 1)
    assert error.what.startswith("Makefile:3: missing separator")
    assert error.cause and start in error.cause
    assert error.fix and os.system(error.fix) == 0
    assert built(tmp_path) == {"a.ko": ("a.o",)}


def test_a_directory_without_a_kbuild_is_named(tmp_path: Path):
    write(tmp_path, Kbuild="obj-m := a.o sub/\n", sub_0_b__c="")
    with pytest.raises(KscaffoldError, match="sub has neither a Kbuild nor a Makefile") as caught:
        read_project(tmp_path, None)
    assert caught.value.code == "KS159"
    assert caught.value.fix and "sub/Kbuild" in caught.value.fix


def test_other_errors_name_the_line(tmp_path: Path):
    write(tmp_path, Kbuild="obj-m := a.o\n$(error not like this)\n")
    with pytest.raises(KscaffoldError, match="Kbuild:2: not like this") as caught:
        read_project(tmp_path, None)
    assert caught.value.code == "KS103"


def test_nothing_to_build(tmp_path: Path):
    write(tmp_path, Makefile="all:\n\techo\n")
    with pytest.raises(KscaffoldError) as caught:
        read_project(tmp_path, None)
    assert caught.value.code == "KS104"


def test_a_kbuild_that_waits_for_an_option(tmp_path: Path):
    write(tmp_path, Kbuild="obj-$(CONFIG_MINE) += hello.o\n", hello__c=HELLO)
    with pytest.raises(KscaffoldError) as told:
        read_project(tmp_path, None)
    assert told.value.code == "KS104"
    assert told.value.fix == (
        "set it in the environment of each command, CONFIG_MINE=m kscaffold build; "
        "or add a line at the top of Kbuild: export CONFIG_MINE := m"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFIG_MINE", "m")
        assert [t.name for t in read_project(tmp_path, None).targets] == ["hello"]
    (tmp_path / "Kbuild").write_text("export CONFIG_MINE := m\n" + (tmp_path / "Kbuild").read_text())
    assert [t.name for t in read_project(tmp_path, None).targets] == ["hello"]


@pytest.mark.parametrize("down", ["obj-y += a/\n", "obj-y += \\\n\ta/ # deeper\n", "obj-y :=\nobj-y += a/\n"])
def test_the_option_can_be_asked_for_further_down(tmp_path: Path, down: str):
    write(tmp_path, Makefile=down, a_0_Makefile="obj-$(CONFIG_DEEP) += deep.o\n")
    with pytest.raises(UnsetOptionError, match="Makefile builds no module") as told:
        read_project(tmp_path, None)
    assert (
        told.value.cause == "the lines of a/Makefile count only where CONFIG_DEEP is m, and nothing says so"
    )


def test_what_is_built_in_beside_a_directory_is_told(tmp_path: Path):
    write(tmp_path, Makefile="obj-y += a/\nobj-y += \\\n\ta/ b.o\n", a_0_Makefile="")
    with pytest.raises(KscaffoldError) as told:
        read_project(tmp_path, None)
    assert told.value.fix == "write obj-m in the place of obj-y, in line 2 of Makefile"


@pytest.mark.parametrize("bad", [" ", ":", "%", "#", "$", "'", ",", "="])
def test_paths_kbuild_can_t_take(tmp_path: Path, bad: str):
    directory = write(tmp_path / f"a{bad}b", Kbuild="obj-m := a.o\n")
    with pytest.raises(KscaffoldError) as caught:
        find_project(directory)
    assert caught.value.code == "KS102"
    assert caught.value.cause and (bad == " " or bad in caught.value.cause)


def test_the_project_is_found_from_below(tmp_path: Path):
    (tmp_path / ".git").mkdir()
    project = write(tmp_path / "p", Kbuild="obj-m := a.o\n", doc_0_x="")
    assert find_project(project / "doc") == project
    assert find_project(project) == project


def test_no_project_here(tmp_path: Path, ks, monkeypatch):
    (tmp_path / ".git").mkdir()
    write(tmp_path, Makefile="all:\n\techo obj-m\n", one_0_Kbuild="obj-m := a.o\n")
    with pytest.raises(KscaffoldError) as caught:
        find_project(tmp_path)
    # A command for wherever the user is.
    assert (caught.value.code, caught.value.fix) == ("KS101", f"cd {tmp_path}/one")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KscaffoldError) as caught:
        find_project(tmp_path)
    assert caught.value.fix == "cd one"
    ran = ks("build", "-C", tmp_path, "--json")
    assert (ran.status, ran.json["error"]["code"]) == (69, "KS101")


@pytest.mark.parametrize("verb", ["build", "run", "check", "info", "clean"])
def test_a_named_directory_with_another_makefile_is_not_the_project_around_it(tmp_path: Path, ks, verb):
    (tmp_path / ".git").mkdir()
    project = write(tmp_path / "outer", Kbuild="obj-m := a.o\n", a__c="", mk4_0_Makefile="all:\n\techo hi\n")
    ran = ks(verb, "-C", project / "mk4", "--json")
    assert (ran.status, ran.json["error"]["code"]) == (69, "KS101")
    assert "the project around it is outer" in ran.json["error"]["cause"]
    assert f"kscaffold build -C {project}, where outer" in ran.json["error"]["fix"]
    assert "adopt" not in ran.json["error"]["fix"]
    (project / "mk4/b.c").write_text(HELLO)
    assert f"kscaffold adopt {project}/mk4 " in ks(verb, "-C", project / "mk4", "--json").json["error"]["fix"]
    # Who is in such a directory, or names one without a Makefile, means the project around.
    (project / "doc").mkdir()
    trust.name(project / "doc")
    assert find_project(project / "doc") == project


@contextlib.contextmanager
def as_nobody():
    """For root, who may read everything: another user."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_directory_of_another_is_no_project():
    """/tmp is full of them: what is beside them must not stumble over them."""
    with tempfile.TemporaryDirectory(dir="/tmp") as at:
        Path(at).chmod(0o755)
        (Path(at) / "theirs").mkdir(mode=0o000)
        try:
            with as_nobody():
                assert not is_project(Path(at) / "theirs")
                with pytest.raises(KscaffoldError) as caught:
                    find_project(Path(at))
        finally:
            (Path(at) / "theirs").chmod(0o700)
    assert (caught.value.code, caught.value.fix) == ("KS101", "kscaffold new NAME")


def test_a_user_without_a_home(monkeypatch, tmp_path):
    """No HOME, and a number that the user database does not know."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 3999999999)
    with pytest.raises(RuntimeError):
        Path.home()
    assert home(tmp_path) == tmp_path
    assert paths.home() == Path("/")


def test_a_module_that_is_not_there_is_told_with_the_one_that_was_meant(tmp_path: Path):
    names = ("sensor", "valve")
    targets = tuple(ModuleTarget(n, (f"{n}.o",), tmp_path, tmp_path / f"{n}.ko") for n in names)
    several, one = (Project(tmp_path, tmp_path / "Kbuild", t) for t in (targets, targets[:1]))
    for project, written, fix in (
        (several, "sensr", "--module sensor"),
        (several, "x", "leave the name out, for all of them"),
        (one, "x", "--module sensor"),
    ):
        with pytest.raises(KscaffoldError) as caught:
            project.named(written)
        assert (caught.value.code, caught.value.fix) == ("KS109", fix)


RULES_FOR_ALL = {
    "anything": "%:\n\ttouch ran\n",
    "the goal": "all $(MAKECMDGOALS): tool\ntool:\n\ttouch ran\n",
    "what is included": "-include gen.mk\ngen.mk:\n\ttouch ran\n\techo obj-m += b.o > $@\n",
    "by a shell of its own": "SHELL := /bin/bash\n-include gen.mk\ngen.mk:\n\ttouch ran && false\n",
}


@pytest.mark.parametrize("name", RULES_FOR_ALL)
def test_no_rule_runs_while_a_makefile_is_read(tmp_path: Path, name: str):
    (tmp_path / "Makefile").write_text(f"obj-m := a.o $(shell echo b).o sub/\n{RULES_FOR_ALL[name]}")
    write(tmp_path / "sub", Kbuild="obj-m := c.o\n")
    before = snapshot(tmp_path)
    assert [*built(tmp_path)] == ["a.ko", "b.ko", "sub/c.ko"]
    assert snapshot(tmp_path) == before


def test_a_build_may_run_the_rules_that_kbuild_runs(tmp_path: Path):
    (tmp_path / "Makefile").write_text("include gen.mk\ngen.mk:\n\techo obj-m := b.o > $@\n")
    assert [t.name for t in read_project(tmp_path, None, building=True).targets] == ["b"]


def test_make_s_warnings_are_no_cause(tmp_path: Path):
    """They come first, of a rule that is written twice."""
    (tmp_path / "Makefile").write_text("obj-m := a.o\na:\n\ttrue\na:\n\ttrue\n$(error stop here)\n")
    with pytest.raises(KscaffoldError) as caught:
        read_project(tmp_path, None)
    assert "stop here" in caught.value.what
    (tmp_path / "Makefile").write_text("obj-m := sub/\na:\n\ttrue\na:\n\ttrue\n")
    write(tmp_path / "sub", Kbuild="include ../absent.mk\n")
    with pytest.raises(KscaffoldError) as caught:
        read_project(tmp_path, None)
    assert "absent.mk" in str(caught.value.cause)


@pytest.mark.parametrize(
    ("makefile", "code"),
    [
        ("all:\n\t$(MAKE) -C /k M=$(PWD)/src modules\n", "KS418"),
        ("all: x\n\tcp x y\n", "KS104"),
        ("obj-y := a.o\nall:\n\t$(MAKE) -C /k M=$(PWD) modules\n", "KS104"),
        ("obj-m := a.o\nall:\n   $(MAKE) -C /k M=$(PWD) modules\n", "KS103"),
    ],
    ids=["its own make builds it", "nothing does", "a list of another name", "no tab"],
)
def test_what_only_its_own_make_says(tmp_path: Path, makefile: str, code: str):
    (tmp_path / "Makefile").write_text(makefile)
    with pytest.raises(KscaffoldError) as caught:
        project_at(tmp_path, None)
    assert caught.value.code == code
    assert (caught.value.fix == "kscaffold build") == (code == "KS418")

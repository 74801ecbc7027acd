"""adopt where the project's own make, or a script, says what is built: told, never run, nothing proposed."""

from pathlib import Path

import pytest

from kscaffold.scaffold.adopt.sources import read_source
from tests.support.projects import HELLO

RAN = "touch ran"
OWN = {
    "PRE_BUILD": {
        "dkms.conf": 'PACKAGE_NAME=p\nPRE_BUILD="before.sh"\n',
        "before.sh": f"#!/bin/sh\n{RAN}\n",
        "Makefile": "obj-m := hello.o\n",
    },
    "a variable on the recipe's line": {
        "Makefile": f"obj-$(CONFIG_H) := hello.o\nall:\n\t{RAN}\n\tmake -C /k M=$(PWD) CONFIG_H=m modules\n"
    },
    "exported": {
        "Makefile": "ifneq ($(KERNELRELEASE),)\nobj-$(CONFIG_H) := hello.o\nelse\nexport CONFIG_H = m\n"
        f"all:\n\tmake -C /k M=$(PWD) modules\n\t{RAN}\nendif\n"
    },
    "a rule makes a file": {
        "Makefile": "obj-m := hello.o\nall: version.h\n\t$(MAKE) -C /k M=$(PWD) modules\n"
        f"version.h:\n\t{RAN}; echo > $@\n"
    },
    "a directory below": {
        "Makefile": f"all:\n\t{RAN}\n\t$(MAKE) -C src\n",
        "src/Makefile": "obj-m := hello.o\nall:\n\tmake -C /k M=$(CURDIR)\n",
        "src/hello.c": HELLO,
    },
}
MADE = {
    "configure makes the Makefile": (
        {"configure": f"#!/bin/sh\n{RAN}\n", "src/Makefile.in": "obj-m := hello.o\n"},
        "./configure",
    ),
    "autogen makes configure": ({"autogen.sh": f"{RAN}\n"}, "sh autogen.sh && ./configure"),
    "autoconf": (
        {"configure.ac": "AC_INIT\n", "Kbuild.in": "obj-m := hello.o\n"},
        "autoreconf -i && ./configure",
    ),
    "a rule makes the Kbuild": (
        {"Makefile": f"all: Kbuild\nKbuild: list\n\t{RAN}; sed s/x/y/ list > Kbuild\n"},
        "make",
    ),
}


def lay_out(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    if not (directory / "src").is_dir():
        (directory / "hello.c").write_text(HELLO)


@pytest.mark.parametrize("name", OWN)
def test_its_own_make_is_told_and_not_run(tmp_path: Path, ks, name: str):
    lay_out(tmp_path, OWN[name])
    before = sorted(p.name for p in tmp_path.rglob("*"))
    ran = ks("adopt", tmp_path, "--json")
    assert (ran.status, ran.json["proposal"]) == (0, None), ran.err
    assert ran.json["own_way"]
    assert "the project's own make builds it" in ks("adopt", tmp_path).err
    assert ks("adopt", tmp_path, "--write").status == 0
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", MADE)
def test_no_kbuild_of_ours_stands_before_one_that_is_made(tmp_path: Path, ks, name: str):
    files, how = MADE[name]
    lay_out(tmp_path, files)
    ran = ks("adopt", tmp_path, "--write", "--json")
    assert (ran.status, ran.json["error"]["code"]) == (69, "KS040")
    assert ran.json["error"]["fix"] == f"{how}, then kscaffold adopt"
    assert not (tmp_path / "Kbuild").exists() and not (tmp_path / "ran").exists()


def test_no_kbuild_of_hundreds_of_lines(tmp_path: Path, ks):
    for number in range(80):
        used = HELLO.replace("return 0;", f"return part{number}();")
        (tmp_path / f"driver{number}.c").write_text(used)
        (tmp_path / f"part{number}.c").write_text(f"int part{number}(void)\n{{\n}}\n")
    ran = ks("adopt", tmp_path, "--write", "--json")
    assert (ran.status, ran.json["error"]["code"]) == (69, "KS040")
    assert "80 modules of 160 sources are more" in ran.json["error"]["message"]
    assert not (tmp_path / "Kbuild").exists()


@pytest.mark.parametrize(
    "text",
    [
        "EXPORT_SYMBOL(f);",
        "EXPORT_SYMBOL_GPL(f);",
        "int f(void) { return 0; } EXPORT_SYMBOL(f);",
        'EXPORT_SYMBOL_NS_GPL(f, "NAMES");',
        "} EXPORT_SYMBOL (f) ;",
    ],
)
def test_what_a_source_exports(text: str):
    assert read_source(Path("a.c"), text).exports == {"f"}


def test_a_directory_that_make_can_t_take_is_left_out_and_told(ks, tmp_path: Path):
    """A blank would make two words of it in obj-m."""
    for name in ("one", "far away"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Kbuild").write_text("obj-m := hello.o\n")
        (tmp_path / name / "hello.c").write_text(HELLO)
    ran = ks("adopt", tmp_path, "--write", "--json")
    assert ran.status == 0
    assert (tmp_path / "Kbuild").read_text().endswith("obj-m := one/\n")
    assert "far away: left out, make can't take its name" in str(ran.json)
    (tmp_path / "Kbuild").unlink()
    assert "fix: cd one\n" in ks("info", "-C", tmp_path).err.replace(f"{tmp_path}/", "")

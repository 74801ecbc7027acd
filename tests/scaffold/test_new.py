"""`kscaffold new`: what it makes, what it says, what it refuses."""

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from kscaffold.scaffold.create.licence import LICENCES
from tests.conftest import ROOT

EVERYWHERE = {".clang-format", ".clangd", ".editorconfig", ".gitignore"} | {
    ".kscaffold.base",
    ".kscaffold.toml",
    "Kbuild",
    "LICENSE",
    "Makefile",
    "README.md",
}


def snapshot(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything below a directory: mode, change time and content."""
    found = {}
    for path in sorted(directory.rglob("*")):
        facts = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(directory))] = (facts.st_mode, facts.st_mtime_ns, content)
    return found


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the children of this process
    return tmp_path


def test_four_typed_words_make_the_course_s_module(ks, here):
    ran = ks("new", "ownname", "--objs", "ret-1")
    assert ran.status == 0
    assert ran.out == ""
    assert ran.err.splitlines() == [
        "     Created ownname: ownname.ko from ret-1.c",
        "        Next cd ownname && kscaffold load",
    ]
    project = here / "ownname"
    assert set(os.listdir(project)) == EVERYWHERE | {"ret-1.c", "tests"}
    assert os.listdir(project / "tests") == ["test_ownname.py"]
    kbuild = (project / "Kbuild").read_text().splitlines()
    assert kbuild[1:] == ["obj-m := ownname.o", "ownname-objs := ret-1.o"]
    source = (project / "ret-1.c").read_text()
    assert "return 0;" in source
    assert "module_init(ownname_init);" in source
    assert "\t$(MAKE) -C $(KDIR) M=$(CURDIR) modules\n" in (project / "Makefile").read_text()


@pytest.mark.parametrize(
    ("words", "template", "sources"),
    [
        (["--template", "single"], "single", {"my-mod.c"}),
        ([], "single", {"my-mod.c"}),
        (["--objs", "a"], "multi", {"a.c"}),
        (["--objs", "a, b", "--objs", "c-d"], "multi", {"a.c", "b.c", "c-d.c", "my-mod.h"}),
        (["--template", "multi"], "multi", {"main.c", "util.c", "my-mod.h"}),
        (["--template", "params"], "params", {"my-mod.c"}),
        (["--param", "n:int"], "params", {"my-mod.c"}),
        (["--param", "n:int", "--objs", "a,b"], "params", {"a.c", "b.c", "my-mod.h"}),
        (["--template", "params", "--objs", "a"], "params", {"a.c"}),
    ],
)
def test_json_tells_what_was_made(ks, here, words, template, sources):
    (here / "sub").mkdir()
    ran = ks("new", "my-mod", "--directory", "sub", "--json", *words)
    assert ran.status == 0
    assert ran.json == {
        "schema": 1,
        "command": "new",
        "ok": True,
        "name": "my-mod",
        "path": str(here / "sub/my-mod"),
        "template": template,
        "module": "my-mod.ko",
        "files": sorted(EVERYWHERE | sources | {"tests/test_my_mod.py"}),
    }
    assert set(os.listdir(here / "sub")) == {"my-mod"}
    assert set(os.listdir(here / "sub/my-mod")) == EVERYWHERE | sources | {"tests"}


def test_list_has_a_line_for_each_template(ks, here):
    lines = ks("new", "--list").out.splitlines()
    # fmt: off
    assert [line.split()[0] for line in lines] == [
        "single", "multi", "params", "returns",
        "block", "chardev", "debugfs", "exporter", "i2c", "input", "kprobe", "misc", "netdev", "pci",
        "platform", "procfs", "spi", "sysfs", "timer", "usb",
    ]
    # fmt: on
    assert all(len(line.split(maxsplit=1)[1]) > 10 and len(line) <= 80 for line in lines)
    assert all(len(line.split()) > 2 for line in lines)
    documents = ks("new", "--list", "--json").json["templates"]
    assert [(d["name"], f"{d['name']:<8}  {d['about']}") for d in documents] == [
        (line.split()[0], line) for line in lines
    ]


BAD = {
    "begins with a digit": (["1st"], "KS010"),
    "begins with an underscore": (["_mod"], "KS010"),
    "is a list of Kbuild's": (["obj"], "KS010"),
    "is another one": (["dtb"], "KS010"),
    "has a dot": (["hello.ko"], "KS010"),
    "has a space": (["my mod"], "KS010"),
    "has a slash": (["a/b"], "KS010"),
    "is a parent": ([".."], "KS010"),
    "has a newline": (["a\nb"], "KS010"),
    "ends in a newline": (["a\n"], "KS010"),
    "is not ASCII": (["modül"], "KS010"),
    "has a digit that is not ASCII": (["mod٣"], "KS010"),
    "is not text": (["mod\udcff"], "KS010"),
    "is empty": ([""], "KS010"),
    "is too long": (["m" * 56], "KS010"),
    "is a file that make would make": (["Makefile"], "KS010"),
    "an object that is a file of make": (["mod", "--objs", "a,Kbuild"], "KS014"),
    "is a C keyword": (["while"], "KS011"),
    "is a GNU C keyword": (["typeof"], "KS011"),
    "an object named like its module": (["mod", "--objs", "a,mod"], "KS012"),
    "an object with the module's name in C": (["my-mod", "--objs", "my_mod"], "KS012"),
    "an object twice": (["mod", "--objs", "a,b", "--objs", "a"], "KS013"),
    "two objects with one name in C": (["mod", "--objs", "a-b,a_b"], "KS013"),
    "two objects with one name in C after mapping": (["mod", "--objs", "x,time,time-mod"], "KS013"),
    "an object with its ending": (["mod", "--objs", "ret-1.o"], "KS014"),
    "an empty object": (["mod", "--objs", "a,,b"], "KS014"),
    "no object at all": (["mod", "--objs", ""], "KS014"),
    "an object that is too long": (["mod", "--objs", "a" * 56], "KS014"),
    "an object that is a C keyword": (["mod", "--objs", "int"], "KS011"),
    "an object in a directory": (["mod", "--objs", "sub/a"], "KS014"),
    "an unknown type": (["mod", "--param", "n:float"], "KS015"),
    "no type": (["mod", "--param", "n"], "KS017"),
    "an empty type": (["mod", "--param", "n:"], "KS015"),
    "an array of none": (["mod", "--param", "n:int[0]"], "KS015"),
    "an array without an end": (["mod", "--param", "n:int[4"], "KS015"),
    "an array of an unknown type": (["mod", "--param", "n:float[4]"], "KS015"),
    "more values than an array holds": (["mod", "--param", "n:int[2]=1,2,3"], "KS016"),
    "a value of an array that is too large": (["mod", "--param", "n:byte[2]=1,256"], "KS016"),
    "an array and the number of its values": (
        ["mod", "--param", "n:int[2]", "--param", "n_given:int"],
        "KS018",
    ),
    "a default that is too large": (["mod", "--param", "n:byte=256"], "KS016"),
    "a default below zero": (["mod", "--param", "n:uint=-1"], "KS016"),
    "a default that is no number": (["mod", "--param", "n:int=1.5"], "KS016"),
    "an octal default with a 9": (["mod", "--param", "n:int=09"], "KS016"),
    "a number with other digits": (["mod", "--param", "n:int=٣"], "KS016"),
    "an empty number": (["mod", "--param", "n:int="], "KS016"),
    "a bool that is neither": (["mod", "--param", "n:bool=maybe"], "KS016"),
    "a permission for all to write": (["mod", "--param", "n:int@0666"], "KS017"),
    "a permission to execute": (["mod", "--param", "n:int@0555"], "KS017"),
    "a permission for others only": (["mod", "--param", "n:int@0004"], "KS017"),
    "a permission that is not octal": (["mod", "--param", "n:int@rw"], "KS017"),
    "an empty permission": (["mod", "--param", "n:int@"], "KS017"),
    "a parameter with a dash": (["mod", "--param", "n-m:int"], "KS018"),
    "a parameter that is a keyword": (["mod", "--param", "int:int"], "KS018"),
    "a parameter that is a macro": (["mod", "--param", "current:int"], "KS018"),
    "a parameter that the kernel declares": (["mod", "--param", "jiffies:ulong"], "KS018"),
    "a parameter that the compiler defines": (["mod", "--param", "linux:int"], "KS018"),
    "a parameter twice": (["mod", "--param", "n:int", "--param", "n:uint"], "KS018"),
    "a parameter named like a function": (["mod", "--param", "mod_init:int"], "KS018"),
    "a parameter named like another's variable": (
        ["mod", "--param", "n:invbool", "--param", "not_n:int"],
        "KS018",
    ),
    "a colon in the path": (["mod", "--directory", "a:b"], "KS019"),
    "a space in the path": (["mod", "--directory", "a b"], "KS019"),
    "a percent sign in the path": (["mod", "--directory", "100%"], "KS019"),
    "a comma in the path": (["mod", "--directory", "a,b"], "KS019"),
    "a dollar sign in the path": (["mod", "--directory", "a$b"], "KS019"),
    "a link to a path with a space": (["mod", "--directory", "link"], "KS019"),
    "a file is there": (["file"], "KS020"),
    "an empty directory is there": (["empty"], "KS020"),
    "a broken link is there": (["broken"], "KS020"),
    "the parent is not there": (["mod", "--directory", "nowhere"], "KS021"),
    "the parent is a file": (["mod", "--directory", "file"], "KS021"),
    "the parent is a loop of links": (["mod", "--directory", "loop"], "KS021"),
    "an unknown template": (["mod", "--template", "magic"], "KS022"),
    "a layer that is no template": (["mod", "--template", "common"], "KS022"),
    "a path where no template is": (["mod", "--template", "../single"], "KS071"),
    "objects for single": (["mod", "--template", "single", "--objs", "a"], "KS022"),
    "parameters for multi": (["mod", "--template", "multi", "--param", "n:int"], "KS022"),
    "a licence that is none": (["mod", "--license", "Apache-2.0"], "KS023"),
    "an author that is not UTF-8": (["mod", "--author", "J\udcf6rg"], "KS024"),
    "a description that is not UTF-8": (["mod", "--description", "\udc80"], "KS024"),
    "a default that is not UTF-8": (["mod", "--param", "s:charp=\udc80"], "KS024"),
    "no name": ([], "KS004"),
    "an unknown option": (["mod", "--colour"], "KS004"),
}


@pytest.mark.parametrize(("words", "code"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_error_and_touches_nothing(ks, here, words, code):
    for name in ("a:b", "a b", "100%", "a,b", "a$b", "empty"):
        (here / name).mkdir()
    (here / "file").write_text("mine")
    (here / "link").symlink_to("a b")
    (here / "broken").symlink_to("nothing")
    (here / "loop").symlink_to("loop")
    before = snapshot(here)
    ran = ks("new", *words)
    assert ran.status == 2, ran.err
    assert ran.out == ""
    assert ran.err.startswith(f"error[{code}]: ")
    assert ran.err.count("error[") == 1
    assert snapshot(here) == before
    error = ks("new", *words, "--json")
    assert error.json["ok"] is False
    assert error.json["error"]["code"] == code


def test_a_name_of_55_characters_is_the_longest(ks, here):
    assert ks("new", "m" * 55).status == 0


def test_an_existing_project_is_left_as_it_is(ks, here):
    assert ks("new", "hello").status == 0
    (here / "hello/hello.c").write_text("mine now")
    before = snapshot(here)
    ran = ks("new", "hello", "--template", "params")
    assert (ran.status, ran.err.split(":")[0]) == (2, "error[KS020]")
    assert snapshot(here) == before


@pytest.mark.parametrize("licence", LICENCES, ids=lambda x: x.spdx)
def test_licence_text_and_spdx_lines_agree(ks, here, licence):
    assert ks("new", "mod", "--objs", "a,b", "--license", licence.spdx, "--author", "Ann Other").status == 0
    project = here / "mod"
    for name in ("a.c", "b.c", "mod.h", "Kbuild", "Makefile"):
        assert f"SPDX-License-Identifier: {licence.spdx}" in (project / name).read_text().splitlines()[0]
    assert f'MODULE_LICENSE("{licence.module}");' in (project / "a.c").read_text()
    text = (project / "LICENSE").read_text()
    assert ("GNU GENERAL PUBLIC LICENSE" in text) == ("GPL" in licence.spdx)
    assert ("Permission is hereby granted" in text) == ("MIT" in licence.spdx)
    assert ("Redistribution and use" in text) == ("BSD" in licence.spdx)
    assert ("Neither the name" in text) == ("BSD-3" in licence.spdx)
    assert ("Copyright (c) Ann Other" in text) == (" OR " in licence.spdx)
    assert "@" not in text


@pytest.mark.parametrize(("given", "spdx"), [("GPL", "GPL-2.0-only"), ("mit", "GPL-2.0-only OR MIT")])
def test_short_names_of_licences(ks, here, given, spdx):
    assert ks("new", "mod", "--license", given).status == 0
    assert spdx in (here / "mod/Kbuild").read_text()


def test_nothing_is_written_to_home(ks, here, own_world):
    assert ks("new", "mod", "--objs", "a,b").status == 0
    assert os.listdir(own_world) == []
    assert os.listdir(here) == ["mod"]


def test_files_have_the_users_mode_whatever_the_templates_have(ks, here):
    before = os.umask(0o027)
    try:
        assert ks("new", "mod").status == 0
    finally:
        os.umask(before)
    made = [here / "mod", *(here / "mod").rglob("*")]
    assert {p.stat().st_mode & 0o777 for p in made if p.is_file()} == {0o640}
    assert {p.stat().st_mode & 0o777 for p in made if p.is_dir()} == {0o750}


def test_the_author_is_the_one_git_knows(ks, here, own_world, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (own_world / ".gitconfig").write_text('[user]\n\tname = "Ann \\"A\\" Other"\n\temail = ann@example.org\n')
    assert ks("new", "mod").status == 0
    assert r'MODULE_AUTHOR("Ann \"A\" Other <ann@example.org>");' in (here / "mod/mod.c").read_text()


def test_an_author_is_found_without_git(ks, here, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert ks("new", "mod").status == 0
    line = next(x for x in (here / "mod/mod.c").read_text().splitlines() if x.startswith("MODULE_AUTHOR"))
    assert line not in ('MODULE_AUTHOR("");', "")


def test_objects_after_the_first_are_called_from_it_and_unwound_in_reverse(ks, here):
    assert ks("new", "mod", "--objs", "a,b,c,d").status == 0
    source = (here / "mod/a.c").read_text()
    init, rest = source.split("static void __exit")
    assert init.index("b_start") < init.index("c_start") < init.index("d_start")
    assert init.index("stop_c:\n\tc_stop();") < init.index("stop_b:\n\tb_stop();")
    assert "stop_d" not in init
    assert rest.index("d_stop") < rest.index("c_stop") < rest.index("b_stop")
    header = (here / "mod/mod.h").read_text()
    assert [x for x in header.splitlines() if x.startswith("int ")] == [
        f"int {o}_start(void);" for o in "bcd"
    ]


def test_a_name_of_the_kernels_own_gets_another_c_name(ks, here):
    assert ks("new", "time").status == 0
    assert "module_init(time_mod_init);" in (here / "time/time.c").read_text()


def test_readme_names_what_is_there(ks, here):
    assert ks("new", "my-mod", "--objs", "a,b", "--param", "n:int=3:how | many").status == 0
    readme = (here / "my-mod/README.md").read_text()
    assert "`my-mod.ko` is built from `a.c`, `b.c`, `my-mod.h`." in readme
    assert "sudo insmod my-mod.ko\nlsmod | grep my_mod\n" in readme
    assert "| `n` | int | 3 | 0444 | how \\| many |" in readme


def test_no_file_of_a_project_has_trailing_blanks_or_jinja_left(ks, here):
    assert ks("new", "mod", "--objs", "a,b", "--param", "n:int").status == 0
    for path in (here / "mod").rglob("*"):
        if path.name == ".kscaffold.base" or path.is_dir():
            continue
        text = path.read_text()
        assert text.endswith("\n") and not text.endswith("\n\n"), path
        assert not [line for line in text.splitlines() if line != line.rstrip()], path
        assert "{{" not in text and "{%" not in text and "cookiecutter" not in text, path


def test_i_asks_nothing_without_a_terminal(here):
    ran = subprocess.run(
        [sys.executable, "-m", "kscaffold", "new", "mod", "-i"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0
    assert "Description" not in ran.stderr


def talk(words: list[str], typed: bytes) -> tuple[int, str]:
    """Run the command on a terminal of its own and type."""
    child, fd = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-m", "kscaffold", *words])
    os.write(fd, typed)
    said = b""
    while select.select([fd], [], [], 60)[0]:
        try:
            chunk = os.read(fd, 4096)
        except OSError:
            break
        if not chunk:
            break
        said += chunk
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.decode()


def test_i_asks_on_a_terminal_for_what_was_not_given(here):
    status, said = talk(["new", "mod", "-i", "--author", "Ann"], b'It does "this"\n')
    assert status == 0, said
    assert "Author" not in said
    assert r'MODULE_DESCRIPTION("It does \"this\"");' in (here / "mod/mod.c").read_text()
    assert 'MODULE_AUTHOR("Ann");' in (here / "mod/mod.c").read_text()


def test_an_empty_answer_takes_what_is_shown_and_the_end_of_input_makes_nothing(here):
    status, said = talk(["new", "mod", "-i"], b"\nAnn\n")
    assert status == 0
    assert "Description [The mod kernel module]: " in said
    assert 'MODULE_DESCRIPTION("The mod kernel module");' in (here / "mod/mod.c").read_text()
    status, _ = talk(["new", "other", "-i"], b"\x04")
    assert status == 130
    assert os.listdir(here) == ["mod"]


def test_an_unwritable_place_is_told_as_such(ks, here):
    """With another user's rights where we are root, who may write anywhere."""
    assert ks("new", "warm", "--author", "me").status == 0  # reads the package's files while it may
    place = here / "closed"
    place.mkdir()
    place.chmod(0o555)
    for parent in (here, *here.parents):
        if parent.stat().st_uid == os.getuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        ran = ks("new", "mod", "-C", place, "--author", "me", "--json")
    finally:
        os.seteuid(user)
    assert ran.status == 69, ran.err
    assert ran.json["error"]["code"] == "KS006"
    assert ran.json["error"]["message"] == f"permission denied: {place}/mod"
    assert os.listdir(place) == []


def test_the_course_s_ownname_of_a_ret_1_that_returns_a_value(ks, tmp_path):
    ran = ks("new", "ownname", "-C", tmp_path, "--template", "returns", "--objs", "ret-1", "--json")
    assert ran.status == 0 and ran.json["files"].count("ret-1.c") == 1
    kbuild = (tmp_path / "ownname/Kbuild").read_text()
    assert "obj-m := ownname.o" in kbuild and "ret-1.o" in kbuild
    assert "return code;" in (tmp_path / "ownname/ret-1.c").read_text()
    assert not (tmp_path / "ownname/ownname.c").exists()


def test_the_template_returns_has_one_file(ks, tmp_path):
    ran = ks("new", "x", "-C", tmp_path, "--template", "returns", "--objs", "a,b", "--json")
    assert (ran.status, ran.json["error"]["code"], ran.json["error"]["fix"]) == (2, "KS022", "--objs a")
    assert not (tmp_path / "x").exists()

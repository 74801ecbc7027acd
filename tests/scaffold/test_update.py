"""`kscaffold update`: what is new in a template comes into the project; the user's own edits stay."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from kscaffold.files import tree
from kscaffold.scaffold.create.render import templates
from kscaffold.scaffold.metadata import answers, base
from tests.conftest import need_program
from tests.scaffold.test_new import snapshot
from tests.support.kdirs import Tree
from tests.support.newer import Newer, changes

AUTHOR = ("--author", "me")
OWN = (".kscaffold.base", ".kscaffold.toml")
MINE = "/* mine */\n"


@pytest.fixture
def newer(tmp_path) -> Newer:
    return Newer(tmp_path / "newer")


@pytest.fixture
def hello(ks, tmp_path) -> Path:
    """A project as it was made."""
    return made(ks, tmp_path, "hello")


def made(ks, where: Path, *words: str) -> Path:
    assert ks("new", "-C", where, *words, *AUTHOR).status == 0
    return where / words[0]


def texts(project: Path) -> dict[str, bytes]:
    """What a project's files have in them, without what update keeps for itself."""
    return {path: f.content for path, f in tree.read_tree_files(project).items() if path not in OWN}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def is_consistent(project: Path) -> bool:
    """Whether the base is the one that the answers name."""
    return base.read_base(project, answers.read_answers(project).base) is not None


def left_nothing(project: Path) -> bool:
    return not [n for n in os.listdir(project) if n.startswith((".kscaffold-",))]


@pytest.mark.parametrize("template", [t.name for t in templates()])
def test_every_template_s_project_is_brought_to_the_newer_template(ks, tmp_path, newer, template):
    project = made(ks, tmp_path, "my-mod", "--template", template)
    newer.edit(template, "*.c", "#include <linux/module.h>", "#include <linux/module.h> /* newer */")
    body = {"returns": "\treturn code;\n", "misc": "\treturn copied;\n"}.get(template, "\treturn 0;\n")
    newer.edit(template, "*.c", body, f"\t/* Newer, too. */\n{body}")
    (newer.within("common") / "NOTES.md").write_text("{{ cookiecutter.name }} has notes\n")
    (newer.within("common") / ".clangd").unlink()
    sources = sorted(project.rglob("*.c"))
    for source in sources:
        source.write_text(source.read_text() + MINE)
    before = snapshot(project)

    shown = newer("update", project)
    assert shown.status == 0, shown.err
    assert "+#include <linux/module.h> /* newer */" in shown.out
    assert snapshot(project) == before
    done = newer("update", project, "--write", "--json")
    assert done.status == 0
    assert changes(done) | {"NOTES.md": "added", ".clangd": "removed"} == changes(done)
    assert set(changes(done).values()) == {"added", "removed", "merged"}

    there = tmp_path / "there"
    there.mkdir()
    assert newer("new", "my-mod", "--template", template, "-C", there, *AUTHOR).status == 0
    wanted = texts(there / "my-mod")
    places = [str(source.relative_to(project)) for source in sources]
    assert any(b"Newer, too." in wanted[place] for place in places)
    for place in places:
        wanted[place] += MINE.encode()
    assert texts(project) == wanted
    assert is_consistent(project) and left_nothing(project)
    again = newer("update", project, "--json")
    assert (again.status, again.json["up_to_date"], again.json["diff"]) == (0, True, "")


def test_the_files_that_are_kept_are_the_newer_ones_own_then(ks, tmp_path, hello, newer):
    newer.edit("single", "*.c", "hello from init", "hello from newer init")
    assert newer("update", hello, "--write").status == 0
    there = tmp_path / "there"
    there.mkdir()
    assert newer("new", "hello", "-C", there, *AUTHOR).status == 0
    for name in OWN:
        assert (hello / name).read_bytes() == (there / "hello" / name).read_bytes()


def test_what_is_up_to_date_is_left_alone(ks, hello):
    before = snapshot(hello)
    for words in ([], ["--write"], ["--write", "--conflicts"]):
        ran = ks("update", hello, *words)
        assert (ran.status, ran.out) == (0, "")
        assert ran.err == "  Up to date hello: template single\n"
    (hello / "hello.c").write_text("all mine now\n")
    assert ks("update", hello, "--write").err == "  Up to date hello: template single\n"
    before["hello.c"] = snapshot(hello)["hello.c"]
    assert snapshot(hello) == before


def test_what_people_read(hello, newer):
    newer.edit("single", "*.c", "hello from init", "hello from newer init")
    newer.edit("single", "*.c", "goodbye from exit", "bye from exit")
    newer.edit("common", ".editorconfig", "root = true", "root = true\n# newer")
    edit(hello / "hello.c", "goodbye from exit", "farewell from exit")
    ran = newer("update", cwd=hello)
    assert ran.status == 1
    assert [line for line in ran.out.splitlines() if line[0] in "+-"] == [
        "--- a/.editorconfig",
        "+++ b/.editorconfig",
        "+# newer",
        "--- a/hello.c",
        "+++ b/hello.c",
        '-\tpr_info("hello from init\\n");',
        '+\tpr_info("hello from newer init\\n");',
        "+<<<<<<< yours",
        "+=======",
        '+\tpr_info("bye from exit\\n");',
        "+>>>>>>> template",
    ]
    assert ran.err.splitlines() == [
        "      Change .editorconfig: you left it as it was",
        "    Conflict hello.c: you and the template changed it in one place",
        "        Next kscaffold update --write",
    ]


def test_a_conflict_is_never_written_over_the_user_s_edit(hello, newer):
    newer.edit("single", "*.c", "goodbye from exit", "bye from exit")
    newer.edit("common", ".editorconfig", "root = true", "root = true\n# newer")
    edit(hello / "hello.c", "goodbye from exit", "farewell from exit")
    mine = (hello / "hello.c").read_bytes()
    ran = newer("update", hello, "--write", "--json")
    assert (ran.status, ran.json["ok"]) == (1, False)
    assert changes(ran) == {".editorconfig": "changed", "hello.c": "conflict"}
    assert {f["path"]: f["written"] for f in ran.json["files"]} == {".editorconfig": True, "hello.c": False}
    assert (hello / "hello.c").read_bytes() == mine
    assert "# newer" in (hello / ".editorconfig").read_text()
    # It is not forgotten.
    assert changes(newer("update", hello, "--json")) == {"hello.c": "conflict"}
    before = snapshot(hello)
    ran = newer("update", hello, "--write")
    assert ran.status == 1 and snapshot(hello) == before
    assert ran.err.splitlines()[-1] == (
        f"        Next edit what is in conflict, or: kscaffold update {hello} --write --conflicts"
    )
    # Solved by hand, it is gone.
    edit(hello / "hello.c", "farewell from exit", "bye from exit")
    assert newer("update", hello, "--write", "--json").json["up_to_date"]
    assert is_consistent(hello)


def test_conflicts_puts_both_sides_into_the_file_once(hello, newer):
    newer.edit("single", "*.c", "goodbye from exit", "bye from exit")
    newer.edit("single", "*.c", "hello from init", "hello from newer init")
    edit(hello / "hello.c", "goodbye from exit", "farewell from exit")
    ran = newer("update", hello, "--write", "--conflicts")
    assert ran.status == 1
    text = (hello / "hello.c").read_text()
    assert "hello from newer init" in text
    assert (
        '<<<<<<< yours\n\tpr_info("farewell from exit\\n");\n'
        '=======\n\tpr_info("bye from exit\\n");\n>>>>>>> template\n' in text
    )
    said = f"edit what is between <<<<<<< and >>>>>>>, then kscaffold build -C {hello}"
    assert ran.err.splitlines()[-1].endswith(said)
    again = newer("update", hello, "--json")
    assert (again.status, again.json["up_to_date"]) == (0, True)


def test_a_template_s_files_of_our_name_are_not_taken(ks, hello, newer):
    (newer.within("common") / ".kscaffold.toml").write_text("nonsense\n")
    (newer.within("common") / "NOTES.md").write_text("notes\n")
    assert changes(newer("update", hello, "--write", "--json")) == {"NOTES.md": "added"}
    assert is_consistent(hello)
    assert newer("new", "other", "-C", hello.parent).status == 0
    assert newer("update", hello.parent / "other", "--json").json["up_to_date"]


def test_what_was_changed_is_kept_as_it_was(hello, newer):
    newer.edit("single", "*.c", "hello from init", "hello from newer init")
    (hello / "hello.c").write_text((hello / "hello.c").read_text() + MINE)
    before = (hello / "hello.c").read_bytes()
    ran = newer("update", hello, "--write", "--json")
    kept = Path(ran.json["backup"])
    assert hello not in kept.parents
    assert base.unpack(kept.read_bytes()) == {"hello.c": tree.File(before)}
    for number in range(7):  # an end there is
        assert newer("update", hello, "--write", "--set", f"author={number}").status == 0
    backups = sorted(kept.parent.glob("before-update-*"), key=lambda p: p.stat().st_mtime_ns)
    assert len(backups) == 5
    last = base.unpack(backups[-1].read_bytes())
    assert last and b'MODULE_AUTHOR("5")' in last["hello.c"].content


# ---- one file, in every state ----


def test_a_file_the_user_deleted_stays_deleted_and_is_told(hello, newer):
    newer.edit("common", "README.md", "## Build", "## Building")
    (hello / "README.md").unlink()
    (hello / ".clangd").unlink()  # which the template did not change
    assert changes(newer("update", hello, "--json")) == {"README.md": "deleted"}
    ran = newer("update", hello, "--write")
    assert "Left out README.md: you deleted it" in ran.err or "Leave out README.md: you deleted it" in ran.err
    assert not (hello / "README.md").exists() and not (hello / ".clangd").exists()
    assert newer("update", hello, "--json").json["up_to_date"]


def test_what_is_new_follows_a_source_to_its_other_name(ks, tmp_path, newer):
    """`kbuild rename` of an object says: mv b.c c.c"""
    project = made(ks, tmp_path, "mod", "--objs", "a,b")
    newer.edit("object", "*.c", "#include", "/* Newer. */\n#include")
    (project / "b.c").rename(project / "c.c")
    (project / "c.c").write_text((project / "c.c").read_text() + MINE)
    (project / "unlike.c").write_text("int x;\n" * 30)
    ran = newer("update", project)
    assert ran.status == 0
    assert "+++ b/c.c" in ran.out and "Merge b.c: your changes and the template's, in c.c" in ran.err
    ran = newer("update", project, "--write", "--json")
    assert [(f["path"], f["target"], f["written"]) for f in ran.json["files"]] == [("b.c", "c.c", True)]
    assert not (project / "b.c").exists()
    text = (project / "c.c").read_text()
    assert "/* Newer. */\n#include" in text and text.endswith(MINE)
    assert newer("update", project, "--json").json["up_to_date"]
    newer.edit("object", "*.c", "/* Newer. */", "/* Newest. */")
    assert newer("update", project, "--write").status == 0
    assert (project / "c.c").read_text() == text.replace("Newer", "Newest")


def test_two_that_could_be_it_are_none(ks, tmp_path, newer):
    project = made(ks, tmp_path, "mod")
    newer.edit("single", "*.c", "hello from init", "hello from newer init")
    text = (project / "mod.c").read_text()
    (project / "mod.c").unlink()
    for name in ("one.c", "two.c"):
        (project / name).write_text(text)
    before = snapshot(project)
    assert changes(newer("update", project, "--json")) == {"mod.c": "deleted"}
    assert snapshot(project) == before


def test_a_new_file_of_the_template_is_not_written_over_one_of_the_user_s(hello, newer):
    (newer.within("common") / "NOTES.md").write_text("one\ntwo\nthree\n")
    (hello / "NOTES.md").write_text("one\n2\nthree\n")
    ran = newer("update", hello, "--write", "--json")
    assert (ran.status, changes(ran)) == (1, {"NOTES.md": "conflict"})
    assert (hello / "NOTES.md").read_text() == "one\n2\nthree\n"
    assert newer("update", hello, "--write", "--conflicts").status == 1
    assert (hello / "NOTES.md").read_text() == (
        "one\n<<<<<<< yours\n2\n=======\ntwo\n>>>>>>> template\nthree\n"
    )


def test_a_new_file_that_is_there_alike_is_no_step(hello, newer):
    (newer.within("common") / "NOTES.md").write_text("one\n")
    (hello / "NOTES.md").write_text("one\n")
    assert newer("update", hello, "--write", "--json").json["up_to_date"]
    assert "NOTES.md" in (base.unpack((hello / ".kscaffold.base").read_bytes()) or {})


def test_a_file_that_left_the_template_stays_where_the_user_changed_it(hello, newer):
    (newer.within("common") / ".clangd").unlink()
    (hello / ".clangd").write_text("mine\n")
    ran = newer("update", hello, "--write", "--json")
    assert (ran.status, changes(ran)) == (1, {".clangd": "conflict"})
    assert newer("update", hello, "--write", "--conflicts").status == 1
    assert (hello / ".clangd").read_text() == "mine\n"
    assert newer("update", hello, "--json").json["up_to_date"]  # it is the user's now


def test_a_directory_comes_and_goes(ks, hello, tmp_path, newer):
    (newer.within("common") / "doc/deep").mkdir(parents=True)
    (newer.within("common") / "doc/deep/er.md").write_text("text\n")
    assert newer("update", hello, "--write").status == 0
    assert (hello / "doc/deep/er.md").read_text() == "text\n"
    (hello / "doc/own.md").write_text("mine\n")
    assert changes(ks("update", hello, "--write", "--json")) == {"doc/deep/er.md": "removed"}
    assert not (hello / "doc/deep").exists()
    assert (hello / "doc/own.md").read_text() == "mine\n"


def test_line_ends_stay_the_user_s(hello, newer):
    newer.edit("single", "*.c", "hello from init", "hello from newer init")
    newer.edit("common", ".editorconfig", "root = true", "root = true\n# newer")
    (hello / "hello.c").write_bytes(
        (hello / "hello.c").read_bytes().replace(b"\n", b"\r\n") + b"/* mine */\r\n"
    )
    (hello / ".editorconfig").write_bytes((hello / ".editorconfig").read_bytes().replace(b"\n", b"\r\n"))
    ran = newer("update", hello, "--write", "--json")
    assert changes(ran) == {".editorconfig": "changed", "hello.c": "merged"}
    for name in ("hello.c", ".editorconfig"):
        text = (hello / name).read_bytes()
        assert text.count(b"\r\n") == text.count(b"\n") and b"newer" in text
    assert (hello / "hello.c").read_bytes().endswith(b"/* mine */\r\n")


def test_line_ends_that_the_template_changed_are_no_conflict(hello, newer):
    source = newer.within("single") / "{{cookiecutter.name}}.c"
    edit(source, "hello from init", "hello from newer init")
    source.write_bytes(source.read_bytes().replace(b"\n", b"\r\n"))
    mine = (hello / "hello.c").read_bytes() + b"/* mine */\n"
    (hello / "hello.c").write_bytes(mine)
    assert changes(newer("update", hello, "--write", "--json")) == {"hello.c": "merged"}
    expected = mine.replace(b"hello from init", b"hello from newer init")
    assert (hello / "hello.c").read_bytes() == expected
    assert newer("update", hello, "--json").json["up_to_date"]


def test_bytes_of_another_encoding_are_kept(hello, newer):
    newer.edit("single", "*.c", "hello from init", "hello from newer init")
    latin = b"/* J\xf6rg\x85 was\x0bhere \xff */\n"
    (hello / "hello.c").write_bytes((hello / "hello.c").read_bytes() + latin)
    assert newer("update", hello).status == 0
    assert changes(newer("update", hello, "--write", "--json")) == {"hello.c": "merged"}
    text = (hello / "hello.c").read_bytes()
    assert text.endswith(latin) and b"newer init" in text


def test_a_file_without_a_newline_at_its_end(hello, newer):
    newer.edit("single", "*.c", "hello from init", "hello from newer init")
    (hello / "hello.c").write_text((hello / "hello.c").read_text() + "/* mine */")
    shown = newer("update", hello)
    assert shown.status == 0
    assert newer("update", hello, "--write").status == 0
    assert (hello / "hello.c").read_text().endswith(");\n/* mine */")


def test_a_file_that_is_no_text_gets_the_template_s_beside_it(hello, newer):
    newer.edit("common", "README.md", "## Build", "## Building")
    (hello / "README.md").write_bytes(b"\0\1\2")
    ran = newer("update", hello)
    assert ran.status == 1 and "b/README.md.template" in ran.out
    assert newer("update", hello, "--write").status == 1
    assert not (hello / "README.md.template").exists()
    assert newer("update", hello, "--write", "--conflicts").status == 1
    assert (hello / "README.md").read_bytes() == b"\0\1\2"
    assert "## Building" in (hello / "README.md.template").read_text()
    assert newer("update", hello, "--json").json["up_to_date"]


def test_no_file_is_written_over_even_beside(hello, newer):
    newer.edit("common", "README.md", "## Build", "## Building")
    (hello / "README.md").write_bytes(b"\0\1\2")
    (hello / "README.md.template").write_text("mine, too\n")
    before = snapshot(hello)
    assert newer("update", hello, "--write", "--conflicts").status == 1
    assert snapshot(hello) == before
    assert changes(newer("update", hello, "--json")) == {"README.md": "conflict"}


@pytest.mark.parametrize("kind", ["link", "broken link", "directory", "pipe"])
def test_what_is_no_plain_file_is_left_alone(hello, tmp_path, newer, kind):
    newer.edit("common", "README.md", "## Build", "## Building")
    newer.edit("common", ".editorconfig", "root = true", "root = true\n# newer")
    path = hello / "README.md"
    path.unlink()
    outside = tmp_path / "outside.md"
    if kind == "link":
        outside.write_text("elsewhere\n")
    if kind.endswith("link"):
        path.symlink_to(outside)
    elif kind == "directory":
        path.mkdir()
        (path / "inside").write_text("mine\n")
    else:
        os.mkfifo(path)
    ran = newer("update", hello, "--write", "--json")
    assert (ran.status, changes(ran)) == (1, {".editorconfig": "changed", "README.md": "conflict"})
    assert newer("update", hello, "--write", "--conflicts").status == 1
    mode = path.lstat().st_mode
    assert {
        "link": stat.S_ISLNK,
        "broken link": stat.S_ISLNK,
        "directory": stat.S_ISDIR,
        "pipe": stat.S_ISFIFO,
    }[kind](mode)
    assert "## Building" in (hello / "README.md.template").read_text()
    assert outside.exists() == (kind == "link")
    if kind == "link":
        assert outside.read_text() == "elsewhere\n"
    if kind == "directory":
        assert os.listdir(path) == ["inside"]


def test_nothing_is_written_through_a_directory_that_is_a_link(hello, tmp_path, newer):
    outside = tmp_path / "outside"
    outside.mkdir()
    (hello / "doc").symlink_to(outside)
    (newer.within("common") / "doc").mkdir()
    (newer.within("common") / "doc/text.md").write_text("text\n")
    for words in (["--write"], ["--write", "--conflicts"]):
        ran = newer("update", hello, *words, "--json")
        assert (ran.status, changes(ran)) == (1, {"doc/text.md": "conflict"})
    assert os.listdir(outside) == []


def test_modes_stay(hello, newer):
    newer.edit("common", "README.md", "## Build", "## Building")
    newer.edit("common", ".editorconfig", "root = true", "root = true\n# newer")
    newer.edit("single", "*.c", "hello from init", "hello from newer init")
    (hello / "README.md").chmod(0o444)
    (hello / ".editorconfig").chmod(0o751)
    (hello / "hello.c").chmod(0o600)
    assert newer("update", hello, "--write").status == 0
    modes = {n: stat.S_IMODE((hello / n).stat().st_mode) for n in ("README.md", ".editorconfig", "hello.c")}
    assert modes == {"README.md": 0o444, ".editorconfig": 0o751, "hello.c": 0o600}


def test_a_hard_link_elsewhere_keeps_the_old_text(hello, tmp_path, newer):
    newer.edit("common", "README.md", "## Build", "## Building")
    os.link(hello / "README.md", tmp_path / "other")
    assert newer("update", hello, "--write").status == 0
    assert "## Building" not in (tmp_path / "other").read_text()


# ---- the project as a whole ----


def test_a_project_that_was_moved_and_copied_by_git(ks, hello, tmp_path, newer):
    need_program("git", "git")
    newer.edit("single", "*.c", "hello from init", "hello from newer init")
    run = {"check": True, "capture_output": True}
    subprocess.run(["git", "init", "-q", hello], **run)
    who = ["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "core.autocrlf=true"]
    subprocess.run(["git", *who, "-C", hello, "add", "-A"], **run)
    subprocess.run(["git", *who, "-C", hello, "commit", "-qm", "first"], **run)
    clone = tmp_path / "clone"
    subprocess.run(["git", "-c", "core.autocrlf=true", "clone", "-q", hello, clone], **run)
    shutil.rmtree(hello)
    assert b"\r\n" in (clone / "hello.c").read_bytes()  # as on a machine with such a setting
    (clone / "doc").mkdir()
    ran = newer("update", "--write", "--json", cwd=clone / "doc")
    assert changes(ran) == {"hello.c": "changed"}
    assert b'newer init\\n");\r\n' in (clone / "hello.c").read_bytes()
    assert ran.json["directory"] == str(clone)


def test_set_changes_an_answer_as_if_it_had_been_given_to_new(ks, hello, tmp_path):
    (hello / "hello.c").write_text((hello / "hello.c").read_text().replace("goodbye", "farewell"))
    ran = ks(
        "update",
        hello,
        "--set",
        "description=Does a lot",
        "--set",
        "license=mit",
        "--set",
        "author=x=y",
        "--write",
    )
    assert ran.status == 0, ran.err
    there = tmp_path / "there"
    there.mkdir()
    words = ["--description", "Does a lot", "--license", "mit", "--author", "x=y"]
    assert ks("new", "hello", "-C", there, *words).status == 0
    wanted = texts(there / "hello")
    wanted["hello.c"] = wanted["hello.c"].replace(b"goodbye", b"farewell")
    assert texts(hello) == wanted
    assert ks("update", hello, "--json").json["up_to_date"]


@pytest.mark.parametrize("lost", [".kscaffold.base is gone", "is damaged", "is another's"])
def test_without_its_base_every_difference_is_shown_and_none_written(ks, hello, tmp_path, newer, lost):
    newer.edit("single", "*.c", "hello from init", "hello from newer init")
    newer.edit("common", "README.md", "## Build", "## Building")
    edit(hello / "hello.c", "goodbye", "farewell")
    file = hello / ".kscaffold.base"
    if lost == "is damaged":
        packed = bytearray(file.read_bytes())
        packed[len(packed) // 2] ^= 0x55
        file.write_bytes(packed)
    elif lost == "is another's":
        shutil.copy(made(ks, tmp_path, "other") / ".kscaffold.base", file)
    else:
        file.unlink()
    before = texts(hello)
    ran = newer("update", hello, "--write", "--json")
    assert (ran.status, ran.json["base"]) == (1, "missing")
    assert changes(ran) == {"hello.c": "conflict", "README.md": "conflict"}
    assert texts(hello) == before
    ran = newer("update", hello, "--write", "--conflicts")
    assert ran.status == 1
    text = (hello / "hello.c").read_text()
    assert text.count("<<<<<<<") == 2 and "farewell" in text and "goodbye" in text and "newer init" in text
    assert is_consistent(hello)
    assert newer("update", hello, "--json").json["up_to_date"]


def test_a_kbuild_that_was_edited_is_the_user_s(hello, newer):
    """As kbuild rename, add-object and adopt --fix leave it."""
    kbuild = newer.code() / "scaffold/kbuild/generate.py"
    text = kbuild.read_text()
    assert 'return "\\n".join(lines) + "\\n"' in text
    kbuild.write_text(
        text.replace('return "\\n".join(lines) + "\\n"', 'return "\\n".join(lines) + "\\n# newer\\n"')
    )
    newer.edit("single", "*.c", "hello from init", "hello from newer init")
    head = (hello / "Kbuild").read_text().splitlines()[0]
    (hello / "Kbuild").write_text(f"{head}\nobj-m := hi.o\nhi-objs := hello.o\n")
    mine = (hello / "Kbuild").read_text()
    ran = newer("update", hello, "--write", "--json")
    assert (ran.status, changes(ran)) == (1, {"Kbuild": "conflict", "hello.c": "changed"})
    assert (hello / "Kbuild").read_text() == mine


@pytest.mark.kernel
def test_an_updated_project_builds_and_a_renamed_module_keeps_its_name(ks, tmp_path, newer, tree_61: Tree):
    project = made(ks, tmp_path, "my-mod", "--objs", "a,b", "--param", "n:int=3:how many")
    assert ks("kbuild", "rename", "my-mod", "renamed", "-C", project).status == 0
    assert ks("kbuild", "add-object", "extra", "-C", project).status == 0
    (project / "extra.c").write_text("int extra(void);\nint extra(void)\n{\n\treturn 1;\n}\n")
    newer.edit("object", "*.c", "#include", "/* Newer. */\n#include")
    newer.edit("params", "*.c", "MODULE_LICENSE", 'MODULE_INFO(newer, "yes");\nMODULE_LICENSE')
    newer.edit("common", ".gitignore", "*.o\n", "*.o\n*.newer\n")
    ran = newer("update", project, "--write", "--json")
    assert ran.status == 0, ran.err
    assert set(changes(ran).values()) == {"changed"} and "Kbuild" not in changes(ran)
    built = tree_61.make(project, "W=1")
    assert built.returncode == 0, built.stdout
    assert [p.name for p in project.glob("*.ko")] == ["renamed.ko"]
    assert b"newer=yes" in (project / "renamed.ko").read_bytes()
    # No build reads what update keeps.
    bare = tmp_path / "bare"
    shutil.copytree(project, bare, ignore=shutil.ignore_patterns(*OWN))
    assert tree_61.make(bare, "clean").returncode == 0
    assert tree_61.make(bare).returncode == 0
    assert (bare / "renamed.ko").is_file()
    assert ks("adopt", project).status == 0
    assert ks("build", "-C", project).status == 0
    assert newer("update", project, "--json").json["up_to_date"]


# ---- what is refused ----


def refuse_all(ks, project: Path, code: str, *words: str | Path, status: int = 2) -> None:
    """Refused with this code, whether it is to be shown or written, and nothing is touched."""
    before = snapshot(project)
    for more in ([], ["--write"], ["--write", "--conflicts"]):
        ran = ks("update", project, *words, *more)
        assert (ran.status, ran.out) == (status, ""), ran.err
        assert ran.err.startswith(f"error[{code}]: ") and ran.err.count("error[") == 1
        assert ks("update", project, *words, *more, "--json").json["error"]["code"] == code
        assert snapshot(project) == before


def test_a_project_without_answers(ks, hello):
    (hello / ".kscaffold.toml").unlink()
    refuse_all(ks, hello, "KS050")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("schema = 1", "schema = "),
        ("schema = 1", ""),
        ("schema = 1", 'schema = "1"'),
        ("[answers]", "[answer]"),
        ("[template]\nname", "[template]\nnam"),
        ('name = "hello"', "name = 7"),
        ('name = "hello"', ""),
        ('name = "hello"', 'name = "../hello"'),
        ("objects = []", 'objects = "a"'),
        ("objects = []", "objects = [1]"),
        ("parameters = []", 'parameters = ["n:int"]'),
        ("parameters = []", "parameters = 3"),
        ("parameters = []", 'parameters = [{name = "n"}]'),
        ("parameters = []", 'parameters = [{name = "n", type = "float"}]'),
        ('author = "me"', "author = []"),
        ('author = "me"', 'author = "a\\u0000b"'),
        ('license = "GPL-2.0-only"', 'license = "none"'),
        ("# What", "<<<<<<< HEAD\n# What"),
    ],
)
def test_answers_that_can_t_be_understood(ks, hello, old, new):
    edit(hello / ".kscaffold.toml", old, new)
    refuse_all(ks, hello, "KS051")


def test_answers_that_are_not_utf_8(ks, hello):
    (hello / ".kscaffold.toml").write_bytes(b'schema = 1\nauthor = "J\xf6rg"\n')
    refuse_all(ks, hello, "KS051")


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("kind", ["link", "directory"])
def test_its_own_files_are_files(ks, hello, tmp_path, name, kind):
    shutil.move(hello / name, tmp_path / "moved")
    if kind == "directory":
        (hello / name).mkdir()
    else:
        (hello / name).symlink_to(tmp_path / "moved")
    refuse_all(ks, hello, "KS050" if (name, kind) == (OWN[1], "directory") else "KS051")
    assert (tmp_path / "moved").is_file()


def test_answers_that_an_older_kscaffold_did_not_ask_for(ks, hello):
    edit(hello / ".kscaffold.toml", "objects = []\n", "")
    edit(hello / ".kscaffold.toml", "parameters = []\n", "")
    edit(hello / ".kscaffold.toml", 'license = "GPL-2.0-only"\n', 'own = "answer"\n')
    assert ks("update", hello, "--write", "--json").json["up_to_date"]
    given = answers.read_answers(hello).given
    assert (given["objects"], given["license"], given["own"]) == ([], "GPL-2.0-only", "answer")


def test_modes_of_the_installed_templates_mean_nothing(hello, newer):
    for path in newer.templates.rglob("*"):
        path.chmod(0o777)
    assert newer("update", hello, "--json").json["up_to_date"]


def test_a_template_that_is_gone(ks, hello):
    edit(hello / ".kscaffold.toml", 'name = "single"', 'name = "simple"')
    refuse_all(ks, hello, "KS022")


def test_a_newer_kscaffold_s_project(ks, hello, newer):
    newer.version("0.2.0")
    newer.edit("single", "*.c", "hello from init", "hello from newer init")
    assert newer("update", hello, "--write").status == 0
    assert 'kscaffold = "0.2.0"\n' in (hello / ".kscaffold.toml").read_text()
    refuse_all(ks, hello, "KS052")


def test_a_newer_schema(ks, hello):
    edit(hello / ".kscaffold.toml", "schema = 1", "schema = 2")
    refuse_all(ks, hello, "KS052")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--set", "name=x"], "KS054"),
        (["--set", "nonsense=x"], "KS054"),
        (["--set", "license=Apache-2.0"], "KS023"),
        (["--set", "author=a\udcff"], "KS024"),
        (["--set", "author"], "KS004"),
    ],
)
def test_answers_that_can_t_be_set(ks, hello, words, code):
    refuse_all(ks, hello, code, *words)


def test_conflicts_alone_and_no_directory(ks, hello, tmp_path):
    assert ks("update", hello, "--conflicts").err.startswith("error[KS004]")
    assert ks("update", tmp_path / "nowhere").err.startswith("error[KS004]")


def test_a_base_that_names_places_outside_is_no_base(ks, hello, tmp_path):
    outside = tmp_path / "precious"
    outside.write_text("mine\n")
    for bad in ("../precious", str(outside), ".git/config", "a/../../precious", ".kscaffold.toml"):
        evil = {bad: tree.File(b"mine\n")}
        (hello / ".kscaffold.base").write_bytes(base.pack(evil))
        old = answers.read_answers(hello).base
        edit(hello / ".kscaffold.toml", old, base.digest(evil))
        ran = ks("update", hello, "--json")
        assert (ran.json["base"], ran.json["diff"]) == ("missing", "")
        assert ks("update", hello, "--write").status == 0
        assert outside.read_text() == "mine\n"

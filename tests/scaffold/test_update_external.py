"""`kscaffold update` of a project whose template is somebody else's."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from kscaffold.cli.app import main
from kscaffold.files import journal
from kscaffold.scaffold.external import source as external_source
from kscaffold.scaffold.metadata import answers, base, toml_comments
from tests.conftest import ROOT
from tests.scaffold.test_new import snapshot, talk
from tests.scaffold.test_update import is_consistent, left_nothing
from tests.support.external import TOP, child, git, repository, tree, write_template
from tests.support.newer import changes

V1 = {
    "project_name": "My Driver",
    "project_slug": "{{ cookiecutter.project_name.lower() }}",
    "author": "nobody",
    "license": ["GPL", "MIT"],
    "debug": False,
    "more": {"a": "1", "b": {"c": ["d"]}},
    "leaves": "soon",
    "_hidden": "x",
}
V2 = {k: v for k, v in V1.items() if k != "leaves"} | {"author": "default of v2", "bus": "pci", "fast": True}
LINES = "".join(f"line {n}\n" for n in range(1, 10))
FILES = {
    f"{TOP}/Kbuild": f"obj-m := {TOP}.o\n",
    f"{TOP}/{TOP}.c": f"/* {{{{ cookiecutter.author }}}} {{{{ cookiecutter.debug }}}} */\n{LINES}",
    f"{TOP}/other.h": LINES,
    f"{TOP}/run.sh": "#!/bin/sh\n",
    f"{TOP}/goes": "gone in v2\n",
    f"{TOP}/old-name.txt": LINES,
    f"{TOP}/logo.png": b"\x89PNG\0one",
}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    write_template(tmp_path / "tpl", V1, FILES)
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the children of this process
    return tmp_path / "in"


@pytest.fixture
def tpl(here) -> Path:
    """The template as a repository with one commit."""
    repository(here.parent / "tpl")
    git(here.parent, "clone", "-q", "--bare", "tpl", "tpl.git")
    return here.parent / "tpl"


def push(tpl: Path, branch: str = "main") -> str:
    """Commit all there is and bring it into the bare repository."""
    git(tpl, "add", "-A", "-f")
    git(tpl, "commit", "-q", "-m", "more")
    git(tpl, "push", "-q", str(tpl.parent / "tpl.git"), f"HEAD:{branch}")
    return git(tpl, "rev-parse", "HEAD")


def url(here: Path) -> str:
    return f"file://{here.parent}/tpl.git"


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def second_version(tpl: Path) -> None:
    inside = tpl / TOP
    write_template(tpl, V2, {f"{TOP}/added": "{{ cookiecutter.bus }} {{ cookiecutter.fast }}\n"})
    (inside / "goes").unlink()
    (inside / "old-name.txt").rename(inside / "new-name.txt")
    replace(inside / f"{TOP}.c", "line 2\n", "line 2 of v2\n")
    replace(inside / "other.h", "line 5\n", "line 5 of v2\n")
    (inside / "logo.png").write_bytes(b"\x89PNG\0two")
    (inside / "run.sh").write_text("#!/bin/sh\ntrue\n")


# ---- what is kept ----


def test_what_was_chosen_is_kept(ks, here, tpl):
    words = ["--answer", "author={{ 1/0 }} # \"A\"\n'''", "--answer", "debug=y", "--answer", "license=MIT"]
    ran = ks("new", "mod", "-t", url(here), "--trust", *words)
    assert ran.status == 0, ran.err
    said = answers.read_answers(here / "mod")
    assert said.template == {
        "source": url(here),
        "kind": "git",
        "project": "mod",
        "commit": git(tpl, "rev-parse", "HEAD"),
        "hooks": False,
    }
    assert said.given == {
        "project_name": "mod",
        "project_slug": "mod",
        "author": "{{ 1/0 }} # \"A\"\n'''",
        "license": "MIT",
        "debug": True,
        "more": {"a": "1", "b": {"c": ["d"]}},
        "leaves": "soon",
    }
    assert is_consistent(here / "mod")
    there = set(base.unpack((here / "mod/.kscaffold.base").read_bytes()) or {})
    assert there == {name.replace(TOP, "mod").removeprefix("mod/") for name in FILES}


@pytest.mark.parametrize("kind", ["directory", "git", "zip"])
def test_it_is_up_to_date_at_once_whatever_the_answers(ks, here, tpl, kind):
    """And whatever cookiecutter adds to them, where a file shows it."""
    show = "{{ cookiecutter | jsonify }} {{ cookiecutter._checkout }}"
    variables = V1 | {"null": None, "nested": {"x": None, "y": [1, True]}, "number": 3, "__r": "{{ 1 }}"}
    write_template(tpl, variables, {f"{TOP}/all.json": show})
    push(tpl)
    where = {"directory": "../tpl", "git": url(here), "zip": "../tpl.zip"}[kind]
    shutil.make_archive(str(here.parent / "tpl"), "zip", here.parent, "tpl")
    ran = ks("new", "mod", "-t", where, "--trust", "--answer", "author=ü\t{% x %}")
    assert ran.status == 0, ran.err
    before = snapshot(here / "mod")
    (here / "elsewhere").mkdir()
    os.chdir(here / "elsewhere")
    for words in ([], ["--write"]):
        ran = ks("update", here / "mod", "--trust", *words)
        assert (ran.status, ran.out) == (0, ""), ran.out + ran.err
        assert ran.err.splitlines()[-1].startswith("  Up to date mod: template ")
    assert snapshot(here / "mod") == before
    assert answers.read_answers(here / "mod").template["kind"] == kind
    assert "elsewhere" not in (here / "mod/.kscaffold.toml").read_text()


def test_an_answer_that_is_not_utf_8(ks, here):
    ran = ks("new", "mod", "-t", "../tpl", "--trust", "--answer", "author=\udcff")
    assert ran.status == 2 and "error[KS078]: 'author' is not UTF-8" in ran.err
    assert os.listdir(here) == []
    write_template(here.parent / "tpl", json.dumps(V1 | {"bad": "\ud800"}), {})
    assert ks("new", "mod", "-t", "../tpl", "--trust").status == 0
    assert "bad" not in answers.read_answers(here / "mod").given
    assert ks("update", "mod", "--trust", "--json").json["up_to_date"]


@pytest.mark.parametrize("name", [".kscaffold.toml", ".kscaffold.base", ".kscaffold-update/plan.json"])
def test_a_template_may_not_bring_what_is_kscaffold_s_own(ks, here, name):
    write_template(here.parent / "tpl", V1, {f"{TOP}/{name}": "evil\n"})
    ran = ks("new", "mod", "-t", "../tpl", "--trust")
    assert ran.status == 2 and "error[KS075]" in ran.err and "keeps for itself" in ran.err
    assert os.listdir(here) == []


SECRET = "hush-0123"


@pytest.mark.parametrize(
    "place",
    [
        f"https://user:{SECRET}@example.invalid/x.git",
        f"https://{SECRET}@example.invalid/x.git",
        f"git+https://user:a@{SECRET}@example.invalid/x.git",
        f"https://example.invalid/x.git?token={SECRET}",
        f"https://example.invalid/x.git#{SECRET}",
        f"ssh://git:{SECRET}@example.invalid/x.git",
    ],
)
def test_a_password_is_nowhere_on_disk(ks, here, tpl, own_world, place):
    bare = place.removeprefix("git+")
    git(here, "config", "--global", f"url.{url(here)}.insteadOf", bare)
    write_template(tpl, V1, {f"{TOP}/all.json": "{{ cookiecutter | jsonify }}"})
    push(tpl)
    ran = ks("new", "mod", "-t", place, "--trust", "--json")
    assert ran.status == 0, ran.err
    assert SECRET not in ran.out + ran.err
    assert "the password is not kept" in ran.err
    # The base is packed: as it is in it, too.
    contents = [
        f.content
        for f in (base.read_base(here / "mod", answers.read_answers(here / "mod").base) or {}).values()
    ]
    contents += [p.read_bytes() for p in here.rglob("*") if p.is_file()]
    contents += [p.read_bytes() for p in own_world.rglob("*") if p.is_file() and p.name != ".gitconfig"]
    assert len(contents) > 10 and not [c for c in contents if SECRET.encode() in c]
    source = answers.read_answers(here / "mod").template["source"]
    scheme, user = ("ssh", "git@") if place.startswith("ssh") else ("https", "")
    assert source == f"{scheme}://{user}example.invalid/x.git"
    # git has the way there by its own means.
    (own_world / ".gitconfig").unlink()
    git(here, "config", "--global", f"url.{url(here)}.insteadOf", source)
    assert ks("update", "mod", "--trust", "--json").json["up_to_date"]


def test_where_a_template_is_on_another_day(tmp_path):
    for word, lasting in (
        ("gh:a/b", "https://github.com/a/b.git"),
        ("git+https://ann@host:8443/b", "https://host:8443/b"),
        ("git@host:a/b.git", "git@host:a/b.git"),
        ("ssh://git@host:22/b", "ssh://git@host:22/b"),
        ("git://host/b", "git://host/b"),
        ("../x", str(tmp_path.parent / "x")),
        ("~/x", str(Path.home() / "x")),
        ("/x/y/", "/x/y"),
    ):
        assert external_source.lasting(word, tmp_path) == lasting


# ---- what is new ----


def made(ks, here: Path, *words: str) -> Path:
    ran = ks("new", "mod", "-t", url(here), "--trust", "--answer", "author=Ann", *words)
    assert ran.status == 0, ran.err
    return here / "mod"


def test_the_newer_template_is_merged_with_the_user_s_edits(ks, here, tpl):
    project = made(ks, here)
    first = git(tpl, "rev-parse", "HEAD")
    replace(project / "mod.c", "line 8\n", "line 8 of mine\n")
    replace(project / "other.h", "line 5\n", "line 5 of mine\n")
    (project / "mine").write_text("mine\n")
    second_version(tpl)
    second = push(tpl)
    before = snapshot(project)

    shown = ks("update", project, "--trust")
    assert shown.status == 1, shown.err
    assert snapshot(project) == before
    assert "+line 2 of v2\n" in shown.out and "+pci True\n" in shown.out and "+<<<<<<< yours\n" in shown.out
    assert shown.err.splitlines() == [
        f"    Fetching {url(here)}",
        f"    Template {url(here)}: commit {first[:12]}..{second[:12]}",
        "   Asks anew bus: pci (--set bus=… for another)",
        "   Asks anew fast: True (--set fast=… for another)",
        "       Drops leaves: the template asks for it no more",
        "         Add added: new in the template",
        "      Remove goes: the template has it no more",
        "      Change logo.png: you left it as it was",
        "       Merge mod.c: your changes and the template's",
        "         Add new-name.txt: new in the template",
        "      Remove old-name.txt: the template has it no more",
        "    Conflict other.h: you and the template changed it in one place",
        "      Change run.sh: you left it as it was",
        f"        Next kscaffold update {project} --trust --write",
    ]
    done = ks("update", project, "--trust", "--write", "--json")
    assert done.status == 1
    assert changes(done)["other.h"] == "conflict"
    told = done.json["origin"]
    assert (told["before"], told["after"], told["checkout"]) == (first, second, None)
    assert (told["added"], told["dropped"]) == ({"bus": "pci", "fast": True}, ["leaves"])
    text = (project / "mod.c").read_text()
    assert "line 2 of v2\n" in text and "line 8 of mine\n" in text and text.startswith("/* Ann False */\n")
    assert (project / "other.h").read_text() == LINES.replace("line 5\n", "line 5 of mine\n")
    assert (project / "added").read_text() == "pci True\n"
    assert (project / "logo.png").read_bytes() == b"\x89PNG\0two"
    assert (project / "run.sh").stat().st_mode & 0o111
    assert {"new-name.txt", "mine"} < set(os.listdir(project))
    assert not {"goes", "old-name.txt"} & set(os.listdir(project))
    said = answers.read_answers(project)
    assert said.template["commit"] == second
    assert "leaves" not in said.given and said.given["bus"] == "pci" and said.given["author"] == "Ann"
    assert is_consistent(project) and left_nothing(project)

    # The conflict is not forgotten; then it is put into the file, and the file is named until it is solved.
    assert changes(ks("update", project, "--trust", "--json")) == {"other.h": "conflict"}
    ran = ks("update", project, "--trust", "--write", "--conflicts")
    assert ran.status == 1 and "still has both sides" not in ran.err
    ran = ks("update", project, "--trust")
    assert ran.status == 0 and "warning: other.h still has both sides of a conflict in it" in ran.err
    assert ks("update", project, "--trust", "--json").json["marked"] == ["other.h"]
    (project / "other.h").write_text("solved\n")
    ran = ks("update", project, "--trust", "--json")
    assert (ran.status, ran.json["up_to_date"], ran.json["marked"]) == (0, True, [])
    assert [p.name for p in (Path.home() / ".local/state/kscaffold").rglob(".kscaffold-new-*")] == []


def test_it_is_then_the_project_that_new_would_make(ks, here, tpl):
    project = made(ks, here)
    second_version(tpl)
    push(tpl)
    assert ks("update", project, "--trust", "--write").status == 0
    (here / "there").mkdir()
    words = ["-t", url(here), "--trust", "--answer", "author=Ann"]
    assert ks("new", "mod", "-C", here / "there", *words).status == 0
    assert tree(project) == tree(here / "there/mod")


def test_a_file_that_the_template_renamed_takes_the_user_s_edit_along(ks, here, tpl):
    project = made(ks, here)
    replace(project / "old-name.txt", "line 8\n", "line 8 of mine\n")
    second_version(tpl)
    replace(tpl / TOP / "new-name.txt", "line 2\n", "line 2 of v2\n")
    push(tpl)
    ran = ks("update", project, "--trust")
    assert ran.status == 0, ran.err
    assert "Merge new-name.txt: it was old-name.txt; your changes and the template's" in ran.err
    assert "Remove old-name.txt: it is new-name.txt now" in ran.err
    assert ks("update", project, "--trust", "--write").status == 0
    text = (project / "new-name.txt").read_text()
    assert "line 2 of v2\n" in text and "line 8 of mine\n" in text
    assert not (project / "old-name.txt").exists() and is_consistent(project)
    assert ks("update", project, "--trust", "--json").json["up_to_date"]


def test_a_file_that_the_template_renamed_and_changed_where_the_user_did(ks, here, tpl):
    project = made(ks, here)
    replace(project / "old-name.txt", "line 8\n", "line 8 of mine\n")
    second_version(tpl)
    replace(tpl / TOP / "new-name.txt", "line 8\n", "line 8 of v2\n")
    push(tpl)
    for _ in range(2):  # it is not forgotten
        ran = ks("update", project, "--trust", "--write", "--json")
        assert ran.status == 1
        found = {path: kind for path, kind in changes(ran).items() if kind == "conflict"}
        assert found == {"new-name.txt": "conflict", "old-name.txt": "conflict"}
        assert "line 8 of mine\n" in (project / "old-name.txt").read_text()
        assert not (project / "new-name.txt").exists()
    assert ks("update", project, "--trust", "--write", "--conflicts").status == 1
    text = (project / "new-name.txt").read_text()
    assert "<<<<<<< yours\nline 8 of mine\n=======\nline 8 of v2\n>>>>>>> template\n" in text
    assert not (project / "old-name.txt").exists()
    ran = ks("update", project, "--trust")
    assert ran.status == 0 and "new-name.txt still has both sides" in ran.err


def test_a_file_that_is_gone_and_like_no_other_stays_with_the_user_s_edit(ks, here, tpl):
    project = made(ks, here)
    (project / "goes").write_text("mine\n")
    second_version(tpl)
    push(tpl)
    ran = ks("update", project, "--trust", "--write", "--json")
    assert ran.status == 1 and changes(ran)["goes"] == "conflict"
    assert (project / "goes").read_text() == "mine\n"


def test_another_version_is_asked_for_and_kept(ks, here, tpl):
    git(tpl, "tag", "v1")
    git(tpl, "push", "-q", here.parent / "tpl.git", "v1")
    project = made(ks, here, "--checkout", "v1")
    first = git(tpl, "rev-parse", "HEAD")
    second_version(tpl)
    second = push(tpl)
    assert answers.read_answers(project).template["checkout"] == "v1"
    ran = ks("update", project, "--trust")
    assert ran.status == 0 and f"{url(here)} at v1: commit {first[:12]}" in ran.err
    ran = ks("update", project, "--checkout", "main")
    assert ran.status == 2
    assert ran.err.splitlines()[-1] == f"    fix: kscaffold update {project} --checkout main --trust"
    assert f"git, commit {first[:12]}..{second[:12]}" in ran.err
    assert ks("update", project, "--checkout", "main", "--trust", "--write").status == 0
    assert answers.read_answers(project).template["checkout"] == "main"
    assert (project / "added").exists()
    assert ks("update", project, "--checkout", "v1", "--trust", "--write").status == 0
    assert (project / "goes").exists() and not (project / "added").exists()
    before = snapshot(project)
    for ref in ("gone", "-x", "a..b", "--upload-pack=x"):
        ran = ks("update", project, f"--checkout={ref}", "--trust", "--write")
        assert ran.status == 69 and "error[KS056]" in ran.err, ran.err
    assert snapshot(project) == before


def test_an_answer_is_changed(ks, here, tpl):
    project = made(ks, here)
    words = ["--set", "author=Bob {{ x }}", "--set", "debug=yes", "--set", 'more={"z": null}']
    ran = ks("update", project, "--trust", *words)
    assert ran.status == 0 and "+/* Bob {{ x }} True */" in ran.out
    assert ks("update", project, "--trust", "--write", *words).status == 0
    said = answers.read_answers(project).given
    assert (said["author"], said["debug"], json.loads(said["more"])) == ("Bob {{ x }}", True, {"z": None})
    assert ks("update", project, "--trust", "--json").json["up_to_date"]
    before = snapshot(project)
    for word, code in (("nobody=1", "KS054"), ("_hidden=1", "KS054"), ("license=BSD", "KS078")):
        ran = ks("update", project, "--trust", "--write", "--set", word)
        assert ran.status == 2 and f"error[{code}]" in ran.err, ran.err
    assert snapshot(project) == before


def test_an_answer_that_the_template_takes_no_more(ks, here, tpl):
    project = made(ks, here, "--answer", "license=MIT")
    write_template(tpl, V1 | {"license": ["GPL", "BSD"]}, {})
    push(tpl)
    before = snapshot(project)
    ran = ks("update", project, "--trust", "--write")
    assert ran.status == 2 and "error[KS078]: license is one of: GPL, BSD" in ran.err
    assert "fix: kscaffold update --set KEY=VALUE" in ran.err and snapshot(project) == before
    assert ks("update", project, "--trust", "--write", "--set", "license=BSD").status == 0
    assert answers.read_answers(project).given["license"] == "BSD"


def test_a_directory_as_it_is_now(ks, here, monkeypatch):
    assert ks("new", "mod", "-t", "../tpl", "--trust").status == 0
    replace(here.parent / "tpl" / TOP / f"{TOP}.c", "line 2\n", "line 2 of v2\n")
    monkeypatch.chdir(here / "mod")
    assert answers.read_answers(Path()).template["source"] == str(here.parent / "tpl")
    assert "+line 2 of v2\n" in ks("update", "--trust").out
    assert ks("update", "--trust", "--write").status == 0
    assert "line 2 of v2\n" in Path("mod.c").read_text()
    # Where a path is written by hand, it is one from the project.
    replace(Path(".kscaffold.toml"), str(here.parent / "tpl"), "../../tpl")
    monkeypatch.chdir("/")
    assert ks("update", here / "mod", "--trust", "--json").json["up_to_date"]
    assert answers.read_answers(here / "mod").template["source"] == "../../tpl"


def test_one_of_several_templates(ks, here):
    many = here.parent / "many"
    write_template(many / "one", {"name": "x"}, {"{{cookiecutter.name}}/f": "1\n"})
    write_template(many / "two", {"name": "x"}, {"{{cookiecutter.name}}/f": "2\n"})
    assert ks("new", "mod", "-t", "../many", "--template-dir", "two", "--trust").status == 0
    (many / "two/{{cookiecutter.name}}/f").write_text("2 of v2\n")
    assert "+2 of v2\n" in ks("update", "mod", "--trust").out
    shutil.rmtree(many / "two")
    ran = ks("update", "mod", "--trust")
    assert ran.status == 69 and "error[KS056]" in ran.err


# ---- trust ----


def test_without_trust_nothing_is_changed(ks, here, tpl):
    project = made(ks, here)
    second_version(tpl)
    write_template(tpl, V2, {"hooks/post_gen_project.py": "open('hooked', 'w')\n"})
    push(tpl)
    before = snapshot(project)
    ran = ks("update", project, "--write", "--set", "bus=usb")
    assert (ran.status, ran.out) == (2, "")
    assert "Hook hooks/post_gen_project.py (python, 20 bytes) is not run without --hooks" in ran.err
    assert f"error[KS070]: {url(here)} is not trusted; nothing was changed" in ran.err
    assert ran.err.splitlines()[-1] == f"    fix: kscaffold update {project} --set bus=usb --write --trust"
    assert ks("update", project, "--json").json["report"]["hooks"]
    assert snapshot(project) == before


@pytest.mark.parametrize(("typed", "status"), [(b"y\n", 0), (b"\n", 1), (b"\x04", 130)])
def test_on_a_terminal_it_asks(ks, here, tpl, typed, status):
    project = made(ks, here)
    second_version(tpl)
    push(tpl)
    before = snapshot(project)
    got, said = talk(["update", "mod", "--write"], typed)
    assert got == status, said
    assert "Trust it? [no]: " in said and "Template file://" in said
    assert (snapshot(project) == before) is (status != 0)


def test_hooks_run_only_where_that_is_said(ks, here):
    hook = "open('hooked', 'w').write('v1\\n')\n"
    write_template(here.parent / "tpl", V1, {"hooks/post_gen_project.py": hook})
    assert ks("new", "mod", "-t", "../tpl", "--trust", "--hooks", "--git").status == 0
    project = here / "mod"
    assert answers.read_answers(project).template["hooks"] is True and is_consistent(project)
    assert ks("update", "mod", "--trust", "--hooks", "--json").json["up_to_date"]
    # With nothing said of them, what they made is not proposed for removal: which is meant is asked.
    before = snapshot(project)
    for words in ([], ["--write"]):
        ran = ks("update", "mod", "--trust", *words)
        assert (ran.status, ran.out) == (2, "") and "error[KS057]" in ran.err
        assert "Remove" not in ran.err and snapshot(project) == before
    ran = ks("update", "mod", "--trust", "--no-hooks")
    assert "its hooks ran for the last version and not for this one" in ran.err
    assert "Next kscaffold update mod --no-hooks --trust --write" in ran.err and "Remove hooked" in ran.err
    replace(here.parent / "tpl/hooks/post_gen_project.py", "v1", "v2")
    assert ks("update", "mod", "--trust", "--hooks", "--write").status == 0
    assert (project / "hooked").read_text() == "v2\n"
    replace(here.parent / "tpl/hooks/post_gen_project.py", "v2\\n')", "v2\\n'); raise SystemExit(3)")
    before = snapshot(project)
    ran = ks("update", "mod", "--trust", "--hooks", "--write")
    assert ran.status == 69 and "error[KS077]" in ran.err and snapshot(project) == before


def test_a_project_whose_template_lost_its_hooks_does_not_ask_for_them(ks, here):
    tpl = here.parent / "tpl"
    write_template(tpl, V1, {"hooks/post_gen_project.py": "open('hooked', 'w')\n"})
    assert ks("new", "mod", "-t", "../tpl", "--trust", "--hooks").status == 0
    shutil.rmtree(tpl / "hooks")
    ran = ks("update", "mod", "--trust", "--write")
    assert ran.status == 0 and "Removed hooked" in ran.err and not (here / "mod/hooked").exists()
    assert "its hooks ran for the last version and not for this one" in ran.err
    assert answers.read_answers(here / "mod").template["hooks"] is False
    # And once it is a project without hooks, hooks that come back ask for nothing.
    write_template(tpl, V1, {"hooks/post_gen_project.py": "open('hooked', 'w')\n"})
    assert ks("update", "mod", "--trust", "--json").json["up_to_date"]


def test_options_of_templates_of_others_in_a_project_of_ours(ks, here):
    assert ks("new", "ours").status == 0
    for words in (["--hooks"], ["--checkout", "main"]):
        ran = ks("update", "ours", *words)
        assert ran.status == 2 and "error[KS078]" in ran.err
    assert ks("update", "ours", "--trust").status == 0


# ---- what goes wrong ----


def test_a_template_that_is_gone(ks, here, tpl):
    project = made(ks, here)
    before = snapshot(project)
    (here.parent / "tpl.git").rename(here.parent / "moved.git")
    ran = ks("update", project, "--trust", "--write")
    assert ran.status == 69
    assert "error[KS056]: the template of this project can't be had; nothing was changed" in ran.err
    assert "source in .kscaffold.toml" in ran.err and snapshot(project) == before
    replace(project / ".kscaffold.toml", "tpl.git", "moved.git")
    assert ks("update", project, "--trust", "--json").json["up_to_date"]


HOSTILE = {
    "a link": ({f"{TOP}/x": Path("/etc/passwd")}, "KS073"),
    "a name that leads out": ({f"{TOP}/{{{{cookiecutter.out}}}}": "x"}, "KS075"),
    "git's own": ({f"{TOP}/sub/{{{{cookiecutter.dot}}}}/config": "x"}, "KS075"),
    "ours": ({f"{TOP}/.kscaffold.toml": "x"}, "KS075"),
    "a reach for Python": ({f"{TOP}/x": "{{ ''.__class__.__mro__ }}"}, "KS075"),
    "an error": ({f"{TOP}/x": "{{ nothing.at.all }}"}, "KS074"),
    "too much": ({f"{TOP}/x": "{% for a in range(9999) %}{{ 'x' * 99999 }}{% endfor %}"}, "KS076"),
}


@pytest.mark.parametrize("case", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_newer_version_changes_nothing(ks, here, tpl, case):
    files, code = case
    project = made(ks, here)
    variables = V2 | {"out": "../../../../beside", "dot": ".git"}
    write_template(tpl, variables, {f"{TOP}/added": "x", **files})
    push(tpl)
    before = tree(here)
    ran = ks("update", project, "--trust", "--write")
    assert ran.status == (69 if code == "KS076" else 2) and f"error[{code}]" in ran.err, ran.err
    assert ran.out == "" and tree(here) == before
    assert [p.name for p in (Path.home() / ".local/state/kscaffold").rglob(".kscaffold-new-*")] == []


@pytest.mark.parametrize(
    ("line", "status", "code"),
    [
        ("source = 1", 2, "KS051"),
        ('source = "ext::sh -c touch${IFS}pwned"', 69, "KS056"),
        ('source = "-x"', 69, "KS056"),
        ('source = "/nowhere"\ndirectory = "../.."', 2, "KS072"),
        ('source = "/nowhere"\ncheckout = 3', 2, "KS051"),
        ('source = "/nowhere"\nfacts = {_template = 1}', 2, "KS051"),
        ('source = "/nowhere"\nproject = []', 2, "KS051"),
    ],
)
def test_answers_that_somebody_spoilt(ks, here, line, status, code):
    assert ks("new", "mod", "-t", "../tpl", "--trust").status == 0
    text = (here / "mod/.kscaffold.toml").read_text()
    head, _, rest = text.partition("[template]\n")
    (here / "mod/.kscaffold.toml").write_text(
        f"{head}[template]\n{line}\n[answers]\n{rest.partition('[answers]')[2]}"
    )
    before = tree(here)
    ran = ks("update", "mod", "--trust", "--write")
    assert ran.status == status and f"error[{code}]" in ran.err, ran.err
    assert tree(here) == before


@pytest.mark.parametrize("moment", ["fetched", "work"])
def test_killed_in_the_middle_the_next_one_does_it(ks, here, tpl, moment):
    """While it fetches, or while it renders."""
    project = made(ks, here)
    second_version(tpl)
    slow = {f"{TOP}/slow": "{% for a in range(9999) %}{% for b in range(500) %}{% endfor %}{% endfor %}x\n"}
    write_template(tpl, V2, slow if moment == "work" else {})
    push(tpl)
    before = tree(project)
    state = Path.home() / ".local/state/kscaffold"
    run = child(["update", str(project), "--trust", "--write"], here)
    deadline = time.monotonic() + 60
    while not list(state.rglob(f".kscaffold-new-*/{moment}")):
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=60)
    assert run.returncode == -signal.SIGKILL
    assert tree(project) == before
    assert list(state.rglob(".kscaffold-new-*"))
    write_template(tpl, V2, {f"{TOP}/slow": "x\n"})
    push(tpl)
    assert ks("update", project, "--trust", "--write").status == 0
    assert "line 2 of v2\n" in (project / "mod.c").read_text()
    assert is_consistent(project) and left_nothing(project)
    assert not list(state.rglob(".kscaffold-new-*"))


def test_killed_while_it_moves_files_the_next_one_goes_on(ks, here, tpl):
    project = made(ks, here)
    replace(project / "mod.c", "line 8\n", "line 8 of mine\n")
    second_version(tpl)
    push(tpl)
    child_pid = os.fork()
    if not child_pid:

        def kill(event: str, args: tuple) -> None:
            if event == "os.rename" and str(args[1]).endswith("mod.c"):
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(kill)
        os._exit(main(["update", str(project), "--trust", "--write"]))
    assert os.waitstatus_to_exitcode(os.waitpid(child_pid, 0)[1]) == -signal.SIGKILL
    assert journal.is_pending(project)
    assert (project / "added").exists() and "line 2\n" in (project / "mod.c").read_text()
    ran = ks("update", project, "--trust")
    assert ran.status == 69 and "error[KS055]" in ran.err
    # What was begun is finished even where the template can't be had any more.
    (here.parent / "tpl.git").rename(here.parent / "moved.git")
    assert "error[KS056]" in ks("update", project, "--trust", "--write").err
    text = (project / "mod.c").read_text()
    assert "line 2 of v2\n" in text and "line 8 of mine\n" in text
    assert is_consistent(project) and left_nothing(project)
    (here.parent / "moved.git").rename(here.parent / "tpl.git")
    assert ks("update", project, "--trust", "--json").json["up_to_date"]


def test_what_is_too_large_is_not_kept(ks, here, monkeypatch):
    big = here.parent / "tpl" / TOP / "big.bin"
    big.write_bytes(os.urandom(6 << 20))
    ran = ks("new", "mod", "-t", "../tpl", "--trust")
    assert ran.status == 0 and "too large to be kept" in ran.err
    project = here / "mod"
    assert not (project / ".kscaffold.base").exists() and answers.read_answers(project).base == base.NONE
    before = snapshot(project)
    assert ks("update", project, "--trust", "--write").err.splitlines()[-1].startswith("  Up to date")
    assert snapshot(project) == before
    replace(here.parent / "tpl" / TOP / f"{TOP}.c", "line 2\n", "line 2 of v2\n")
    ran = ks("update", project, "--trust", "--write", "--json")
    assert ran.status == 1 and ran.json["base"] == "none" and changes(ran) == {"mod.c": "conflict"}
    assert snapshot(project) == before
    # Once it is small again, there is one.
    big.unlink()
    (project / "big.bin").unlink()
    (project / "mod.c").write_text((project / "mod.c").read_text().replace("line 2\n", "line 2 of v2\n"))
    assert ks("update", project, "--trust", "--write").status == 0
    assert is_consistent(project)
    assert ks("update", project, "--trust", "--json").json["base"] == "kept"
    big.write_bytes(os.urandom(6 << 20))
    assert ks("update", project, "--trust", "--write").status == 0
    assert not (project / ".kscaffold.base").exists() and (project / "big.bin").exists()


# ---- comments ----


def test_comments_in_the_answers_stay(ks, here):
    assert ks("new", "mod", "-t", "../tpl", "--trust", "--answer", "author=a # b").status == 0
    file = here / "mod/.kscaffold.toml"
    replace(file, "[answers]\n", "# ours since May\n[answers] # all of them\n")
    replace(file, "license =", "# asked legal\nlicense =")
    replace(file, 'leaves = "soon"\n', '# about leaves\nleaves = "soon"  # when?\n# the end\n')
    replace(file, 'author = "a # b"', 'author = "a # b" # not me')
    assert ks("update", "mod", "--trust", "--set", "author=#c", "--write").status == 0
    text = file.read_text()
    assert "\n# ours since May\n[answers]  # all of them\n" in text
    assert '\nauthor = "#c"  # not me\n# asked legal\nlicense = ' in text
    assert text.endswith('# about leaves\nleaves = "soon"  # when?\n# the end\n')
    assert text.count("What this project was made from") == 1
    write_template(here.parent / "tpl", V2, {})
    assert ks("update", "mod", "--trust", "--write").status == 0
    assert "# about leaves\n" in file.read_text() and "# asked legal\nlicense" in file.read_text()
    assert is_consistent(here / "mod")


@pytest.mark.parametrize(
    ("old", "new", "after"),
    [
        ("", "a = 1\n", "a = 1\n"),
        ("# x\na = 2\n", "a = 1\n", "# x\na = 1\n"),
        ("a = 2 # x\nb = 1\n", "b = 1\na = 1\n", "b = 1\na = 1  # x\n"),
        ('a = "#" # x\n', 'a = "#"\n', 'a = "#"  # x\n'),
        ("[t]\n# x\na = 1\n[u]\na = 1\n", "[u]\na = 1\n[t]\na = 2\n", "[u]\na = 1\n[t]\n# x\na = 2\n"),
        ("[[t]]\na = 1\n[[t]]\n# x\na = 1\n", "[[t]]\na = 1\n", "[[t]]\na = 1\n# x\n"),
        ('a = """\n# x\n"""\n', "a = 1\n", "a = 1\n"),
        ("a = [ # x\n1]\n", "a = [1]\n", "a = [1]\n"),
    ],
)
def test_comments_are_carried(old, new, after):
    assert toml_comments.carried(old, new) == after

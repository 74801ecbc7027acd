"""`kscaffold new --template PATH|GIT-URL`: what it shows, asks, makes and says."""

import json
import os
import shlex
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.scaffold.test_new import talk
from tests.support.external import KEPT, TOP, git, repository, tree, write_template

VARIABLES = {
    "project_name": "My Driver",
    "project_slug": "{{ cookiecutter.project_name.lower().replace(' ', '-') }}",
    "author": "nobody",
    "license": ["GPL", "MIT"],
    "debug": False,
    "more": {"a": 1},
    "__prompts__": {"author": "Who are you?", "license": {"__prompt__": "Which licence", "MIT": "short"}},
}
FILES = {
    f"{TOP}/Kbuild": f"obj-m := {TOP}.o\n",
    f"{TOP}/{TOP}.c": "{{ cookiecutter.project_name }}|{{ cookiecutter.author }}|{{ cookiecutter.license }}|"
    "{{ cookiecutter.debug }}|{{ cookiecutter.more }}",
}
HOOK = {"hooks/post_gen_project.py": "open('hooked', 'w')\n"}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    write_template(tmp_path / "tpl", VARIABLES, FILES)
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the children of this process
    return tmp_path / "in"


def text(here: Path, name: str = "my-mod") -> str:
    return (here / name / f"{name}.c").read_text()


def made(project: Path) -> list[str]:
    """What the template made; the answers and the base are beside it."""
    return sorted(set(os.listdir(project)) - KEPT)


# ---- trust ----


def test_without_trust_and_a_terminal_the_report_is_shown_and_nothing_made(ks, here):
    write_template(here.parent / "tpl", VARIABLES, HOOK)
    before = tree(here.parent)
    ran = ks("new", "my-mod", "--template", "../tpl", "--answer", "author=A B")
    assert ran.status == 2
    assert ran.out == ""
    lines = ran.err.splitlines()
    assert lines[0] == "    Template ../tpl: directory"
    assert lines[2] == "    Asks for project_name, project_slug, author, license, debug, more"
    assert lines[3] == "        Hook hooks/post_gen_project.py (python, 20 bytes) is not run without --hooks"
    assert lines[4] == "error[KS070]: ../tpl is not trusted; nothing was made"
    assert tree(here.parent) == before
    # The command of the fix is what mends it.
    command = shlex.split(lines[-1].partition("fix: kscaffold ")[2])
    assert ks(*command).status == 0
    assert text(here) == "my-mod|A B|GPL|False|{'a': '1'}"
    assert not (here / "my-mod/hooked").exists()


def test_the_report_is_in_json_too(ks, here):
    files = {**HOOK, "hooks/pre_prompt.sh": "#!/bin/bash -e\ntrue\n", "hooks/pre_gen_project.py~": ""}
    write_template(here.parent / "tpl", {**VARIABLES, "_extensions": ["jinja2.ext.do", "os.Evil"]}, files)
    refused = ks("new", "my-mod", "--template", "../tpl", "--json")
    assert refused.status == 2
    assert refused.json["error"]["code"] == "KS070"
    report = refused.json["report"]
    assert report["hooks"] == [
        {"file": "hooks/pre_prompt.sh", "when": "pre_prompt", "interpreter": "/bin/bash -e", "bytes": 20},
        {
            "file": "hooks/post_gen_project.py",
            "when": "post_gen_project",
            "interpreter": "python",
            "bytes": 20,
        },
    ]
    assert report["extensions"] == ["os.Evil"]
    assert report["variables"] == ["project_name", "project_slug", "author", "license", "debug", "more"]
    assert (report["source"], report["kind"], report["commit"]) == ("../tpl", "directory", None)
    assert report["files"] == 6


@pytest.mark.parametrize(
    ("typed", "status"), [(b"y\n", 0), (b"yes\n", 0), (b"\n", 1), (b"no\n", 1), (b"\x04", 130)]
)
def test_on_a_terminal_it_asks(here, typed, status):
    got, said = talk(["new", "my-mod", "--template", "../tpl"], typed)
    assert got == status, said
    assert "Template ../tpl: directory" in said
    assert "Code none of its own: no hooks, no extensions" in said
    assert "Make my-mod from it? [no]: " in said
    assert os.listdir(here) == (["my-mod"] if status == 0 else [])


def test_trusted_it_is_made_and_told(ks, here):
    write_template(here.parent / "tpl", VARIABLES, HOOK)
    ran = ks("new", "my-mod", "--template", "../tpl", "--trust")
    assert ran.status == 0
    assert ran.err.splitlines() == [
        "     Created my-mod: 2 files from ../tpl",
        "warning: not run: hooks/post_gen_project.py",
        "    fix: make it again with --hooks, if it misses what they do",
        "        Next cd my-mod && kscaffold build",
    ]
    ran = ks("new", "other", "--template", "../tpl", "--trust", "--hooks", "--json")
    assert ran.status == 0 and ran.json["hooks_run"] is True
    assert ran.json["files"] == [*sorted(KEPT), "Kbuild", "hooked", "other.c"]
    assert ran.json["builds"] == ["."]


def test_what_hooks_print_is_shown_and_a_failure_means_nothing(ks, here):
    hook = {"hooks/pre_gen_project.py": "print('checking \\x1b[2J'); raise SystemExit(7)\n"}
    write_template(here.parent / "tpl", VARIABLES, hook)
    ran = ks("new", "my-mod", "--template", "../tpl", "--trust", "--hooks", "--json")
    assert ran.status == 69 and ran.json["error"]["code"] == "KS077"
    assert "  | checking \\x1b[2J\n" in ran.err and "7" in ran.json["error"]["cause"]
    assert os.listdir(here) == []


def test_what_a_hook_may_make(ks, here):
    hook = "#!/bin/sh\nln -s Kbuild inside\ngit init -q\necho lost > ../beside\n"
    write_template(here.parent / "tpl", VARIABLES, {"hooks/post_gen_project.sh": hook})
    ran = ks("new", "my-mod", "--template", "../tpl", "--trust", "--hooks", "--git")
    assert ran.status == 0, ran.err
    assert os.readlink(here / "my-mod/inside") == "Kbuild"
    assert (here / "my-mod/.git/HEAD").exists()
    assert "left out: what a hook made outside of the project: beside" in ran.err
    for number, evil in enumerate(
        ("ln -s /etc/passwd x", "ln -s ../../.. x", "mkfifo x", "mkdir -p sub/.git")
    ):
        write_template(here.parent / "tpl", VARIABLES, {"hooks/post_gen_project.sh": f"#!/bin/sh\n{evil}\n"})
        ran = ks("new", f"mod{number}", "--template", "../tpl", "--trust", "--hooks")
        assert ran.status == 2 and "error[KS075]" in ran.err, evil
    assert os.listdir(here) == ["my-mod"]


# ---- answers ----


def test_answers_go_in_as_they_are(ks, here):
    words = ["--answer", "author={{ 1/0 }}{% for %}", "--answer", "license=MIT", "--answer", "debug=Yes"]
    ran = ks("new", "my-mod", "-t", "../tpl", "--trust", *words, "--answer", 'more={"{{ b }}": "={{ 1/0 }}"}')
    assert ran.status == 0, ran.err
    assert text(here) == "my-mod|{{ 1/0 }}{% for %}|MIT|True|{'{{ b }}': '={{ 1/0 }}'}"


def test_the_author_is_an_answer_too(ks, here):
    assert ks("new", "my-mod", "-t", "../tpl", "--trust", "--author", "Ann").status == 0
    assert "|Ann|" in text(here)
    ran = ks("new", "other", "-t", "../tpl", "--trust", "--description", "Ann")
    assert ran.status == 2 and "KS078" in ran.err and "'description'" in ran.err


def test_name_is_what_the_directory_is_called_whatever_is_answered(ks, here):
    words = ["--answer", "project_name=A Fine Driver", "--answer", "project_slug=fine"]
    assert ks("new", "my-mod", "-t", "../tpl", "--trust", *words).status == 0
    assert os.listdir(here) == ["my-mod"]
    assert (here / "my-mod/fine.c").read_text().startswith("A Fine Driver|")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--answer", "nobody=1"], "project_name project_slug author license debug more"),
        (["--answer", "_hidden=1"], "it asks for"),
        (["--answer", "license=BSD"], "license is one of: GPL, MIT"),
        (["--answer", "debug=maybe"], "debug is yes or no"),
        (["--answer", "more=[1]"], "more is a JSON object"),
        (["--answer", "more=" + "[" * 9999], "more is a JSON object"),
        (["--answer", "author"], "'author' is no KEY=VALUE"),
        (["--answer", "=x"], "is no KEY=VALUE"),
        (["--answer", "author=a", "--answer", "author=b"], "'author' is answered twice"),
        (["--author", "a", "--answer", "author=b"], "'author' is answered twice"),
    ],
)
def test_answers_that_are_none(ks, here, words, says):
    ran = ks("new", "my-mod", "-t", "../tpl", "--trust", *words)
    assert ran.status == 2 and "error[KS078]" in ran.err and says in ran.err, ran.err
    assert os.listdir(here) == []


@pytest.mark.parametrize("words", [["--objs", "a"], ["--param", "n:int"], ["--license", "MIT"]])
def test_options_of_our_own_templates(ks, here, words):
    ran = ks("new", "my-mod", "-t", "../tpl", "--trust", *words)
    assert ran.status == 2 and "error[KS022]" in ran.err
    assert os.listdir(here) == []


@pytest.mark.parametrize(
    "words", [["--hooks"], ["--answer", "a=b"], ["--checkout", "x"], ["--template-dir", "x"]]
)
def test_options_of_templates_of_others(ks, here, words):
    ran = ks("new", "my-mod", *words)
    assert ran.status == 2 and "error[KS078]" in ran.err
    assert os.listdir(here) == []


def test_i_asks_what_the_template_asks(here):
    typed = b"A B\n\n\nBSD\nMIT\nperhaps\ny\n\n"
    status, said = talk(["new", "my-mod", "-t", "../tpl", "--trust", "-i"], typed)
    assert status == 0, said
    for question in (
        "project_name [my-mod]: ",
        "project_slug [my-mod]: ",
        "Who are you? [nobody]: ",
        "Which licence (GPL, MIT) [GPL]: ",
        "BSD is none of these",
        "debug (yes/no) [no]: ",
        "perhaps is none of these",
        'more (JSON) [{"a": "1"}]: ',
    ):
        assert question in said, said
    assert text(here) == "A B|nobody|MIT|True|{'a': '1'}"


def test_i_shows_defaults_that_follow_from_answers(here):
    variables = {"name": "x", "subject": "y", "title": "The {{ cookiecutter.subject }}"}
    write_template(here.parent / "two", variables, {"{{cookiecutter.name}}/a": "{{ cookiecutter.title }}"})
    status, said = talk(["new", "my-mod", "-t", "../two", "--trust", "-i"], b"\n{{ evil }}\n\n")
    assert status == 0 and "title [The {{ evil }}]: " in said
    assert (here / "my-mod/a").read_text() == "The {{ evil }}"


# ---- where it comes from ----


def test_a_repository(ks, here):
    tpl = here.parent / "tpl"
    first = repository(tpl)
    git(tpl, "tag", "v1")
    git(tpl, "checkout", "-q", "-b", "side/branch")
    (tpl / TOP / "late").write_text("")
    second = repository(tpl)
    git(tpl, "checkout", "-q", "main")
    (tpl / TOP / "later").write_text("")
    third = repository(tpl)
    git(tpl, "clone", "-q", "--bare", ".", here.parent / "bare.git")
    url = f"file://{here.parent}/bare.git"
    for number, (words, commit, files) in enumerate(
        (
            (["-t", url], third, {"later"}),
            (["-t", f"git+{url}"], third, {"later"}),
            (["-t", "../bare.git"], third, {"later"}),
            (["-t", url, "--checkout", "v1"], first, set()),
            (["-t", url, "--checkout", "side/branch"], second, {"late"}),
            (["-t", url, "--checkout", first], first, set()),
            (["-t", url, "--checkout", second[:9]], second, {"late"}),
            (["-t", "../tpl", "--checkout", "v1"], first, set()),
        )
    ):
        ran = ks("new", f"mod{number}", *words, "--trust", "--json")
        assert ran.status == 0, ran.err
        assert (ran.json["report"]["commit"], ran.json["report"]["kind"]) == (commit, "git"), words
        assert set(ran.json["files"]) == {"Kbuild", f"mod{number}.c"} | files | KEPT
        assert "Fetching" in ran.err and f" at {commit[:12]}" in ran.err
    # What a directory holds is taken as it is there, committed or not, as cookiecutter takes it.
    (tpl / TOP / "uncommitted").write_text("")
    ran = ks("new", "as-is", "-t", "../tpl", "--trust", "--json")
    assert "uncommitted" in ran.json["files"] and ran.json["report"]["commit"] is None


def test_a_repository_that_is_not_there_or_has_no_such_branch(ks, here):
    ran = ks("new", "my-mod", "-t", f"file://{here.parent}/gone.git", "--trust")
    assert ran.status == 69 and "error[KS071]" in ran.err and "does not" in ran.err
    repository(here.parent / "tpl")
    ran = ks("new", "my-mod", "-t", "../tpl", "--trust", "--checkout", "gone")
    assert ran.status == 69 and "error[KS071]: ../tpl could not be fetched at gone" in ran.err
    ran = ks("new", "my-mod", "-t", "../tpl", "--trust", "--checkout", "abcdef0")
    assert ran.status == 69 and "error[KS071]: ../tpl could not be fetched at abcdef0" in ran.err
    assert os.listdir(here) == []


def test_a_password_is_not_shown(ks, here, monkeypatch):
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "none")
    monkeypatch.setenv("KSCAFFOLD_TEMPLATE_TIMEOUT", "10")
    ran = ks("new", "my-mod", "-t", "https://ann:hushhush@127.0.0.1:1/x.git", "--trust", "--json")
    assert ran.status == 69 and "https://ann:***@127.0.0.1:1/x.git" in ran.err
    assert "hushhush" not in ran.err + ran.out


def test_ssh_asks_nothing_and_may_be_another(ks, here, own_world, monkeypatch):
    for name in ("ssh", "other-ssh"):
        (here.parent / name).write_text(f'#!/bin/sh\necho "$0 $*" >> {here.parent}/said\nexit 255\n')
        (here.parent / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{here.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("GIT_SSH_COMMAND", raising=False)
    for url in ("ssh://git@localhost/a/b.git", "git@localhost:a/b.git"):
        ran = ks("new", "my-mod", "-t", url, "--trust")
        assert ran.status == 69 and "error[KS071]" in ran.err
    said = (here.parent / "said").read_text().splitlines()
    assert len(said) == 2 and all("-oBatchMode=yes" in line and "git@localhost" in line for line in said)
    (own_world / ".gitconfig").write_text("[core]\n\tsshCommand = other-ssh\n")
    assert ks("new", "my-mod", "-t", url, "--trust").status == 69
    assert "other-ssh" in (here.parent / "said").read_text().splitlines()[2]


def test_without_git(ks, here, monkeypatch):
    monkeypatch.setenv("PATH", str(here))
    ran = ks("new", "my-mod", "-t", "gh:user/repo", "--trust")
    assert ran.status == 69 and "error[KS001]: git is not installed" in ran.err
    ran = ks("new", "my-mod", "--git")
    assert ran.status == 69 and "error[KS001]: git is not installed" in ran.err
    assert os.listdir(here) == []


def test_abbreviations():
    from kscaffold.scaffold.external.source import expanded

    assert expanded("gh:a/b") == "https://github.com/a/b.git"
    assert expanded("gl:a/b") == "https://gitlab.com/a/b.git"
    assert expanded("bb:a/b") == "https://bitbucket.org/a/b"
    assert expanded("./gh:a") == "./gh:a"


def test_an_archive(ks, here):
    with zipfile.ZipFile(here / "tpl.zip", "w") as packed:
        for path in (here.parent / "tpl").rglob("*"):
            packed.write(path, path.relative_to(here.parent))
    ran = ks("new", "my-mod", "-t", "tpl.zip", "--trust", "--json")
    assert ran.status == 0, ran.err
    assert ran.json["report"]["kind"] == "zip"
    assert text(here) == "my-mod|nobody|GPL|False|{'a': '1'}"


def test_one_of_several(ks, here):
    inner = json.dumps({"name": "x"})
    files = {f"{n}/cookiecutter.json": inner for n in ("one", "two")}
    files |= {f"{n}/{{{{cookiecutter.name}}}}/{n}": "" for n in ("one", "two")}
    write_template(here.parent / "many", None, files)
    ran = ks("new", "a", "-t", "../many", "--trust")
    assert ran.status == 2 and "in: one two" in ran.err and "--template-dir one" in ran.err
    assert ks("new", "a", "-t", "../many", "--trust", "--template-dir", "two").status == 0
    assert made(here / "a") == ["two"]
    write_template(here.parent / "many", {"templates": {n: {"path": f"./{n}"} for n in ("one", "two")}}, {})
    ran = ks("new", "b", "-t", "../many", "--trust")
    assert ran.status == 0 and made(here / "b") == ["one"]
    assert "the source has several templates; one was taken\n    fix: --template-dir two" in ran.err
    assert ks("new", "c", "-t", "../many", "--trust", "--template-dir", "two").status == 0
    assert made(here / "c") == ["two"]


def test_several_directories_in_a_template(ks, here):
    write_template(here.parent / "two", {"a": "x"}, {"{{cookiecutter.a}}/f": "", "{{cookiecutter.a}}2/f": ""})
    ran = ks("new", "my-mod", "-t", "../two", "--trust")
    assert ran.status == 2 and "it has several: {{cookiecutter.a}} {{cookiecutter.a}}2" in ran.err


@pytest.mark.parametrize("word", [".", "./", "../tpl", "tpl"])
def test_a_template_beside_or_around_the_project(ks, here, monkeypatch, word):
    monkeypatch.chdir(here.parent / "tpl" if word in (".", "./") else here.parent if word == "tpl" else here)
    assert ks("new", "my-mod", "-t", word, "--trust").status == 0
    assert text(Path.cwd()) == "my-mod|nobody|GPL|False|{'a': '1'}"


def test_a_place_that_looks_like_jinja(ks, here):
    place = here / "{{cookiecutter.author}}"
    place.mkdir()
    write_template(here.parent / "tpl", VARIABLES, {f"{TOP}/sub/deep/x": "", f"{TOP}/copied.d/x": ""})
    assert ks("new", "my-mod", "-t", "../tpl", "--trust", "-C", place).status == 0
    assert {p.name for p in (place / "my-mod").rglob("*") if not p.name.startswith(".kscaffold")} == {
        "Kbuild",
        "my-mod.c",
        "sub",
        "deep",
        "x",
        "copied.d",
    }


# ---- what it is then ----


def test_what_can_be_built_in_it(ks, here):
    write_template(here.parent / "none", {"n": "x"}, {"{{cookiecutter.n}}/Makefile": "all:\n\techo\n"})
    ran = ks("new", "a", "-t", "../none", "--trust", "--json")
    assert ran.json["builds"] == [] and "neither a Kbuild nor a Makefile that sets obj-m" in ran.err
    write_template(here.parent / "sub", {"n": "x"}, {"{{cookiecutter.n}}/src/Makefile": "obj-m += x.o\n"})
    ran = ks("new", "b", "-t", "../sub", "--trust", "--json")
    assert ran.json["builds"] == ["src"] and "Next cd b/src && kscaffold build" in ran.err

"""Templates that mean harm, or are careless: nothing of theirs runs, nothing appears, nothing is touched."""

import json
import os
import socket
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.support.external import KEPT, git, repository, tree, write_template

ONE = {"name": "x"}
HERE = "{{cookiecutter.name}}"


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """Where the project would be made; beside it a file that no template may read or write."""
    (tmp_path / "secret").write_text("the secret")
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    return tmp_path / "in"


def refused(ks, here: Path, code: str, *words: str, template: str = "../tpl") -> str:
    """Run it trusted: it must end with this code, and leave all as it was. What was said."""
    before = tree(here.parent)
    ran = ks("new", "my-mod", "--template", template, "--trust", *words)
    # The template is at fault, except where a limit ended it: then there is no answer.
    assert ran.status == (69 if code == "KS076" else 2), ran.err
    assert f"error[{code}]: " in ran.err, ran.err
    assert "Traceback" not in ran.err and "the secret" not in ran.err
    assert tree(here.parent) == before
    return ran.err


REACHING = {
    "a class": "{{ ''.__class__ }}",
    "all classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "by a filter": "{{ '' | attr('__class__') }}",
    "by an item": "{{ ''['__class__'] }}",
    "by a format": "{{ '{0.__class__.__mro__}'.format('') }}",
    "by a format of a map": "{{ '{a.__class__}'.format_map({'a': 1}) }}",
    "by a global": "{{ cycler.__init__.__globals__.os.system('touch ../secret') }}",
    "by a global of cookiecutter": "{{ uuid4.__globals__ }}",
    "by a function of Jinja": "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "by itself": "{{ self.__init__.__globals__ }}",
    "by a map": "{{ [''] | map(attribute='__class__') | list | first }}",
    "by a macro": "{% macro m() %}{% endmacro %}{{ m.__call__.__func__.__globals__ }}",
    "by a generator": "{{ (range(2) | map('string')).gi_frame.f_globals }}",
}


@pytest.mark.parametrize("text", REACHING.values(), ids=REACHING.keys())
def test_jinja_reaches_nothing_of_python(ks, here, text):
    write_template(here.parent / "tpl", ONE, {f"{HERE}/a": text})
    assert "unsafe" in refused(ks, here, "KS075")


@pytest.mark.parametrize("place", ["the project", "a file", "a default", "a choice", "a directory"])
def test_wherever_jinja_is(ks, here, place):
    text = "{{ cookiecutter.name.__class__ }}"
    variables = {**ONE, "other": {"a default": text, "a choice": [text]}.get(place, "")}
    top = text if place == "the project" else HERE
    write_template(here.parent / "tpl", variables, {f"{top}/{text if place == 'a file' else 'a'}": ""})
    if place == "a directory":
        (here.parent / "tpl" / HERE / text).mkdir()
    assert "unsafe" in refused(ks, here, "KS075")


def test_jinja_is_as_it_is_where_its_code_is_allowed(ks, here):
    write_template(here.parent / "tpl", ONE, {f"{HERE}/a": "{{ ''.__class__.__name__ }}"})
    assert ks("new", "my-mod", "-t", "../tpl", "--trust", "--hooks").status == 0
    assert (here / "my-mod/a").read_text() == "str"


ENDLESS = {
    "a loop": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "a number": "{{ (9 ** (9 ** 9)) | string | length }}",
    "a recursion of macros": "{% macro m(n) %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(1) }}",
    "memory": "{{ ('x' * 10 ** 10) | length }}",
    "memory in a loop": "{% set l = [] %}{% for i in range(9999) %}{{ l.append('x' * 10**6 ~ i) }}{% endfor %}",  # noqa: E501
    "a large file": "{{ 'x' * (65 * 1024 * 1024) }}",
    "a large range": "{% for i in range(10 ** 9) %}x{% endfor %}",
    "words": "{{ lipsum(n=10 ** 6) }}",
    "inclusion of itself": "{% include 'a' %}",
}


# Python's and Jinja's own bounds say no to these before the limits do.
BOUNDED = {"a recursion of macros", "a large range", "inclusion of itself"}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_has_no_end_is_ended(ks, here, monkeypatch, what):
    monkeypatch.setenv("KSCAFFOLD_RENDER_TIMEOUT", "60" if what in BOUNDED else "3")
    write_template(here.parent / "tpl", ONE, {f"{HERE}/a": ENDLESS[what]})
    before = tree(here.parent)
    ran = ks("new", "my-mod", "-t", "../tpl", "--trust")
    status, code = (2, "KS074") if what in BOUNDED else (69, "KS076")
    assert ran.status == status and f"error[{code}]" in ran.err, ran.err
    assert tree(here.parent) == before


def test_memory_has_a_bound_of_its_own(ks, here):
    """Within its time: 4 GB, a hundred MB at a time."""
    text = (
        "{% set l = [] %}{% for i in range(40) %}{{ l.append('x' * 10**8 ~ i) }}{% endfor %}{{ l | length }}"
    )
    write_template(here.parent / "tpl", ONE, {f"{HERE}/a": text})
    assert "it needs more memory" in refused(ks, here, "KS076")


def test_much_of_everything_is_ended(ks, here):
    files = {f"{HERE}/{n}": "{{ 'x' * (60 * 1024 * 1024) }}" for n in range(5)}
    write_template(here.parent / "tpl", ONE, files)
    assert "more than is granted" in refused(ks, here, "KS076")


NAMES = [
    "..",
    "../up",
    "/tmp/x",
    "a/../../b",
    ".git",
    ".GIT/hooks",
    "x\n",
    "x\x1b[2J",
    "x\0y",
    "a/.git/config",
]
EVIL = "{{cookiecutter._evil}}"


@pytest.mark.parametrize("name", NAMES)
def test_a_project_s_name_stays_inside(ks, here, name):
    write_template(here.parent / "tpl", {"_evil": name}, {f"{EVIL}/a": ""})
    refused(ks, here, "KS075")


@pytest.mark.parametrize("name", [*NAMES, "../my-mod-too"])
@pytest.mark.parametrize("place", ["a file", "a directory"])
def test_names_stay_inside(ks, here, place, name):
    path = f"{HERE}/{EVIL}" if place == "a file" else f"{HERE}/{EVIL}/deep"
    write_template(here.parent / "tpl", {**ONE, "_evil": name}, {path: ""})
    refused(ks, here, "KS075")


@pytest.mark.parametrize(
    "name", ["../up", "/tmp/x", "a/../../b", "../../../../../../../../tmp/ks-evil", ".git/x"]
)
@pytest.mark.parametrize("end", [".copy", ".d/x"])
def test_names_that_are_copied_stay_inside(ks, here, end, name):
    variables = {**ONE, "_evil": name, "_copy_without_render": ["*.copy", "*.d"]}
    write_template(here.parent / "tpl", variables, {f"{HERE}/{EVIL}{end}": ""})
    refused(ks, here, "KS075")


@pytest.mark.parametrize("name", ["no/such/directory", "long" * 80, "b"])
def test_names_that_can_t_be_made(ks, here, name):
    write_template(here.parent / "tpl", {**ONE, "_evil": name}, {f"{HERE}/{EVIL}": "", f"{HERE}/b/c": ""})
    refused(ks, here, "KS075" if name == "b" else "KS074")


@pytest.mark.parametrize("name", [n for n in NAMES if "\0" not in n])
def test_answers_make_no_such_name_either(ks, here, name):
    write_template(here.parent / "tpl", {**ONE, "file": "y"}, {f"{HERE}/{{{{cookiecutter.file}}}}": ""})
    refused(ks, here, "KS075", "--answer", f"file={name}")
    refused(ks, here, "KS075", "--answer", f"name={name}")


def test_an_empty_name_of_the_project(ks, here):
    write_template(here.parent / "tpl", {"project_slug": ""}, {"{{cookiecutter.project_slug[:0]}}/a": ""})
    refused(ks, here, "KS075")


def test_two_files_of_one_name(ks, here):
    files = {f"{HERE}/{{{{cookiecutter.name}}}}": "1", f"{HERE}/{{{{cookiecutter.name[:]}}}}": "2"}
    write_template(here.parent / "tpl", ONE, files)
    assert "two files" in refused(ks, here, "KS075")


def test_names_that_differ_in_case_only_are_told(ks, here):
    write_template(here.parent / "tpl", ONE, {f"{HERE}/xt_MARK.c": "", f"{HERE}/xt_mark.c": ""})
    ran = ks("new", "my-mod", "-t", "../tpl", "--trust")
    assert ran.status == 0
    assert "warning: names that differ in case only: xt_MARK.c xt_mark.c" in ran.err


LINKS = {
    "to a file of the machine": (f"{HERE}/a", "{secret}"),
    "out of it": (f"{HERE}/a", "../../secret"),
    "to a directory of the machine": (f"{HERE}/a", "/etc"),
    "to the directory above": (f"{HERE}/a", ".."),
    "to itself": (f"{HERE}/a", "a"),
    "to nothing": (f"{HERE}/a", "nothing"),
    "to all processes": (f"{HERE}/a", "/proc/self/environ"),
    "as the project": ("{{cookiecutter.name}}-x", "{parent}"),
    "as what is included": ("templates/a", "{secret}"),
    "as a hook": ("hooks/post_gen_project.sh", "/bin/true"),
    "to a link that leads out": (f"{HERE}/a", "../elsewhere"),
}


@pytest.mark.parametrize(("link", "to"), LINKS.values(), ids=LINKS.keys())
@pytest.mark.parametrize("kind", ["directory", "git"])
def test_links_lead_nowhere_else(ks, here, kind, link, to):
    files = {f"{HERE}/b": "{% include 'a' ignore missing %}"} if link != "{{cookiecutter.name}}-x" else {}
    write_template(here.parent / "tpl", ONE, files)
    path = here.parent / "tpl" / link
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(to.format(secret=here.parent / "secret", parent=here.parent))
    (here.parent / "tpl/elsewhere").symlink_to(here.parent / "secret")
    if kind == "git":
        repository(here.parent / "tpl")
    url = f"file://{here.parent}/tpl" if kind == "git" else "../tpl"
    refused(ks, here, "KS073", template=url)


def test_a_link_where_nothing_is_rendered_is_left_out_and_told(ks, here):
    files = {f"{HERE}/a": "x", "docs/link": Path("/etc/passwd"), "docs/round": Path("round")}
    write_template(here.parent / "tpl", ONE, files)
    ran = ks("new", "my-mod", "-t", "../tpl", "--trust", "--json")
    assert ran.status == 0
    assert set(ran.json["report"]["left_out"]) == {"docs/link", "docs/round"}
    assert ran.json["files"] == [*sorted(KEPT), "a"]


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_what_is_no_file(ks, here, kind):
    tpl = write_template(here.parent / "tpl", ONE, {f"{HERE}/a": "x"})
    path = tpl / HERE / "b"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.relpath(path))
    elif os.getuid():
        pytest.skip("only root makes devices")
    else:
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("no devices can be made here")
    before = ks("new", "my-mod", "-t", "../tpl", "--trust")
    assert before.status == 2 and "KS073" in before.err
    assert os.listdir(here) == []


def test_special_bits_are_not_copied(ks, here):
    tpl = write_template(here.parent / "tpl", ONE, {f"{HERE}/a": "#!/bin/sh\n", f"{HERE}/d/b": ""})
    (tpl / HERE / "a").chmod(0o6755)
    (tpl / HERE / "d").chmod(0o2777)
    (tpl / HERE / "d/b").chmod(0o606)
    assert ks("new", "my-mod", "-t", "../tpl", "--trust").status == 0
    modes = {name: oct(mode) for name, (mode, _) in tree(here / "my-mod").items()}
    assert modes == {"a": "0o755", "d": "0o755", "d/b": "0o644", **dict.fromkeys(KEPT, "0o644")}


def test_huge_counts(ks, here):
    tpl = write_template(here.parent / "tpl", ONE, {f"{HERE}/a": "x"})
    for n in range(5_001):
        (tpl / str(n)).touch()
    ran = ks("new", "my-mod", "-t", "../tpl", "--trust")
    assert ran.status == 2 and "error[KS073]" in ran.err
    assert os.listdir(here) == []


def test_a_huge_file(ks, here):
    tpl = write_template(here.parent / "tpl", ONE, {f"{HERE}/a": "x"})
    with (tpl / "sparse").open("wb") as file:
        file.truncate(10 << 40)
    ran = ks("new", "my-mod", "-t", "../tpl", "--trust")
    assert ran.status == 2 and "error[KS073]" in ran.err
    assert os.listdir(here) == []


RUNS = {
    "before all": "hooks/pre_prompt.py",
    "before": "hooks/pre_gen_project.sh",
    "after": "hooks/post_gen_project.py",
    "after, in the shell": "hooks/post_gen_project",
}


@pytest.mark.parametrize("hook", RUNS.values(), ids=RUNS.keys())
def test_hooks_are_not_run(ks, here, hook):
    mark = here.parent / "ran"
    text = f"open({str(mark)!r}, 'w')\n" if hook.endswith(".py") else f"#!/bin/sh\ntouch {mark}\n"
    write_template(here.parent / "tpl", ONE, {f"{HERE}/a": "", hook: text})
    ran = ks("new", "one", "-t", "../tpl", "--trust")
    assert ran.status == 0 and not mark.exists()
    assert f"warning: not run: {hook}" in ran.err
    assert ks("new", "two", "-t", "../tpl", "--trust", "--hooks").status == 0
    assert mark.exists()


@pytest.mark.parametrize("name", ["local_extensions.X", "os.path", "jinja2_time.TimeExtension", "subprocess"])
def test_extensions_of_others_are_not_imported(ks, here, name):
    mark = here.parent / "ran"
    files = {f"{HERE}/a": "", "local_extensions.py": f"open({str(mark)!r}, 'w')\n"}
    write_template(here.parent / "tpl", {**ONE, "_extensions": [name]}, files)
    assert name in refused(ks, here, "KS079")
    assert not mark.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "{",
        '{"name": ' + "[" * 100_000,
        '{"_extensions": 5}',
        '{"name": "' + "x" * (1 << 20) + '"}',
        '{"name": 1' + "0" * 9999 + "}",
        '{"_extensions": {"os": 1}}',
        "\xff",
    ],
)
def test_a_cookiecutter_json_that_is_none(ks, here, text):
    write_template(here.parent / "tpl", text, {f"{HERE}/a": ""})
    refused(ks, here, "KS071")


@pytest.mark.parametrize(
    "variables",
    [
        {**ONE, "_jinja2_env_vars": 5},
        {**ONE, "_jinja2_env_vars": {"extensions": ["os"]}},
        {**ONE, "_jinja2_env_vars": {"undefined": "x"}},
        {**ONE, "_jinja2_env_vars": {"block_start_string": ""}},
        {**ONE, "_jinja2_env_vars": {"finalize": "x"}},
        {**ONE, "_copy_without_render": 5},
        {**ONE, "_new_lines": "x"},
        {**ONE, "choice": []},
        {**ONE, "loop": "{{ cookiecutter.later }}", "later": "1"},
        {**ONE, "bad": "{% if %}"},
        {**ONE, "bad": {"a": "{{ nobody }}"}},
        {**ONE, "x": "{{ 1 / 0 }}"},
    ],
)
def test_variables_that_make_no_sense(ks, here, variables):
    write_template(here.parent / "tpl", variables, {f"{HERE}/a": "a"})
    refused(ks, here, "KS074")


@pytest.mark.parametrize("path", ["../../secret", "..", "/etc"])
@pytest.mark.parametrize("key", ["templates", "template"])
def test_a_nested_template_is_inside(ks, here, key, path):
    variables = {key: {"a": {"path": path}} if key == "templates" else [f"A ({path})"]}
    write_template(here.parent / "tpl", variables, {})
    refused(ks, here, "KS072")
    refused(ks, here, "KS072", "--template-dir", path)


def test_questions_without_end(ks, here):
    """What a template says to the command is bounded, too."""
    variables = {**ONE, "long": "{{ 'x' * 10 ** 7 }}", "evil": "{{ cookiecutter.long.nobody }}"}
    write_template(here.parent / "tpl", variables, {f"{HERE}/a": ""})
    assert len(refused(ks, here, "KS074")) < 2000
    write_template(here.parent / "tpl", {**ONE, "long": ["{{ 'x' * 10 ** 7 }}"]}, {f"{HERE}/a": ""})
    assert len(refused(ks, here, "KS078", "--answer", "long=y")) < 2000


def test_an_error_names_file_and_line(ks, here):
    write_template(here.parent / "tpl", ONE, {f"{HERE}/src/a.c": "x\n{% endfor %}\n"})
    assert "src/a.c:2" in refused(ks, here, "KS074")
    write_template(here.parent / "tpl", ONE, {f"{HERE}/src/a.c": "x\n{{ cookiecutter.nobody }}\n"})
    said = refused(ks, here, "KS074")
    assert "src/a.c" in said and "nobody" in said


def test_the_terminal_is_spared(ks, here):
    evil = "\x1b[2Jname"
    write_template(here.parent / "tpl", {**ONE, evil: "x"}, {f"{HERE}/a": "", "\x1bx": Path("/etc")})
    ran = ks("new", "my-mod", "-t", "../tpl")
    assert ran.status == 2 and "\x1b" not in ran.err
    assert "\\x1b[2Jname" in ran.err


# ---- where templates come from ----


@pytest.mark.parametrize(
    "word",
    [
        "ext::sh -c touch% ../in/ran",
        "ext::touch ran",
        "-u./evil",
        "--upload-pack=touch ran",
        "ssh://-oProxyCommand=touch%20ran/x",
        "-oProxyCommand=touch@host:x",
        "fd::17/x",
        "http://localhost/x",
        "ftp://localhost/x",
        "hg+https://localhost/x",
        "git+http://localhost/x",
        "file://localhost/x\n",
        "https://localhost/x.zip",
        "",
        "a\0b",
        "../gone",
        "~nobody-of-that-name/x",
        "../secret",
        "/dev/zero",
        "/",
    ],
)
def test_places_that_no_template_is_taken_from(ks, here, monkeypatch, word):
    monkeypatch.setenv("KSCAFFOLD_TEMPLATE_TIMEOUT", "5")
    before = tree(here.parent)
    ran = ks("new", "my-mod", f"--template={word}", "--trust")
    # git itself refuses the host that is an option; the others are no place at all.
    assert ran.status == (69 if word.startswith("ssh://") else 2) and "Traceback" not in ran.err, ran.err
    assert any(f"error[{code}]" in ran.err for code in ("KS022", "KS071", "KS072")), ran.err
    assert tree(here.parent) == before


@pytest.mark.parametrize(
    "ref", ["-f", "--upload-pack=x", "a..b", "a:b", "+x", "a b", "x^{/y}", "", "@{-1}", "a\n"]
)
def test_refs_that_are_none(ks, here, ref):
    repository(write_template(here.parent / "tpl", ONE, {f"{HERE}/a": ""}))
    ran = ks("new", "my-mod", "-t", "../tpl", "--trust", f"--checkout={ref}")
    assert ran.status == 2 and "error[KS072]" in ran.err
    assert os.listdir(here) == []


def test_git_runs_no_hook_and_no_filter_and_fetches_no_sub_module(ks, here, own_world):
    mark = here.parent / "ran"
    tpl = write_template(here.parent / "tpl", ONE, {f"{HERE}/a": "", ".gitattributes": "* filter=evil\n"})
    sub = write_template(here.parent / "sub", ONE, {"inside": ""})
    repository(sub)
    git(tpl, "init", "-q")
    git(tpl, "-c", "protocol.file.allow=always", "submodule", "add", "-q", f"file://{sub}", "sub")
    repository(tpl)
    hooks = own_world / "git-template/hooks"
    hooks.mkdir(parents=True)
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {mark}\n")
    (hooks / "post-checkout").chmod(0o755)
    (own_world / ".gitconfig").write_text(
        f"[init]\n\ttemplateDir = {hooks.parent}\n[submodule]\n\trecurse = true\n"
    )
    ran = ks("new", "my-mod", "-t", f"file://{tpl}", "--trust", "--json")
    assert ran.status == 0, ran.err
    assert not mark.exists()
    assert ran.json["files"] == [*sorted(KEPT), "a"]


def test_a_repository_that_unpacks_to_a_full_disk(ks, here):
    """Ten trees of ten entries, each the one before: ten thousand million files of a few hundred bytes."""
    repo = write_template(here.parent / "tpl", ONE, {f"{HERE}/a": ""})
    git(repo, "init", "-q", "-b", "main")
    git(repo, "add", "-A")
    tree_id = git(repo, "write-tree")
    for _ in range(10):
        (here.parent / "entries").write_text("".join(f"040000 tree {tree_id}\td{n}\n" for n in range(10)))
        tree_id = _mktree(repo, here.parent / "entries")
    (here.parent / "entries").unlink()
    commit = git(repo, "commit-tree", tree_id, "-m", "bomb")
    git(repo, "update-ref", "refs/heads/main", commit)
    refused(ks, here, "KS073", template=f"file://{repo}")


def _mktree(repo: Path, entries: Path) -> str:
    with entries.open("rb") as file:
        return subprocess.run(
            ["git", "mktree"], cwd=repo, stdin=file, check=True, capture_output=True, text=True
        ).stdout.strip()


def zipped(where: Path, entries: dict[str, str | bytes | zipfile.ZipInfo], link: str = "") -> Path:
    with zipfile.ZipFile(where, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in entries.items():
            packed.writestr(name, content)
        if link:
            entry = zipfile.ZipInfo("t/link")
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            packed.writestr(entry, link)
    return where


@pytest.mark.parametrize(
    "entries",
    [
        {"t/cookiecutter.json": json.dumps(ONE), "t/../../evil": "x"},
        {"/t/cookiecutter.json": json.dumps(ONE)},
        {"t/cookiecutter.json": json.dumps(ONE), "u/x": "x"},
        {"t/cookiecutter.json": json.dumps(ONE), "t/zeros": b"\0" * (257 << 20)},
        {},
    ],
    ids=["climbs", "absolute", "two tops", "bomb", "empty"],
)
def test_archives_that_are_refused(ks, here, entries):
    zipped(here.parent / "tpl.zip", entries)
    refused(ks, here, "KS073", template="../tpl.zip")


def test_archives_with_links_or_that_are_none(ks, here):
    zipped(here.parent / "tpl.zip", {"t/cookiecutter.json": json.dumps(ONE)}, link="/etc/passwd")
    refused(ks, here, "KS073", template="../tpl.zip")
    (here.parent / "tpl.zip").write_bytes(b"PK\x03\x04 no archive")
    refused(ks, here, "KS073", template="../tpl.zip")

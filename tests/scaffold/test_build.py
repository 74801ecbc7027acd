"""What `new` makes is built by plain make, without a warning, on each kernel; and cleaned again."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kscaffold.scaffold.create import params
from kscaffold.scaffold.kbuild import generate
from kscaffold.scaffold.kbuild.names import identifier
from tests.conftest import missing, need_program
from tests.scaffold.test_new import snapshot
from tests.support.checkpatch import find as find_checkpatch
from tests.support.kdirs import Tree

pytestmark = pytest.mark.kernel

EVERY_TYPE = [
    f"--param={name}_{n}:{name}{value}{text}"
    for name, kind in params.TYPES.items()
    for n, (value, text) in enumerate(
        [("", ""), ("@0644", ":a text")]
        + ([(f"={kind.least}", ""), (f"={kind.most}", ":the most")] if kind.least is not None else [])
        + ([("@0=y", ""), ("=off", ":no")] if name in ("bool", "invbool") else [])
        + ([("=a\\:b %s", ":text"), ("=", "")] if name == "charp" else [])
    )
]
ARRAYS = [
    f"--param={name}_{n}:{name}[3]{value}"
    for name, kind in params.TYPES.items()
    for n, value in enumerate(["", "=y,n:some" if kind.least is None else "=1,0:some"])
]
MADE = {
    "single": ["my-mod"],
    "multi-1": ["my-mod", "--objs", "ret-1"],
    "multi-2": ["my-mod", "--objs", "ret-1,util"],
    "multi-4": ["my-mod", "--objs", "a,b-c,time,d"],
    "params": ["my-mod", "--template", "params"],
    "params-all": ["my-mod", *EVERY_TYPE],
    "params-arrays": ["my-mod", *ARRAYS],
    "params-objs": ["my-mod", "--param", "n:int=3", "--objs", "a,b"],
    "longest": ["m" * 55, "--objs", "o" * 55 + "," + "p" * 55],
}
# Names that are something else elsewhere: make's targets and files, macros, functions of the headers.
# fmt: off
ODD = [
    "modules", "clean", "all", "vmlinux", "README", "LICENSE", "built-in", "init", "main", "linux", "unix",
    "random", "time", "module", "M", "a-", "x__y-",
]
# fmt: on


def warnings(output: str) -> list[str]:
    """What the compiler, sparse and modpost complain of; not the notes of the kernel's own Makefiles."""
    return [
        line
        for line in output.splitlines()
        if re.search(r"\b(warning|WARNING|error|ERROR):", line)
        and "the compiler differs" not in line
        and "Module.symvers" not in line
    ]


@pytest.mark.parametrize("words", MADE.values(), ids=MADE.keys())
def test_builds_without_a_warning_and_cleans_up(ks, tmp_path, tree: Tree, words):
    assert ks("new", *words, "-C", tmp_path).status == 0
    project = tmp_path / words[0]
    before = set(os.listdir(project))
    built = tree.make(project, "W=1")
    assert built.returncode == 0, built.stdout
    assert (project / f"{words[0]}.ko").stat().st_size > 0
    assert warnings(built.stdout) == []
    cleaned = tree.make(project, "clean")
    assert cleaned.returncode == 0, cleaned.stdout
    assert set(os.listdir(project)) == before


def test_odd_names_build(ks, tmp_path, tree_61: Tree):
    """All in one directory, to build once; each as `new` makes it."""
    assert ks("new", "odd", "-C", tmp_path).status == 0
    project = tmp_path / "odd"
    for name in ODD:
        assert ks("new", name, "-C", tmp_path).status == 0
        shutil.copy(tmp_path / name / f"{name}.c", project)
    (project / "Kbuild").write_text(
        generate.kbuild([generate.ModuleSpec(name) for name in ODD], "GPL-2.0-only")
    )
    built = tree_61.make(project, "W=1")
    assert built.returncode == 0, built.stdout
    assert warnings(built.stdout) == []
    assert {p.stem for p in project.glob("*.ko")} == set(ODD)


def test_odd_object_names_build(ks, tmp_path, tree_61: Tree):
    objs = [o for o in ODD if o != "M"]
    assert ks("new", "M", "-C", tmp_path, "--objs", ",".join(objs)).status == 0
    built = tree_61.make(tmp_path / "M", "W=1")
    assert built.returncode == 0, built.stdout
    assert warnings(built.stdout) == []


def test_a_place_that_is_not_refused_can_be_built_in(ks, tmp_path, tree: Tree):
    place = tmp_path / "~é+a@b^{c}!~1.2-3_x"
    place.mkdir()
    assert ks("new", "mod", "--objs", "a,b", "-C", place).status == 0
    assert tree.make(place / "mod").returncode == 0
    assert tree.make(place / "mod", "clean").returncode == 0


@pytest.mark.parametrize("pwd", [None, "/nonexistent"])
def test_as_sudo_makes_it(ks, tmp_path, tree_61: Tree, monkeypatch, pwd):
    """sudo drops PWD, or leaves the one of the shell it was called from."""
    assert ks("new", "mod", "-C", tmp_path).status == 0
    if pwd is None:
        monkeypatch.delenv("PWD", raising=False)
    else:
        monkeypatch.setenv("PWD", pwd)
    project = tmp_path / "mod"
    # From elsewhere, too: make -C changes the directory without the shell's knowing.
    for words in (["all"], ["clean"]):
        ran = subprocess.run(
            ["make", "-C", project, f"KDIR={tree_61.kdir}", *tree_61.variables, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        assert (project / "mod.ko").exists() == (words == ["all"])


def test_nothing_of_it_needs_kscaffold(ks, tmp_path):
    assert ks("new", "mod", "--objs", "a,b", "-C", tmp_path).status == 0
    for path in (p for p in (tmp_path / "mod").iterdir() if p.is_file()):
        if path.name not in ("README.md", ".kscaffold.base", ".kscaffold.toml"):
            assert "kscaffold" not in path.read_text()


def test_git_sees_no_build_product(ks, tmp_path, tree: Tree):
    git = need_program("git", "git")
    assert ks("new", "mod", "--objs", "a,b", "-C", tmp_path).status == 0
    project = tmp_path / "mod"
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run([git, *words], cwd=project, check=True)
    assert tree.make(project).returncode == 0
    seen = subprocess.run(
        [git, "status", "--porcelain", "--untracked-files=all"], cwd=project, capture_output=True, text=True
    )
    assert [line for line in seen.stdout.splitlines() if line.startswith("??")] == []


def test_building_changes_no_source(ks, tmp_path, tree_61: Tree):
    assert ks("new", "mod", "--objs", "a,b", "-C", tmp_path).status == 0
    project = tmp_path / "mod"
    before = snapshot(project)
    assert tree_61.make(project).returncode == 0
    after = snapshot(project)
    assert {k: after[k] for k in before} == before


def _compile(directory: Path, tree: Tree, lines: list[str]) -> set[int]:
    """Which of these lines the compiler refuses after the headers that every module includes."""
    head = "#include <linux/init.h>\n#include <linux/module.h>\n#include <linux/moduleparam.h>\n"
    head += '#include <linux/printk.h>\nMODULE_LICENSE("GPL");\n'
    (directory / "t.c").write_text(head + "\n".join(lines) + "\n")
    (directory / "Kbuild").write_text("obj-m := t.o\n")
    ran = subprocess.run(
        ["make", "-C", tree.kdir, f"M={directory}", *tree.variables, "KCFLAGS=-w -fmax-errors=0", "modules"],
        capture_output=True,
        text=True,
    )
    return {int(n) - 6 for n in re.findall(r"\bt\.c:(\d+):\d+: (?:error|note: in expansion)", ran.stderr)}


def test_no_name_that_is_taken_by_the_headers_is_given_out(tmp_path, tree: Tree):
    """Each single word of the headers, tried: as a parameter, and before _init, _exit, _start and _stop."""
    _compile(tmp_path, tree, [])
    made = subprocess.run(
        ["make", "-C", tree.kdir, f"M={tmp_path}", *tree.variables, "KCFLAGS=-dD", "t.i"], capture_output=True
    )
    assert made.returncode == 0, made.stderr
    words = set(re.findall(r"\b[A-Za-z]\w*\b", (tmp_path / "t.i").read_text()))
    assert len(words) > 10000
    accepted = []
    for word in sorted(w for w in words if "_" not in w):
        try:
            accepted.append(params.parse_parameter(f"{word}:int"))
        except params.UsageError:
            continue
    refused = _compile(tmp_path, tree, [p.declaration for p in accepted])
    assert [accepted[n].name for n in sorted(refused) if 0 <= n < len(accepted)] == []
    stems = {re.sub(r"_(init|exit|start|stop)$", "", w) for w in words}
    lines = sorted(
        f"static int {identifier(stem)}_{what}(void) {{ return 0; }}"
        for stem in stems
        for what in ("init", "exit", "start", "stop")
        if "_" not in stem
    )
    refused = _compile(tmp_path, tree, lines)
    assert [lines[n] for n in sorted(refused) if 0 <= n < len(lines)] == []


def checkpatch() -> list[str]:
    """How checkpatch is run; skips where there is none."""
    found = find_checkpatch()
    if not found:
        missing("checkpatch", "python -m tests.support.checkpatch")
        raise AssertionError
    return ["perl", found, "--no-tree", "--strict", "--ignore", "LINUX_VERSION_CODE", "--terse", "-f"]


@pytest.mark.parametrize("words", MADE.values(), ids=MADE.keys())
def test_clean_under_checkpatch(ks, tmp_path, words):
    command = checkpatch()
    assert ks("new", *words, "-C", tmp_path).status == 0
    files = [
        p
        for p in (tmp_path / words[0]).iterdir()
        if p.suffix in (".c", ".h") or p.name in ("Kbuild", "Makefile")
    ]
    ran = subprocess.run([*command, *files], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("words", MADE.values(), ids=MADE.keys())
def test_clean_under_sparse(ks, tmp_path, tree_61: Tree, words):
    need_program("sparse", "sparse")
    assert ks("new", *words, "-C", tmp_path).status == 0
    project = tmp_path / words[0]
    ran = tree_61.make(project, "C=2")
    assert ran.returncode == 0, ran.stdout
    assert "CHECK" in ran.stdout
    assert warnings(ran.stdout) == []

"""What `new` makes is built by plain make, without a warning, on each kernel; and cleaned again."""

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kscaffold.cli.app import main
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


@dataclass(frozen=True)
class Built:
    """All of MADE below `place`, after one make and one `make clean` there by the Makefile that each of them
    has. `output`: make's, with W=1, on 6.1 with sparse's warnings, too. By the name of a project: `fresh`
    and `left` have what was in it before the make and after it, `cleaned` its names after the clean.
    """

    place: Path
    status: int
    output: str
    clean_status: int
    clean_output: str
    fresh: dict[str, dict]
    left: dict[str, dict]
    cleaned: dict[str, set[str]]
    untracked: list[str]

    def complaints(self, name: str) -> list[str]:
        """The warnings about a project, and those that name none."""
        others = [rf"(?<![\w-]){other}(?![\w-])" for other in self.fresh if other != name]
        return [w for w in warnings(self.output) if not any(re.search(other, w) for other in others)]


def made_of(case: str) -> str:
    """The name of a case's project: in one make no two modules have one name."""
    return MADE[case][0].replace("my-mod", f"my-{case}")


def status_of(git: str, project: Path) -> list[str]:
    """What git sees in a project and does not keep."""
    words = [git, "status", "--porcelain", "--untracked-files=all"]
    seen = subprocess.run(words, cwd=project, capture_output=True, text=True, check=True)
    return [line for line in seen.stdout.splitlines() if line.startswith("??")]


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of MADE below one directory, as `new` makes them."""
    place = tmp_path_factory.mktemp("projects")
    for case, words in MADE.items():
        made = ["new", made_of(case), *words[1:], "-C", str(place), "--author", "Ann Other"]
        assert main(made) == 0
    return place


@pytest.fixture(scope="module")
def every_case(projects: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Tree], Built]:
    """All of MADE, built once for a kernel."""

    @functools.cache
    def built(tree: Tree) -> Built:
        place = tmp_path_factory.mktemp("built") / "all"
        shutil.copytree(projects, place)
        names = [made_of(case) for case in MADE]
        git, kept = shutil.which("git"), place / made_of("multi-2")
        for words in (["init", "-q"], ["add", "."]) if git else ():
            subprocess.run([git, *words], cwd=kept, check=True)
        shutil.copy(place / names[0] / "Makefile", place)
        (place / "Kbuild").write_text("obj-m := " + " ".join(f"{name}/" for name in names) + "\n")
        fresh = {name: snapshot(place / name) for name in names}
        checked = ["C=2"] if tree.series == "6.1" and shutil.which("sparse") else []
        made = tree.make(place, "W=1", *checked)
        left = {name: snapshot(place / name) for name in names}
        untracked = status_of(git, kept) if git else []
        cleaned = tree.make(place, "clean")
        after = {name: set(os.listdir(place / name)) for name in names}
        return Built(
            place,
            made.returncode,
            made.stdout,
            cleaned.returncode,
            cleaned.stdout,
            fresh,
            left,
            after,
            untracked,
        )

    return built


@pytest.mark.parametrize("case", MADE)
def test_builds_without_a_warning_and_cleans_up(every_case, tree: Tree, case):
    built, name = every_case(tree), made_of(case)
    # The one that all of them were built by.
    assert (built.place / name / "Makefile").read_bytes() == (built.place / "Makefile").read_bytes()
    assert built.status == 0, built.output
    assert built.left[name][f"{name}.ko"]
    assert built.complaints(name) == []
    assert built.clean_status == 0, built.clean_output
    assert built.cleaned[name] == {path.partition("/")[0] for path in built.fresh[name]}


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


def test_git_sees_no_build_product(every_case, tree: Tree):
    need_program("git", "git")
    built = every_case(tree)
    assert built.left[made_of("multi-2")].keys() > built.fresh[made_of("multi-2")].keys()
    assert built.untracked == []


@pytest.mark.parametrize("case", MADE)
def test_building_changes_no_source(every_case, tree_61: Tree, case):
    built, name = every_case(tree_61), made_of(case)
    before, after = built.fresh[name], built.left[name]
    assert {k: after[k] for k in before} == before


_HEAD = """\
#include <linux/init.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
MODULE_LICENSE("GPL");
"""


def _refused(directory: Path, tree: Tree, lines: list[str]) -> set[str]:
    """Which of these lines the compiler refuses after the headers that every module includes."""
    # The last one it must refuse: else it was not asked at all.
    (directory / "t.c").write_text(_HEAD + "\n".join([*lines, "int last = no_such_name;"]) + "\n")
    flags = "KCFLAGS=-w -fmax-errors=0 -fsyntax-only"
    words = ["make", "-C", tree.kdir, f"M={directory}", *tree.variables, flags, "t.o"]
    ran = subprocess.run(words, capture_output=True, text=True)
    found = re.findall(r"\bt\.c:(\d+):\d+: (?:error|note: in expansion)", ran.stderr)
    numbers = {int(n) - _HEAD.count("\n") - 1 for n in found}
    assert len(lines) in numbers, ran.stderr
    return {lines[n] for n in numbers if 0 <= n < len(lines)}


def test_no_name_that_is_taken_by_the_headers_is_given_out(tmp_path, tree: Tree):
    """Each single word of the headers, tried: as a parameter, and before _init, _exit, _start and _stop."""
    (tmp_path / "t.c").write_text(_HEAD)
    (tmp_path / "Kbuild").write_text("obj-m := t.o\n")
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
    stems = {re.sub(r"_(init|exit|start|stop)$", "", w) for w in words}
    functions = sorted(
        f"static int {identifier(stem)}_{what}(void) {{ return 0; }}"
        for stem in stems
        for what in ("init", "exit", "start", "stop")
        if "_" not in stem
    )
    # Of the two kinds no name is one of the other: the compiler is asked for both at once.
    assert accepted and functions
    assert _refused(tmp_path, tree, [*(p.declaration for p in accepted), *functions]) == set()


def checkpatch() -> list[str]:
    """How checkpatch is run; skips where there is none."""
    found = find_checkpatch()
    if not found:
        missing("checkpatch", "python -m tests.support.checkpatch")
        raise AssertionError
    return ["perl", found, "--no-tree", "--strict", "--ignore", "LINUX_VERSION_CODE", "--terse", "-f"]


@pytest.fixture(scope="module")
def checkpatch_said(projects: Path) -> subprocess.CompletedProcess[str]:
    """What checkpatch says of all of MADE."""
    files = [
        p
        for case in MADE
        for p in (projects / made_of(case)).iterdir()
        if p.suffix in (".c", ".h") or p.name in ("Kbuild", "Makefile")
    ]
    return subprocess.run([*checkpatch(), *files], capture_output=True, text=True)


@pytest.mark.parametrize("case", MADE)
def test_clean_under_checkpatch(checkpatch_said, case):
    found = re.findall(r"^.*:\d+: [A-Z]+:.*$", checkpatch_said.stdout, re.M)
    assert [line for line in found if f"/{made_of(case)}/" in line] == []
    assert (checkpatch_said.returncode == 0) == (not found), checkpatch_said.stdout + checkpatch_said.stderr


@pytest.mark.parametrize("case", MADE)
def test_clean_under_sparse(every_case, tree_61: Tree, case):
    need_program("sparse", "sparse")
    built, name = every_case(tree_61), made_of(case)
    assert built.status == 0, built.output
    sources = {path for path in built.fresh[name] if path.endswith(".c")}
    checked = set(re.findall(rf"^  CHECK   {re.escape(str(built.place / name))}/(\S+)$", built.output, re.M))
    assert sources and checked >= sources
    assert built.complaints(name) == []

"""The examples are what `new` makes, build on each kernel, and are what their READMEs say."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kscaffold.elf.module_name import normalize_name
from kscaffold.scaffold.metadata import base
from tests.conftest import ROOT, need_program
from tests.support.kdirs import Tree

EXAMPLES = ROOT / "examples"
AUTHOR = "the kscaffold authors"

# How each example was made.
MADE = {
    "hello": ["--description", "Says hello when it is loaded and goodbye when it is removed"],
    "ownname": [
        "--objs",
        "ret-1",
        "--description",
        "A module with a name of its own: ownname.ko from ret-1.c",
    ],
    "ret-1": ["--description", "Its init runs, prints and returns -1: the module does not stay loaded"],
    "params": [
        "--description",
        "Parameters of several types, set when the module is loaded",
        "--param=howmany:int=1:how many there are",
        "--param=whom:charp=world:who is greeted",
        "--param=loud:bool@0644:whether to shout",
        "--param=quiet:invbool:the opposite of what its variable holds",
        "--param=level:byte=200:a number from 0 to 255",
        "--param=size:ullong=0x100000000:more than 32 bits",
    ],
}


def facts(example: str, number: int = 0) -> dict[str, list[str]]:
    """What an example's README says is so: its n-th ```text block, `key: value` lines, keys repeatable."""
    blocks = re.findall(r"^```text\n(.*?)^```$", (EXAMPLES / example / "README.md").read_text(), re.M | re.S)
    said: dict[str, list[str]] = {}
    for line in blocks[number].splitlines():
        key, _, value = line.partition(": ")
        said.setdefault(key, []).append(value)
    return said


def without_build_products(directory: Path) -> set[str]:
    """The files of an example that belong to it, where someone has built there."""
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        listed = subprocess.run(
            [git, "ls-files", "."], cwd=directory, capture_output=True, text=True, check=True
        )
        return set(listed.stdout.split())
    return files(directory)


def files(directory: Path) -> set[str]:
    """Every file below a directory, by its path there."""
    return {str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()}


def test_every_example_is_known_here():
    there = {p.name for p in EXAMPLES.iterdir() if (p / "Kbuild").is_file()}
    assert there >= set(MADE)


@pytest.mark.parametrize("example", MADE)
def test_an_example_is_what_new_makes(ks, tmp_path, example):
    assert ks("new", example, "-C", tmp_path, "--author", AUTHOR, *MADE[example]).status == 0
    made = tmp_path / example
    assert without_build_products(EXAMPLES / example) == files(made)
    for name in sorted(files(made)):
        if name == "README.md" or (example, name) == ("ret-1", "tests/test_ret_1.py"):
            continue  # written by hand; the second is for a module that does not stay
        if name == ".kscaffold.base":  # packed, perhaps by another zlib
            assert base.unpack((made / name).read_bytes()) == base.unpack(
                (EXAMPLES / example / name).read_bytes()
            )
            continue
        new, kept = ((d / name).read_text().splitlines() for d in (made, EXAMPLES / example))
        if name == ".kscaffold.toml":  # the version that made it may be an older one
            new, kept = ([x for x in lines if not x.startswith("kscaffold = ")] for lines in (new, kept))
        if (example, name) == ("ret-1", "ret-1.c"):
            # The one that is adapted, and only in what it returns and the comments on it.
            gone = [x for x in new if x not in kept and not x.startswith((" *", "/*"))]
            come = [x for x in kept if x not in new and not x.startswith((" *", "/*"))]
            assert come == ["\treturn -1;"]
            assert gone == ["\treturn 0;"]
        else:
            assert kept == new, name


@pytest.mark.kernel
@pytest.mark.parametrize("example", MADE)
def test_an_example_builds_into_what_its_readme_says(tmp_path, tree: Tree, example):
    project = tmp_path / example
    shutil.copytree(EXAMPLES / example, project)
    assert tree.make(project, "clean").returncode == 0
    built = tree.make(project, "W=1")
    assert built.returncode == 0, built.stdout
    assert not [x for x in built.stdout.splitlines() if ".c:" in x and "warning" in x]
    said = facts(example)
    ko = project / said["file"][0]
    assert {p.name for p in project.glob("*.ko")} == {ko.name}
    assert said["module"] == [normalize_name(ko.stem)]

    modinfo = need_program("modinfo", "kmod")
    asked = subprocess.run([modinfo, "-F", "name", ko], capture_output=True, text=True, check=True)
    assert asked.stdout.split() == said["module"]

    symbols = subprocess.run(
        [need_program("objdump", "binutils"), "-t", ko], capture_output=True, text=True, check=True
    ).stdout
    for which in ("init", "exit"):
        function, _, section = said[which][0].partition(" in ")
        assert re.search(rf" F {re.escape(section)}\t[0-9a-f]+ (?:\.hidden )?{function}$", symbols, re.M)
    # Each line of the log is one of its format strings, or the kernel's own.
    strings = ko.read_bytes()
    for line in said["log of load"] + said.get("log of unload", []):
        module, _, text = line.partition(": ")
        assert module == said["module"][0]
        assert f": {text.split(' = ')[0]}".encode() in strings


def test_the_readme_of_params_lists_its_parameters():
    source = (EXAMPLES / "params/params.c").read_text()
    there = re.findall(r"^module_param(?:_named)?\((\w+),(?: \w+,)? (\w+), (\d+)\);", source, re.M)
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| .* \| (\d+) \|$", (EXAMPLES / "params/README.md").read_text(), re.M
    )
    assert rows == there
    assert [line.split(" = ")[0] for line in facts("params")["log of load"][1:]] == [
        f"params: {name}" for name, _, _ in there
    ]

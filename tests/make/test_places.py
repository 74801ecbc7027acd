"""Where a build leaves what it makes: nothing for git to see, nothing in a read-only checkout."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kscaffold.files.git import exclude
from kscaffold.make.compile_commands import NAME
from kscaffold.make.fingerprint.other_kernel import release_of
from kscaffold.project.mirror import mirrors
from tests.conftest import missing, need_program
from tests.support.projects import HELLO, identity, write


def git(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run(["git", *words], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    need_program("git", "git")
    write(tmp_path / "r", sub_0_Kbuild="obj-m := hello.o\n", sub_0_hello__c=HELLO)
    git("init", "-q", cwd=tmp_path / "r")
    git("add", ".", cwd=tmp_path / "r")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one", cwd=tmp_path / "r")
    return tmp_path / "r"


@pytest.mark.parametrize("kind", ["repository", "worktree"])
def test_git_does_not_see_a_file_of_ours(repository: Path, kind: str):
    place = repository
    if kind == "worktree":
        place = repository.parent / "w"
        git("worktree", "add", "-q", place, cwd=repository)
    file = place / "sub/compile_commands.json"
    file.write_text("[]")
    assert git("status", "--short", cwd=place) == "?? sub/compile_commands.json\n"
    for _ in range(2):
        exclude(file)
        assert git("status", "--short", cwd=place) == ""
    listed = (repository / ".git/info/exclude").read_text().splitlines()
    assert listed.count("/sub/compile_commands.json") == 1


def test_what_git_ignores_already_is_not_listed_again(repository: Path):
    (repository / ".gitignore").write_text("compile_commands.json\n")
    before = (repository / ".git/info/exclude").read_text()
    exclude(repository / "sub/compile_commands.json")
    assert (repository / ".git/info/exclude").read_text() == before
    exclude(repository.parent / "compile_commands.json")  # in no repository


@pytest.mark.kernel
def test_a_project_inside_of_another_is_told(repository: Path, kernel, ks):
    (repository / "Kbuild").write_text("obj-m := sub/\n")
    k = kernel("6.1")
    ran = ks("build", "-C", repository / "sub", "-k", k.release)
    assert ran.status == 0
    whole = f"kscaffold build --kernel {k.release} -C {repository} builds all"
    assert f"the project meant is sub, which lies in r: {whole}" in ran.err
    assert "the project meant" not in ks("build", "-C", repository, "-k", k.release).err


@pytest.mark.kernel
def test_a_checkout_that_can_t_be_written_to_is_built(tmp_path: Path, kernel):
    k = kernel("6.1")
    if os.geteuid() != 0 or not shutil.which("unshare"):
        missing("unshare", "apt-get install util-linux, and root")
    source = write(tmp_path / "r", Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    command = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
    ro = ["unshare", "-m", "sh", "-c", command, "sh", source]
    if subprocess.run([*ro, "true"], capture_output=True).returncode != 0:
        missing("mount", "a machine on which root may mount")
    kscaffold = [sys.executable, "-m", "kscaffold", "build", "-C", source, "-k", k.release]
    for said in (" in ", "is up to date"):
        ran = subprocess.run([*ro, *kscaffold], capture_output=True, text=True, timeout=300)
        assert ran.returncode == 0, ran.stderr
        assert "can't be written to: built in" in ran.stderr and said in ran.stderr
    assert sorted(p.name for p in source.iterdir()) == ["Kbuild", "hello.c"]
    place = Path(ran.stderr.partition("built in ")[2].split()[0])
    try:
        assert release_of(place / "hello.ko") == k.release
    finally:
        shutil.rmtree(place)


@pytest.mark.sandbox
def test_two_kernels_at_once_in_one_checkout(tmp_path: Path, kernel):
    write(tmp_path, Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    releases = [kernel(series).release for series in ("6.1", "6.12")]

    def run(release: str) -> str:
        words = [sys.executable, "-m", "kscaffold", "run", "-C", tmp_path, "-k", release]
        ran = subprocess.run(words, capture_output=True, text=True, timeout=300)
        assert ran.returncode == 0, ran.stderr + ran.stdout
        return ran.stderr

    with ThreadPoolExecutor(2) as pool:
        for release, said in zip(releases, pool.map(run, releases), strict=True):
            assert f"hello.ko: loaded and unloaded ({release})" in said
    assert release_of(tmp_path / "hello.ko") in releases


@pytest.mark.kernel
def test_each_kernel_has_a_build_directory_of_its_own(tmp_path: Path, kernel, ks):
    directory = write(tmp_path / "p", Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    one, other = (kernel(series).release for series in ("6.1", "6.12"))

    def build(release: str) -> dict:
        ran = ks("build", "-C", directory, "-k", release, "--json")
        assert ran.status == 0, ran.err
        assert release_of(directory / "hello.ko") == release
        assert ran.json["modules"] == [{"name": "hello", "path": str(directory / "hello.ko")}]
        return ran.json

    build(one)
    made = {path.name for path in directory.iterdir()}
    objects = identity(directory / "hello.o")
    assert not build(other)["up_to_date"]
    assert identity(directory / "hello.o") == objects
    # make in the checkout links anew: the .ko there is another kernel's.
    assert {path.name for path in directory.iterdir()} == made - {".hello.ko.cmd"}
    build(one)
    assert identity(directory / "hello.o") == objects
    assert build(other)["up_to_date"]
    (directory / "hello.c").write_text(HELLO.replace("hello\\n", "again\\n"))
    assert not build(other)["up_to_date"]
    assert b"again" in (directory / "hello.ko").read_bytes()
    (place,) = mirrors(directory)
    assert ks("clean", "-C", directory, "-k", one).status == 0
    assert not place.exists() and {p.name for p in directory.iterdir()} - {"Kbuild", "hello.c"} <= {NAME}
    # What is above the project is not in a directory of links.
    write(directory, Kbuild="obj-m := hello.o\nccflags-y := -I$(src)/..\n")
    build(one)
    objects = identity(directory / "hello.o")
    build(other)
    assert identity(directory / "hello.o") != objects and not mirrors(directory)

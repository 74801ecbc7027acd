"""Kernels that are somewhere on the machine, and what a tree needs to be built with."""

import gzip
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from kscaffold.errors import KscaffoldError
from kscaffold.kernel import store
from kscaffold.kernel.buildable import build_problem
from kscaffold.kernel.kernel import Kernel
from tests.conftest import need_program
from tests.support.images import bzimage, elf
from tests.support.kernels import only
from tests.support.mirror import OLD, Mirror


def a_tree(directory: Path, release: str = "6.9.0-own") -> Path:
    for name, text in {
        "Makefile": "all:\n",
        ".config": "",
        "include/generated/autoconf.h": "",
        "include/generated/utsrelease.h": f'#define UTS_RELEASE "{release}"\n',
        "include/config/auto.conf": "",
        "scripts/basic/fixdep": "#!/bin/sh\n",
        "scripts/mod/modpost": "#!/bin/sh\n",
    }.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_a_kernel_by_path_is_used_where_it_is(own_cache: Path, ks):
    tree = a_tree(own_cache / "linux")
    image = own_cache / "bzImage"
    image.write_bytes(bzimage(b"\x1f\x8b", release="6.9.0-own"))
    assert ks("kernel", "add", "--build", tree, "--image", image, "--json").json["error"]["code"] == "KS510"
    image.write_bytes(bzimage(gzip.compress(elf(release="6.9.0-own")), release="6.9.0-own"))
    ran = ks("kernel", "add", "--build", tree, "--image", image)
    assert ran.status == 0, ran.err
    kernel = only("6.9.0-own")
    assert (kernel.source, kernel.build, kernel.image, kernel.vmlinux) == ("path", tree, image, None)
    first = store.bootable(kernel)
    assert first.read_bytes() == elf(release="6.9.0-own") and store.bootable(kernel) == first
    image.write_bytes(bzimage(gzip.compress(elf(release="6.9.0-own", filler=8192)), release="6.9.0-own"))
    second = store.bootable(kernel)
    assert second != first and second.read_bytes() == elf(release="6.9.0-own", filler=8192)
    assert not first.exists()
    assert ks("kernel", "remove", "6.9").status == 0
    assert tree.exists() and image.exists() and not second.exists()


def test_an_elf_image_is_booted_as_it_is(own_cache: Path):
    image = own_cache / "vmlinux"
    image.write_bytes(elf(release="6.9.0-own"))
    assert store.bootable(store.add_path(None, image, None)) == image


def test_a_tree_alone_can_t_be_booted(own_cache: Path):
    kernel = store.add_path(a_tree(own_cache / "linux"), None, None)
    with pytest.raises(KscaffoldError) as caught:
        store.bootable(kernel)
    assert caught.value.code == "KS513" and str(own_cache / "linux") in caught.value.fix


def test_adding_the_same_path_again_is_fine(own_cache: Path, ks):
    tree = a_tree(own_cache / "linux")
    assert ks("kernel", "add", "--build", tree).status == 0
    assert ks("kernel", "add", "--build", tree, "--modules", own_cache).status == 0
    assert only("6.9.0-own").modules == own_cache


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("--build", "nosuch"), "KS514"),
        (("--image", "nosuch"), "KS514"),
        (("--image", "."), "KS514"),
        (("--modules", "."), "KS514"),
        (("--build", "."), "KS514"),
        (("--image", "/etc/passwd"), "KS514"),
        (("--build", "linux", "--image", "other"), "KS514"),
        (("6.1", "--build", "linux"), "KS004"),
        (("--suite", "x", "--build", "linux"), "KS004"),
    ],
)
def test_paths_that_are_no_kernel_are_usage_errors(own_cache: Path, ks, monkeypatch, argv, code):
    monkeypatch.chdir(own_cache)
    a_tree(own_cache / "linux")
    (own_cache / "other").write_bytes(elf(release="6.8.0"))
    ran = ks("kernel", "add", *argv, "--json")
    assert (ran.status, ran.json["error"]["code"]) == (2, code), ran.err


def test_a_path_does_not_hide_a_fetched_kernel(mirror: Mirror, ks, tmp_path: Path):
    ks("kernel", "add")
    ran = ks("kernel", "add", "--build", a_tree(tmp_path / "linux", OLD), "--json")
    assert (ran.status, ran.json["error"]["code"]) == (2, "KS515")
    assert only(OLD).source == "fetched"


# --- can it be built for? ---


def test_a_prepared_tree_has_no_problem(tmp_path: Path):
    assert build_problem(by_path(a_tree(tmp_path / "linux"))) is None


def by_path(build: Path | None, release: str = "6.9.0-own", source: str = "path") -> Kernel:
    return Kernel(release, source, build, None, None, None, "test")


@pytest.mark.parametrize(
    "name", ["include/generated/autoconf.h", "include/config/auto.conf", "scripts/mod/modpost"]
)
def test_an_unprepared_tree_names_what_it_lacks(tmp_path: Path, name):
    tree = a_tree(tmp_path / "linux")
    (tree / name).unlink()
    problem = build_problem(by_path(tree))
    assert problem.code == "KS521" and name in problem.cause and f"make -C {tree}" in problem.fix


@pytest.mark.parametrize("closed", [".", "scripts", "include/generated"])
def test_a_tree_of_somebody_else_is_told_of_its_own_kernel_only(tmp_path: Path, closed: str):
    tree = a_tree(tmp_path / "linux")
    (tree / closed).chmod(0)
    tmp_path.chmod(0o711)
    child = os.fork()
    if not child:
        status = 1
        try:
            os.chdir(tmp_path)  # nobody else may come here from above
            if os.geteuid() == 0:  # who may read everything
                os.setresuid(65534, 65534, 65534)
            problem = build_problem(by_path(Path(tree.name)))
            status = int(not problem or problem.code != "KS520" or "can't be read" not in str(problem.cause))
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    (tree / closed).chmod(0o755)


def test_a_missing_tree_names_the_package(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "dangling").symlink_to("/usr/src/gone")
    for build, cause in (
        (None, "it has none"),
        (tmp_path / "gone", "is gone"),
        (tmp_path / "dangling", "points at /usr/src/gone"),
        (tmp_path / "empty", "has no Makefile"),
    ):
        problem = build_problem(by_path(build, "6.1.0-1-amd64", "running"))
        assert problem.code == "KS520" and cause in problem.cause
        assert "linux-headers-6.1.0-1-amd64" in problem.fix


def test_a_tree_of_another_release_or_machine(tmp_path: Path):
    tree = a_tree(tmp_path / "linux")
    assert build_problem(by_path(tree, "6.8.0")).code == "KS524"
    (tree / "scripts/basic/fixdep").write_bytes(elf(machine=183))
    assert "another architecture" in build_problem(by_path(tree)).cause
    (tree / "scripts/basic/fixdep").write_bytes(elf() + b"\0GLIBC_2.4\0GLIBC_2.99\0")
    problem = build_problem(by_path(tree))
    assert problem.code == "KS522" and "needs the C library 2.99" in problem.cause
    (tree / "scripts/basic/fixdep").write_bytes(elf() + b"\0GLIBC_2.4\0")
    assert build_problem(by_path(tree)) is None


def test_headers_whose_cache_has_moved(tmp_path: Path):
    tree = a_tree(tmp_path / "linux")
    (tree / "Makefile").write_text("include /gone/linux-headers-common/Makefile\n")
    problem = build_problem(by_path(tree))
    assert problem.code == "KS520" and "/gone/linux-headers-common/Makefile" in problem.cause


def test_a_path_that_make_can_t_take(tmp_path: Path):
    assert build_problem(by_path(a_tree(tmp_path / "my linux"))).code == "KS523"


def test_the_running_kernel_is_used_where_its_tree_and_image_can_be_read(own_cache: Path):
    """In a mount namespace of its own, with a /lib/modules/R made for it."""
    unshare = [need_program("unshare", "util-linux"), "-m" if os.getuid() == 0 else "-rm"]
    release = os.uname().release
    tree = a_tree(own_cache / "linux", release)
    image = own_cache / "image"
    image.write_bytes(elf(release=release))
    lib = Path("/lib").resolve()
    listed = f"{sys.executable} -m kscaffold kernel list --json"
    script = f"""
        mkdir {own_cache}/over && mount -t tmpfs none {own_cache}/over || exit 9
        mkdir {own_cache}/over/upper {own_cache}/over/work
        over={own_cache}/over
        mount -t overlay -o lowerdir={lib},upperdir=$over/upper,workdir=$over/work none {lib} || exit 9
        rm -rf /lib/modules/{release} && mkdir -p /lib/modules/{release} || exit 9
        mount -t tmpfs none /boot || exit 9
        {listed} >{own_cache}/nothing
        ln -s {tree} /lib/modules/{release}/build
        {listed} >{own_cache}/tree
        cp {image} /lib/modules/{release}/vmlinuz
        {listed} >{own_cache}/both
    """
    ran = subprocess.run([*unshare, "sh", "-c", script], capture_output=True, text=True)
    if ran.returncode == 9:
        pytest.skip(f"this user can make no such world: {ran.stderr.strip()}")
    nothing, tree_only, both = (json.loads((own_cache / n).read_text()) for n in ("nothing", "tree", "both"))
    assert (nothing["kernels"], nothing["chosen"]) == ([], None)
    assert [k["source"] for k in tree_only["kernels"]] == ["running"] and tree_only["chosen"] is None
    assert both["chosen"] == release
    assert both["kernels"][0]["image"] == f"/lib/modules/{release}/vmlinuz"


@pytest.mark.parametrize("name", ["Makefile", ".config", ".kernelvariables", "Module.symvers"])
def test_a_tree_that_cant_be_read_is_not_recorded(own_cache: Path, ks, name: str):
    """It became the default, and every command after that failed."""
    tree = a_tree(own_cache / "tree")
    (tree / name).unlink(missing_ok=True)
    os.mkfifo(tree / name)
    ran = ks("kernel", "add", "--build", tree)
    assert ran.status == 69 and f"{name} is not a plain file" in ran.err and "Added" not in ran.err
    assert [k for k in store.known() if k.source == "path"] == []


def test_a_large_file_that_is_no_image_is_not_read_into_memory(tmp_path: Path):
    for size in (0, 64 << 20):
        with (tmp_path / "image").open("wb") as file:
            file.truncate(size)
        tracemalloc.start()
        try:
            assert store.release_of_image(tmp_path / "image") is None
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()


def test_a_default_kernel_that_is_none_is_told_in_a_line(own_cache: Path, ks, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(own_cache / "config"))
    (own_cache / "config/kscaffold").mkdir(parents=True, mode=0o700)
    (own_cache / "config/kscaffold/default-kernel").write_bytes(bytes(70_000))
    ran = ks("kernel", "default")
    assert ran.status == 69 and "error[KS532]" in ran.err and "--clear" in ran.err
    assert len(ran.err) < 1000

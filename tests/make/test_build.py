"""build and clean with real kernels: the right .ko, the short view, exit codes, two at once."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kscaffold.files import paths
from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.compiler import toolchain
from kscaffold.make.build import build
from kscaffold.make.fingerprint.other_kernel import release_of
from kscaffold.project.ask import read_project
from tests.conftest import ROOT, need_program
from tests.support.projects import COURSE, HELLO, own_tree, unlink_copy, write

pytestmark = pytest.mark.kernel

KEYS = {
    "schema",
    "command",
    "ok",
    "kernel",
    "arch",
    "modules",
    "up_to_date",
    "complaints",
    "notes",
    "log",
    "seconds",
    "code",
    "cause",
    "fix",
}


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    return write(tmp_path / "hello", Kbuild="obj-m := hello.o\n", hello__c=HELLO)


def sources(directory: Path) -> dict[str, tuple[bytes, int]]:
    kept = (".c", ".h", "Kbuild", "Makefile")
    files = [p for p in directory.rglob("*") if p.name.endswith(kept) and not p.name.endswith(".mod.c")]
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def test_options_of_a_makefile_are_given_in_the_environment(tmp_path: Path, kernel, ks, monkeypatch):
    r = kernel("6.1").release
    makefile = "obj-$(CONFIG_OPT) += hello.o\nLEVEL ?= 1\nccflags-y := -DLEVEL=$(LEVEL)\n"
    write(tmp_path, Makefile=makefile, hello__c=HELLO)
    assert ks("build", "-C", tmp_path, "-k", r, "--json").json["error"]["code"] == "KS104"
    monkeypatch.setenv("CONFIG_OPT", "m")
    for level in ("1", "2"):
        monkeypatch.setenv("LEVEL", level)
        ran = ks("build", "-C", tmp_path, "-k", r, "--json")
        assert (ran.status, ran.json["up_to_date"]) == (0, False)
        assert f"-DLEVEL={level} " in (tmp_path / "compile_commands.json").read_text()
        told = ks("adopt", tmp_path, "-k", r, "--json").json["flags"]
        assert [f["value"] for f in told] == [f"-DLEVEL={level}"]
        assert ks("build", "-C", tmp_path, "-k", r, "--json").json["up_to_date"]


def test_build_then_nothing_to_do_then_clean(hello: Path, kernel, ks):
    k = kernel("6.1")
    before = sources(hello)
    ran = ks("build", "-C", hello, "-k", k.release, "--json")
    assert ran.status == 0
    assert set(ran.json) == KEYS
    assert ran.json["modules"] == [{"name": "hello", "path": str(hello / "hello.ko")}]
    assert (ran.json["ok"], ran.json["up_to_date"], ran.json["kernel"]) == (True, False, k.release)
    assert ran.json["arch"] == k.arch
    assert release_of(hello / "hello.ko") == k.release
    assert b".debug_info" in (hello / "hello.ko").read_bytes()
    assert "CC [M]" in Path(ran.json["log"]).read_text()

    again = ks("build", "-C", hello, "-k", k.release, "--json")
    assert (again.status, again.json["up_to_date"]) == (0, True)

    cleaned = ks("clean", "-C", hello, "-k", k.release, "--json")
    assert cleaned.status == 0
    assert {"hello.ko", "hello.o", ".hello.o.cmd"} <= set(cleaned.json["removed"])
    assert sources(hello) == before
    assert sorted(p.name for p in hello.iterdir()) == ["Kbuild", "hello.c"]
    assert ks("build", "-C", hello, "-k", k.release).status == 0


def test_clean_spares_what_no_build_made(hello: Path, kernel, ks):
    """Kbuild's clean goes by names alone."""
    release = kernel("6.1").release
    mine = {"blob.o": "given", "startup.s": "written", "sub/grammar.tab.c": "checked in"}
    write(hello, Kbuild="obj-m := hello.o\n")
    assert ks("build", "-C", hello, "-k", release).status == 0
    for name, text in mine.items():
        (hello / name).parent.mkdir(exist_ok=True)
        (hello / name).write_text(text)
    ran = ks("clean", "-C", hello, "-k", release, "--json")
    assert ran.status == 0 and ran.json["kept"] == sorted(mine)
    assert "hello.o" in ran.json["removed"] and not (hello / "hello.o").exists()
    assert {name: (hello / name).read_text() for name in mine} == mine


def test_clean_where_a_makefile_ends_make(tmp_path: Path, kernel, ks):
    """Kbuild reads no configuration for clean: what asks for one of its options has it all the same."""
    release = kernel("6.1").release
    asks = "ifndef CONFIG_MODULES\n$(error no modules there)\nendif\nobj-m := hello.o\n"
    write(tmp_path, Kbuild=asks)
    (tmp_path / "modules.order").write_text("hello.o\n")
    ran = ks("clean", "-C", tmp_path, "-k", release, "--json")
    assert ran.status == 0 and ran.json["removed"] == ["modules.order"]
    write(tmp_path, Kbuild="obj-m := hello.o\n$(error not today)\n")
    ran = ks("clean", "-C", tmp_path, "-k", release, "--json")
    assert (ran.status, ran.json["error"]["code"]) == (1, "KS108")
    assert ran.json["error"]["cause"].startswith(f"{tmp_path}/Kbuild:2: *** not today.")
    assert f"{tmp_path}/Kbuild, line 2" in ran.json["error"]["fix"]


@pytest.mark.parametrize("series", ["5.10", "6.1", "6.12"])
def test_the_course_s_makefile_builds_unchanged(tmp_path: Path, kernel, ks, series: str):
    k = kernel(series)
    write(tmp_path, Makefile=COURSE + "\ttouch ran-all\n", ret_1_1__c=HELLO)
    before = sources(tmp_path)
    ran = ks("build", "-C", tmp_path, "-k", k.release)
    assert (ran.status, ran.out) == (0, "")
    assert f"Building ownname for {k.release}" in ran.err
    assert "Finished ownname.ko in" in ran.err
    assert release_of(tmp_path / "ownname.ko") == k.release
    assert not (tmp_path / "ran-all").exists()
    assert sources(tmp_path) == before


def test_one_project_for_kernel_after_kernel(hello: Path, kernel, ks):
    for series in ("6.1", "5.10", "6.1", "6.12", "6.1"):
        k = kernel(series)
        for up_to_date in (False, True):
            ran = ks("build", "-C", hello, "-k", k.release, "--json")
            assert (ran.status, ran.json["up_to_date"]) == (0, up_to_date)
            assert release_of(hello / "hello.ko") == k.release


def test_two_trees_with_the_same_command_lines(hello: Path, kernel, ks, tmp_path: Path):
    """Kbuild sees no difference between them: the lines are the same and all their files are older."""
    first = own_tree(kernel("6.1"), tmp_path / "first")
    second = own_tree(kernel("6.1"), tmp_path / "second")
    assert first.build and second.build
    utsrelease = unlink_copy(second.build / "include/generated/utsrelease.h")
    stat = utsrelease.stat()
    utsrelease.write_text('#define UTS_RELEASE "6.1.0-other"\n')
    os.utime(utsrelease, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    assert ks("kernel", "add", "--build", second.build).status == 0
    one, other = kernel("6.1").release, "6.1.0-other"
    try:
        for name in (other, one, other):
            assert ks("build", "-C", hello, "-k", name).status == 0
            assert release_of(hello / "hello.ko") == name
        # Built by plain make in between: the .ko itself says for what.
        variables = toolchain(read_tree(first.build)).variables
        subprocess.run(["make", "-C", first.build, f"M={hello}", *variables, "clean", "modules"], check=True)
        assert release_of(hello / "hello.ko") == one
        assert ks("build", "-C", hello, "-k", other).status == 0
        assert release_of(hello / "hello.ko") == other
    finally:
        ks("kernel", "remove", other)


def test_a_tree_that_was_replaced_in_its_place(hello: Path, kernel, ks, tmp_path: Path):
    """A newer build of the same headers package: all its files are older than the objects."""
    tree = own_tree(kernel("6.1"), tmp_path / "tree")
    assert tree.build
    project = read_project(hello, tree)
    assert build(project, tree).ok
    assert build(project, tree).up_to_date
    for name in ("include/linux/printk.h", "include/generated/autoconf.h"):
        file = unlink_copy(tree.build / name)
        stat = file.stat()
        file.write_text(file.read_text() + "#define REPLACED 1\n")
        os.utime(file, ns=(stat.st_mtime_ns + 10**9, stat.st_mtime_ns + 10**9))
    before = (hello / "hello.o").stat().st_mtime_ns
    assert not build(project, tree).up_to_date
    assert (hello / "hello.o").stat().st_mtime_ns != before


def test_errors_and_warnings_have_their_place(hello: Path, kernel, ks):
    source = HELLO.replace("return 0;", "int unused;\n\treturn nothing;")
    (hello / "hello.c").write_text(source)
    ran = ks("build", "-C", hello, "-k", kernel("6.1").release, "--json")
    assert ran.status == 1
    assert (ran.json["ok"], ran.json["code"]) == (False, "KS140")
    assert "nothing" in ran.json["cause"]
    error = next(c for c in ran.json["complaints"] if c["level"] == "error")
    line = source.splitlines().index("\treturn nothing;") + 1
    assert (error["file"], error["line"]) == ("hello.c", line)
    assert "'nothing' undeclared" in error["text"]
    assert any(c["level"] == "warning" and "unused" in c["text"] for c in ran.json["complaints"])
    assert f"hello.c:{line}:" in ran.err
    for noise in ("CC [M]", "Error 1"):
        assert noise not in ran.err
        assert noise in Path(ran.json["log"]).read_text()
    (hello / "hello.c").write_text(HELLO.replace("return 0;", "int unused;\n\treturn 0;"))
    good = ks("build", "-C", hello, "-k", kernel("6.1").release)
    assert good.status == 0
    assert "hello.c:7:" in good.err and "warning: unused variable 'unused'" in good.err


def test_v_shows_make_s_own_output(hello: Path, kernel, ks):
    ran = ks("build", "-v", "-j", "1", "-C", hello, "-k", kernel("6.1").release)
    assert ran.status == 0
    for text in ("make -C ", f"M={hello}", "-j1 modules", "CC [M]", "Skipping BTF"):
        assert text in ran.err


def test_several_modules_and_module(tmp_path: Path, kernel, ks):
    write(
        tmp_path, Kbuild="obj-m := one.o sub/\n", one__c=HELLO, sub_0_Kbuild="obj-m := my-two.o\n",
        sub_0_my_1_two__c=HELLO,
    )  # fmt: skip
    release = kernel("6.1").release
    ran = ks("build", "-C", tmp_path, "-k", release, "--module", "my_two.ko", "--json")
    assert [m["name"] for m in ran.json["modules"]] == ["my-two"]
    assert ks("build", "-C", tmp_path, "-k", release, "--json").json["up_to_date"] is True
    wrong = ks("build", "-C", tmp_path, "-k", release, "--module", "three", "--json")
    assert (wrong.status, wrong.json["error"]["code"]) == (2, "KS109")
    assert "one, my-two" in wrong.json["error"]["cause"]


@pytest.mark.parametrize("verb", ["build", "load", "run", "sign", "package install"])
def test_a_module_that_is_not_there_is_said_before_anything_is_built(tmp_path, kernel, ks, verb):
    write(tmp_path, Kbuild="obj-m := one.o\n", one__c=HELLO)
    there = set(tmp_path.iterdir())
    ran = ks(*verb.split(), "-C", tmp_path, "-k", kernel("6.1").release, "--module", "tow.ko", "--json")
    assert (ran.status, ran.json["error"]["code"]) == (2, "KS109")
    assert ran.json["error"]["cause"] == "it builds one"
    assert set(tmp_path.iterdir()) == there


def test_a_compiler_that_is_not_there(hello: Path, kernel, ks, tmp_path: Path, monkeypatch):
    """5.10 names gcc-10; with no gcc at all the error names the package."""
    k = kernel("5.10")
    if not Path("/usr/bin/gcc-10").exists():
        ran = ks("build", "-C", hello, "-k", k.release)
        assert ran.status == 0
        assert "gcc-10, which the kernel names, is not installed: using gcc" in ran.err
    bare = tmp_path / "bin"
    bare.mkdir()
    (bare / "make").symlink_to(need_program("make", "make"))
    monkeypatch.setenv("PATH", str(bare))
    write(hello, hello__c=HELLO + "\n")
    ran = ks("build", "-C", hello, "-k", k.release, "--json")
    assert ran.status == 69
    assert ran.json["error"]["code"] in ("KS106", "KS526")
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = ks("build", "-C", hello, "-k", k.release, "--json")
    assert (ran.status, ran.json["error"]["code"]) == (69, "KS001")


def test_a_kernel_built_by_clang(hello: Path, kernel, ks, tmp_path: Path):
    if any((Path(p) / "clang").exists() for p in os.environ["PATH"].split(":")):
        pytest.skip("clang is installed here")
    k = own_tree(kernel("6.1"), tmp_path / "tree")
    assert k.build
    conf = unlink_copy(k.build / "include/config/auto.conf")
    conf.write_text(conf.read_text() + "CONFIG_CC_IS_CLANG=y\n")
    (utsrelease := unlink_copy(k.build / "include/generated/utsrelease.h")).write_text(
        '#define UTS_RELEASE "6.1.0-clang"\n'
    )
    assert utsrelease.exists()
    assert ks("kernel", "add", "--build", k.build).status == 0
    try:
        ran = ks("build", "-C", hello, "-k", "6.1.0-clang", "--json")
    finally:
        ks("kernel", "remove", "6.1.0-clang")
    assert (ran.status, ran.json["error"]["code"]) == (69, "KS106")
    assert "clang lld" in ran.json["error"]["fix"]


def process(*words: str | Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "kscaffold", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_at_once_are_both_right(hello: Path, kernel):
    releases = [kernel("6.1").release, kernel("5.10").release] * 2
    runs = [process("build", "-C", hello, "-k", r) for r in releases]
    for run in runs:
        _, err = run.communicate(timeout=120)
        assert run.returncode == 0, err
    assert release_of(hello / "hello.ko") in releases


HOLD = """
import sys, time
from pathlib import Path
from kscaffold.make.lock import project_lock
from kscaffold.progress import SILENT
with project_lock(Path(sys.argv[1]), SILENT):
    print("held", flush=True)
    time.sleep(600)
"""


def test_busy_names_the_other_process(hello: Path, kernel, ks, monkeypatch):
    monkeypatch.setattr("kscaffold.make.lock.PATIENCE", 0.2)
    release = kernel("6.1").release
    other = subprocess.Popen([sys.executable, "-c", HOLD, hello], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert other.stdout
    try:
        assert other.stdout.readline() == "held\n"
        ran = ks("build", "-C", hello, "-k", release, "--json")
        assert (ran.status, ran.json["error"]["code"]) == (69, "KS105")
        assert f"process {other.pid}" in ran.json["error"]["message"]
    finally:
        other.kill()
        other.wait()
    assert ks("build", "-C", hello, "-k", release).status == 0  # a killed process leaves no lock


def test_a_module_that_lists_itself_is_never_called_built(tmp_path: Path, kernel, ks):
    write(tmp_path, Kbuild="obj-m := hello.o\nhello-y := hello.o b.o\n", hello__c=HELLO, b__c="\n")
    for series in ("5.10", "6.1"):
        ran = ks("build", "-C", tmp_path, "-k", kernel(series).release, "--json")
        assert (ran.status, ran.json["code"]) == (1, "KS110")


def test_from_a_directory_below(hello: Path, kernel, ks, monkeypatch):
    (hello / "doc").mkdir()
    monkeypatch.chdir(hello / "doc")
    assert ks("build", "-k", kernel("6.1").release).status == 0
    assert (hello / "hello.ko").exists()


def test_environment_of_a_surrounding_make_changes_nothing(hello: Path, kernel, ks, monkeypatch):
    monkeypatch.setenv("MAKEFLAGS", "-n")
    monkeypatch.setenv("MAKELEVEL", "3")
    assert ks("build", "-C", hello, "-k", kernel("6.1").release).status == 0
    assert (hello / "hello.ko").exists()


def test_a_killed_build_leaves_no_make_behind(hello: Path, kernel, ks):
    """make outlives kscaffold for a while; the next build ends it before it begins."""
    write(hello, Kbuild="obj-m := hello.o\n$(obj)/hello.o: $(obj)/slow\n$(obj)/slow:\n\tsleep 30; touch $@\n")
    release = kernel("6.1").release
    run = process("build", "-C", hello, "-k", release)
    group = paths.project_state(hello) / "make.group"
    while not (group.exists() and group.read_text().strip()):
        assert run.poll() is None
        time.sleep(0.02)
    make = int(group.read_text().split()[0])
    run.kill()
    run.communicate()
    os.kill(make, 0)  # still there
    write(hello, Kbuild="obj-m := hello.o\n")
    assert ks("build", "-C", hello, "-k", release).status == 0
    assert release_of(hello / "hello.ko") == release
    stat = Path(f"/proc/{make}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"
    assert not group.exists()

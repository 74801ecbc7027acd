"""A compiler that needs a newer C library than this machine's: started by the loader that came with it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kscaffold.kernel import suite_toolchain
from kscaffold.kernel.buildtree import TOOLCHAIN, read_tree
from kscaffold.kernel.compiler import toolchain
from tests.conftest import REQUIRED
from tests.support.projects import HELLO, write


def test_a_program_is_started_by_the_libraries_beside_it_wherever_they_are(tmp_path: Path):
    made, shell = tmp_path / "made", shutil.which("sh")
    assert shell
    program = made / "usr/lib/linux-kbuild-7.2/scripts/mod/modpost"
    libraries = made / TOOLCHAIN / "usr/lib/any"
    for directory in (program.parent, libraries):
        directory.mkdir(parents=True)
    shutil.copy(Path(shell).resolve(), program)
    said = subprocess.run(["ldd", shell], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"/\S+", said):
        shutil.copy(library, libraries)
    suite_toolchain.start_by_own_loader(program, made)
    made.rename(tmp_path / "moved")
    script = tmp_path / "moved" / program.relative_to(made)
    words = [script, "-c", 'echo "$0"; tr "\\0" "\\n" </proc/$$/cmdline; echo "$1"', script, "a b"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    started_by, *_ = done.stdout.splitlines()[1:]
    assert Path(started_by).resolve().parent == tmp_path / "moved" / TOOLCHAIN / "usr/lib/any"
    assert done.stdout.splitlines()[0] == str(script) and done.stdout.endswith("\na b\n")


def test_make_is_given_the_compiler_beside_the_kernel(tmp_path: Path):
    build = tmp_path / "usr/src/linux-headers-7.2"
    build.mkdir(parents=True)
    before = toolchain(read_tree(build, "x86_64"))
    programs = tmp_path / TOOLCHAIN / "usr/bin"
    write(programs, **{"x86_64_1_linux_1_gnu_1_gcc_1_16": "", "x86_64_1_linux_1_gnu_1_ld": ""})
    words = toolchain(read_tree(build, "x86_64")).variables
    assert not any(word.startswith("LD=") for word in before.variables)
    assert f"CC={programs}/x86_64-linux-gnu-gcc-16" in words and f"LD={programs}/x86_64-linux-gnu-ld" in words


@pytest.mark.sandbox
def test_the_newest_kernel_is_built_for_and_boots(tmp_path: Path, ks, monkeypatch):
    if "newer" not in REQUIRED:
        pytest.skip("100 MB of sid: KSCAFFOLD_REQUIRE=newer")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    ran = ks("kernel", "add", "--suite", "sid", "--json")
    assert ran.status == 0 and "warning" not in ran.err
    release = ran.json["kernel"]["release"]
    write(tmp_path / "p", Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    for options in ((), ("--sanitize",), ("--coverage",), ("--faults",)):
        ran = ks("run", *options, "-C", tmp_path / "p", "-k", release)
        assert ran.status == 0 and f"loaded and unloaded ({release})" in ran.err, ran.err

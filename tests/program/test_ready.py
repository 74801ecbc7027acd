"""A user's program made ready: read against what readelf and ldd say of the same files."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kscaffold.arch import table
from kscaffold.elf.dynamic import read_dynamic
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.program.libraries import libraries_of
from kscaffold.program.ready import copied, ready
from tests.conftest import missing, need_program
from tests.support.worlds import World

PROGRAMS = [name for name in ("bash", "git", "make", "gcc", "ls", "python3") if shutil.which(name)]


def compiled(directory: Path, *words: str, source: str = "int main(void) { return 0; }") -> Path:
    need_program("gcc", "gcc")
    (directory / "p.c").write_text(source)
    subprocess.run(["gcc", "-o", directory / "p", directory / "p.c", *words], check=True)
    return directory / "p"


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_dynamic_part_is_what_readelf_says(name):
    need_program("readelf", "binutils")
    path = Path(shutil.which(name) or name).resolve()
    found = read_dynamic(path.read_bytes())
    said = subprocess.run(["readelf", "-dlW", path], capture_output=True, text=True, check=True).stdout
    assert found is not None
    assert list(found.needed) == re.findall(r"\(NEEDED\).*\[(.*)\]", said)
    assert [found.interpreter] == re.findall(r"interpreter: (.*)\]", said)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_libraries_are_those_that_ldd_finds(name):
    need_program("ldd", "libc-bin")
    path = Path(shutil.which(name) or name)
    found = libraries_of(path, path.read_bytes(), table.host())
    said = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    wanted = {Path(m).resolve() for m in re.findall(r"(/\S+) \(0x", said)}
    mine = {one.file.resolve() for one in found}
    assert wanted <= mine
    assert {file.name for file in mine - wanted} <= {"libgcc_s.so.1"}
    assert found[0].place == Path(read_dynamic(path.read_bytes()).interpreter)


def test_a_static_program_needs_nothing(tmp_path):
    path = compiled(tmp_path, "-static")
    assert libraries_of(path, path.read_bytes(), table.host()) == []
    program = ready("./p", tmp_path, table.host())
    assert program.path == str(path) and [f.place for f in program.files] == [str(path)]


def test_a_library_beside_the_program_is_found_by_its_runpath(tmp_path):
    need_program("gcc", "gcc")
    (tmp_path / "own.c").write_text("int own(void) { return 3; }")
    (tmp_path / "lib").mkdir()
    own = tmp_path / "lib/libown.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", own, tmp_path / "own.c"], check=True)
    words = (f"-L{tmp_path}/lib", "-lown", "-Wl,-rpath,$ORIGIN/lib")
    compiled(tmp_path, *words, source="int own(void); int main(void) { return own(); }")
    program = ready("./p", tmp_path, table.host())
    assert str(own) in [f.place for f in program.files]
    assert str(own.parent) in program.library_path
    own.unlink()
    with pytest.raises(KscaffoldError) as error:
        ready("./p", tmp_path, table.host())
    assert error.value.code == "KS640" and "libown.so" in error.value.what


def test_a_library_in_ld_library_path_comes_before_the_usual_ones(tmp_path, monkeypatch):
    need_program("gcc", "gcc")
    (tmp_path / "own.c").write_text("int own(void) { return 3; }")
    for place in ("told", "usual"):
        (tmp_path / place).mkdir()
        own = tmp_path / place / "libown.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", own, tmp_path / "own.c"], check=True)
    words = (f"-L{tmp_path}/told", "-lown", f"-Wl,--enable-new-dtags,-rpath,{tmp_path}/usual")
    path = compiled(tmp_path, *words, source="int own(void); int main(void) { return own(); }")
    for place in ("usual", "told"):
        said = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        (library,) = (one for one in ready("./p", tmp_path, table.host()).files if "libown" in one.place)
        assert library.place == f"{tmp_path}/{place}/libown.so"
        assert library.place in said  # as the dynamic loader finds it
        monkeypatch.setenv("LD_LIBRARY_PATH", f":{tmp_path}/told")


def test_what_is_no_elf_file_has_no_dynamic_part():
    assert read_dynamic(b"") is None
    assert read_dynamic(b"\x7fELF") is None
    content = Path(shutil.which("ls") or "/bin/ls").read_bytes()
    for size in (20, 64, 100, 500):  # cut off: no answer, and no exception
        read_dynamic(content[:size])


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ("#!/usr/bin/env python3\n", "KS645"),
        ("#!/usr/bin/perl\n", "KS645"),
        ("#!\n", "KS641"),
        ("#!/no/such/interpreter\n", "KS641"),
        ("text\n", "KS641"),
        ("", "KS641"),
    ],
)
def test_a_script_that_can_not_run(tmp_path, first, code):
    (tmp_path / "s").write_text(first)
    with pytest.raises(KscaffoldError) as error:
        ready("./s", tmp_path, table.host())
    assert error.value.code == code


def test_a_shells_script_is_busyboxs(tmp_path):
    (tmp_path / "s").write_text("#!/bin/sh\n")
    program = ready("./s", tmp_path, table.host())
    assert program.busybox and [f.place for f in program.files] == [str(tmp_path / "s")]


def test_an_interpreter_with_a_library_of_files_is_refused(tmp_path):
    need_program("python3", "python3")
    with pytest.raises(KscaffoldError) as error:
        ready("python3", tmp_path, table.host())
    assert error.value.code == "KS645"


@pytest.mark.parametrize("word", ["sh", "/bin/sh"])
def test_a_shell_is_busyboxs(tmp_path, word):
    program = ready(word, tmp_path, table.host())
    assert program.busybox and program.files == ()


@pytest.mark.parametrize("words", [(), ("-static",)])
def test_who_starts_others_by_name_may_want_busyboxs_commands(tmp_path, words):
    for call, starts in (("system(0)", True), ("execlp(0, 0)", True), ("puts(0)", False)):
        source = "int puts(), system(), execlp(); int main(void) { return CALL; }"
        compiled(tmp_path, "-w", *words, source=source.replace("CALL", call))
        assert ready("./p", tmp_path, table.host()).commands is starts
        (tmp_path / "q.c").write_text((tmp_path / "p.c").read_text())
        assert ready("q.c", tmp_path, table.host()).commands is starts
    need_program("bash", "bash")
    assert ready("bash", tmp_path, table.host()).commands


def test_a_script_of_bash_brings_bash(tmp_path):
    need_program("bash", "bash")
    (tmp_path / "s").write_text("#!/bin/bash\n")
    program = ready("./s", tmp_path, table.host())
    assert "/bin/bash" in [f.place for f in program.files]
    assert program.path == str(tmp_path / "s")


def test_a_source_is_compiled_and_its_errors_are_told(tmp_path):
    need_program("gcc", "gcc")
    (tmp_path / "p.c").write_text("int main(void) { return 0; }")
    program = ready("p.c", tmp_path, table.host())
    assert program.path == str(tmp_path / "p") and program.files[0].content[:4] == b"\x7fELF"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.c"]
    (tmp_path / "p.c").write_text("int main(void) { return nothing; }")
    with pytest.raises(KscaffoldError) as error:
        ready("p.c", tmp_path, table.host())
    assert error.value.code == "KS643" and "nothing" in (error.value.cause or "")


def test_a_program_of_another_machine(tmp_path):
    compiled(tmp_path, "-static")
    with pytest.raises(KscaffoldError) as error:
        ready("./p", tmp_path, table.by_uname("aarch64"))
    assert error.value.code == "KS642"


def test_a_source_is_compiled_for_the_guests_machine(tmp_path):
    need_program("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")
    if not Path("/usr/aarch64-linux-gnu/lib/libc.a").exists():
        missing("libc6-dev-arm64-cross", "apt-get install libc6-dev-arm64-cross")
    (tmp_path / "p.c").write_text("int main(void) { return 0; }")
    content = ready("p.c", tmp_path, table.by_uname("aarch64")).files[0].content
    assert content[18] == 183  # EM_AARCH64


@pytest.mark.parametrize(
    ("said", "package"),
    [
        ("/usr/bin/ld: cannot find -lc: No such file or directory", "libc6-dev-s390x-cross"),
        ("p.c:1:10: fatal error: stdio.h: No such file or directory", "libc6-dev-s390x-cross"),
        ("features-time64.h:20:10: fatal error: bits/wordsize.h: No such file", "libc6-dev-s390x-cross"),
        ("p.c:1:10: fatal error: mine.h: No such file or directory", None),
    ],
)
def test_what_mends_a_source_that_is_not_compiled(tmp_path, monkeypatch, said, package):
    (tmp_path / "p.c").write_text("int main(void) { return 0; }")
    gcc = tmp_path / "bin/s390x-linux-gnu-gcc"
    gcc.parent.mkdir()
    gcc.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    gcc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{gcc.parent}:{os.environ['PATH']}")
    with pytest.raises(KscaffoldError) as error:
        ready("p.c", tmp_path, table.by_uname("s390x"))
    assert error.value.code == "KS643" and said in (error.value.cause or "")
    fix = error.value.fix or ""
    assert fix.endswith(package) if package else "s390x-linux-gnu-gcc" in fix


def test_where_copies_go(tmp_path):
    (tmp_path / "a:b").write_bytes(b"1")
    (tmp_path / "data").write_bytes(b"2")
    places = {
        "data": f"{tmp_path}/data",
        "a:b": f"{tmp_path}/a:b",
        "data:x": f"{tmp_path}/x",
        "data:/x/": "/x/data",
        "data:/y": "/y",
    }
    assert {word: copied([word], tmp_path)[0].place for word in places} == places
    with pytest.raises(UsageError) as error:
        copied(["none"], tmp_path)
    assert error.value.code == "KS644"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("./none",), "KS641"),
        (("none.c",), "KS641"),
        (("./text",), "KS641"),
        (("python3",), "KS645"),
        (("--copy", "none", "--", "sh"), "KS644"),
        (("--firmware", "none", "--", "sh"), "KS646"),
    ],
)
def test_no_sandbox_is_started_for_what_can_not_run(ks, tmp_path, monkeypatch, words, code):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    World().stored()
    (tmp_path / "text").write_text("text\n")
    monkeypatch.chdir(tmp_path)
    ran = ks("exec", "--offline", *words)
    assert f"error[{code}]" in ran.err and "one starts" not in ran.err, ran.err
    assert ran.status == (69 if code == "KS645" else 2)

"""`check` and `info` as a user runs them."""

import gzip
import json
import lzma
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kscaffold.kernel import store
from tests.conftest import ROOT, need_program
from tests.support.elf import Ko, Section, of
from tests.support.worlds import CONFIG, RELEASE, World

KEYS = {
    "arch",
    "module", "path", "kernel", "init", "exit", "license", "vermagic", "parameters", "depends", "imports",
    "exports", "signed", "signature", "prediction", "findings",
}  # fmt: skip
ENVELOPE = {"schema", "command", "ok"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """world(World(...)): a kernel that is the only one in the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(world: World | None = None):
        return (world or World()).stored()

    return make


@pytest.fixture
def no_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    if store.known():
        pytest.skip("this machine's own kernel is at hand; mend it with: a container without /lib/modules")


def write(directory: Path, ko: Ko, name: str | None = None) -> Path:
    path = directory / f"{name or ko.name}.ko"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ko.bytes())
    return path


def test_a_good_module(ks, world, tmp_path: Path):
    world()
    path = write(tmp_path, Ko(parameters={"howmany": "int"}))
    ran = ks("check", path)
    assert ran.status == 0
    for text in ("hello_init in .init.text", "hello_exit in .exit.text", "GPL", f"{RELEASE} will take it"):
        assert text in ran.out
    assert "parameter   howmany (int): about howmany" in ran.out
    assert ran.err == ""


def test_the_document(ks, world, tmp_path: Path):
    world()
    path = write(tmp_path, Ko("ret_1", parameters={"n": "int"}, exports={"x": ""}, depends="a"), "ret-1")
    document = ks("check", path, "--json").json
    assert set(document) == KEYS | ENVELOPE
    assert document["ok"] is True and document["command"] == "check"
    assert document["module"] == "ret_1" and document["path"] == str(path)
    assert document["init"] == {"symbol": "hello_init", "section": ".init.text"}
    assert document["exit"] == {"symbol": "hello_exit", "section": ".exit.text"}
    assert document["parameters"] == [{"name": "n", "type": "int", "description": "about n"}]
    assert (
        document["depends"] == ["a"] and document["imports"] == ["_printk"] and document["exports"] == ["x"]
    )
    assert document["signed"] is False
    assert document["prediction"] == {"loads": True, "stage": None, "errno": None}
    assert document["findings"] == []


def test_what_the_kernel_is_started_with(ks, world, tmp_path: Path):
    world()
    path = write(tmp_path, Ko())
    ran = ks("check", path, "--cmdline", "quiet initcall_blacklist=hello_init", "--json")
    assert ran.status == 1
    assert ran.json["prediction"] == {"loads": False, "stage": "init", "errno": "EPERM"}
    said = ks("check", path, write(tmp_path, Ko("other")), "--cmdline", "module_blacklist=other")
    assert said.status == 1 and "module_blacklist=other" in said.out
    assert "hello.ko" in said.out and "will take it" in said.out


def test_several_are_one_document(ks, world, tmp_path: Path):
    world()
    paths = [write(tmp_path, Ko("a")), write(tmp_path, Ko("b", init=None))]
    ran = ks("check", *paths, "--json")
    assert ran.status == 1
    assert set(ran.json) == {*ENVELOPE, "modules"} and ran.json["ok"] is False
    assert [m["module"] for m in ran.json["modules"]] == ["a", "b"]
    assert all(set(m) == KEYS for m in ran.json["modules"])


@pytest.mark.parametrize(
    ("content", "code", "stage"),
    [
        (b"", "KS403", "copy"),
        (b"#!/bin/sh\n", "KS404", "elf"),
        (Ko().bytes()[:500], "KS405", "elf"),
        (Ko(this_module=False).bytes(), "KS409", "elf"),
        (Ko(symbols=False).bytes(), "KS410", "elf"),
        (Ko(machine=183).bytes(), "KS407", "elf"),
    ],
)
def test_a_damaged_file_is_an_answer(ks, world, tmp_path: Path, content: bytes, code: str, stage: str):
    world()
    path = tmp_path / "hello.ko"
    path.write_bytes(content)
    ran = ks("check", path, "--json")
    assert ran.status == 1 and set(ran.json) == KEYS | ENVELOPE
    assert ran.json["ok"] is False
    (finding,) = ran.json["findings"]
    assert set(finding) == {"code", "level", "stage", "message", "fix"}
    assert (finding["code"], finding["level"], finding["stage"]) == (code, "error", stage)
    assert finding["fix"] and ("--arch arm64" in finding["fix"]) == (code == "KS407")
    assert ran.json["prediction"]["loads"] is False and ran.json["prediction"]["stage"] == stage
    said = ks("check", path)
    assert said.status == 1 and f"error[{code}]" in said.out and "fix:" in said.out


def test_without_a_kernel_the_file_still_answers(ks, no_kernel, tmp_path: Path):
    path = write(tmp_path, Ko())
    ran = ks("check", path, "--json")
    assert ran.status == 0
    assert ran.json["kernel"] is None
    assert ran.json["prediction"] == {"loads": None, "stage": None, "errno": None}
    assert "no kernel is at hand" in ks("check", path).out
    assert ks("check", write(tmp_path, of("arm")), "--json").json["findings"][0]["code"] == "KS407"


def test_no_init_is_an_error_and_no_exit_a_warning(ks, world, tmp_path: Path):
    world()
    ran = ks("check", write(tmp_path, Ko(init=None)), "--json")
    assert ran.status == 1
    assert [(f["code"], f["level"]) for f in ran.json["findings"]] == [("KS413", "error")]
    assert ran.json["init"] is None
    assert ran.json["prediction"]["loads"] is True  # the kernel does not mind
    ran = ks("check", write(tmp_path, Ko(exit=None)), "--json")
    assert ran.status == 0
    assert [(f["code"], f["level"]) for f in ran.json["findings"]] == [("KS414", "warn")]


def test_a_library_needs_no_init(ks, world, tmp_path: Path):
    world()
    assert ks("check", write(tmp_path, Ko(init=None, exports={"x": ""}))).status == 0


def test_a_compressed_module_is_told_by_what_is_to_unpack_it(ks, world, tmp_path: Path):
    world(World(config={*CONFIG, "MODULE_DECOMPRESS"}))
    plain = Ko().bytes()
    for name, packed, code, fix in (
        ("hello.ko.gz", gzip.compress(plain), "KS450", "gunzip"),
        ("hello.ko.xz", lzma.compress(plain, check=lzma.CHECK_CRC64), "KS451", "--check=crc32"),
        ("hello.ko.xz", lzma.compress(plain, check=lzma.CHECK_CRC32), None, ""),
    ):
        (tmp_path / name).write_bytes(packed)
        ran = ks("check", tmp_path / name)
        assert ran.status == 0
        assert re.findall(r"\[(KS45\d)\]", ran.out + ran.err) == ([code] if code else [])
        assert fix in ran.out + ran.err


@pytest.mark.parametrize("option", [True, False])
def test_kunit_tests_need_a_kernel_with_kunit(ks, world, tmp_path: Path, option: bool):
    world(World(config={*CONFIG, *(["KUNIT"] if option else [])}))
    suites = [Section(".kunit_test_suites", bytes(8))]
    for name, sections in (("suite", suites), ("plain", [])):
        ran = ks("check", write(tmp_path, Ko(name, sections=sections)))
        assert ran.status == 0
        told = "no KUnit test of the module can run there" in ran.out + ran.err
        assert told == ("[KS452]" in ran.out + ran.err) == (name == "suite" and not option)


def test_what_dkms_left_unsigned_is_seen(ks, world, tmp_path: Path):
    """dkms without openssl says "done." of a module without a signature."""
    world()
    path = write(tmp_path / "updates/dkms", Ko())
    assert "signature   none" in ks("check", path).out
    assert ks("check", path, "--json").json["signed"] is False
    page = (ROOT / "docs/signatures.md").read_text()
    assert "where openssl is not installed" in page and "kscaffold check /lib/modules/" in page


def test_values_on_the_command_line(ks, world, tmp_path: Path):
    world()
    path = write(tmp_path, Ko(parameters={"howmany": "int"}))
    assert ks("check", path, "howmany=3").status == 0
    ran = ks("check", path, "howmany=many", "--json")
    assert ran.status == 1
    assert ran.json["prediction"] == {"loads": False, "stage": "parameters", "errno": "EINVAL"}
    # A value arrives as the shell gave it, or not at all.
    path = write(tmp_path, Ko(parameters={"word": "string"}, limits={"word": 6}))
    assert ks("check", path, "word=a b c").status == 0
    assert ks("check", path, 'word="a b"').status == 2
    assert ks("check", path, "word=a b c d").status == 1


def test_a_stricter_kernel(ks, world, tmp_path: Path):
    world(World(since_6_4=True))
    ran = ks("check", write(tmp_path, Ko(struct_size=960)), "--json")
    assert ran.json["prediction"] == {"loads": False, "stage": "elf", "errno": "ENOEXEC"}


def test_what_is_not_there_is_a_usage_error(ks, world, tmp_path: Path):
    world()
    (tmp_path / "empty").mkdir()
    for argument in (tmp_path / "no.ko", tmp_path / "empty"):
        ran = ks("check", argument, "--json")
        assert ran.status == 2
        assert ran.json["error"]["code"] in ("KS401", "KS419") and ran.json["error"]["fix"]
    assert ks("info", tmp_path / "no.ko").status == 2


def test_what_cannot_be_read_is_no_answer(ks, world, tmp_path: Path):
    world()
    os.mkfifo(tmp_path / "x.ko")
    ran = ks("check", tmp_path / "x.ko", "--json")
    assert ran.status == 69 and ran.json["error"]["code"] == "KS402"
    # Beside others it is told as one of them.
    ran = ks("check", tmp_path / "x.ko", write(tmp_path, Ko()), "--json")
    assert ran.status == 1 and [m["module"] for m in ran.json["modules"]] == [None, "hello"]


def test_a_directory_of_many(ks, world, tmp_path: Path):
    world()
    for number in range(60):  # enough for several processes
        write(tmp_path / "d" / str(number % 3), Ko(f"m{number}"))
    (tmp_path / "d/0/m0.ko").write_bytes(b"no")
    (tmp_path / "d/readme").write_text("no module")
    ran = ks("check", tmp_path / "d")
    assert ran.status == 1
    assert ran.out.splitlines()[-1] == "60 modules checked, 1 with errors"
    assert "m0.ko" in ran.out and "m1.ko" not in ran.out
    document = ks("check", tmp_path / "d", "--json").json
    assert [m["path"] for m in document["modules"]] == sorted(m["path"] for m in document["modules"])


def test_a_renamed_file_is_only_a_warning(ks, world, tmp_path: Path):
    world()
    ran = ks("check", write(tmp_path, Ko(), "other"), "--json")
    assert ran.status == 0 and [f["code"] for f in ran.json["findings"]] == ["KS412"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    need_program("make", "make")
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "Kbuild").write_text("obj-m := own-name.o\nown-name-objs := ret-1.o\n")
    (directory / "ret-1.c").write_text("")
    return directory


def test_a_project(ks, world, project: Path):
    world()
    ran = ks("check", "-C", project, "--json")
    assert ran.status == 69 and ran.json["error"]["code"] == "KS418"
    assert ran.json["error"]["fix"] == f"kscaffold build -C {project}"
    write(project, Ko("own_name"), "own-name")
    ran = ks("check", "-C", project, "--json")
    assert (ran.status, ran.json["module"], ran.json["findings"]) == (0, "own_name", [])
    assert ks("check", "-C", project, "--module", "own_name").status == 0
    assert ks("check", "-C", project, "--module", "other").status == 2
    assert ks("info", "-C", project).out.startswith("filename:")


def test_a_project_must_make_what_it_says(ks, world, project: Path):
    world()
    write(project, Ko("other"), "own-name")
    ran = ks("check", "-C", project, "--json")
    assert ran.status == 1
    (finding,) = ran.json["findings"]
    assert (finding["code"], finding["level"]) == ("KS412", "error")


def test_a_ko_given_never_runs_make(ks, world, project: Path, monkeypatch: pytest.MonkeyPatch):
    world()
    path = write(project, Ko("own_name"), "own-name")
    trap = project / "bin"
    trap.mkdir()
    for name in ("make", "gcc", "sh"):
        (trap / name).write_text("#!/bin/true\n")
        (trap / name).chmod(0o755)
    log = project / "ran"
    (trap / "make").write_text(f"#!/bin/sh\necho ran > {log}\n")
    monkeypatch.setenv("PATH", str(trap))
    monkeypatch.chdir(project)
    assert ks("check", path).status == 0
    assert ks("info", path).status == 0
    assert not log.exists()


def test_info_is_what_modinfo_says(ks, world, tmp_path: Path):
    world()
    path = write(tmp_path, Ko(info=[("description", "Grüße, \x1b[31mrot"), ("version", "1.0")]))
    ran = ks("info", path)
    assert ran.status == 0
    assert "description:    Grüße, \\x1b[31mrot" in ran.out
    assert "\x1b" not in ran.out
    document = ks("info", path, "--json").json
    assert {"key": "version", "value": "1.0"} in document["modinfo"]
    assert set(document) == ENVELOPE | {
        "module", "path", "architecture", "size", "compression", "signed", "modinfo", "imports", "exports",
        "sections",
    }  # fmt: skip
    modinfo = shutil.which("modinfo") or shutil.which("modinfo", path="/usr/sbin:/sbin")
    if modinfo is None:
        return
    said = os.popen(f"{modinfo} -F version {path}").read()
    assert said == "1.0\n"


@pytest.mark.kernel
@pytest.mark.parametrize("version", ["5.10", "6.1", "6.12"])
def test_info_is_modinfo_s_own_output(ks, kernel, version):
    """Parameters put together, the signature read, all in its order. Some texts have a newline."""
    modules = kernel(version).modules
    assert modules
    modinfo = shutil.which("modinfo", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert modinfo or need_program("modinfo", "kmod")
    some = sorted(p for p in (modules / "kernel").rglob("*.ko*"))[::40]
    said = "\n".join(subprocess.run([modinfo, p], capture_output=True, text=True).stdout for p in some)
    told = re.sub(r"^signed: .*\n", "", ks("info", *some).out, flags=re.M)
    assert len(some) > 20 and "parm:" in said and "sig_hashalgo:" in said
    assert told == said


def test_info_of_parameters_in_part(ks, world, tmp_path: Path):
    world()
    texts = [
        ("parmtype", "a:int"),
        ("parm", "b:what: it is"),
        ("parm", "c"),
        ("parmtype", "d:charp"),
        ("parm", "d:x"),
    ]
    told = ks("info", write(tmp_path, Ko(info=texts))).out
    assert re.findall(r"parm: +(.*)", told) == ["d:x (charp)", "c:", "b:what: it is", "a:int"]
    assert "parmtype" not in told


def test_info_of_many_goes_on_after_one_that_is_none(ks, world, tmp_path: Path):
    world()
    paths = [write(tmp_path, Ko("a")), tmp_path / "b.ko", write(tmp_path, Ko("c"))]
    paths[1].write_bytes(b"")
    ran = ks("info", *paths)
    assert ran.status == 1 and "b.ko is empty" in ran.err
    assert re.findall("^filename: +(.*)", ran.out, re.M) == [str(paths[0]), str(paths[2])]
    document = ks("info", *paths, "--json").json
    assert (document["ok"], [m["module"] for m in document["modules"]]) == (False, ["a", "c"])
    assert ks("info", paths[1], "--json").json["error"]["code"] == "KS403"


def test_text_that_is_no_text(ks, world, tmp_path: Path):
    world()
    path = tmp_path / "hello.ko"
    path.write_bytes(Ko().bytes().replace(b"license=GPL", b"license=\xff\xfe\n"))
    ran = ks("check", path, "--json")
    assert ran.json["license"] == "\\xff\\xfe\n"
    json.dumps(ran.json)
    assert ks("check", path).status == 0


@pytest.mark.kernel
def test_a_module_that_was_really_built(ks, kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own = kernel("6.1")
    monkeypatch.chdir(tmp_path)
    assert ks("new", "ownname", "--objs", "ret-1").status == 0
    project = tmp_path / "ownname"
    assert ks("build", "-C", project, "--kernel", own.release).status == 0
    ran = ks("check", "-C", project, "--kernel", own.release, "--json")
    assert ran.status == 0
    assert ran.json["module"] == "ownname" and ran.json["findings"] == []
    assert ran.json["init"]["section"] == ".init.text"
    assert ran.json["prediction"]["loads"] is True
    assert ran.json["vermagic"].startswith(own.release)
    # The object beside it is not the module.
    assert ks("check", project / "ownname.o", "--json").json["findings"][0]["code"] == "KS409"

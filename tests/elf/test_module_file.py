"""A .ko is opened once in a command, and its parameters are joined and split once."""

import gzip
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from kscaffold.elf import kofile, quick
from kscaffold.elf.model import DamagedModule
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.module.arguments import NO_PARAMETERS, Parameters
from tests.conftest import ROOT
from tests.support.elf import Ko
from tests.support.kernels import need_kernel
from tests.support.projects import HELLO, write


def test_it_says_what_the_readers_of_paths_say(tmp_path: Path):
    path = tmp_path / "some-file.ko"
    path.write_bytes(Ko("hello", info=[("depends", "a,b-c")]).bytes())
    ko = ModuleFile.open(path)
    path.unlink()  # all that is asked is asked of the bytes that were read
    assert (ko.name, ko.module, ko.is_signed) == ("some-file.ko", "hello", False)
    assert quick.depends(ko) == ("a", "b_c")
    assert ko.kofile() is ko.kofile() and ko.kofile().name == "hello"
    path.write_bytes(ko.raw)
    assert kofile.read_ko(path) == ko.kofile()
    assert kofile.symbol_section(path, "init_module") == ko.place("init_module") != None  # noqa: E711
    assert ko.place("nothing") is None


def test_a_compressed_one_is_unpacked_and_a_broken_one_says_so(tmp_path: Path):
    raw = Ko("hello").bytes() + quick.SIGNED
    path = tmp_path / "hello.ko.gz"
    path.write_bytes(gzip.compress(raw))
    ko = ModuleFile.open(path)
    assert (ko.read_bytes(), ko.module, ko.kofile().compression) == (raw, "hello", "gzip")
    path.write_bytes(gzip.compress(raw)[:-20])
    broken = ModuleFile.open(path)
    assert broken.module == "hello"  # of the file's name
    with pytest.raises(DamagedModule, match="decompressed") as caught:
        broken.read_bytes()
    assert (caught.value.code, caught.value.stage, caught.value.errno) == ("KS411", "elf", "ENOEXEC")


def test_no_file_an_empty_one_and_one_that_is_none(tmp_path: Path):
    with pytest.raises(KscaffoldError, match="there is no") as caught:
        ModuleFile.open(tmp_path / "none.ko")
    assert caught.value.code == "KS401"
    (tmp_path / "empty.ko").touch()
    empty = ModuleFile.open(tmp_path / "empty.ko")
    assert (empty.read_bytes(), empty.module) == (b"", "empty")  # the kernel is asked, and says EINVAL
    with pytest.raises(DamagedModule, match="is empty"):
        empty.kofile()
    os.mkfifo(tmp_path / "pipe.ko")
    with pytest.raises(KscaffoldError, match="can't be read") as caught:
        ModuleFile.open(tmp_path / "pipe.ko")
    assert caught.value.code == "KS402"


def test_a_copy_keeps_its_home_in_another_process(tmp_path: Path):
    path = tmp_path / "copy.ko"
    path.write_bytes(Ko("hello").bytes())
    there = pickle.loads(pickle.dumps(ModuleFile.open(path, tmp_path / "project")))
    assert (there.path, there.home, there.module) == (path, tmp_path / "project", "hello")
    assert pickle.loads(pickle.dumps(ModuleFile.open(path))).home == tmp_path


def test_parameters_are_a_string_and_its_words():
    given = Parameters.from_arguments(["n=1", "whom=a b", 'x=end"'])
    assert (given.text, given.words) == ('n=1 whom="a b" x=end"', ("n=1", 'whom="a b"', 'x=end"'))
    assert given.and_more("") is given and not NO_PARAMETERS and given
    more = Parameters.parse("n=1").and_more('m="2 3"')
    assert (str(more), more.words) == ('n=1 m="2 3"', ("n=1", 'm="2 3"'))
    assert NO_PARAMETERS.and_more("n=1") == Parameters.parse("n=1")


_COUNT = """
import json, os, sys
opened = []
def hear(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        opened.append(os.fsdecode(arguments[0]))
sys.addaudithook(hear)
import kscaffold.cli.app as app
status = app.main(sys.argv[1:])
json.dump([os.path.abspath(o) for o in opened if o.endswith(".ko")], open("../opened.json", "w"))
sys.exit(status)
"""


def opened_by(here: Path, *words: str) -> list[str]:
    """The .ko files of the project that a command opened in its own process, each as often as it did. A
    prediction looks at one of the kernel's own, too.
    """
    done = subprocess.run(
        [sys.executable, "-c", _COUNT, *words],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    opened = [Path(o) for o in json.loads((here.parent / "opened.json").read_text())]
    return [o.name for o in opened if o.parent == here]


@pytest.mark.sandbox
@pytest.mark.parametrize("more", [[], ["-p", "", "-p", ""], ["--html", "../page.html"]])
def test_a_run_opens_the_module_once(ks, tmp_path: Path, more: list[str]):
    assert ks("kernel", "default", need_kernel("6.1").release).status == 0
    here = tmp_path / "project"  # a new file in it would make kscaffold ask make, and look at what is built
    here.mkdir()
    write(here, Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    assert ks("build", "-C", here).status == 0
    assert opened_by(here, "run", *more) == ["hello.ko"]
    assert opened_by(here, "run", *more) == ["hello.ko"]  # with a prediction that is remembered
    assert opened_by(here, "explain", "load") == ["hello.ko"]

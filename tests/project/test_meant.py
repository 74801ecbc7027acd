"""A .ko, a module's name, a project's directory and -C mean the same in every verb."""

import json
from pathlib import Path

from kscaffold.project.meant import Meant, files_meant, meant
from tests.support.kernels import need_kernel
from tests.support.projects import HELLO, write


def test_what_words_mean(tmp_path: Path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project/Kbuild").write_text("obj-m := a.o\n")
    (tmp_path / "built").mkdir()
    (tmp_path / "a.ko").touch()
    for words, module, expected, files in (
        ([], None, Meant(tmp_path, None, ()), ()),
        (["a.ko"], None, Meant(tmp_path, None, (tmp_path / "a.ko",)), (tmp_path / "a.ko",)),
        (["a.ko", "b.ko"], None, Meant(tmp_path, None, (tmp_path / "a.ko", tmp_path / "b.ko")), None),
        (["project"], None, Meant(tmp_path / "project", None, ()), ()),
        (["project"], "a", Meant(tmp_path / "project", "a", ()), ()),
        (["built"], None, Meant(tmp_path / "built", None, ()), (tmp_path / "built",)),
        (["name"], None, Meant(tmp_path, "name", ()), ()),
        (["gone.ko"], None, Meant(tmp_path, None, (tmp_path / "gone.ko",)), None),
    ):
        found = meant(words, tmp_path, module)
        assert found == expected, words
        assert files_meant(words, found) == (expected.files if files is None else files), words


def test_every_verb_takes_each_of_them(ks, tmp_path: Path, monkeypatch):
    release = need_kernel("6.1").release
    write(tmp_path / "hello", Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    monkeypatch.chdir(tmp_path)
    ways = (
        ["hello"],
        ["-C", "hello"],
        ["-C", "hello", "hello"],
        ["-C", "hello", "hello.ko"],
        ["hello/hello.ko"],
    )
    for way in ways:
        done = ks("build", *way, "-k", release, "--json")
        assert done.status == 0, (way, done.err)
        assert [m["name"] for m in json.loads(done.out)["modules"]] == ["hello"]
    for verb, name in (("check", "module"), ("info", "module"), ("sign", "modules")):
        for way in ways:
            done = ks(verb, *way, "-k", release, "--json")
            assert done.status == 0, (verb, way, done.err)
            found = json.loads(done.out)[name]
            assert (found if verb != "sign" else found[0]["module"]) == "hello", (verb, way)
    for way in ways:  # nothing is loaded, and each way that is told of hello
        done = ks("unload", *way, "--json")
        assert done.status == 1 and json.loads(done.out)["module"] == "hello", (way, done)

"""The examples do in a sandbox what their READMEs say."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import need_program
from tests.examples.test_build import EXAMPLES, facts, without_build_products
from tests.support.kernels import need_kernel

pytestmark = pytest.mark.sandbox


@pytest.fixture
def example(ks, tmp_path: Path):
    """example("hello"): a copy of one, for 6.1."""
    need_program("qemu-system-x86_64", "qemu-system-x86")
    assert ks("kernel", "default", need_kernel("6.1").release).status == 0

    def copy(name: str) -> Path:
        for file in without_build_products(EXAMPLES / name):
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(EXAMPLES / name / file, tmp_path / name / file)
        return tmp_path / name

    return copy


def said(document: dict, module: str) -> list[str]:
    """The lines of a log that are the module's own, without what every unsigned module is told."""
    own = [r["text"] for r in document["log"] if r["text"].startswith(f"{module}: ")]
    return [text for text in own if "taint" not in text]


@pytest.mark.parametrize("name", ["hello", "ownname", "ret-1", "params"])
def test_an_example_is_what_its_readme_says(ks, example, name: str):
    told = facts(name)
    (module,), (file,), (verdict,) = told["module"], told["file"], told["verdict"]
    at = example(name)

    assert ks("build", "-C", at).status == 0
    checked = ks("check", "-C", at, "--json").json
    assert Path(checked["path"]).name == file and checked["module"] == module
    for symbol in ("init", "exit"):
        assert [f"{checked[symbol]['symbol']} in {checked[symbol]['section']}"] == told[symbol]

    loaded = ks("load", "-C", at, "--json")
    assert loaded.status == (0 if verdict == "loaded" else 1)
    assert loaded.json["verdict"] == verdict
    assert [str(loaded.json["returned"])] == told["returned"]
    assert loaded.json["errno"] == told.get("errno", [None])[0]
    assert said(loaded.json, module) == told["log of load"]

    listed = [m["name"] for m in ks("list", "-C", at, "--json").json["modules"]]
    assert listed == ([module] if told["in the list"] == ["yes"] else [])
    log = ks("logs", "-C", at, "--json").json["log"]
    assert [r["text"] for r in log if r["own"] and "taint" not in r["text"]] == told["log of load"]

    unloaded = ks("unload", "-C", at, "--json")
    assert unloaded.status == (0 if verdict == "loaded" else 1)
    assert said(unloaded.json, module) == told.get("log of unload", [])
    assert ks("list", "-C", at, "--json").json["modules"] == []
    if name != "params":  # its tests are those of the template
        tested = ks("test", "-C", at, "--json").json
        assert tested["ok"] and not tested["examined"], tested


def test_params_refuses_what_is_no_number(ks, example):
    told = facts("params", 1)
    at = example("params")
    ran = ks("load", "-C", at, "howmany=many", "--json")
    assert ran.status == 1
    assert ([ran.json["verdict"]], [ran.json["errno"]]) == (told["verdict"], told["errno"])
    assert ran.json["stage"] == "parameters" and ran.json["init_ran"] is False
    assert said(ran.json, "params") == told["log of load"]
    assert told["in the list"] == ["no"] and ks("list", "-C", at, "--json").json["modules"] == []

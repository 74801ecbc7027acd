"""`test DIR…`: many projects with one command."""

from pathlib import Path

from kscaffold.testing.classroom import are_projects
from tests.support.kernels import need_kernel
from tests.support.projects import write
from tests.test_contracts import DOCUMENTS, PARTS


def test_each_project_is_a_row_and_none_stops_another(ks, tmp_path: Path, monkeypatch):
    release = need_kernel("6.1").release
    kbuild = "obj-m := hello.o\n"
    write(tmp_path / "alice", Kbuild=kbuild, tests_0_test_it__py="def test_good():\n    pass\n")
    bad = "def test_good():\n    pass\n\ndef test_bad():\n    assert 1 == 2\n"
    write(tmp_path / "bob", Kbuild=kbuild, tests_0_test_it__py=bad)
    write(tmp_path / "carol", readme="no project\n")
    write(tmp_path / "dave", Kbuild=kbuild, tests_0_test_it__py="import os\nos._exit(9)\n")
    monkeypatch.chdir(tmp_path)
    names = ["alice", "bob", "carol", "dave"]
    ran = ks("test", *names, "--kernel", release, "--junit", "out.xml")
    assert ran.status == 1
    rows = [line.split(None, 2) for line in ran.out.splitlines()]
    assert [row[:2] for row in rows] == [
        ["alice", "passed"],
        ["bob", "failed"],
        ["carol", "error"],
        ["dave", "error"],
    ]
    assert rows[1][2].startswith("test_bad: ")
    assert rows[2][2].startswith("KS101: ") and rows[3][2].startswith("KS653: ")
    assert f"1 of 4 projects went well on {release}" in ran.err
    assert {"out-alice.xml", "out-bob.xml"} <= {p.name for p in tmp_path.glob("*.xml")}
    document = ks("test", *names, "--kernel", release, "--json").json
    assert set(document) == {
        "schema",
        "command",
        "ok",
        *DOCUMENTS["test, projects"].replace("[]", "").split(),
    }
    for one in document["projects"]:
        assert set(one) == set(PARTS["test, projects.projects"].replace("[]", "").split())
    assert [one["ok"] for one in document["projects"]] == [True, False, False, False]
    assert [t["outcome"] for t in document["projects"][1]["tests"]] == ["passed", "failed"]
    assert document["projects"][2]["error"]["code"] == "KS101"


def test_directories_of_tests_are_no_projects(tmp_path: Path):
    write(tmp_path / "project", Kbuild="obj-m := a.o\n", tests_0_test_a__py="")
    project, tests = tmp_path / "project", tmp_path / "project/tests"
    assert are_projects([project]) and are_projects([project, tests])
    assert not are_projects([tests]) and not are_projects([tests / "test_a.py"]) and not are_projects([])

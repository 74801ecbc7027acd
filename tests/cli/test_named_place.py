"""What mends a command line names the directory that it named."""

from pathlib import Path

import pytest

from kscaffold.cli import app
from kscaffold.cli.named_place import named_place, placed, placed_document


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["load", "-C", "there"], "there"),
        (["-v", "load", "-C", "there"], "there"),
        (["load", "--directory=there"], "there"),
        (["load", "-Cthere"], "there"),
        (["load", "there"], "there"),
        (["load", "there", "a=1"], "there"),
        (["list", "there"], "there"),
        (["logs", "-n", "1", "there"], "there"),
        (["new", "there"], None),
        (["new", "x", "-C", "there"], None),
        (["load", "gone"], None),
        (["load", "-C"], None),
        ([], None),
    ],
)
def test_the_place_that_is_named(words: list[str], place: str | None, tmp_path: Path, monkeypatch):
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    assert named_place(words) == place


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("exec -C there prog", "there"),
        ("exec --fresh --env A=1 -C there -- prog -C other", "there"),
        ("exec --fresh prog -C there", None),
        ("exec prog -C there", None),
        ("-v exec -C there prog", "there"),
    ],
)
def test_what_follows_a_program_is_the_program_s(line: str, place: str | None):
    words = line.split()
    assert named_place(app._before_program(words[: words.index("--")] if "--" in words else words)) == place


def test_each_fix_of_a_document_is_for_that_place(ks, tmp_path: Path, monkeypatch):
    (tmp_path / "there/below").mkdir(parents=True)
    (tmp_path / "there/below/Kbuild").write_text("obj-m := hello.o\n")
    monkeypatch.chdir(tmp_path)
    document = {"fix": "kscaffold reload", "results": [{"fix": "kscaffold list", "cause": "kscaffold list"}]}
    told = placed_document(document, ["load", "-C", "there"])
    assert told["fix"] == "kscaffold reload -C there"
    assert told["results"] == [{"fix": "kscaffold list -C there", "cause": "kscaffold list"}]
    assert ks("build", "-C", "there", "--json").json["error"]["fix"] == "cd there/below"
    ran = ks("load", "-C", "there/below", "nosuch.ko", "--json")
    assert ran.json["error"]["fix"] == "kscaffold build -C there/below, or name a .ko that exists"
    assert "kscaffold load -C there/below starts one" in ks("list", "-C", "there/below").err


def test_a_fix_is_for_that_place():
    words = ["load", "-C", "a b"]
    assert placed("kscaffold reload", words) == "kscaffold reload -C 'a b'"
    assert placed("kscaffold build, or name a .ko", words) == "kscaffold build -C 'a b', or name a .ko"
    assert placed("kscaffold reload a=1; kscaffold logs -f", words) == (
        "kscaffold reload -C 'a b' a=1; kscaffold logs -C 'a b' -f"
    )
    for fix in ("kscaffold kernel add", "kscaffold load -C x", "name another", "kscaffold loads"):
        assert placed(fix, words) == fix
    assert placed("kscaffold reload", ["load"]) == "kscaffold reload"


def test_a_directory_too_much_is_meant_for_c(ks, tmp_path: Path, monkeypatch):
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    done = ks("clean", "there")
    assert done.status == 2 and "fix: kscaffold clean -C there" in done.err
    assert "fix: kscaffold clean --help" in ks("clean", "nowhere").err

"""What mends a command line names the directory that it named."""

from pathlib import Path

import pytest

from kscaffold.cli.named_place import named_place, placed


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["load", "-C", "there"], "there"),
        (["-v", "load", "-C", "there"], "there"),
        (["load", "--directory=there"], "there"),
        (["load", "-Cthere"], "there"),
        (["load", "there"], "there"),
        (["load", "there", "a=1"], "there"),
        (["new", "there"], None),
        (["load", "gone"], None),
        (["load", "-C"], None),
        ([], None),
    ],
)
def test_the_place_that_is_named(words: list[str], place: str | None, tmp_path: Path, monkeypatch):
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    assert named_place(words) == place


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
    done = ks("list", "there")
    assert done.status == 2 and "fix: kscaffold list -C there" in done.err
    assert "fix: kscaffold list --help" in ks("list", "nowhere").err

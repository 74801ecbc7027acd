"""`kscaffold new --git`: a repository that appears with the project; without it, none."""

import os

import pytest

from tests.support.external import git, repository, write_template


@pytest.fixture
def here(tmp_path, monkeypatch):
    write_template(tmp_path / "tpl", {"name": "x"}, {"{{cookiecutter.name}}/a": ""})
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    return tmp_path / "in"


OURS: list[str] = []
THEIRS = ["-t", "../tpl", "--trust"]


@pytest.mark.parametrize("words", [OURS, THEIRS], ids=["ours", "theirs"])
def test_a_repository_with_the_user_s_own_branch_and_no_commit(ks, here, own_world, words):
    (own_world / ".gitconfig").write_text("[init]\n\tdefaultBranch = trunk\n")
    assert ks("new", "plain", *words).status == 0
    assert not (here / "plain/.git").exists()
    ran = ks("new", "mod", *words, "--git", "--json")
    assert ran.status == 0, ran.err
    assert (here / "mod/.git/HEAD").read_text() == "ref: refs/heads/trunk\n"
    assert not any(name.startswith(".git/") for name in ran.json["files"])
    status = git(here / "mod", "status", "--porcelain", "-uall").splitlines()
    assert {line.removeprefix("?? ") for line in status} == set(ran.json["files"])
    assert git(here / "mod", "rev-parse", "--show-toplevel") == str(here / "mod")


@pytest.mark.parametrize("words", [OURS, THEIRS], ids=["ours", "theirs"])
def test_inside_a_work_tree_none_is_nested(ks, here, words):
    git(here, "init", "-q")
    ran = ks("new", "mod", *words, "--git")
    assert ran.status == 0 and not (here / "mod/.git").exists()
    assert "mod is part of the git work tree around it; no repository of its own was begun" in ran.err
    # But where that one takes no notice of it, as cargo has it.
    (here / ".gitignore").write_text("/other\n")
    assert ks("new", "other", *words, "--git").status == 0
    assert (here / "other/.git/HEAD").exists()


def test_from_within_a_hook_of_git(ks, here, monkeypatch):
    """git tells its hooks where their repository is; that one is not meant."""
    (here.parent / "outer").mkdir()
    (here.parent / "outer/x").write_text("")
    repository(here.parent / "outer")
    monkeypatch.setenv("GIT_DIR", str(here.parent / "outer/.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(here.parent / "outer"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(here.parent / "outer/.git/index"))
    assert ks("new", "mod", "--git").status == 0
    assert (here / "mod/.git/HEAD").exists()


def test_a_git_that_fails_means_nothing(ks, here, own_world):
    (own_world / ".gitconfig").write_text("[init]\n\tdefaultBranch = no good..name\n")
    ran = ks("new", "mod", "--git")
    assert ran.status == 69 and "error[KS069]" in ran.err and "invalid" in ran.err
    assert os.listdir(here) == []

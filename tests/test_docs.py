"""What docs/ and CONTRIBUTING.md say of the repository, held against the repository."""

import re
import tomllib
from pathlib import Path

import pytest

from kscaffold import __version__
from tests.conftest import ROOT

PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_rooms_are_those_that_there_are():
    table = ARCHITECTURE.partition("## The rooms")[2].partition("\n## ")[0]
    told = set(
        re.findall(r"`(\w+)/`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line))
    )
    there = {p.parent.name for p in (ROOT / "kscaffold").glob("*/__init__.py")}
    assert told == there


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_files_that_are_named_are_there(page: Path):
    for name in re.findall(r"`((?:kscaffold|tests|templates|docs|examples)/[\w./]+\.\w+)`", page.read_text()):
        assert "NAME" in name or (ROOT / name).exists(), name
    if page.name == "architecture.md":
        for name in re.findall(r"`([a-z]\w+/[\w./]+\.(?:py|c))`", page.read_text()):
            assert (ROOT / "kscaffold" / name).exists() or (ROOT / name).exists(), name


def test_the_version_stands_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "kscaffold/__init__.py"
    assert f"## {__version__} (" in (ROOT / "CHANGELOG.md").read_text()

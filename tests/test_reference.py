"""The generated pages are current, whole, and what they are for."""

import re
import subprocess

import pytest

from docs import build
from kscaffold.cli.command_tree import command_tree
from kscaffold.diagnosis import catalogue
from tests.conftest import ROOT, need_program


@pytest.mark.parametrize("name", build.FILES)
def test_it_is_current(name):
    """Else: python -m docs.build."""
    assert (ROOT / name).read_text() == build.FILES[name]()


def test_every_command_and_code_has_a_place():
    commands = (ROOT / "docs/reference/commands.md").read_text()
    for name, _ in build.flat(command_tree()):
        assert f"\n## {name}\n" in commands
    codes = re.findall(r"^### (KS\d{3})$", (ROOT / "docs/reference/codes.md").read_text(), re.M)
    assert codes == [c for first in "0123456789" for c in catalogue.entries(first)]


def test_every_variable_is_told():
    told = set(re.findall(r"`(\w+)`", (ROOT / "docs/reference/environment.md").read_text()))
    source = "".join(p.read_text() for p in (ROOT / "kscaffold").rglob("*.py"))
    used = set(re.findall(r'environ(?:\.get\(|\[)"([A-Z_]+)"', source))
    # What kscaffold itself sets for its own stand-in is no setting of a user.
    ours = {"KSCAFFOLD_STAND_IN"}
    assert used - ours - {"TERM", "HOME", "PATH", "PWD", "SUDO_UID"} <= told


def test_the_man_page_is_one():
    man = need_program("man", "man-db")
    ran = subprocess.run(
        [man, "--warnings", "-l", "-Tutf8", str(ROOT / "docs/kscaffold.1")],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "MANPAGER": "cat", "LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
    )
    assert "kscaffold load [KO]" in re.sub(".\x08", "", ran.stdout)

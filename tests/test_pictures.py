"""The pictures of docs/: small, without scripts, shown, and with the words that the command prints."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs.draw import COLUMNS, KERNEL, PICTURES, SCREENS, screen, svg
from tests.conftest import ROOT, need_program
from tests.support.kernels import need_kernel
from tests.support.screens import screens

_SVG = "{http://www.w3.org/2000/svg}"
_SEQUENCE = re.compile(r"\033\[[\d;]*m")


def words_of(picture: Path) -> list[str]:
    """The lines of text in an SVG, but for empty ones."""
    tree = ElementTree.fromstring(picture.read_text(encoding="utf-8"))
    return [
        "".join(line.itertext()).replace("\N{NO-BREAK SPACE}", " ").rstrip()
        for line in tree.iter(f"{_SVG}text")
    ]


def plain(lines: list[str]) -> list[str]:
    """Without what differs from one run, and from one kernel, to the next."""
    text = _SEQUENCE.sub("", "\n".join(line.rstrip() for line in lines if line.strip()))
    text = re.sub(r"\d+\.\d+\.\d+-\S*?-cloud-amd64", "RELEASE", text)
    return re.sub(r"\d+\.\d+ s\b", "N s", text).splitlines()


def test_each_picture_is_small_and_shown_on_a_page():
    pages = "".join(p.read_text() for p in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    pictures = [p for p in PICTURES.iterdir() if p.suffix != ".c"]
    assert {p.name for p in pictures} == {*(f"{name}.svg" for name in SCREENS), "page.webp"}
    for picture in pictures:
        assert picture.stat().st_size < 80_000, picture
        assert f"pictures/{picture.name})" in pages, picture


@pytest.mark.parametrize("name", SCREENS)
def test_a_drawing_is_an_svg_of_80_columns_that_runs_nothing(name):
    text = (PICTURES / f"{name}.svg").read_text(encoding="utf-8")
    assert not re.search(r"<script|<image|<foreignObject|\bon\w+=|href|url\(", text)
    lines = words_of(PICTURES / f"{name}.svg")
    assert lines[0] == f"$ {SCREENS[name].command}"
    assert all(len(line) <= COLUMNS for line in lines)


def test_what_is_drawn_is_what_was_written(tmp_path):
    said = "$ x\n\033[1;31mBUG\033[0m: <a & b>\n\n   >  \033[36mcause\033[0m: no\n"
    (tmp_path / "x.svg").write_text(svg(said))
    assert words_of(tmp_path / "x.svg") == ["$ x", "BUG: <a & b>", "   >  cause: no"]
    assert '<tspan style="font-weight:bold;fill:#ff8a80">BUG</tspan>' in (tmp_path / "x.svg").read_text()


@pytest.mark.sandbox
@pytest.mark.parametrize("name", SCREENS)
def test_the_words_of_a_picture_are_what_the_command_prints(name):
    """Else: python -m docs.draw"""
    need_program("qemu-system-x86_64", "qemu-system-x86")
    need_kernel(KERNEL)
    assert plain(words_of(PICTURES / f"{name}.svg")) == plain(screen(name).splitlines())


def test_the_screen_of_the_sanitizer_s_page_is_that_picture_s():
    assert plain(screens(ROOT / "docs/sanitizer.md")[0]) == plain(words_of(PICTURES / "sanitize.svg"))

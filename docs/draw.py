"""Draw the pictures of docs/pictures/: python -m docs.draw [NAME…].

Each is what a real command wrote to a terminal of 80 columns, as SVG; or the page that it made, as Chromium
shows it. A kernel and QEMU are needed, for the page Chromium, too.
"""

import base64
import fcntl
import os
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Sequence
from html import escape
from pathlib import Path

from kscaffold.records import dataclass
from tests.support.browser import browser

PICTURES = Path(__file__).with_name("pictures")
COLUMNS = 80
KERNEL = "6.1"
_PROMPT = "$ "
# The colours of console.py's styles on a dark screen, by their number in the escape sequence.
_COLOURS = {"31": "#ff8a80", "32": "#6cc495", "33": "#e6b455", "35": "#d9a0e0", "36": "#7fc7d9"}
_STYLES = {"1": "font-weight:bold", "2": "fill:#9aa5b0", **{n: f"fill:{c}" for n, c in _COLOURS.items()}}
_SEQUENCE = re.compile(r"\033\[([\d;]*)m")
# Of a letter of 14 pixels: what the usual fonts of a terminal have.
_WIDE, _HIGH, _EDGE = 8.43, 19, 16


@dataclass(frozen=True, slots=True)
class Screen:
    """A picture of a terminal. `source`: the module's only file, in PICTURES. `before`: run first, unseen."""

    source: str
    before: tuple[str, ...]
    command: str


SCREENS = {"sanitize": Screen("notes.c", ("kscaffold run",), "kscaffold run --sanitize")}
PAGE = "page"


def project(source: str, parent: Path) -> Path:
    """A project of one source file, in a directory of its name."""
    name = Path(source).stem
    directory = parent / name
    directory.mkdir()
    (directory / source).write_text((PICTURES / source).read_text(encoding="utf-8"), encoding="utf-8")
    (directory / "Kbuild").write_text(f"obj-m := {name}.o\n", encoding="utf-8")
    typed(f"kscaffold kernel default {KERNEL}", directory)
    return directory


def typed(command: str, directory: Path) -> str:
    """What a command writes to a terminal of 80 columns, with its colours, and no bar of a long work. What is
    configured is beside the project, not this user's.
    """
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    child = subprocess.Popen(
        [sys.executable, "-m", *command.split()],
        cwd=directory, stdin=theirs, stdout=theirs, stderr=theirs,
        env=environment
        | {"TERM": "dumb", "FORCE_COLOR": "1", "XDG_CONFIG_HOME": str(directory.parent / "config")},
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # EIO: nobody has the other end any more
            break
        if not part:
            break
        said += part
    os.close(ours)
    child.wait()
    return said.decode().replace("\r\n", "\n")


def svg(text: str) -> str:
    """A screen's text with its colours as a picture; the text in it can be read, searched and copied."""
    lines = text.rstrip("\n").split("\n")
    height, width = len(lines) * _HIGH + 2 * _EDGE, round(COLUMNS * _WIDE) + 2 * _EDGE
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">',
        '<rect width="100%" height="100%" rx="8" fill="#14181c"/>',
        '<g font-family="ui-monospace, \'DejaVu Sans Mono\', Menlo, Consolas, monospace" font-size="14" '
        'fill="#e6e9ec">',
    ]
    for number, line in enumerate(lines):
        if line.strip():
            drawn.append(f'<text x="{_EDGE}" y="{_EDGE + (number + 1) * _HIGH - 5}">{_styled(line)}</text>')
    return "\n".join([*drawn, "</g>", "</svg>", ""])


def _styled(line: str) -> str:
    """A line as text of an SVG: what stands between two escape sequences has the first one's style. Its
    spaces are such that no browser takes two for one.
    """
    plain, *rest = _SEQUENCE.split(line.replace(" ", "\N{NO-BREAK SPACE}"))
    drawn, style = [escape(plain, quote=False)], ""
    for numbers, text in zip(rest[::2], rest[1::2], strict=True):
        style = ";".join(_STYLES[n] for n in numbers.split(";") if n in _STYLES)
        shown = escape(text, quote=False)
        drawn.append(f'<tspan style="{style}">{shown}</tspan>' if style and text else shown)
    return "".join(drawn)


def screen(name: str) -> str:
    """The text of a terminal's picture, made now: the command as it was typed, then what it wrote."""
    wanted = SCREENS[name]
    with tempfile.TemporaryDirectory() as place:
        directory = project(wanted.source, Path(place))
        for command in wanted.before:
            typed(command, directory)
        return f"{_PROMPT}{wanted.command}\n{typed(wanted.command, directory)}"


def page(to: Path) -> None:
    """The head of the page that `explain load --html` writes, as a picture."""
    with tempfile.TemporaryDirectory() as place, browser() as tab:
        directory = project("notes.c", Path(place))
        typed("kscaffold explain load --html page.html", directory)
        tab.open(directory / "page.html", width=820)
        tab.call("Emulation.setScrollbarsHidden", hidden=True)
        end = tab.ask("document.querySelector('.waterfall').getBoundingClientRect().bottom")
        clip = {"x": 0, "y": 0, "width": 820, "height": end + 2, "scale": 1}
        shot = tab.call(
            "Page.captureScreenshot", format="webp", quality=60, clip=clip, captureBeyondViewport=True
        )
        to.write_bytes(base64.b64decode(shot["data"]))


def main(names: Sequence[str]) -> None:
    """Draw these, or all."""
    for name in names or (*SCREENS, PAGE):
        if name == PAGE:
            page(PICTURES / f"{name}.webp")
        else:
            (PICTURES / f"{name}.svg").write_text(svg(screen(name)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

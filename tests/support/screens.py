"""What a terminal of 80 columns shows of what was written to a file."""

import re
from pathlib import Path

from kscaffold.fold import folded

_COLUMNS = 79  # the last one stays free


def on_terminal(text: str) -> str:
    """The lines, folded as console.py folds them."""
    return "".join(f"{folded(line, _COLUMNS)}\n" for line in text.splitlines())


def screens(page: Path) -> list[str]:
    """The lines of a page's `console` blocks, what is typed among them."""
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text(), re.M | re.S)
    return [line for block in blocks for line in block.splitlines()]

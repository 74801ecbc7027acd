"""What a terminal of 80 columns shows of what was written to a file."""

import re
from pathlib import Path

from kscaffold.fold import folded

_COLUMNS = 79  # the last one stays free


def on_terminal(text: str) -> str:
    """The lines, folded as console.py folds them."""
    return "".join(f"{folded(line, _COLUMNS)}\n" for line in text.splitlines())


def screens(page: Path) -> list[list[str]]:
    """The lines of each `console` block of a page, what is typed among them."""
    return [
        block.splitlines() for block in re.findall(r"^```console\n(.*?)^```", page.read_text(), re.M | re.S)
    ]

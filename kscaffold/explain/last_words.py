"""Which line of a build's output has the reason, where make's last words have none."""

import re
from collections.abc import Sequence

# How far above make's words the reason is looked for; a compiler's error shows its source below itself.
_REACH = 400
# From what surely is a reason to what may be one.
_REASONS = (
    re.compile(
        r"(?<![\w-])(?:[Ee]rror|ERROR|fatal)(?::| -| \d{1,5}:) ?\S|\bundefined reference\b"
        r"|^error(?:\[E\d+\])?:"
    ),
    re.compile(r"\*\*\* (?!\[|Waiting for unfinished|Deleting )\S"),
    re.compile(
        r": (?:command )?not found$|No such file or directory$|Permission denied|[Cc]annot |[Cc]an't |"
        r"[Ff]ailed\b|[Uu]nknown |[Ii]nvalid |[Kk]illed$|Segmentation fault|(?<!Error) \d{1,3}: .{1,40} not "
    ),
)


def before(lines: Sequence[str], index: int) -> str | None:
    """The nearest line above `index` that tells a reason, else one below; None where none does."""
    above = lines[max(0, index - _REACH) : index]
    below = lines[index + 1 : index + 40]
    for pattern in _REASONS:
        for line in (*reversed(above), *below):
            if pattern.search(line[:1024]) and not re.match(r"make(?:\[\d+\])?: \*\*\* \[", line):
                return line.strip()
    return None

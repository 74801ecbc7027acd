"""Commands of rules that lack their tab: which lines look so is read, whether they are wrong make says."""

import re
from pathlib import Path

from kscaffold import process
from kscaffold.files.temporary import temporary_directory
from kscaffold.project.ask import is_untabbed_command

_DEADLINE = 30.0  # seconds


def untabbed(file: Path, text: str) -> tuple[int, ...]:
    """The lines (from 1) of a Makefile's text that make does not take for commands because the tab is
    missing.

    make is asked only where a line looks so, and makes nothing: there is no goal of that name.
    """
    lines = text.split("\n")
    wrong: list[int] = []
    while suspects := [
        n
        for n in range(1, len(lines) + 1)
        if n not in wrong and is_untabbed_command(lines, n) and lines[n - 1]
    ]:
        number = _complaint(file.parent, "\n".join(lines))
        if number is None or number not in suspects:
            break
        lines[number - 1] = "\t" + lines[number - 1].lstrip(" ")
        wrong.append(number)
    return tuple(sorted(wrong))


def _complaint(directory: Path, text: str) -> int | None:
    """The line of a text at which make misses a separator, for the user's own make or for Kbuild's."""
    argv = [process.need("make"), "-rR", "-n", "-C", str(directory), "-f", "-", "kscaffold-no-such-goal"]
    for release in ({}, {"KERNELRELEASE": "kscaffold"}):
        # make 4.3 puts what it reads from its input into a file, and leaves that behind when it fails.
        with temporary_directory() as place:
            asked = process.run(
                argv,
                timeout=_DEADLINE,
                env=process.environment({"TMPDIR": str(place), **release}),
                stdin=text.encode(errors="surrogateescape"),
            )
        error = re.search(r"^[^:\n]*:(\d+): \*\*\* missing separator", asked.stderr, re.M)
        if error:
            return int(error[1])
    return None

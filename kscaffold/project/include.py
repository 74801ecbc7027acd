"""The files that a Makefile includes, by its text."""

import re

from kscaffold import lazy

_INCLUDE = lazy.pattern(r"^[-s]?include\s+([^#\n]+)", re.M)


def included_names(makefile: str) -> list[str]:
    """The files that a Makefile's text includes by a plain name, from its own directory."""
    words = [word for line in _INCLUDE.findall(makefile) for word in line.split()]
    names = [re.sub(r"^\$[({](?:src|obj|M|CURDIR)[)}]/", "", word) for word in words]
    return [name for name in names if "$" not in name]

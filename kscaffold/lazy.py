"""Regular expressions that are compiled when they are first used: a command uses few of those it imports.

Compiling takes a tenth of a millisecond each, and Python keeps none of it between two commands.
"""

import re
from typing import TYPE_CHECKING, Any

_USES = ("match", "search", "fullmatch", "findall", "finditer", "sub", "subn", "split", "pattern", "flags")


class _Pattern:
    """A pattern of `re`, once one of its attributes is asked for."""

    def __init__(self, text: Any, flags: int = 0) -> None:
        self._given = (text, flags)

    def __getattr__(self, name: str) -> Any:
        pattern = re.compile(*self._given)
        # The pattern's own methods from here on: nothing stands between in a loop.
        for use in _USES:
            setattr(self, use, getattr(pattern, use))
        return getattr(pattern, name)


if TYPE_CHECKING:
    pattern = re.compile
else:
    pattern = _Pattern

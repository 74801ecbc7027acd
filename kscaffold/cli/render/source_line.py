"""How a line of source looks to people."""

from collections.abc import Callable

from kscaffold import console
from kscaffold.load.addr2line import SourceLine


def source(place: SourceLine, say: Callable[[str], None]) -> None:
    """Say the line of source, and what is around it."""
    say(f" {console.styled('source', 'cyan')}: {console.printable(f'{place}, {place.function}()')}")
    for number, text in place.lines:
        mark = console.styled(">", "red") if number == place.line else " "
        say(f"   {mark} {number:>4} | {console.printable(text.expandtabs(4))}")

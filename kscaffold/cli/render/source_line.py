"""How a line of source looks to people."""

from collections.abc import Callable

from kscaffold import console
from kscaffold.load.addr2line import SourceLine

_MOST_FRAMES = 8


def source(place: SourceLine, say: Callable[[str], None]) -> None:
    """Say the line of source, and what is around it."""
    say(f" {console.styled('source', 'cyan')}: {console.printable(f'{place}, {place.function}()')}")
    for number, text in place.lines:
        mark = console.styled(">", "red") if number == place.line else " "
        say(f"   {mark} {number:>4} | {console.printable(text.expandtabs(4))}")


def stack(text: str, say: Callable[[str], None]) -> None:
    """Say where a call is that did not come back: the beginning of its kernel stack, if there is one."""
    for number, line in enumerate(text.strip().splitlines()[:_MOST_FRAMES]):
        if not number and line.startswith("["):
            say("  the task that did not come back is in:")
        elif not number:
            say("  who keeps the call from coming back, and the call, are in:")
        say(f"    {console.printable(line.removeprefix('[<0>] '))}")

"""typer's words for options and arguments, without typer, whose import takes 25 ms.

A command's file says with them what its options are. Where a command line has to be parsed, `resolve` puts
typer's own in their place; a line that was parsed before (remembered.py) needs none.
"""

from typing import TYPE_CHECKING, Annotated, Any, get_origin

if TYPE_CHECKING:
    from collections.abc import Callable

    from typer import Argument as Argument
    from typer import BadParameter as BadParameter
    from typer import Option as Option
else:

    def Option(*given: Any, **named: Any) -> "_Later":
        """As typer.Option."""
        return _Later("Option", given, named)

    def Argument(*given: Any, **named: Any) -> "_Later":
        """As typer.Argument."""
        return _Later("Argument", given, named)

    def BadParameter(*given: Any, **named: Any) -> Exception:
        """As typer.BadParameter."""
        import typer  # start-up time: for a typing error

        return typer.BadParameter(*given, **named)


class _Later:
    """The declaration of a parameter, kept for typer until it is imported."""

    def __init__(self, word: str, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._word, self._given, self._named = word, given, named

    def made(self) -> Any:
        """typer's own object."""
        import typer  # start-up time: only where a line is parsed

        return getattr(typer, self._word)(*self._given, **self._named)


def resolve(command: "Callable[..., Any]") -> None:
    """Give a command's parameters the annotations that typer reads."""
    kinds: dict[str, Any] = command.__annotations__
    for name, kind in kinds.items():
        if get_origin(kind) is Annotated and any(isinstance(word, _Later) for word in kind.__metadata__):
            words = (word.made() if isinstance(word, _Later) else word for word in kind.__metadata__)
            kinds[name] = Annotated[(kind.__origin__, *words)]

"""Module parameters on their way from a shell to the kernel, which has quotes of its own."""

from kscaffold.errors import UsageError
from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one load, joined and split once. `text`: in the kernel's syntax; `words`: the same,
    one a parameter, each with the quotes that it has there.
    """

    text: str = ""
    words: tuple[str, ...] = ()

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> "Parameters":
        """The parameters of `NAME=VALUE` words as a shell gave them. Raises UsageError KS062 as
        kernel_string() does.
        """
        return cls.parse(kernel_string(arguments))

    @classmethod
    def parse(cls, text: str) -> "Parameters":
        """The parameters of a string in the kernel's syntax."""
        return cls(text, tuple(split(text)))

    def and_more(self, text: str) -> "Parameters":
        """These parameters, and after them those of `text`, which is in the kernel's syntax."""
        return Parameters.parse(f"{self.text} {text}".strip()) if text else self

    def __bool__(self) -> bool:
        return bool(self.text)

    def __str__(self) -> str:
        return self.text


NO_PARAMETERS = Parameters()


def kernel_string(arguments: list[str]) -> str:
    """`NAME=VALUE` words, as a shell gave them, in the kernel's syntax: each value arrives unchanged.

    The kernel (kernel/params.c, next_arg) splits at white space outside double quotes, drops a quote pair
    around a value and knows no escape. Raises UsageError KS062 for the few values it can't be given.
    """
    words = [_word(argument) for argument in arguments]
    for argument, word in zip(arguments[:-1], words[:-1], strict=True):
        if word.count('"') % 2:
            # To the kernel the quoted part goes on through the words that follow.
            name = argument.partition("=")[0]
            raise UsageError(
                "KS062",
                f"the kernel can't be given this value of {name} before another parameter",
                cause="it has a double quote without its counterpart, which hides what follows",
                fix=f"put {name}=… last",
            )
    return " ".join(words)


def _word(argument: str) -> str:
    name, _, value = argument.partition("=")
    if not name or name.startswith("-") or any(_is_space(c) or c == '"' for c in name):
        raise UsageError("KS062", f"no parameter name in {argument!r}", fix="write NAME=VALUE")
    if "\0" in value:
        raise UsageError("KS062", f"parameter {name} has a NUL in its value")
    if not any(_is_space(c) for c in value) and not value.startswith('"'):
        return argument
    # Inside the pair that is added here, each quote of the value's own ends or begins a quoted part:
    # white space after an odd number of them would end the value.
    inside = True
    for c in value:
        if c == '"':
            inside = not inside
        elif _is_space(c) and not inside:
            raise UsageError(
                "KS062",
                f"the kernel can't be given this value of {name}",
                cause="it has no escape for a double quote before white space",
                fix="leave out the double quote, or the white space that follows it",
            )
    return f'{name}="{value}"'


def _is_space(c: str) -> bool:
    # The kernel's isspace() counts the no-break space of Latin-1 too, byte by byte; UTF-8's bytes are not
    # told apart there, so a character whose encoding holds byte 0xa0 counts as well.
    return c in " \t\n\v\f\r" or b"\xa0" in c.encode(errors="surrogateescape")


def split(text: str) -> list[str]:
    """A string in the kernel's syntax as its words, each with the quotes it has.

    For insmod, which joins its arguments with spaces. kmod 34 and later put quotes around a value that
    has a space, but not around one that begins with a quote: so the words arrive as they are with every
    version.
    """
    found: list[str] = []
    word, inside = "", False
    for c in text:
        if c == '"':
            inside = not inside
        if _is_space(c) and not inside:
            found += [word] if word else []
            word = ""
        else:
            word += c
    return [*found, word] if word else found

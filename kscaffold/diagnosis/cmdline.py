"""A kernel's command line, read as the kernel reads it (lib/cmdline.c, next_arg; kernel/params.c, parseq)."""

from kscaffold import lazy

# A word ends at white space outside double quotes.
_WORD = lazy.pattern(r'(?:[^\s"]|"[^"]*(?:"|$))+')


def values(cmdline: str, option: str) -> list[str]:
    """The values that `option` has on a command line, in their order; "" where it stands without one.

    `-` and `_` are the same in a name; what follows `--` is for init.
    """
    found = []
    for word in _WORD.findall(cmdline):
        if word == "--":
            break
        if word.startswith('"'):
            word = word[1:].removesuffix('"')
        name, _, value = word.partition("=")
        if name.replace("-", "_") == option.replace("-", "_"):
            found.append(value.removeprefix('"').removesuffix('"') if value.startswith('"') else value)
    return found


def is_on(value: str) -> bool:
    """Whether a boolean parameter takes this for true (lib/kstrtox.c, kstrtobool); "" is true."""
    return not value or value[0] in "yYtT1" or value[:2].lower() == "on"

"""A compiler's complaint of another language in English words, as far as what needs no language tells it: the
names between quotes, and the option in brackets at its end."""

import re
from collections.abc import Callable

_QUOTED = r"[‘«»„“‚'\"「『]\s?([^‘’«»„“”‚'\"「」『』\n]{1,200}?)\s?[’«»“”‘'\"」』]"
# FILE:LINE:COLUMN, then a word or two for an error, with what French and Chinese put around a colon.
_COMPLAINT = re.compile(
    r"^(?P<place>[^\s:]{1,300}:\d{1,6}:\d{1,6}:) (?P<kind>[^\W\d_]{2,20}(?: [^\W\d_]{2,20})?) ?[:：]\s?"
    r"(?P<rest>.{1,600})$"
)
_OPTION = re.compile(r" \[-W(?:error=)?(?P<option>[\w-]{1,60})=?\]$")
# What make says of a directory that is not there; French sets a blank before a colon.
_NO_TREE = re.compile(
    r"^(?P<make>make(?:\[\d{1,3}\])?) ?: \*\*\* (?P<tree>/[^\s:]{1,300}/build) ?[:：] ?(?!No such )\S"
)
_ENGLISH = ("warning", "note")
_NOT_FOUND = re.compile(r"(?P<header>[\w/.+-]{1,200}\.h) ?[:：] ?(?!No such )\S")


def in_english(line: str) -> str:
    """The line, or the English one for it where the complaint is one of those that can be known."""
    if tree := _NO_TREE.match(line):
        return f"{tree['make']}: *** {tree['tree']}: No such file or directory.  Stop."
    found = _COMPLAINT.match(line)
    if found is None or found["kind"] in _ENGLISH:
        return line
    place, rest = found["place"], found["rest"]
    if header := _NOT_FOUND.match(rest):
        return f"{place} fatal error: {header['header']}: No such file or directory"
    option = _OPTION.search(rest)
    words = rest[: option.start()] if option else rest
    names = re.findall(_QUOTED, words)
    say = _WORDS.get(option["option"] if option else "", _without_option)
    said = None if _is_english(words) else say(names, words)
    return f"{place} error: {said}{option[0] if option else ''}" if said else line


def _is_english(words: str) -> bool:
    return bool(re.search(r"\b(?:of|to|from|has|undeclared|not|the|type|too|with|in|is|at)\b", words))


def _undeclared(names: list[str], words: str) -> str | None:
    return f"implicit declaration of function ‘{names[0]}’" if names else None


def _other_pointer(names: list[str], words: str) -> str | None:
    kinds = [name for name in names if re.search(r"[*(]", name)]
    if len(kinds) < 2:
        return None
    return f"initialization of ‘{kinds[0]}’ from incompatible pointer type ‘{kinds[1]}’"


def _without_option(names: list[str], words: str) -> str | None:
    if len(names) == 2 and re.match(r"(?:const )?(?:struct|union) ", names[0]):
        return f"‘{names[0]}’ has no member named ‘{names[1]}’"
    # Only of an undeclared name the compiler says more in brackets, at the end.
    if len(names) == 1 and re.fullmatch(rf"{_QUOTED}[^()]{{2,60}}[(（][^()]{{4,80}}[)）]", words):
        return f"‘{names[0]}’ undeclared (first use in this function)"
    return None


_WORDS: dict[str, Callable[[list[str], str], str | None]] = {
    "implicit-function-declaration": _undeclared,
    "incompatible-pointer-types": _other_pointer,
}

"""Parameters arrive as they were typed: through the kernel's parser, and through insmod of every kmod."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kscaffold.errors import UsageError
from kscaffold.module.arguments import kernel_string, split

_SPACES = b" \t\n\v\f\r\xa0"  # the kernel's isspace(), byte by byte


def parsed(text: str) -> list[tuple[str, str]]:
    """What the kernel makes of its arguments: kernel/params.c (parse_args, next_arg), line by line."""
    args = text.encode(errors="surrogateescape").lstrip(_SPACES) + b"\0"
    found = []
    while args[0]:
        in_quote = quoted = False
        if args[:1] == b'"':
            args, in_quote, quoted = args[1:], True, True
        equals = i = 0
        while args[i]:
            if args[i] in _SPACES and not in_quote:
                break
            if not equals and args[i] == ord("="):
                equals = i
            if args[i] == ord('"'):
                in_quote = not in_quote
            i += 1
        word, args = args[:i], args[i:].lstrip(_SPACES) or b"\0"
        assert equals and not quoted, "every word has a name and a value"
        name, value = word[:equals], word[equals + 1 :]
        if value[:1] == b'"':
            value = value[1:].removesuffix(b'"')
        found.append((name.decode(), value.decode(errors="surrogateescape")))
    return found


def of_kmod(words: list[str], *, version: int) -> str:
    """What insmod hands to the kernel: joined with spaces, and since 34 quoted where it sees a need."""
    if version < 34:
        return " ".join(words)
    joined = []
    for word in words:
        name, equals, value = word.partition("=")
        if equals and value[:1] not in ('"', "'") and " " in value:
            word = f'{name}="{value}"'
        joined.append(word)
    return " ".join(joined)


_VALUES = st.text(st.sampled_from("ab=\"' \t\n,\xa0à-#\\"), max_size=8) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8
)


@given(st.lists(st.tuples(st.sampled_from(["a", "b_c", "d"]), _VALUES), max_size=4))
def test_every_value_arrives_or_is_refused(given_):
    words = [f"{name}={value}" for name, value in given_]
    try:
        text = kernel_string(words)
    except UsageError as refused:
        # Only what the kernel has no way to be told: a quote whose counterpart is missing where it counts.
        assert any('"' in value for _, value in given_), refused.what
        return
    assert parsed(text) == given_
    for version in (30, 34):
        assert of_kmod(split(text), version=version) == text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], ""),
        (["n=1"], "n=1"),
        (["whom=a new world", "n=1"], 'whom="a new world" n=1'),
        (["whom="], "whom="),
        (["whom=a\tb"], 'whom="a\tb"'),
        (['whom="quoted"'], 'whom=""quoted""'),
        (['whom=say "x" now'], 'whom="say "x" now"'),
        (['whom=say "x y" now'], None),
        (["whom=a=b"], "whom=a=b"),
        (["n=1", 'whom=5" disk'], None),
        (['whom=5"', "n=1"], None),
        (["n=1", 'whom=5"'], 'n=1 whom=5"'),
        (["=1"], None),
        (["--force=1"], None),
        (["a b=1"], None),
    ],
)  # fmt: skip
def test_the_kernels_syntax(words, text):
    if text is None:
        with pytest.raises(UsageError) as refused:
            kernel_string(words)
        assert refused.value.code == "KS062" and refused.value.fix
    else:
        assert kernel_string(words) == text

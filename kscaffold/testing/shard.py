"""One of several parts of a run, each the same on every machine."""

import re
from collections.abc import Sequence
from typing import TypeVar

One = TypeVar("One")


def numbers(shard: str) -> tuple[int, int]:
    """K and N of `K/N`, K from 1 to N. Raises ValueError for what is none."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", shard, re.A)
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count:
        raise ValueError(f"--shard is K/N with K from 1 to N, and {shard!r} is none")
    return number, count


def split(items: Sequence[One], shard: str) -> tuple[list[One], list[One]]:
    """Every N-th of them, beginning with the K-th, and the others; `shard`: `K/N`, K from 1 on. Raises
    pytest.UsageError for what is none.
    """
    import pytest  # start-up time: it is the plugin's

    try:
        number, count = numbers(shard)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    kept = [one for at, one in enumerate(items) if at % count == number - 1]
    left = [one for at, one in enumerate(items) if at % count != number - 1]
    return kept, left

"""A change of a file, by several commands at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from kscaffold.errors import KscaffoldError
from kscaffold.files.text_change import TextChange, read_text, write_changes


@pytest.mark.parametrize("before", ["obj-m := one.o\n", None])
def test_of_several_changes_at_once_one_is_made_and_none_is_lost(tmp_path: Path, before: str | None):
    """Each was planned on the same text; whoever comes second has to plan anew."""
    file = tmp_path / "Kbuild"
    for _ in range(20):
        file.unlink(missing_ok=True)
        if before is not None:
            file.write_text(before)
        start = Barrier(8)

        def made(number: int, start: Barrier = start) -> str:
            start.wait()
            try:
                write_changes(TextChange(file, before, f"obj-m := one.o {number}.o\n"))
            except KscaffoldError as error:
                return error.code
            return f"obj-m := one.o {number}.o\n"

        with ThreadPoolExecutor(8) as pool:
            told = sorted(pool.map(made, range(8)))
        assert told[:7] == ["KS041"] * 7 and read_text(file) == told[7]

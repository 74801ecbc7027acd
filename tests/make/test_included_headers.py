"""What the compiler would wait for among the files that sources include, wherever they are."""

from pathlib import Path

import pytest

from kscaffold.files import reader
from kscaffold.make.included_headers import directories_of, require_plain_includes
from kscaffold.project.ask import read_project
from tests.support.projects import write
from tests.test_hostile_files import KINDS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["other", "flagged"])
def test_no_compiler_waits_for_what_is_included_from_elsewhere(tmp_path: Path, kind: str, place: str):
    """Through a header of another directory, and by -I; what is nowhere of the project's is passed over."""
    mine = write(
        tmp_path / "mine",
        Kbuild=f"obj-m := a.o\nccflags-y := -DX -I {tmp_path}/none -I$(src)/../flagged\n",
        a__c=' # include "../other/a.h"\n#include <none.h>\n#include "none.h"\n',
    )
    for name in ("other", "flagged"):
        (tmp_path / name).mkdir()
    (tmp_path / "other" / "a.h").write_text(
        '#include "../other/a.h"\n#include "../mine"\n#include "deep.h"\n'
    )
    project = read_project(mine, None, details=True)
    sources, directories = [mine / "a.c", mine / "b.c"], directories_of(project)
    (tmp_path / "flagged" / "deep.h").write_text("")
    require_plain_includes(sources, directories)
    (tmp_path / "flagged" / "deep.h").unlink()
    KINDS[kind](tmp_path / place / "deep.h")
    with pytest.raises(reader.ForeignFileError) as raised:
        require_plain_includes(sources, directories)
    assert "deep.h" in raised.value.what
    # Without the flag nobody looks there.
    if place == "flagged":
        require_plain_includes(sources)

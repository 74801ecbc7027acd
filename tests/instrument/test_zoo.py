"""Every planted bug of the zoo: found, of the right kind, at the line that has the mark, and nothing else."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.kernels import need_kernel

pytestmark = [pytest.mark.sandbox, pytest.mark.kernel]

ZOO = ROOT / "tests" / "instrument" / "zoo"
BUGS = sorted(file.stem for file in ZOO.glob("*.c"))
_MARK = re.compile(r"/\* BUG ([a-z ,-]+) \*/")


def marked(name: str) -> list[tuple[int, tuple[str, ...]]]:
    """The lines of a file with a mark, and the kinds that are right there."""
    lines = (ZOO / f"{name}.c").read_text().splitlines()
    return [(i, tuple(m[1].split())) for i, line in enumerate(lines, 1) if (m := _MARK.search(line))]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the zoo. The first test builds it, and its instrumented objects: 80 modules."""
    return Path(shutil.copytree(ZOO, tmp_path_factory.mktemp("sanitizer") / "zoo"))


def test_the_zoo_is_large_enough():
    assert len(BUGS) >= 60
    kinds = {kind for name in BUGS for _, found in marked(name) for kind in found}
    assert len(kinds) >= 25


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found_at_its_line(ks, zoo: Path, name: str):
    release = need_kernel("6.1").release
    ran = ks("run", "--sanitize", "--json", "--kernel", release, "-C", zoo, "--module", name)
    assert ran.status == 1, ran.err
    reports = json.loads(ran.out)["sanitizer"]["reports"]
    found = {(r["where"]["line"], r["kind"]) for r in reports if r["where"]}
    wanted = {(line, kind) for line, kinds in marked(name) for kind in kinds}
    assert found == wanted
    assert {r["where"]["file"] for r in reports} == {f"{name}.c"}

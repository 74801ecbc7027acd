"""Planted bugs: each is found, of the right kind, at the line that has the mark, and nothing else.

Ten of them, of kinds that the helper finds by different means, are tried always; all of them where
KSCAFFOLD_REQUIRE names `sanitizer`.
"""

import json
import re
import shutil
from pathlib import Path

import pytest

from kscaffold.diagnosis.reports.kinds import KINDS
from tests.conftest import REQUIRED, ROOT
from tests.instrument import bugs_page
from tests.support.kernels import need_kernel

ZOO = ROOT / "tests/instrument/zoo"
BUGS = sorted(file.stem for file in ZOO.glob("*.c"))
ALWAYS = (
    "cache_right",
    "free_twice",
    "freed_in_work",
    "global_memset",
    "leak_list",
    "lock_order",
    "lock_sleep",
    "pages_right",
    "ub_shift",
    "vmalloc_freed",
)
TRIED = BUGS if "sanitizer" in REQUIRED else ALWAYS
_MARK = re.compile(r"/\* BUG ([a-z ,-]+) \*/")


def marked(name: str) -> list[tuple[int, tuple[str, ...]]]:
    """The lines of a file with a mark, and the kinds that are right there."""
    lines = (ZOO / f"{name}.c").read_text().splitlines()
    return [(i, tuple(m[1].split())) for i, line in enumerate(lines, 1) if (m := _MARK.search(line))]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of the bugs that are tried. The first test builds it, and its instrumented objects."""
    here = tmp_path_factory.mktemp("sanitizer") / "zoo"
    here.mkdir()
    for file in ("bug.h", *(f"{name}.c" for name in TRIED)):
        shutil.copy(ZOO / file, here)
    (here / "Kbuild").write_text("".join(f"obj-m += {name}.o\n" for name in TRIED))
    return here


def test_the_zoo_is_large_enough():
    assert len(BUGS) >= 60
    assert set(ALWAYS) < set(BUGS)
    assert len({kind for name in BUGS for _, found in marked(name) for kind in found}) >= 25
    assert len({kind for name in ALWAYS for _, found in marked(name) for kind in found}) >= 8


def test_its_kbuild_names_every_bug():
    listed = re.findall(r"^obj-m \+= (\w+)\.o$", (ZOO / "Kbuild").read_text(), re.M)
    assert sorted(listed) == BUGS


@pytest.mark.sandbox
@pytest.mark.kernel
@pytest.mark.parametrize("name", TRIED)
def test_a_planted_bug_is_found_at_its_line(ks, zoo: Path, name: str):
    release = need_kernel("6.1").release
    ran = ks("run", "--sanitize", "--json", "--kernel", release, "-C", zoo, "--module", name)
    assert ran.status == 1, ran.err
    reports = json.loads(ran.out)["sanitizer"]["reports"]
    found = {(r["where"]["line"], r["kind"]) for r in reports if r["where"]}
    wanted = {(line, kind) for line, kinds in marked(name) for kind in kinds}
    assert found == wanted, ran.out
    assert {r["where"]["file"] for r in reports} == {f"{name}.c"}
    for kind in (kind for kind, chosen in bugs_page.chosen().items() if chosen == name):
        assert bugs_page.head(kind, name) in [bugs_page.plain(r["text"]) for r in reports]


def test_the_page_of_bugs_has_one_of_each_kind():
    """Else: python -m tests.instrument.bugs_page"""
    assert bugs_page.page() == bugs_page.PAGE.read_text()
    assert set(KINDS) - set(bugs_page.chosen()) == {"vla-bound-not-positive"}

"""`run --faults`: what becomes of each failing call, at its line; healthy modules have clean rows only."""

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.kernels import need_kernel
from tests.support.projects import HELLO, write

pytestmark = [pytest.mark.sandbox, pytest.mark.kernel]

FAULTY = ROOT / "tests/instrument/faulty"
_MARK = re.compile(r"/\* FAULT ([a-z-]+) \*/")


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(FAULTY, tmp_path_factory.mktemp("faults") / "faulty"))


def marked(name: str) -> list[tuple[int, str]]:
    lines = (FAULTY / f"{name}.c").read_text().splitlines()
    return [(i, m[1]) for i, line in enumerate(lines, 1) if (m := _MARK.search(line))]


@pytest.mark.parametrize("series", ["6.1", "6.12"])
def test_each_failing_call_gets_its_row(ks, faulty: Path, series: str):
    release = need_kernel(series).release
    ran = ks("run", "--faults", "--json", "--kernel", release, "-C", faulty, "--module", "error_paths")
    assert ran.status == 1, ran.err
    assert ran.json["verdict"] == "loaded" and ran.json["clean"] is True
    found = ran.json["faults"]
    assert [(r["where"]["line"], r["outcome"]) for r in found["rows"]] == marked("error_paths")
    assert (found["clean"], found["left_out"], found["problem"]) == (False, 0, None)
    rows = {r["where"]["line"]: r for r in found["rows"]}
    wrong = [w for row in found["rows"] for w in row["wrong"]]
    assert {"text": "24 bytes (kmalloc) are never freed", "where": "error_paths.c:29"} in wrong
    (named,) = [w for w in wrong if "character device numbers of error_paths" in w["text"]]
    assert named["where"] == "error_paths.c:37"
    assert [r["returned"] for r in found["rows"] if r["outcome"] == "other-error"] == ["EINVAL"]
    crashed = [r["wrong"][0]["text"] for r in rows.values() if r["outcome"] == "crashed"]
    assert "NULL pointer dereference" in crashed[0]
    assert "some time after init had returned" in crashed[1]
    misused = [r["wrong"][0]["text"].partition(":")[0] for r in rows.values() if r["outcome"] == "misused"]
    assert misused == ["double-free", "lock-held-on-return"]


def test_the_table_is_read_by_people(ks, faulty: Path, tmp_path: Path):
    page = tmp_path / "faults.html"
    words = ("--kernel", need_kernel("6.1").release, "-C", faulty, "--module", "error_paths")
    ran = ks("run", "--faults", "--sanitize", "--html", page, "--allow", "KS742", *words)
    assert ran.status == 1
    assert re.search(r"^ 2  kmalloc\(\) +error_paths\.c:32  LEAKED: 24 bytes", ran.out, re.M)
    assert re.search(r"^ 1  kmalloc\(\) +error_paths\.c:29  undone, ENOMEM returned$", ran.out, re.M)
    assert "4 of 10 failing calls came to a good end" in ran.out
    assert "kscaffold explain KS740" in ran.out
    text = page.read_text()
    assert "Failing calls" in text and "OTHER ERROR: EINVAL returned, not EBUSY" in text
    assert "The sanitizer" in text and "Nothing to report." in text
    assert "ks_sanitize: " not in text and "ks_faults: " not in text


def test_a_healthy_module_has_clean_rows_with_the_sanitizer_too(ks, faulty: Path):
    release = need_kernel("6.1").release
    words = ("--json", "--kernel", release, "-C", faulty, "--module", "tidy")
    ran = ks("run", "--faults", "--sanitize", *words)
    assert [r["outcome"] for r in ran.json["faults"]["rows"]] == ["clean"] * 11
    assert ran.json["sanitizer"] == {"reports": [], "unseen": []}
    assert ran.status == 0, ran.err


def test_a_module_that_asks_for_nothing(ks, tmp_path: Path):
    here = write(tmp_path / "hello", hello__c=HELLO, Kbuild="obj-m := hello.o\n")
    ran = ks("run", "--faults", "--kernel", need_kernel("6.1").release, "-C", here)
    assert ran.status == 0
    assert "init makes no call that can fail" in ran.err
    odd = ks("run", "--faults=some", "-C", here)
    assert (odd.status, "KS004" in odd.err) == (2, True)


def test_an_init_that_fails_by_itself_is_said_so(ks, tmp_path: Path):
    source = HELLO.replace("return 0;", "return -ENODEV;", 1)
    here = write(tmp_path / "hello", hello__c=source, Kbuild="obj-m := hello.o\n")
    ran = ks("run", "--faults", "--json", "--kernel", need_kernel("6.1").release, "-C", here)
    assert ran.status == 1
    assert ran.json["faults"]["rows"] == []
    assert "by itself" in ran.json["faults"]["problem"]


LATER = """\
def test_write(guest):
    guest.load()
    guest.write("/dev/later", "abc")
    guest.unload()
"""


def test_calls_after_init_fail_where_tests_make_them(ks, tmp_path: Path):
    here = write(tmp_path / "later", later__c=(FAULTY / "later.c").read_text(), Kbuild="obj-m := later.o\n")
    (here / "tests").mkdir()
    (here / "tests/test_later.py").write_text(LATER)
    ran = ks("run", "--faults=all", "--json", "--kernel", need_kernel("6.1").release, "-C", here)
    assert ran.status == 1, ran.err
    first, *rows = ran.json["faults"]["rows"]
    assert (first["call"], first["outcome"], first["test"]) == ("misc_register", "clean", None)
    assert [(r["where"]["line"], r["outcome"]) for r in rows] == marked("later")
    assert {r["test"] for r in rows} == {"test_later.py::test_write"}
    assert rows[2]["wrong"][0]["where"] == "later.c:22"

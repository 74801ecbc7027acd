"""Healthy modules under the sanitizer: 100,000 objects, every context, memory that the kernel frees.

All of them on every series where KSCAFFOLD_REQUIRE names `sanitizer`, else one on every series.
"""

import shutil
from pathlib import Path

import pytest

from tests.conftest import REQUIRED, ROOT
from tests.support.kernels import need_kernel

pytestmark = [pytest.mark.sandbox, pytest.mark.kernel]

HEALTHY = ROOT / "tests" / "instrument" / "healthy"
MODULES = sorted(file.stem for file in HEALTHY.glob("*.c"))
SERIES = ("6.1", "5.10", "6.12")
TRIED = [
    (name, series)
    for name in MODULES
    for series in SERIES
    if series == "6.1" or name == "given_away" or "sanitizer" in REQUIRED
]


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(HEALTHY, tmp_path_factory.mktemp("sanitizer") / "healthy"))


@pytest.mark.parametrize(("name", "series"), TRIED)
def test_a_healthy_module_is_clean(ks, healthy: Path, name: str, series: str):
    release = need_kernel(series).release
    words = ("--kernel", release, "-C", healthy, "--module", name, "--timeout", "60")
    ran = ks("run", "--sanitize", "--json", *words)
    # 5.10 does not count where preemption is off, and says so.
    unseen = [(release, "CONFIG_PREEMPT_COUNT")] if series == "5.10" else []
    told = ran.json["sanitizer"]["unseen"]
    assert [(u["module"], u["what"].rpartition("(")[2].rstrip(")")) for u in told] == unseen
    assert ran.json["sanitizer"]["reports"] == []
    assert ran.status == 0, ran.err
    assert ran.json["complaints"] == []

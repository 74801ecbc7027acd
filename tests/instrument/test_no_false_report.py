"""Every template and every example under the sanitizer: nothing is said of them.

All of them on every series where KSCAFFOLD_REQUIRE names `sanitizer`, else some on one.
"""

import shutil
from pathlib import Path

import pytest

from kscaffold.elf import quick
from kscaffold.elf.module_file import ModuleFile
from kscaffold.scaffold.create.new import ProjectRequest, new
from tests.conftest import REQUIRED, ROOT
from tests.support import templated
from tests.support.kernels import need_kernel

pytestmark = [pytest.mark.sandbox, pytest.mark.kernel]

EXAMPLES = ("hello", "ownname", "params")  # ret-1's init fails
SERIES = ("6.1", "5.10", "6.12") if "sanitizer" in REQUIRED else ("6.1",)
SOME = ("chardev", "exporter", "multi", "timer")


@pytest.fixture(scope="module", params=SERIES)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The series, and one project of all templates that its kernel can have, and of the examples."""
    here = tmp_path_factory.mktemp("clean") / "all"
    kernel = need_kernel(request.param)
    names = [n for n in templated.names(kernel) if "sanitizer" in REQUIRED or n in SOME]
    directories = [f"my-{name}" for name in names]
    for name, directory in zip(names, directories, strict=True):
        new(ProjectRequest(directory, here, name, author="Ann Other"))
    for name in EXAMPLES:
        shutil.copytree(ROOT / "examples" / name, here / name)
    (here / "Kbuild").write_text("".join(f"obj-m += {name}/\n" for name in (*directories, *EXAMPLES)))
    return request.param, here


def test_nothing_is_said(ks, place: tuple[str, Path]):
    series, here = place
    release = need_kernel(series).release
    assert ks("build", "--kernel", release, "-C", here).status == 0
    kos = sorted(here.glob("*/*.ko"))
    assert len(kos) >= (20 if "sanitizer" in REQUIRED else len(SOME) + len(EXAMPLES))
    said = {}
    for ko in kos:
        module = quick.module_name(ModuleFile.open(ko))
        ran = ks("run", "--sanitize", "--json", "--kernel", release, "-C", here, "--module", module)
        found = ran.json
        reports = [r["text"] for r in found["sanitizer"]["reports"]]
        if reports or found["complaints"] or (ran.status != 0 and found["verdict"] == "loaded"):
            said[module] = (ran.status, reports, found["complaints"], found.get("residue"))
    assert said == {}

"""Every template and every example under the sanitizer: nothing is said of them.

All of them on every series where KSCAFFOLD_REQUIRE names `sanitizer`, else some on one.
"""

import shutil
import time
from pathlib import Path

import pytest

from kscaffold.instrument.sandbox import InstrumentedSandbox
from kscaffold.load.request import Instruments
from kscaffold.scaffold.create.new import ProjectRequest, new
from tests.conftest import REQUIRED, ROOT
from tests.support import templated
from tests.support.kernels import need_kernel

pytestmark = [pytest.mark.sandbox, pytest.mark.kernel]

EXAMPLES = ("hello", "ownname", "params")  # ret-1's init fails
SERIES = ("6.1", "5.10", "6.12") if "sanitizer" in REQUIRED else ("6.1",)
_A_WHILE = 0.3  # s, for timers and threads
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
    kernel = need_kernel(series)
    assert ks("build", "--kernel", kernel.release, "-C", here).status == 0
    kos = sorted(here.glob("*/*.ko"))
    assert len(kos) >= (20 if "sanitizer" in REQUIRED else len(SOME) + len(EXAMPLES))
    said = {}
    for ko in kos:
        with InstrumentedSandbox(kernel, Instruments(sanitize=True)) as sandbox:
            loaded = sandbox.load(ko)
            time.sleep(_A_WHILE)
            gone = sandbox.unload(ko) if loaded.ok else None
            found = [f.head for f in sandbox.findings()]
            complaints = [*loaded.judgement.complaints, *(gone.judgement.complaints if gone else ())]
            # Some want a device that is not there, and say so.
            well = gone.ok if gone else loaded.judgement.verdict == "init-failed"
        if found or complaints or not well:
            said[ko.stem] = (loaded.judgement.verdict, found, complaints)
    assert said == {}

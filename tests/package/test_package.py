"""The wheel, installed into an empty environment, does what a checkout does."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REAL_CACHE, ROOT, need_program
from tests.support.kernels import need_kernel

pytestmark = [pytest.mark.network]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(place), str(ROOT)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    (made,) = place.glob("kscaffold-*.whl")
    return made


def test_everything_that_is_not_code_is_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for pattern in ("**/*.py", "**/*.toml", "**/*.mk", "**/*.c"):
        for file in (ROOT / "kscaffold").glob(pattern):
            assert f"kscaffold/{file.relative_to(ROOT / 'kscaffold')}" in names
    tracked = subprocess.run(
        ["git", "ls-files", "templates"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for file in tracked.stdout.splitlines():
        assert f"kscaffold/{file}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith("tests") for name in names)


@pytest.mark.sandbox
def test_an_installed_wheel_does_the_main_job(wheel, tmp_path):
    """In an environment of its own, with nothing of the checkout in reach."""
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    pip = [str(environment / "bin/pip"), "install", "-q", "--disable-pip-version-check", str(wheel)]
    subprocess.run(pip, check=True, stdin=subprocess.DEVNULL)
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {
        "XDG_CACHE_HOME": str(REAL_CACHE),
        "PATH": f"{environment}/bin:{os.environ['PATH']}",
    }

    def kscaffold(*words: str, cwd: Path = tmp_path) -> str:
        done = subprocess.run(
            [str(environment / "bin/kscaffold"), *words],
            cwd=cwd,
            env=env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    kscaffold("kernel", "default", kernel.release)
    kscaffold("new", "ownname", "--objs", "ret-1")
    kscaffold("new", "knobs", "--param", "count:int=3")
    project = tmp_path / "ownname"
    kscaffold("build", cwd=project)
    assert "ownname_init" in kscaffold("check", cwd=project)
    kscaffold("load", cwd=project)
    assert "ownname" in kscaffold("list", cwd=project)
    assert "hello from init" in kscaffold("logs", cwd=project)
    kscaffold("unload", cwd=project)
    kscaffold("sandbox", "stop", cwd=project)
    assert "KS203" in kscaffold("explain", "KS203")
    assert "finit_module" in kscaffold("explain", "load")
    assert "ownname_init" in kscaffold("explain", "load", "--html", "load.html", cwd=project)
    assert "ownname_init" in (project / "load.html").read_text()  # its template is in the wheel

"""A cache that was moved to another path works there, and what was taken out of it is made again."""

import os
import re
import shutil
from pathlib import Path

import pytest

from kscaffold.files import paths
from kscaffold.kernel.fetch import lead_by_place
from tests.conftest import need_program
from tests.support.kernels import need_kernel
from tests.support.projects import HELLO, write

_ABSOLUTE = re.compile(r"(?m)^\w.*[ =]/")
pytestmark = [pytest.mark.sandbox, pytest.mark.network]


def test_a_cache_that_moved_builds_and_runs(ks, tmp_path: Path, monkeypatch):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    assert kernel.vmlinux is not None
    first, second = tmp_path / "first", tmp_path / "second"
    place = first / "kscaffold/kernels" / kernel.release
    # Nothing writes to these files: each appears whole.
    shutil.copytree(kernel.vmlinux.parent, place, symlinks=True, copy_function=os.link)
    # The user's cache, where these files came from, is there all the time: nothing may lead back to it.
    makefile = place / "usr/src" / f"linux-headers-{kernel.release}" / "Makefile"
    if _ABSOLUTE.search(makefile.read_text()):  # fetched by an older kscaffold
        lead_by_place(makefile)
    assert not _ABSOLUTE.search(makefile.read_text())
    monkeypatch.setenv("XDG_CACHE_HOME", str(first))
    project = write(tmp_path / "hello", Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    monkeypatch.chdir(project)
    assert ks("build").status == 0

    first.rename(second)
    monkeypatch.setenv("XDG_CACHE_HOME", str(second))
    (second / place.relative_to(first) / "vmlinux").unlink()
    assert ks("build").status == 0
    (project / "hello.c").write_text(f"{HELLO}static int more __used;\n")
    ran = ks("run", "--json")
    assert (ran.status, ran.json["kernel"]) == (0, kernel.release), ran.err
    assert f"Building hello for {kernel.release}" in ran.err
    assert paths.cache().parent == second and not first.exists()

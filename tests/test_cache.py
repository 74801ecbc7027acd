"""`kscaffold cache`: what is kept, and what of it nothing needs any more."""

import os
import time
from pathlib import Path

import pytest

from kscaffold.cache import list_cache
from kscaffold.files import paths
from kscaffold.make.lock import project_lock
from kscaffold.sandbox.agent import guest_root
from kscaffold.sandbox.live import registry
from tests.support.worlds import RELEASE, World


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    World().stored()
    return paths.cache()


def kept(base: Path, *parts: str, content: bytes = b"x" * 5000) -> Path:
    file = base.joinpath(*parts)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def project_state(project: Path) -> Path:
    project.mkdir(exist_ok=True)
    with project_lock(project, lambda *_: None) as state:
        return state


def test_what_is_old_goes_and_the_rest_stays(ks, cache: Path, tmp_path: Path):
    old_agent = kept(cache, "guest", "agent-0123456789abcdef")
    agent = kept(cache, "guest", min(guest_root.agent_names()))
    old_image = kept(cache, "images", "5.4.0-gone", "vmlinux").parent
    image = kept(cache, "images", RELEASE, "vmlinux").parent
    old_modules = kept(cache, "modules", "5.4.0-gone", "dummy.ko").parent
    gone, there, saved = (project_state(tmp_path / name) for name in ("gone", "there", "saved"))
    kept(saved, "before-update-20260101-000000.tar.gz")
    for name in ("gone", "saved"):
        (tmp_path / name).rmdir()
    ended, fresh = (registry.sandbox_dir(tmp_path / name) for name in ("ended", "fresh"))
    for place in (ended, fresh):
        kept(place, "log")
    long_ago = time.time() - 8 * 86400
    os.utime(ended, (long_ago, long_ago))

    told = {entry.path: entry for entry in list_cache()}
    old = {old_agent, old_image, old_modules, gone, ended}
    assert {path for path, entry in told.items() if entry.old} == old
    assert told[old_image].bytes >= 5000 and told[old_image].old == "its kernel 5.4.0-gone is gone"
    assert told[gone].old == f"its project {tmp_path / 'gone'} is gone"
    shown = ks("cache")
    assert shown.status == 0 and "/agent-0123456789abcdef\n        old: made by another version" in shown.out
    assert all(len(line) <= 80 for line in shown.out.splitlines() if line.endswith("abcdef"))
    assert "kscaffold cache prune removes what is old" in shown.err

    assert ks("cache", "prune", "--dry-run").status == 0
    assert old_agent.exists() and gone.exists()
    pruned = ks("cache", "prune", "--json")
    assert pruned.status == 0
    assert {e["path"] for e in pruned.json["removed"]} == {str(p) for p in old}
    assert not any(p.exists() for p in old)
    assert all(p.exists() for p in (agent, image, there, saved, fresh, cache / "kernels" / RELEASE))
    assert ks("cache", "prune", "--json").json["removed"] == []


def test_what_has_no_record_of_a_kernel_goes_and_what_nobody_knows_is_shown(ks, cache: Path):
    kernels = cache / "kernels"
    long = "6" * 250
    for name in ("5.4.0-left", "6.6.0-half", long):
        kept(kernels, name, "usr", "Makefile")
    kept(kernels, "6.6.0-half", "kernel.json", content=b'{"schema": 1, "release": "6.6')
    os.mkfifo(kernels / "pipe")
    strange = kept(cache, "of-a-later-version", "file").parent
    half = kept(cache, "tmp", "1-0123abcd", "file").parent
    told = {entry.path: entry for entry in list_cache()}
    for name in ("5.4.0-left", "6.6.0-half", "pipe"):
        assert told[kernels / name].old == "it has no record of a kernel"
    assert told[kernels / RELEASE].old is None
    assert (told[strange].kind, told[strange].old) == ("unknown", None)
    assert (told[half].kind, told[half].old) == ("half-made", "its run has ended")
    assert "unknown        of-a-later-version" in ks("cache").out

    ran = ks("kernel", "remove", "5.4.0-left", "--json")
    assert (ran.status, ran.json["kernel"]["release"]) == (0, "5.4.0-left")
    assert not (kernels / "5.4.0-left").exists()
    assert ks("kernel", "remove", "5.4.0").status == 2  # of what is no kernel the whole name is wanted
    kept(half, "file")  # who made a directory there has swept the others
    pruned = ks("cache", "prune", "--json")
    assert {e["path"] for e in pruned.json["removed"]} == {
        str(half),
        *(str(kernels / name) for name in ("6.6.0-half", "pipe", long)),
    }
    assert [place.name for place in kernels.iterdir()] == [RELEASE] and strange.exists()

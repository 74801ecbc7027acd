"""Which trees make reads: one that others may write to only where it is named, and what is made of it."""

from pathlib import Path

import pytest

from kscaffold.project import trust
from kscaffold.project.mirror import kernel_place, mirror
from kscaffold.project.trust import UntrustedError, require_trusted
from tests.support.projects import HELLO, write
from tests.support.worlds import World


def test_a_build_directory_is_trusted_as_its_checkout_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(trust, "_named", set())
    kernel = World().stored()
    project = tmp_path / "hello"
    write(project, Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    (project / "Kbuild").chmod(0o666)
    with pytest.raises(UntrustedError, match="others may write to Kbuild there"):
        kernel_place(project, kernel)
    # Who makes no make run there has looked at nothing, and vouches for nothing.
    place = mirror(project, kernel)
    with pytest.raises(UntrustedError, match="others may write to Kbuild there"):
        require_trusted(place, place / "Kbuild")
    trust.name(project)
    assert kernel_place(project, kernel) == place
    require_trusted(place, place / "Kbuild")

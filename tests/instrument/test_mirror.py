"""A mirror of a project to build in: links to its files, nothing of an earlier build, no write to it."""

import os
from pathlib import Path

from kscaffold.instrument.mirror import make_mirror
from kscaffold.project.mirror import surrounded, sweep_mirrors
from tests.support.projects import write


def seen(directory: Path) -> dict[str, str]:
    """Each file below: what it links to, or its text."""
    found = {}
    for file in sorted(directory.rglob("*")):
        if file.is_symlink():
            found[str(file.relative_to(directory))] = os.readlink(file)
        elif file.is_file():
            found[str(file.relative_to(directory))] = file.read_text()
    return found


def test_links_to_sources_and_a_kbuild_more(tmp_path: Path):
    project = write(tmp_path / "p", m__c="int x;", sub_0_n__c="", m__o="", m__ko="", Kbuild="obj-m := m.o\n")
    (project / ".git").mkdir()
    (project / ".git/config").write_text("")
    mirror = tmp_path / "mirror"
    make_mirror(project, mirror, project / "Kbuild", "-DX")
    found = seen(mirror)
    kbuild = found.pop("Kbuild")
    assert found == {
        "kbuild.original": str(project / "Kbuild"),
        "m.c": str(project / "m.c"),
        "sub/n.c": str(project / "sub/n.c"),
    }
    assert f"include {mirror}/kbuild.original\n" in kbuild
    assert "subdir-ccflags-y += -DX\n" in kbuild


def test_a_second_time_only_what_changed(tmp_path: Path):
    project = write(tmp_path / "p", m__c="", old__c="", Makefile="obj-m := m.o\n")
    mirror = tmp_path / "mirror"
    make_mirror(project, mirror, project / "Makefile", "-DX")
    before = (mirror / "Kbuild").stat().st_mtime_ns, (mirror / "m.c").lstat().st_mtime_ns
    (project / "old.c").rename(project / "new.c")
    make_mirror(project, mirror, project / "Makefile", "-DX")
    assert ((mirror / "Kbuild").stat().st_mtime_ns, (mirror / "m.c").lstat().st_mtime_ns) == before
    assert not (mirror / "old.c").is_symlink()
    assert (mirror / "new.c").is_symlink()
    assert (mirror / "Makefile").is_symlink()


def test_headers_beside_the_project_are_reached(tmp_path: Path):
    write(tmp_path, include_0_own__h="here", drivers_0_one_0_Kbuild="", drivers_0_two_0_x__h="")
    (tmp_path / ".git").mkdir()
    inside = surrounded(tmp_path / "drivers/one", tmp_path / "cache")
    make_mirror(tmp_path / "drivers/one", inside, tmp_path / "drivers/one/Kbuild", "")
    assert inside == tmp_path / "cache/drivers/one"
    assert (inside / "../../include/own.h").read_text() == "here"
    assert (inside / "../two/x.h").exists()


def test_a_project_in_no_repository_is_mirrored_alone(tmp_path: Path):
    project = write(tmp_path / "p", Kbuild="")
    assert surrounded(project, tmp_path / "cache") == tmp_path / "cache"


def test_mirrors_of_projects_that_are_gone_are_swept(tmp_path: Path):
    (tmp_path / "here").mkdir()
    sweep_mirrors(tmp_path / "all", tmp_path / "all/gone", tmp_path / "not-here")
    sweep_mirrors(tmp_path / "all", tmp_path / "all/there", tmp_path / "here")
    assert sorted(d.name for d in (tmp_path / "all").iterdir()) == ["there"]

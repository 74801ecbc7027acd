"""What a project's own make was last seen to build, for those who may not run it: check, list, logs."""

import json
import os
import re
from collections.abc import Collection
from pathlib import Path

from kscaffold.errors import KscaffoldError
from kscaffold.files import paths, reader
from kscaffold.files.atomic import write_whole
from kscaffold.kernel.kernel import Kernel
from kscaffold.project.ask import kbuild_file, read_project
from kscaffold.project.mirror import mirrors
from kscaffold.project.project import ModuleTarget, Project

_FILE = "targets.json"
# No project, a Makefile that make can't read from outside, no module in it.
_UNASKABLE = frozenset({"KS101", "KS103", "KS104", "KS159"})


def know_targets(project: Project, changed: Collection[str] = ()) -> None:
    """Keep what the project's own make built, and which files changed meanwhile."""
    state = paths.project_state(project.directory)
    state.mkdir(parents=True, exist_ok=True)
    targets = [
        {"name": t.name, "objects": t.objects, "directory": str(t.directory), "ko": str(t.ko)}
        for t in project.targets
    ]
    record = {"directory": str(project.directory), "kbuild": str(project.kbuild_file), "targets": targets}
    record["changed"] = sorted(changed)
    write_whole(state / _FILE, json.dumps(record))


def known_targets(directory: Path) -> Project | None:
    """What the project's own make built in `directory` the last time; None where it never did."""
    try:
        record = paths.recorded(paths.project_state(directory) / _FILE)
        if record["directory"] != os.path.realpath(directory):
            return None
        targets = tuple(
            ModuleTarget(t["name"], tuple(t["objects"]), Path(t["directory"]), Path(t["ko"]))
            for t in record["targets"]
        )
        return Project(Path(record["directory"]), Path(record["kbuild"]), targets)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def known_changes(directory: Path) -> frozenset[str]:
    """The files of the project in `directory` that changed while its own make built it the last time."""
    try:
        record = paths.recorded(paths.project_state(directory) / _FILE)
        return frozenset(record["changed"] if record["directory"] == os.path.realpath(directory) else ())
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def project_at(directory: Path, kernel: Kernel | None) -> Project:
    """The project as `read_project` gives it; where make would have to run the project's own rules, what
    those built the last time. Raises what that raises, and KscaffoldError KS418 where they never did.
    """
    if not os.access(directory, os.W_OK):  # what is built of it is in the cache
        directory = next(iter(mirrors(directory.resolve())), directory)
    known = known_targets(directory)
    if known is not None and all(t.ko.exists() for t in known.targets):
        return known
    try:
        return read_project(directory, kernel)
    except KscaffoldError as error:
        if error.code not in _UNASKABLE:
            raise
        if known is not None:
            return known
        from kscaffold.project.configure import configures_modules  # start-up time: most can be asked
        from kscaffold.project.dkms_conf import has_make
        from kscaffold.project.makefile import leads_to_kbuild

        ways = (has_make, leads_to_kbuild, configures_modules)
        if not _lists_modules(directory, error) and any(is_way(directory) for is_way in ways):
            what = f"what {directory.name} builds is not known before it is built"
            raise KscaffoldError("KS418", what, cause="its own make says it", fix="kscaffold build") from None
        raise


def _lists_modules(directory: Path, error: KscaffoldError) -> bool:
    """Whether what is wrong is in the directory's own list of modules, which `error` tells of then."""
    file = kbuild_file(directory) if error.code == "KS104" else None
    if error.code == "KS101" or file is None:
        return error.code != "KS101"
    return bool(re.search(r"^[ \t]*obj", reader.read_text(file), re.M | re.I))


def built_targets(directory: Path, kernel: Kernel, only: str | None = None) -> list[ModuleTarget]:
    """The modules of the project in `directory`; `only`: this one of them.

    Raises KscaffoldError KS418 for one that is not built, and what `read_project` and `Project.named` raise.
    """
    targets = list(project_at(directory, kernel).named(only))
    for target in targets:
        if not target.ko.exists():
            raise KscaffoldError("KS418", f"{target.ko.name} is not built yet", fix="kscaffold build")
    return targets

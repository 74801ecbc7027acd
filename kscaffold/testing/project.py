"""The project around a test, built for the kernel of the test."""

from pathlib import Path

import pytest

from kscaffold.elf.module_name import normalize_name
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.build_project import build_project
from kscaffold.make.fingerprint.compare import fresh_targets
from kscaffold.project.find import find_project
from kscaffold.project.mirror import kernel_place

# There is none; make can't work at that path.
_NO_PROJECT = "KS101"


def project_of(directory: str | Path) -> Path | None:
    """The project that a directory lies in, or None."""
    try:
        return find_project(Path(directory).absolute())
    except KscaffoldError as error:
        if error.code == _NO_PROJECT:
            return None
        raise


def build_modules(
    project: Path, kernel: Kernel, failed: dict[tuple[Path, str], str], *, apart: bool = False
) -> dict[str, Path]:
    """The .ko files that a project builds, by the kernel's names, built now where they are not up to date;
    with `apart` in a directory of the kernel's own. Fails the test where the build fails, and where it is in
    `failed`: what failed for one test is not tried again for each other one.
    """
    if apart:
        project = kernel_place(project, kernel)
    before = failed.get((project, kernel.release))
    if before is not None:
        pytest.fail(f"the build failed, as for the test before: {before}", pytrace=False)
    ready = fresh_targets(project, kernel)
    if ready is not None:
        return {normalize_name(target.name): target.ko for target in ready.targets}
    report = build_project(project, kernel)
    if not report.ok:
        said = "\n".join(f"{c.file}:{c.line}: {c.text}" for c in report.complaints)
        why = report.explanation.cause if report.explanation else None
        first = said.partition("\n")[0] or why or "see the first"
        failed[project, kernel.release] = first
        pytest.fail(f"the build failed: {why or 'see the complaints'}\n{said}", pytrace=False)
    return {normalize_name(target.name): target.ko for target in report.project.targets}

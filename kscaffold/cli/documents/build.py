"""JSON of `build`, `clean` and `package`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kscaffold.make.report import BuildReport
    from kscaffold.package.dkms import DkmsReport
    from kscaffold.package.install import InstallReport
    from kscaffold.project.project import ModuleTarget

Document = dict[str, Any]


def build(report: "BuildReport", modules: "Sequence[ModuleTarget]") -> Document:
    """`build`; and the value of `build` where another command's build failed."""
    why = report.explanation
    return {
        "kernel": report.release,
        "arch": report.arch,
        "modules": [{"name": t.name, "path": str(t.ko)} for t in modules],
        "up_to_date": report.up_to_date,
        "complaints": [
            {"level": c.level, "file": c.file, "line": c.line, "text": c.text} for c in report.complaints
        ],
        "notes": list(report.notes),
        "log": str(report.log),
        "seconds": round(report.seconds, 3),
        "code": why.code if why else None,
        "cause": why.cause if why else None,
        "fix": why.fix if why else None,
    }


def clean(directory: Path, removed: "Iterable[str]", kept: "Iterable[str]") -> Document:
    """`clean`."""
    return {"directory": str(directory), "removed": list(removed), "kept": list(kept)}


def package_dkms(report: "DkmsReport", directory: Path, diff: str) -> Document:
    """`package dkms`."""
    return {
        "directory": str(directory),
        "file": str(report.change.path),
        "name": report.name,
        "version": report.version,
        "modules": [{"name": m.name, "location": m.location} for m in report.modules],
        "diff": diff,
        "written": report.written,
    }


def package_install(report: "InstallReport", arch: str) -> Document:
    """`package install`, for a kernel of this machine (as `uname -m` says it)."""
    return {
        "kernel": report.release,
        "arch": arch,
        "directory": str(report.directory),
        "modules": [
            {
                "name": m.name,
                "path": str(m.path),
                "found": str(m.found) if m.found else None,
                "others": [str(o) for o in m.others],
            }
            for m in report.modules
        ],
        "said": list(report.said),
        "code": None if report.ok else "KS047",
    }

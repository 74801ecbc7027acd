"""JSON of `kernel`, `sandbox` and `doctor`."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kscaffold.cache import CacheEntry
    from kscaffold.doctor import DoctorReport
    from kscaffold.kernel.kernel import Kernel
    from kscaffold.sandbox.live.registry import SandboxInfo

Document = dict[str, Any]


def kernel(found: "Kernel | None") -> Document | None:
    """One kernel, as the `kernel` commands show it."""
    if found is None:
        return None
    from kscaffold.kernel import store  # start-up time

    details = store.details(found.release) if found.source != "running" else {}
    return {
        "release": found.release,
        "source": found.source,
        "origin": found.origin,
        "arch": found.arch,
        "build": str(found.build) if found.build else None,
        "image": str(found.image) if found.image else None,
        "modules": str(found.modules) if found.modules else None,
        "bytes": details.get("bytes"),
    }


def sandbox_status(
    sandboxes: "Iterable[SandboxInfo]", snapshots: "Iterable[tuple[str, str, int, float, str]]"
) -> Document:
    """`sandbox status`."""
    return {
        "sandboxes": [
            {
                "id": s.id,
                "project": str(s.project),
                "kernel": s.kernel,
                "arch": s.arch,
                "cmdline": s.cmdline,
                "accelerator": s.accelerator,
                "keeper": s.daemon,  # the key is frozen
                "qemu": s.qemu,
                "seconds": round(time.time() - s.started, 1),
                "rss": s.rss,
            }
            for s in sandboxes
        ],
        "snapshots": [
            {"key": k, "kernel": r, "arch": arch or None, "bytes": size, "used": used}
            for k, r, size, used, arch in snapshots
        ],
    }


def cache(entries: "Sequence[CacheEntry]") -> Document:
    """`cache`."""
    return {
        "entries": [_kept(entry) for entry in entries],
        "bytes": sum(entry.bytes for entry in entries),
        "old": sum(entry.bytes for entry in entries if entry.old),
    }


def cache_prune(removed: "Sequence[CacheEntry]") -> Document:
    """`cache prune`."""
    return {"removed": [_kept(entry) for entry in removed], "bytes": sum(entry.bytes for entry in removed)}


def _kept(entry: "CacheEntry") -> Document:
    return {
        "kind": entry.kind,
        "path": str(entry.path),
        "bytes": entry.bytes,
        "used": entry.used,
        "old": entry.old,
    }


def doctor(report: "DoctorReport", cache: Path) -> Document:
    """`doctor`."""
    return {
        "findings": [
            {"what": f.what, "state": f.state, "text": f.text, "fix": f.fix} for f in report.requirements
        ],
        "cache": {"path": str(cache), "kernels": report.kernels, "snapshots": report.snapshots},
    }

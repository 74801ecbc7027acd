"""Predictions remembered: the same bytes on the same kernel get the same answer, without the 60 ms that
importing an ELF reader and reading the kernel's exports take.
"""

import contextlib
import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

from kscaffold import process
from kscaffold.elf.quick import SIGNED
from kscaffold.files import paths
from kscaffold.kernel.kernel import Kernel
from kscaffold.module.predict import finding
from kscaffold.module.predict.finding import Finding, Prediction

_MOST = 2000  # files; then all are forgotten


def prediction_key(
    ko: Path,
    parameters: str,
    kernel: Kernel,
    cmdline: str,
    loaded: Collection[str] | None,
    trusted: tuple[bytes, ...] = (),
) -> str | None:
    """A digest of all that a prediction is made of: the .ko, the files of the kernel that are read for it,
    the symbols of its project, what is loaded, the certificates that the kernel is given and, for a signed
    module, those that are known; and the code that predicts. None where the .ko can't be read.
    """
    build, modules = kernel.build or Path("/nothing"), kernel.modules or Path("/nothing")
    files = (
        build / "Module.symvers",
        build / ".config",
        build / "include/config/auto.conf",
        modules / "modules.builtin",
        modules / "modules.builtin.modinfo",
        modules / "kernel",
        kernel.vmlinux or Path("/nothing"),
        *sorted(Path(finding.__file__).parent.glob("*.py")),
    )
    try:
        content = ko.read_bytes()
    except OSError:
        return None
    digest = hashlib.sha256(b"".join([content, *trusted]))
    # symvers.beside() looks there, and in the directories above. By content: each build writes it anew.
    for above in list(ko.absolute().parents)[:8]:
        with contextlib.suppress(OSError):
            digest.update(hashlib.sha256((above / "Module.symvers").read_bytes()).digest())
    if content.endswith(SIGNED):
        # What tells whose signature it is, and whether it is right.
        image = kernel.image or Path("/nothing")
        files += (image, paths.certificates(), Path(process.which("openssl") or "/nothing"))
    told = None if loaded is None else sorted(loaded)
    facts = [kernel.release, kernel.arch, parameters, cmdline, told, *map(_identity, files)]
    digest.update(json.dumps(facts).encode())
    return digest.hexdigest()[:32]


def recall_prediction(name: str) -> Prediction | None:
    """What was predicted under that key."""
    try:
        known = paths.recorded(_place() / name)
        known["findings"] = tuple(Finding(**f) for f in known["findings"])
        return Prediction(**known)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember_prediction(name: str, found: Prediction) -> None:
    """Remember a prediction. Without room it is just made again."""
    with contextlib.suppress(OSError):
        _place().mkdir(parents=True, exist_ok=True)
        there = list(_place().iterdir())
        for old in there if len(there) > _MOST else ():
            old.unlink(missing_ok=True)
        paths.write_whole(_place() / name, json.dumps(asdict(found)))


def _place() -> Path:
    return paths.cache() / "forecasts"


def _identity(file: Path) -> list[int | str]:
    try:
        s = file.stat()
    except OSError:
        return [str(file)]
    return [str(file), s.st_size, s.st_mtime_ns, s.st_ino]

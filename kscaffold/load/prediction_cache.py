"""A cache of predictions: the same bytes on the same kernel get the same answer, without the 60 ms that
importing an ELF reader and reading the kernel's exports take.
"""

import contextlib
import hashlib
import json
from collections.abc import Collection
from functools import cache
from pathlib import Path

import kscaffold
from kscaffold import process
from kscaffold.elf.module_file import ModuleFile
from kscaffold.files import paths, reader
from kscaffold.files.atomic import write_whole
from kscaffold.files.identity import identify_if_there
from kscaffold.kernel.kernel import Kernel
from kscaffold.kernel.symvers import MOST_SYMVERS
from kscaffold.module.predict.finding import Finding, Prediction

_MOST = 2000  # files; then all are forgotten
# The rooms of the code that a prediction is made by.
_ROOMS = ("arch", "diagnosis", "elf", "kernel", "module", "pkcs7", "project")
_BESIDE = ("lazy.py", "records.py")  # what these rooms' patterns and records are made with


def prediction_key(
    ko: ModuleFile,
    parameters: str,
    kernel: Kernel,
    cmdline: str,
    loaded: Collection[str] | None,
    trusted: tuple[bytes, ...] = (),
) -> str:
    """A digest of all that a prediction is made of: the .ko, the files of the kernel that are read for it,
    the symbols of its project, what is loaded, the certificates that the kernel is given and, for a signed
    module, those that are known; and the code that predicts. `parameters` in the kernel's syntax.
    """
    build, modules = kernel.build or Path("/nothing"), kernel.modules or Path("/nothing")
    files: tuple[Path, ...] = (
        build / "Module.symvers",
        build / ".config",
        build / "include/config/auto.conf",
        modules / "modules.builtin",
        modules / "modules.builtin.modinfo",
        modules / "kernel",
        kernel.vmlinux or Path("/nothing"),
    )
    digest = hashlib.sha256(b"".join([ko.digest(), *trusted]))
    # symvers.beside() looks there, and in the directories above. By content: each build writes the file
    # again.
    for above in list(ko.path.absolute().parents)[:8]:
        with contextlib.suppress(OSError):
            digest.update(hashlib.sha256(reader.read_bytes(above / "Module.symvers", MOST_SYMVERS)).digest())
    if ko.is_signed:
        # What tells whose signature it is, and whether it is right.
        image = kernel.image or Path("/nothing")
        files += (image, paths.certificates(), Path(process.which("openssl") or "/nothing"))
    names = None if loaded is None else sorted(loaded)
    facts = [kernel.release, kernel.arch, parameters, cmdline, names, *map(_identity, files), *_code()]
    digest.update(json.dumps(facts).encode())
    return digest.hexdigest()[:32]


def code_files() -> list[Path]:
    """The files of the code that predicts, and of all beside it."""
    package = Path(kscaffold.__file__).parent
    rooms = [file for room in _ROOMS for file in (package / room).rglob("*.py")]
    return sorted([*rooms, *(package / name for name in _BESIDE)])


@cache
def _code() -> list[list[int | str]]:
    # Once a process: it takes 1 ms, and the code that runs stays what it was.
    return [_identity(file) for file in code_files()]


def recall_prediction(name: str) -> Prediction | None:
    """The prediction that was kept under that key; None where there is none, or a damaged one."""
    try:
        known = paths.recorded(_place() / name)
        known["findings"] = tuple(Finding(**f) for f in known["findings"])
        return Prediction(**known)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember_prediction(name: str, found: Prediction) -> None:
    """Keep a prediction. On a full disk it is not kept, and will be made again."""
    from dataclasses import asdict  # start-up time: most predictions are known

    with contextlib.suppress(OSError):
        paths.make_own(_place())
        there = list(_place().iterdir())
        for old in there if len(there) > _MOST else ():
            old.unlink(missing_ok=True)
        write_whole(_place() / name, json.dumps(asdict(found)))


def _place() -> Path:
    return paths.cache() / "forecasts"


def _identity(file: Path) -> list[int | str]:
    known = identify_if_there(file)
    return [str(file), *known.stamp] if known else [str(file)]

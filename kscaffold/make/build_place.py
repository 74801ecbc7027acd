"""Where a project is built: each kernel has a directory of its own, so that two never meet.

The checkout is that of the kernel that was built for there first, as plain make has it. Any other kernel's is
beside it, in the cache (project/mirror.py), and so is each one's where the checkout can't be written to.
"""

import os
import re
from pathlib import Path

from kscaffold.files import reader
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.fingerprint import compare
from kscaffold.project.mirror import mirror, repository

_MAKEFILES = ("Kbuild*", "Makefile*", "*.mk")
_SOURCES = ("*.c", "*.h", "*.S")
_UPWARDS = re.compile(rb"(?<![\w.])\.\.(?:/\.\.)*(?![\w.])")
_LARGEST = 4 << 20  # bytes; a longer file is data


def build_place(directory: Path, kernel: Kernel) -> Path:
    """The directory in which the project in `directory` (absolute, links resolved) is built for `kernel`."""
    if not os.access(directory, os.W_OK):
        return mirror(directory, kernel)
    owner = compare.last_kernel(directory)
    if owner is None or owner == os.path.realpath(kernel.build or "") or not Path(owner, "Makefile").exists():
        return directory
    return mirror(directory, kernel) if _is_self_contained(directory, kernel) else directory


def _is_self_contained(directory: Path, kernel: Kernel) -> bool:
    """Whether a build of links to its files is the same: nothing of it is reached from above or made by rules
    of its own, which may write to what the links point at.
    """
    from kscaffold.files.tree import below  # start-up time: most projects are built for one kernel
    from kscaffold.make.own_way import own_way
    from kscaffold.project.known import known_targets

    if known_targets(directory) is not None or own_way(directory) is not None:
        return False
    top = repository(directory)
    for pattern in (*_MAKEFILES, *_SOURCES):
        for file in below(directory, pattern):
            if not file.is_file() or file.stat().st_size > _LARGEST:
                continue
            text = reader.read_bytes(file)
            if pattern in _MAKEFILES:
                # Headers are read there, objects would be written.
                if any(_UPWARDS.search(word) for word in text.split() if not word.startswith(b"-I")):
                    return False
            else:
                text = b"\n".join(line for line in text.splitlines() if b"#include" in line)
            if any(ups.count(b"..") > len(file.relative_to(top).parts) - 1 for ups in _UPWARDS.findall(text)):
                return False
    return True

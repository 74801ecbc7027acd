"""What a kernel is to us: a tree to build for, an image to boot, modules to look up."""

import os
from pathlib import Path
from typing import Literal

from kscaffold.arch import table
from kscaffold.records import dataclass, field

Source = Literal["fetched", "running", "path"]


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel. Any part may be missing; who needs it says so.

    `release`: `uname -r`. `build`: the tree `make -C` is given (headers, Module.symvers). `image`: a
    vmlinuz or vmlinux. `vmlinux`: the decompressed ELF image the sandbox boots, made once. `modules`:
    `lib/modules/R`, which holds `kernel/` and `modules.builtin`. `origin`: the suite or path it is from.
    `arch`: as `uname -m` says it on a machine that runs it.
    """

    release: str
    source: Source
    build: Path | None
    image: Path | None
    vmlinux: Path | None
    modules: Path | None
    origin: str
    arch: str = field(default_factory=lambda: os.uname().machine)

    @property
    def name(self) -> str:
        """As people and --kernel name it: the release, with the machine before it where it is another one."""
        return table.kernel_name(self.release, self.arch)

"""The target where no sandbox runs: nothing is loaded in it, and nothing can be."""

import errno
from typing import TYPE_CHECKING

from kscaffold.diagnosis.attempt import Attempt, Facts, Listed
from kscaffold.diagnosis.klog import Record
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.module.arguments import Parameters
from kscaffold.targets.target import Kind, Modprobe

if TYPE_CHECKING:
    from kscaffold.targets.timers import Timer


class AbsentSandbox:
    """A target without a kernel. It answers as a kernel with no module would."""

    kind: Kind = "sandbox"
    release = ""
    arch = ""
    accelerator: str | None = None
    cmdline = ""
    modprobe: Modprobe | None = None
    as_user = False

    def as_ordinary_user(self) -> None:
        """Do nothing: there is no kernel."""

    def load(self, ko: ModuleFile, parameters: Parameters, timeout: float) -> Attempt:
        """Raises KscaffoldError KS610: whoever loads starts a sandbox first."""
        raise KscaffoldError("KS610", "no sandbox runs for this project", fix="kscaffold load")

    def unload(self, name: str, timeout: float) -> Attempt:
        """Refused, as a kernel refuses for a module that it has not."""
        return Attempt(errno.ENOENT)

    def modules(self) -> list[Listed]:
        """None."""
        return []

    def log(self) -> list[Record]:
        """No records: there is no kernel."""
        return []

    def facts(self, name: str) -> Facts:
        """No facts are known: there is no kernel."""
        return Facts()

    def read(self, path: str) -> bytes:
        """There are no files: raises FileNotFoundError."""
        raise FileNotFoundError(errno.ENOENT, "no sandbox", path)

    def add_firmware(self, name: str, content: bytes) -> None:
        """Nowhere."""

    def tainted(self) -> int | None:
        """Not known."""
        return None

    def memory(self) -> None:
        """None: there is no kernel."""

    def timers(self) -> "list[Timer] | None":
        """Not known."""
        return None

    def watch(self, seconds: float) -> Attempt | None:
        """There is nothing to watch."""
        return None

    def photograph(self, sections: int, *, first: bool = False) -> None:
        """None: there is no kernel."""

    def pointers(self, low: int, high: int, *, deep: bool = False) -> tuple[tuple[int, int], ...]:
        """None: there is no kernel."""
        return ()

"""Where modules are loaded, as the verbs see it: a sandbox or this machine."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from kscaffold.diagnosis.attempt import Attempt, Facts, Listed
from kscaffold.diagnosis.klog import Record
from kscaffold.elf.module_file import ModuleFile
from kscaffold.module.arguments import Parameters

if TYPE_CHECKING:
    from kscaffold.diagnosis.residue.compare import Part
    from kscaffold.targets.kernel_memory import KernelMemory
    from kscaffold.targets.timers import Timer

Kind = Literal["sandbox", "host"]
# The modules to load for a name or an alias, each after those that it needs; None where there is no such one.
Modprobe = Callable[[str], Sequence[ModuleFile] | None]


class Target(Protocol):
    """A kernel that modules can be loaded into. Methods raise KscaffoldError when it can't be asked."""

    kind: Kind
    release: str
    arch: str
    accelerator: str | None
    cmdline: str
    modprobe: Modprobe | None
    """Finds what its kernel asks for (request_module); None: nobody does, or the machine's own modprobe."""
    as_user: bool
    """An ordinary user loads modules, not root."""

    def as_ordinary_user(self) -> "Target | None":
        """The target's kernel for an ordinary user who loads; None where nobody can become one."""

    def load(self, ko: ModuleFile, parameters: Parameters, timeout: float) -> Attempt:
        """Load a module once; `timeout` in seconds."""

    def unload(self, name: str, timeout: float) -> Attempt:
        """Unload a module by the kernel's name for it; `timeout` in seconds."""

    def modules(self) -> list[Listed]:
        """The kernel's list of modules."""

    def log(self) -> list[Record]:
        """The records in the kernel's log."""

    def facts(self, name: str) -> Facts:
        """What the kernel says of itself now, to the task that loads modules. `name`: the kernel's name of
        the module that is asked about. Never raises: a fact that the kernel does not tell is None.
        """

    def read(self, path: str) -> bytes:
        """A file of the machine that the kernel runs on. Raises OSError as open(2) and read(2) fail there."""

    def add_firmware(self, name: str, content: bytes) -> None:
        """Have a file where the kernel looks for the firmware of that name; this machine's is its owner's."""

    def tainted(self) -> int | None:
        """kernel.tainted, where all its bits are from modules that were loaded here; else None."""

    def memory(self) -> "KernelMemory | None":
        """The memory of the kernel; None where it can't be read."""

    def timers(self) -> "list[Timer] | None":
        """All armed timers of the kernel; None where it does not tell them."""

    def watch(self, seconds: float) -> Attempt | None:
        """Look on for so many seconds, whether the kernel stays well after the last call into it. `errno` is
        0 where it does; else `records` are its last words, or all that it has said since that call. None
        where nobody can look on.
        """

    def photograph(self, sections: int, *, first: bool = False) -> "Sequence[Part] | None":
        """How these parts of the kernel (bits by the order of residue.SECTIONS) differ now from the first
        photograph. `first`: take that one again. None where the target has none: others work there, too.
        """

    def pointers(self, low: int, high: int, *, deep: bool = False) -> tuple[tuple[int, int], ...]:
        """Where the kernel's own variables point into [low, high), and to what; none where its memory can't
        be read. `deep`: objects that they point to are looked into as well.
        """


def read_modules(text: str) -> list[Listed]:
    """/proc/modules, line by line: `name size refcount used_by state address taints`."""
    listed = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 6 or not words[1].isdecimal():
            continue
        users = [u for u in words[3].split(",") if u and u != "-"]
        listed.append(
            Listed(
                name=words[0],
                size=int(words[1]),
                refcount=int(words[2]) if words[2].lstrip("-").isdecimal() else 0,
                used_by=tuple(u for u in users if u != "[permanent]"),
                state=words[4],
                taints=words[6].strip("()") if len(words) > 6 else "",
                permanent="[permanent]" in users,
            )
        )
    return listed

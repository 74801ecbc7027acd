"""This machine's own kernel as a target: the real insmod, rmmod, lsmod and dmesg, one elevated child each."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold import process
from kscaffold.diagnosis.attempt import Attempt, Facts, Listed
from kscaffold.diagnosis.klog import Record, parse_line, parse_text
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import DeadlineError, KscaffoldError
from kscaffold.module.arguments import Parameters
from kscaffold.targets import kmod
from kscaffold.targets.facts import KernelFiles, read_facts
from kscaffold.targets.target import Kind, Modprobe

if TYPE_CHECKING:
    from kscaffold.targets.timers import Timer

_KILLED = (-9, 137)  # a shell's or sudo's way to say SIGKILL: an oops in init ends insmod so
_PASSWORD = 300.0  # s that sudo may wait for a password


class HostTarget:
    """The running kernel. `tell` gets each command that is run elevated, before it runs.

    `root`: where /proc, /sys and /usr/sbin are.
    """

    kind: Kind = "host"
    as_user = False

    def __init__(self, detail: Callable[[str], None], root: Path = Path("/")) -> None:
        self._detail = detail
        self._root = root
        self.release = os.uname().release
        self.arch = os.uname().machine
        self.accelerator: str | None = None
        self.modprobe: Modprobe | None = None
        self.cmdline = (self._text("proc/cmdline") or "").strip()

    def as_ordinary_user(self) -> None:
        """Nobody: this machine's users are its own."""

    def load(self, ko: ModuleFile, parameters: Parameters, timeout: float) -> Attempt:
        """insmod. An `errno` of 0 means that it exited with 0 and the name is in the list then, and was not
        before: a program in insmod's place may exit with 0, as modprobe does, where the module was there.
        """
        name, was_there = ko.module, ko.module in self._states()
        before = self._readable_log()
        argv = [self._tool("insmod"), str(ko.path.resolve()), *parameters.words]
        done = self._elevated(argv, timeout, name)
        records = self._since(before)
        if done is None:
            return Attempt(None, records, answered=False, late=True)
        if done.returncode == 0:
            if not was_there and any(m.name == name for m in self.modules()):
                return Attempt(0, records, seconds=done.seconds)
            why = f"{name} was loaded before" if was_there else f"lsmod does not list {name}"
            said = f"insmod exited with 0, and {why}"
            return Attempt(None, records, answered=False, note=said, seconds=done.seconds)
        return self._failed(done, name, records, kmod.INSMOD)

    def unload(self, name: str, timeout: float) -> Attempt:
        """rmmod."""
        before = self._readable_log()
        done = self._elevated([self._tool("rmmod"), name], timeout, name)
        records = self._since(before)
        if done is None:
            return Attempt(None, records, answered=False, late=True)
        if done.returncode == 0:
            return Attempt(0, records, seconds=done.seconds)
        return self._failed(done, name, records, kmod.RMMOD)

    def add_firmware(self, name: str, content: bytes) -> None:
        """Nothing: /lib/firmware of this machine is its owner's."""

    def modules(self) -> list[Listed]:
        """lsmod; what it does not say (state, taints) from /proc/modules where that has the name."""
        done = process.run([self._tool("lsmod")], timeout=10)
        if done.returncode:
            raise KscaffoldError("KS612", "lsmod failed", cause=done.stderr.strip())
        return kmod.read_lsmod(done.stdout, self._states())

    def log(self) -> list[Record]:
        """dmesg; elevated only where this user may not read the log."""
        records = self._readable_log()
        if records is not None:
            return records
        done = self._elevated([self._tool("dmesg"), "--raw"], 30)
        if done is None or done.returncode:
            raise _unreadable(done.stderr.strip() if done else "dmesg did not end")
        return parse_text(done.stdout)

    def facts(self, name: str) -> Facts:
        """What this machine's files say to the child that loads. sudo gives back what the bounding set
        allows.
        """
        capabilities = "CapEff" if os.geteuid() == 0 else "CapBnd"
        return read_facts(name, KernelFiles(self.read), capabilities=capabilities)

    def read(self, path: str) -> bytes:
        """A file of this machine, as far as this user may read it: no child is elevated for it."""
        # As it is written: a Path would take the last dot from NAME/., which only a directory has.
        with open(f"{self._root}/{path.lstrip('/')}", "rb") as file:  # noqa: PTH123
            return file.read()

    def tainted(self) -> int | None:
        """Not asked: this kernel may have been tainted long before, by modules that nobody here loaded. A bit
        of it proves nothing of a load.
        """
        return None

    def memory(self) -> None:
        """None: it takes root."""

    def timers(self) -> "list[Timer] | None":
        """Not looked at: it takes root, and most are not the module's."""
        return None

    def watch(self, seconds: float) -> Attempt | None:
        """Nobody looks on: what this kernel says meanwhile may be any other module's, and a kernel that died
        has taken this process with it.
        """
        return None

    def photograph(self, sections: int, *, first: bool = False) -> None:
        """None: whatever runs on this machine makes and removes things, too."""

    def pointers(self, low: int, high: int, *, deep: bool = False) -> tuple[tuple[int, int], ...]:
        """None: its memory is not to be searched."""
        return ()

    def follow(self, show: Callable[[list[Record]], None]) -> None:
        """Hand over the log, then what comes, until interrupted: one child, elevated where needed."""
        dmesg = [self._tool("dmesg"), "--raw", "--follow"]
        argv = dmesg if self._readable_log() is not None else self._as_root(dmesg)
        days = 20 * 86400.0  # the longest poll(2) can wait
        status = process.stream(argv, lambda line: show([parse_line(line)]), timeout=days, own_terminal=True)
        if status:
            raise _unreadable(f"dmesg ended with status {status}")

    def _failed(
        self, done: process.Finished, name: str, records: tuple[Record, ...] | None, program: kmod.Words
    ) -> Attempt:
        if done.returncode in _KILLED:
            return Attempt(None, records, answered=False, killed_by=9, seconds=done.seconds)
        if not program.spoke(done.stderr):
            # sudo without a password or without the right; a program that can't be run.
            said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise KscaffoldError(
                "KS296",
                f"{program.name} was not run",
                cause=said,
                fix="use an account that may run it with sudo, or the sandbox (leave out --host)",
            )
        number = program.errno_of(done.stderr)
        return Attempt(
            number,
            records,
            answered=number is not None,
            note=None if number is not None else f"{program.name} said: {done.stderr.strip()}",
            seconds=done.seconds,
        )

    def _states(self) -> dict[str, tuple[str, str]]:
        """State (Live, Loading, Unloading) and taints of each module in /proc/modules."""
        fields = [line.split() for line in (self._text("proc/modules") or "").splitlines()]
        return {f[0]: (f[4], f[6].strip("()") if len(f) > 6 else "") for f in fields if len(f) > 5}

    def _text(self, path: str) -> str | None:
        return KernelFiles(self.read).text(path)

    def _readable_log(self) -> list[Record] | None:
        done = process.run([self._tool("dmesg"), "--raw"], timeout=30)
        return parse_text(done.stdout) if done.returncode == 0 else None

    def _since(self, before: list[Record] | None) -> tuple[Record, ...] | None:
        """The records that the log has got since `before` was read; None where it can't be read."""
        after = self._readable_log() if before is not None else None
        if after is None or before is None:
            return None
        last = before[-1] if before else None
        for index in range(len(after) - 1, -1, -1):
            if after[index] == last:
                return tuple(after[index + 1 :])
        return tuple(after)

    def _tool(self, name: str) -> str:
        """A program's path. Those of kmod are where a user's PATH often does not lead."""
        for directory in ("usr/sbin", "sbin") if process.which(name) is None else ():
            if os.access(path := self._root / directory / name, os.X_OK):
                return str(path)
        return process.need(name)

    def _as_root(self, argv: Sequence[str]) -> list[str]:
        """The command line that has the privilege, told before it is run."""
        whole = [*argv] if os.geteuid() == 0 else [process.need("sudo"), *argv]
        self._detail(f"$ {process.display(whole)}")
        return whole

    def _elevated(self, argv: Sequence[str], timeout: float, module: str = "") -> process.Finished | None:
        """Run one program with the privilege it needs. None: it did not end in time.

        While sudo asks for a password the deadline does not count: the module is not on its way then.
        """
        whole = self._as_root(argv)
        began = time.monotonic()

        def is_on_its_way() -> bool:
            state = self._states().get(module, ("", ""))[0]
            return state in ("Loading", "Unloading")

        def has_begun() -> bool:
            return len(whole) == len(argv) or is_on_its_way() or time.monotonic() > began + _PASSWORD

        try:
            return process.run(whole, timeout=timeout, own_terminal=True, has_begun=has_begun)
        except DeadlineError:
            if len(whole) == len(argv) or is_on_its_way():
                return None
            raise


def _unreadable(cause: str) -> KscaffoldError:
    return KscaffoldError("KS280", "the kernel's log can't be read", cause=cause, fix="sudo dmesg")

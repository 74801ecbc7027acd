"""This machine's own kernel as a target: the real insmod, rmmod, lsmod and dmesg, one elevated child each."""

import errno
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from kscaffold import process
from kscaffold.diagnosis.klog import Record, parse_text
from kscaffold.errors import DeadlineError, KscaffoldError
from kscaffold.module.arguments import words
from kscaffold.target.base import Attempt, Kind, Listed

# What insmod (kmod's mod_strerror) makes of an errno; all others are strerror's words.
_INSMOD_WORDS = {
    "Invalid module format": errno.ENOEXEC,
    "Unknown symbol in module": errno.ENOENT,
    "Module has wrong symbol version": errno.ESRCH,
    "Invalid parameters": errno.EINVAL,
}
_RMMOD_WORDS = (
    ("is not currently loaded", errno.ENOENT),
    ("is in use", errno.EAGAIN),
    ("is builtin", errno.ENOENT),
)
_KILLED = 137  # a shell's or sudo's way to say SIGKILL: an oops in init ends insmod so


class HostTarget:
    """The running kernel. `tell` gets each command that is run elevated, before it runs."""

    kind: Kind = "host"

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self.release = os.uname().release
        self.accelerator: str | None = None
        try:
            self.cmdline = Path("/proc/cmdline").read_text().strip()
        except OSError:
            self.cmdline = ""

    def load(self, ko: Path, parameters: str, timeout: float) -> Attempt:
        """insmod. `loaded` means that it exited with 0 and the name is in the list then."""
        insmod = process.need("insmod")
        given = words(parameters) if _quotes_itself(insmod) else [parameters] if parameters else []
        before = self._readable_log()
        done = self._elevated([insmod, str(ko.resolve()), *given], timeout)
        if done is None:
            return Attempt(None, self._since(before), answered=False, late=True)
        number = 0 if done.returncode == 0 else _errno_of(done.stderr)
        killed = done.returncode in (-9, _KILLED)
        note = None if before is not None else "the kernel's log needs a privilege: kscaffold logs --host"
        return Attempt(
            None if killed else number,
            self._since(before),
            answered=not killed and number is not None,
            killed_by=9 if killed else None,
            note=note,
            said=done.stderr.strip(),
            seconds=done.seconds,
        )

    def unload(self, name: str, timeout: float) -> Attempt:
        """rmmod."""
        before = self._readable_log()
        done = self._elevated([process.need("rmmod"), name], timeout)
        if done is None:
            return Attempt(None, self._since(before), answered=False, late=True)
        number = 0 if done.returncode == 0 else _errno_of(done.stderr, _RMMOD_WORDS)
        return Attempt(
            number,
            self._since(before),
            answered=number is not None,
            said=done.stderr.strip(),
            seconds=done.seconds,
        )

    def modules(self) -> list[Listed]:
        """lsmod; what it does not say (state, taints) from /proc/modules where that has the name."""
        done = process.run([process.need("lsmod")], timeout=10)
        if done.returncode:
            raise KscaffoldError("KS612", "lsmod failed", cause=done.stderr.strip())
        states = _states()
        listed = []
        for line in done.stdout.splitlines()[1:]:
            fields = line.split()
            if len(fields) >= 3 and fields[1].isdigit():
                users = [u for u in (fields[3] if len(fields) > 3 else "").split(",") if u]
                state, taints = states.get(fields[0], ("Live", ""))
                listed.append(
                    Listed(
                        fields[0],
                        int(fields[1]),
                        int(fields[2]) if fields[2].lstrip("-").isdigit() else 0,
                        tuple(u for u in users if u != "[permanent]"),
                        state,
                        taints,
                        "[permanent]" in users,
                    )
                )
        return listed

    def log(self) -> list[Record]:
        """dmesg; elevated only where this user may not read the log."""
        records = self._readable_log()
        if records is not None:
            return records
        done = self._elevated([process.need("dmesg"), "--raw"], 30)
        if done is None or done.returncode:
            raise KscaffoldError(
                "KS280",
                "the kernel's log can't be read",
                cause=done.stderr.strip() if done else "dmesg did not end",
                fix="sudo dmesg",
            )
        return parse_text(done.stdout)

    def _readable_log(self) -> list[Record] | None:
        dmesg = process.which("dmesg")
        if dmesg is None:
            return None
        done = process.run([dmesg, "--raw"], timeout=30)
        return parse_text(done.stdout) if done.returncode == 0 else None

    def _since(self, before: list[Record] | None) -> tuple[Record, ...]:
        """What the log has got since; nothing where it can't be read."""
        after = self._readable_log() if before is not None else None
        if after is None or before is None:
            return ()
        last = before[-1] if before else None
        for index in range(len(after) - 1, -1, -1):
            if after[index] == last:
                return tuple(after[index + 1 :])
        return tuple(after)

    def _elevated(self, argv: Sequence[str], timeout: float) -> process.Finished | None:
        """Run one program with the privilege it needs, told before. None: it did not end in time."""
        if os.geteuid() != 0:
            argv = [process.need("sudo"), *argv]
        self._tell(f"$ {process.shown(argv)}")
        try:
            return process.run(argv, timeout=timeout, own_terminal=True)
        except DeadlineError:
            return None


def _quotes_itself(insmod: str) -> bool:
    """kmod 34 and later put quotes around values with spaces; older ones pass the words as they are."""
    done = process.run([insmod, "--version"], timeout=5)
    found = re.match(r"kmod version (\d{1,4})", done.stdout)
    return found is not None and int(found[1]) >= 34


def _errno_of(said: str, more: Sequence[tuple[str, int]] = ()) -> int | None:
    """The errno behind what insmod or rmmod printed; None where the words are not known."""
    for text, number in more:
        if text in said:
            return number
    last = (said.strip().splitlines() or [""])[-1].rpartition(": ")[2].strip()
    if last in _INSMOD_WORDS:
        return _INSMOD_WORDS[last]
    return next((n for n in errno.errorcode if os.strerror(n) == last), None)


def _states() -> dict[str, tuple[str, str]]:
    try:
        lines = Path("/proc/modules").read_text().splitlines()
    except OSError:
        return {}
    fields = [line.split() for line in lines]
    return {f[0]: (f[4], f[6].strip("()") if len(f) > 6 else "") for f in fields if len(f) > 5}

"""The words of insmod, rmmod and lsmod, of kmod and of BusyBox, and what they mean."""

import errno
import os
from collections.abc import Mapping

from kscaffold.diagnosis.attempt import Listed
from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """How one program tells of a failure. `ends`: what its last line ends with; `holds`: what is in one."""

    name: str
    ends: Mapping[str, int]
    holds: Mapping[str, int]

    def spoke(self, said: str) -> bool:
        """Whether the program itself said any of this: sudo's own words are no answer of the kernel."""
        return any(line.startswith(f"{self.name}:") for line in said.splitlines())

    def errno_of(self, said: str) -> int | None:
        """The errno behind what it said; None where the words are not known."""
        for text, number in self.holds.items():
            if text in said:
                return number
        lines = [line for line in said.splitlines() if line.startswith(f"{self.name}:")]
        last = lines[-1].rpartition(": ")[2].strip() if lines else ""
        if last in self.ends:
            return self.ends[last]
        return next((n for n in errno.errorcode if os.strerror(n) == last), None)


# kmod's mod_strerror(), then BusyBox's moderror(); for all others both have strerror's words.
INSMOD = Words(
    "insmod",
    {
        "Invalid module format": errno.ENOEXEC,
        "Unknown symbol in module": errno.ENOENT,
        "Module has wrong symbol version": errno.ESRCH,
        "Invalid parameters": errno.EINVAL,
        "invalid module format": errno.ENOEXEC,
        "unknown symbol in module, or unknown parameter": errno.ENOENT,
        "module has wrong symbol version": errno.ESRCH,
        "kernel does not support requested operation": errno.ENOSYS,
    },
    {},
)
# kmod's rmmod looks first and then does not ask the kernel.
RMMOD = Words(
    "rmmod",
    {},
    {
        "is not currently loaded": errno.ENOENT,
        "is in use": errno.EAGAIN,
        "is builtin": errno.ENOENT,
        "Module unloading is not supported": errno.ENOSYS,
    },
)


def read_lsmod(text: str, states: Mapping[str, tuple[str, str]]) -> list[Listed]:
    """lsmod's lines, `name size refcount users`; state and taints from `states` (Live where it is silent)."""
    listed = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 3 or not fields[1].isdecimal():
            continue
        users = [u for u in (fields[3] if len(fields) > 3 else "").split(",") if u]
        state, taints = states.get(fields[0], ("Live", ""))
        listed.append(
            Listed(
                name=fields[0],
                size=int(fields[1]),
                refcount=int(fields[2]) if fields[2].lstrip("-").isdecimal() else 0,
                used_by=tuple(u for u in users if u != "[permanent]"),
                state=state,
                taints=taints,
                permanent="[permanent]" in users,
            )
        )
    return listed

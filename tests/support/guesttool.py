"""System calls made in a guest: what a program would do with a device that a module made.

tool = Tool(target)
opened, got = tool(("open", "/dev/x", os.O_RDWR), ("read", Result(0), Room(10), 10))
got.value, got.bytes        # what read() returned, and the 10 bytes
"""

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kscaffold import process
from kscaffold.arch.x86_64 import ARCHITECTURE as X86_64
from kscaffold.sandbox.agent import guest_root
from kscaffold.targets.sandbox import SandboxTarget

# Of x86-64, as is the guest.
NUMBERS = {
    **{"read": 0, "write": 1, "open": 2, "close": 3, "poll": 7, "lseek": 8, "ioctl": 16, "pread": 17},
    **{"pwrite": 18, "nanosleep": 35, "socket": 41, "sendto": 44, "recvfrom": 45, "bind": 49, "fork": 57},
    **{"exit": 60, "wait4": 61, "kill": 62, "fsync": 74, "delete_module": 176},
}


@dataclass(frozen=True)
class Result:
    """As an argument: what an earlier call returned, by its index."""

    index: int


@dataclass(frozen=True)
class Room:
    """As an argument: a buffer of some size, shown after the call. `start`: what is in it before."""

    size: int
    start: bytes = b""


@dataclass(frozen=True)
class Done:
    """One call: what it returned (a negative errno), and its first Room afterwards."""

    value: int
    bytes: bytes = b""


Argument = int | str | bytes | Result | Room


class Tool:
    """Makes calls in one guest, all of a call of this object in one process, one after the other."""

    def __init__(self, target: SandboxTarget) -> None:
        self._target = target
        target.write("/guesttool", _program())

    def __call__(self, *calls: tuple[Argument, ...], seconds: float = 20) -> list[Done]:
        """A first word such as "?0:read": only where call 0 returned 0; "!0:read": where it did not.

        A call that was made by nobody is left out of what is returned.
        """
        words = [self._word(call) for call in calls]
        status, said = self._target.run(["/guesttool", *words], timeout=seconds)
        assert status == 0, (status, said)
        found: dict[int, Done] = {}
        for line in said.decode().splitlines():
            index, value, *rooms = line.split()
            found[int(index)] = Done(int(value), bytes.fromhex(rooms[0]) if rooms else b"")
        return [found[index] for index in sorted(found)]

    @staticmethod
    def _word(call: tuple[Argument, ...]) -> str:
        condition, colon, name = str(call[0]).rpartition(":")
        return ",".join([f"{condition}{colon}{NUMBERS[name]}", *(_argument(a) for a in call[1:])])


def _argument(argument: Argument) -> str:
    match argument:
        case int():
            return str(argument)
        case str():
            return f"x{argument.encode().hex()}00"
        case bytes():
            return f"x{argument.hex()}"
        case Result(index):
            return f"={index}"
        case Room(size, start):
            return f"b{start.ljust(size, bytes(1)).hex()}"


@functools.cache
def _program() -> bytes:
    source = Path(__file__).resolve().parent.parent / "data/guesttool.c"
    with tempfile.TemporaryDirectory() as place:
        built = Path(place, "guesttool")
        argv = [
            process.need("gcc"),
            *guest_root._FLAGS,
            *X86_64.agent_flags,
            "-Wall",
            "-Werror",
            "-o",
            str(built),
            str(source),
        ]
        done = process.run(argv, timeout=60)
        assert done.returncode == 0, done.stderr
        return built.read_bytes()

"""A guest as a target: each verb is one request over its channel."""

import copy
import errno
import hashlib
import os
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kscaffold import timeouts
from kscaffold.diagnosis import crash_heads
from kscaffold.diagnosis.attempt import Attempt, Facts, Listed, ModuleRequest
from kscaffold.diagnosis.klog import Record, parse_kmsg
from kscaffold.diagnosis.power import RESET
from kscaffold.elf.module_file import ModuleFile
from kscaffold.elf.quick import SIGNED
from kscaffold.errors import DeadlineError, KscaffoldError
from kscaffold.module.arguments import Parameters
from kscaffold.records import dataclass, replace
from kscaffold.sandbox.agent import protocol
from kscaffold.sandbox.agent.channel import Channel
from kscaffold.sandbox.agent.program import ETIME, GuestProgram, OutputListener, run_program
from kscaffold.sandbox.agent.protocol import Answer, ChannelClosed, ChannelTimeout, Verb
from kscaffold.sandbox.agent.running_clock import LookingClock
from kscaffold.targets.answers import ANY, of_outcome, since_mark, unanswered
from kscaffold.targets.target import Kind, Modprobe, read_modules

if TYPE_CHECKING:
    from kscaffold.diagnosis.residue.compare import Part
    from kscaffold.sandbox.live.registry import Connection
    from kscaffold.sandbox.vm.guest import Guest
    from kscaffold.targets.kernel_memory import KernelMemory
    from kscaffold.targets.timers import Links, Timer

TAINTED = "/proc/sys/kernel/tainted"
_KEPT = "/.kscaffold"  # the guest's directory of what was sent, each file under its digest
_LOOK = 0.05  # s between two looks at a kernel
_MOST_ARGUMENTS = (64 << 10) - 1  # agent.c's CHUNK, with a NUL
_SLOWEST = 1e6  # bytes a second that go into a guest on a crowded machine
_PHOTOGRAPH = 5.0  # s for a photograph; its usual time is some ms
_FIRST = 1 << 31  # agent.c's FIRST
_AS_USER = 1 << 31  # agent.c's AS_USER
_NONBLOCK = 0o4000  # O_NONBLOCK, as rmmod calls delete_module(2)


@dataclass(frozen=True, slots=True)
class Execution:
    """A program of the user's that ran in a guest. `status`: its exit code, or the signal that killed it,
    negative; None where that is not known. `errno`: why it did not start, or 0. `late`: it did not end by its
    deadline; `stack`: where it was in the kernel then, and who was in a module. `lost`: the guest did not
    outlive it. `records`: what the kernel said meanwhile.
    """

    status: int | None
    errno: int
    records: tuple[Record, ...]
    late: bool = False
    lost: bool = False
    stack: str = ""


# Requests that load and unload nothing.
_READING = frozenset({Verb.LIST, Verb.LOG, Verb.READ, Verb.PHOTOGRAPH, Verb.INSTALL, Verb.STACKS})


class SandboxTarget:
    """A guest, restored or live. `kernel`: its release, and its machine as `uname -m` says it. `guest`: it
    is this process's own, and tells itself how it ended; of a live one the daemon tells that. `as_user`:
    modules are loaded by an ordinary user of the guest (uid 65534), not by root.
    """

    kind: Kind = "sandbox"

    def __init__(
        self,
        opened: Channel,
        kernel: tuple[str, str],
        accelerator: str,
        cmdline: str,
        guest: "Guest | None" = None,
        as_user: bool = False,
    ) -> None:
        self.channel = opened
        self.release, self.arch = kernel
        self.accelerator: str | None = accelerator
        self.cmdline = cmdline
        self.modprobe: Modprobe | None = None
        # What is known of a guest that did not answer a request which is no call into a module.
        self.last_words: Attempt | None = None
        self._requests: list[ModuleRequest] = []
        self._guest = guest
        self.as_user = as_user
        # /proc/modules while nothing has been done that could change it.
        self._pristine: str | None = guest.modules if guest else None
        self._links: Links | None = None

    @classmethod
    def from_guest(cls, guest: "Guest", cmdline: str, *, as_user: bool = False) -> "SandboxTarget":
        """A guest of this process's own; `cmdline`: what its kernel was given besides what every one gets."""
        kernel = (guest.release, guest.arch)
        return cls(guest.channel, kernel, guest.accelerator, cmdline, guest, as_user)

    @classmethod
    def from_connection(cls, connection: "Connection") -> "SandboxTarget":
        """A live sandbox, which its daemon holds."""
        greeting = connection.facts
        kernel = (greeting["kernel"], greeting["arch"])
        return cls(connection.channel, kernel, greeting["accelerator"], greeting.get("cmdline", ""))

    def as_ordinary_user(self) -> "SandboxTarget":
        """The guest for an ordinary user who loads modules."""
        other = copy.copy(self)
        other.as_user = True
        return other

    def load(self, ko: ModuleFile, parameters: Parameters, timeout: float) -> Attempt:
        """Load with finit_module(2) in a child of the agent's. A compressed module is unpacked before: the
        guest's kernel may not know how. Raises DamagedModule KS411 where that can't be done.
        """
        image, arguments = ko.read_bytes(), parameters.text.encode(errors="surrogateescape")
        if len(image) + len(arguments) + 4 > protocol.MAX_PAYLOAD:
            fix = f"strip --strip-debug {ko.path} shrinks it"
            if image.endswith(SIGNED):
                fix += f" (and takes its signature off: kscaffold sign {ko.path})"
            raise KscaffoldError("KS608", f"{ko.path} is too large for a sandbox", fix=fix)
        if len(arguments) > _MOST_ARGUMENTS:
            cause = f"the parameters have {len(arguments)} bytes, and {_MOST_ARGUMENTS} are the most"
            raise KscaffoldError("KS611", "the guest could not take the request", cause=cause)
        payload = len(arguments).to_bytes(4, "little") + arguments + image
        return self._call(Verb.LOAD, payload, timeout, _AS_USER if self.as_user else 0)

    def unload(self, name: str, timeout: float) -> Attempt:
        """Unload with delete_module(2) in a child of the agent's."""
        return self._call(Verb.UNLOAD, name.encode(), timeout, _NONBLOCK)

    def modules(self) -> list[Listed]:
        """/proc/modules of the guest."""
        if self._pristine is not None:
            return read_modules(self._pristine)
        return read_modules(self._ask(Verb.LIST).payload.decode(errors="replace"))

    def log(self) -> list[Record]:
        """The guest's whole log."""
        return parse_kmsg(b"\n".join(protocol.records(self._ask(Verb.LOG).payload)))

    def tainted(self) -> int | None:
        """kernel.tainted of the guest."""
        try:
            return int(self.read(TAINTED))
        except (OSError, KscaffoldError, ValueError):
            return None

    def facts(self, name: str) -> Facts:
        """What the guest's kernel says of itself. The agent has the rights of the child that loads, but for
        one that gave up root's.
        """
        from kscaffold.targets.facts import KernelFiles, read_facts  # start-up time: only failures ask

        found = read_facts(name, KernelFiles(self.read))
        return replace(found, capable=False) if self.as_user else found

    def read(self, path: str) -> bytes:
        """A file of the guest. Raises OSError with the guest's errno."""
        answer = self._ask(Verb.READ, path.encode())
        if answer.status < 0:
            raise OSError(-answer.status, "in the guest", path)
        return answer.payload

    def write(self, path: str, data: bytes, mode: int = 0o755) -> None:
        """Write a file of the guest, made when it is not there. Raises OSError with the guest's errno: a
        module's own, where the file is a module's.
        """
        if len(data) + 4096 > protocol.MAX_PAYLOAD:
            most = f"{protocol.MAX_PAYLOAD >> 20} MB are the most"
            raise KscaffoldError("KS640", f"{path} is too large for a sandbox", cause=most)
        wait = timeouts.seconds("ANSWER_TIMEOUT") + len(data) / _SLOWEST
        answer = self._ask(Verb.WRITE, path.encode() + b"\0" + data, argument=mode, timeout=wait)
        if answer.status < 0:
            raise OSError(-answer.status, "in the guest", path)

    def install(self, content: bytes, place: str, mode: int = 0) -> bool:
        """Put a file to a place of the guest, with the directories above it; whether its content had to be
        sent: each is sent once, whatever names it gets. `mode`: of a copy that may be written to; 0 for what
        is only read or run, which takes no more memory under a second name. Raises OSError, and KS005 where
        the guest has no room.
        """
        kept = f"{_KEPT}/{hashlib.sha256(content).hexdigest()[:32]}"
        names = os.fsencode(kept) + b"\0" + os.fsencode(place) + b"\0"
        for sent in (False, True):
            answer = self._ask(Verb.INSTALL, names, argument=mode)
            if not answer.status:
                return sent
            if answer.status != -errno.ENOENT or sent:
                raise _not_taken(-answer.status, place)
            try:
                self.write(kept, content)
            except OSError as error:
                raise _not_taken(error.errno or 0, place) from None
        return True

    def add_firmware(self, name: str, content: bytes) -> None:
        """Put a file into the guest's /lib/firmware."""
        self.install(content, f"/lib/firmware/{name}")

    def run(self, argv: list[str], timeout: float) -> tuple[int, bytes]:
        """Run a program of the guest: its wait status (as os.waitstatus_to_exitcode takes it), its output."""
        payload = b"".join(a.encode() + b"\0" for a in argv)
        answer = self._ask(Verb.RUN, payload, timeout=timeout)
        if answer.status < 0:
            raise DeadlineError("KS609", f"{argv[0]} did not end within {timeout:g} s in the guest")
        return answer.status, answer.payload

    def execute(
        self,
        program: GuestProgram,
        *,
        timeout: float,
        input: int | bytes = b"",
        on_output: OutputListener,
        pass_signals: bool = False,
    ) -> Execution:
        """Run a program of the guest, its streams here (`run_program`), and see what the kernel said
        meanwhile; `timeout` in seconds.
        """
        try:
            self._pristine = None
            ended = run_program(
                self.channel,
                program,
                timeout=timeout,
                input=input,
                on_output=on_output,
                pass_signals=pass_signals,
                provide=self._provide,
            )
            said = self._ask_once(Verb.LOG).payload
        except (ChannelTimeout, ChannelClosed) as error:
            last = unanswered(error, f"{error.nonce:016x}" if error.nonce else ANY, self._guest)
            records = last.log or ((Record(RESET),) if last.reset else ())
            return Execution(None, 0, records, lost=True, late=last.late, stack=last.stack)
        records = since_mark(parse_kmsg(b"\n".join(protocol.records(said))), f"{ended.nonce:016x}")
        late = ended.errno == ETIME
        return Execution(ended.status, ended.errno, records, late=late, stack=ended.stack)

    def stacks(self, *, busy: bool = False) -> str:
        """The kernel stacks of all tasks that are in a module (diagnosis/stacks.py). `busy`: of all that run,
        or sleep so that no signal wakes them, wherever they are.
        """
        return self._ask(Verb.STACKS, argument=int(busy)).payload.decode(errors="replace")

    def install_busybox(self, program: bytes) -> None:
        """Put BusyBox and its names into the guest's /bin, once."""
        try:
            self.read("/bin/sh-is-there")
        except FileNotFoundError:
            self.write("/busybox", program)
            self.run(["/busybox", "mkdir", "-p", "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/root"], 20)
            status, said = self.run(["/busybox", "--install", "-s"], 30)
            if status:
                raise KscaffoldError(
                    "KS615", "BusyBox does not run in the guest", cause=said.decode(errors="replace").strip()
                ) from None
            self.write("/bin/sh-is-there", b"")

    def photograph(self, sections: int, *, first: bool = False) -> "list[Part]":
        """How these parts of the kernel (bits by the order of residue.SECTIONS) differ now from the first
        photograph. `first`: take that one again. A child of the agent takes it: a list that leads to a
        module that has gone kills its reader. Raises KscaffoldError KS610 where the guest does not answer.
        """
        from kscaffold.diagnosis.residue.compare import parts  # start-up time: few modules leave something

        answer = self._ask(Verb.PHOTOGRAPH, argument=sections | (_FIRST if first else 0), timeout=_PHOTOGRAPH)
        return parts(protocol.outcome(answer.payload).trace)

    def pointers(self, low: int, high: int, *, deep: bool = False) -> tuple[tuple[int, int], ...]:
        """Where the kernel's own variables point into [low, high), and to what; none where its memory can't
        be read. `deep`: objects that they point to are looked into as well. Raises KscaffoldError KS610 where
        the guest does not answer.
        """
        span = low.to_bytes(8, "little") + high.to_bytes(8, "little")
        answer = self._ask(Verb.POINTERS, span, argument=int(deep), timeout=_PHOTOGRAPH)
        lines = protocol.outcome(answer.payload).trace.splitlines()
        return tuple((int(at, 16), int(to, 16)) for at, _, to in (line.partition(" ") for line in lines))

    def watch(self, seconds: float) -> Attempt:
        """Look on for so long, whether this kernel stays well after the last call into it. `errno` is 0 where
        it does; else `records` tell of its last words, or of all that it has said since then.
        """
        clock = LookingClock(self.channel.now)
        try:
            while (
                not int(self._ask_once(Verb.READ, TAINTED.encode()).payload.strip() or b"0")
                & crash_heads.DIED
            ):
                if (watched := clock.look()) >= seconds:
                    return Attempt(0)
                self.channel.wait(min(seconds - watched, _LOOK))
            records = parse_kmsg(b"\n".join(protocol.records(self._ask_once(Verb.LOG).payload)))
        except (ChannelTimeout, ChannelClosed) as error:
            return unanswered(error, ANY, self._guest)
        return Attempt(None, since_mark(records, ANY), answered=False)

    def memory(self) -> "KernelMemory | None":
        """The memory of the guest's kernel; None where /proc/kcore does not tell it."""
        from kscaffold.targets.kernel_memory import kernel_memory  # start-up time: few modules need it

        return kernel_memory(self._peek)

    def timers(self) -> "list[Timer] | None":
        """All armed timers of the guest's kernel; None where it does not tell them (without /proc/kcore)."""
        from kscaffold.targets import timers  # start-up time: few modules have any
        from kscaffold.targets.symbol_addresses import symbol_addresses

        if (memory := self.memory()) is None:
            return None
        try:
            kernel = f"{self.release} {self.cmdline} {self.accelerator}"
            addresses = symbol_addresses(memory, kernel, timers.SYMBOLS, self._look_up)
            uptime = float(self.read("/proc/uptime").split()[0])
            self._links = self._links or timers.Links()
            return timers.armed_timers(memory, addresses, uptime, self._links)
        except (OSError, KscaffoldError, ValueError, IndexError, struct.error, OverflowError):
            return None

    def _peek(self, path: str, parts: Sequence[tuple[int, int]]) -> bytes:
        """Parts of a file of the guest, each an offset and a size. Raises OSError with the guest's errno."""
        wanted = b"".join(offset.to_bytes(8, "little") + size.to_bytes(8, "little") for offset, size in parts)
        answer = self._ask(Verb.PEEK, path.encode() + b"\0" + wanted)
        if answer.status < 0:
            raise OSError(-answer.status, "in the guest", path)
        return answer.payload

    def _look_up(self, names: Sequence[str]) -> list[int]:
        """The addresses of the kernel's own symbols, 0 for what it has not."""
        answer = self._ask(Verb.SYMBOLS, b"".join(name.encode() + b"\0" for name in names))
        found = answer.payload
        return [int.from_bytes(found[at : at + 8], "little") for at in range(0, 8 * len(names), 8)]

    def _ask_once(self, verb: Verb, payload: bytes = b"") -> Answer:
        return self.channel.ask(verb, payload, timeout=timeouts.seconds("ANSWER_TIMEOUT"))

    def _ask(
        self, verb: Verb, payload: bytes = b"", *, argument: int = 0, timeout: float | None = None
    ) -> Answer:
        if verb not in _READING:
            self._pristine = None
        try:
            wait = timeouts.seconds("ANSWER_TIMEOUT") if timeout is None else timeout
            return self.channel.ask(verb, payload, argument=argument, timeout=wait)
        except (ChannelClosed, ChannelTimeout) as error:
            self.last_words = unanswered(error, ANY, self._guest)
            raise KscaffoldError(
                "KS610",
                "the sandbox does not answer",
                cause=str(error),
                fix="kscaffold reload starts a new one",
            ) from None

    def _provide(self, name: str) -> list[bytes] | None:
        """Find what the guest's kernel asks modprobe for, as bytes, and note the request. None: not found."""
        found = self.modprobe(name) if self.modprobe else None
        modules = None if found is None else tuple(ko.module for ko in found)
        self._requests.append(ModuleRequest(name, modules))
        return None if found is None else [ko.read_bytes() for ko in found]

    def _call(self, verb: Verb, payload: bytes, timeout: float, argument: int) -> Attempt:
        self._pristine = None
        self._requests.clear()
        attempt = self._ask_kernel(verb, payload, timeout, argument)
        return replace(attempt, requests=tuple(self._requests)) if self._requests else attempt

    def _ask_kernel(self, verb: Verb, payload: bytes, timeout: float, argument: int) -> Attempt:
        try:
            answer = self.channel.ask(
                verb, payload, argument=argument, timeout=timeout, provide=self._provide
            )
            if answer.status:
                raise KscaffoldError("KS611", f"the guest could not take the request: errno {-answer.status}")
            return of_outcome(protocol.outcome(answer.payload))
        except (ChannelTimeout, ChannelClosed) as error:
            attempt = unanswered(error, f"{error.nonce:016x}", self._guest)
            begun = error.acknowledged
            return replace(attempt, late=attempt.late and begun, begun=begun)


def _not_taken(number: int, place: str) -> KscaffoldError | OSError:
    """Why a guest did not take a file of ours, by its errno."""
    if number != errno.ENOSPC:
        return OSError(number, f"in the guest: {os.strerror(number)}", place)
    cause = "its files are in its memory: those that programs wrote, and each program that was run"
    what = f"the sandbox has no room for {place}"
    return KscaffoldError("KS005", what, cause=cause, fix="kscaffold reload")

"""The daemon that owns a live sandbox: a small process that outlasts the commands.

It starts the guest, passes each client's requests to it, one client at a time, keeps the guest's log in
a bounded file, and ends guest and itself at the idle time, at the hard limit, when told, or when the
guest has gone. When a daemon is killed, its QEMU dies with it and its lock is free: the next command sees
that the daemon is dead.

The words "keeper" and "keeper_started" on the card and in the greeting, and the socket's name, are frozen:
commands and daemons of different versions meet there.
"""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

from kscaffold import timeouts
from kscaffold.diagnosis.power import RESET
from kscaffold.errors import KscaffoldError, from_os_error
from kscaffold.files import ownership
from kscaffold.files.atomic import write_whole
from kscaffold.process import is_stopped, start_time
from kscaffold.records import dataclass
from kscaffold.sandbox.agent import protocol
from kscaffold.sandbox.agent.channel import Channel
from kscaffold.sandbox.agent.protocol import ChannelClosed, ChannelTimeout, Kind, Verb
from kscaffold.sandbox.live.idle import LOOK, guests_beside, idle_time, memory_now
from kscaffold.sandbox.vm.guest import Guest
from kscaffold.sandbox.vm.plan import Plan
from kscaffold.sandbox.vm.start import start_guest

_IDLE_WHEN_HUNG = 60.0  # s a guest in which something hangs stays, for `logs`
CLIENTS = 16
"""Clients that may wait in a daemon's queue."""
SOCKET = "keeper.sock"  # frozen: a command of any version dials it
"""The name of the socket that a daemon serves, in its sandbox's directory."""
_GRACE = 2.0  # s beyond the guest's own deadline
_CLIENT_SILENCE = 60.0  # s a client may hold the sandbox without asking anything
# Requests during which the client goes on talking.
_CONVERSATIONS = (Verb.SHELL, Verb.EXEC)
_REFUSAL_WAIT = 5.0  # s for the client that waits to be told why there is no guest
_LOG_TIMEOUT = 2.0  # s for the guest's log
_LAST_CONSOLE = 100_000  # characters of the console that a client gets when its guest is lost
# After the streams, up to the usual limit of open files: a fork has the descriptors of its command.
_COMMAND_FDS = range(3, 1024)


@dataclass(frozen=True, slots=True)
class SandboxDir:
    """A sandbox's directory, its listening socket, its lock (a descriptor, held), and its project."""

    directory: Path
    listener: socket.socket
    lock: int
    project: Path


def fork_daemon(sandbox: SandboxDir, planned: Plan) -> None:
    """Leave a daemon behind that serves the sandbox's socket.

    Clients may connect at once: they are greeted when the guest is up, or told why it is not. A fork,
    because a new Python would take longer than the guest.
    """
    _write_card(sandbox, planned, daemon=0, qemu=0)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    status = 1
    try:
        os.setsid()
        if os.fork() == 0:
            _become_daemon({sandbox.listener.fileno(), sandbox.lock})
            _run(sandbox, planned)
        status = 0
    finally:
        # Never back into the command's code: not through its handlers, nor through its exit hooks.
        os._exit(status)


def _become_daemon(keep: set[int]) -> None:
    """Give up the command's streams, files, directory and signals."""
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    for fd in _COMMAND_FDS:
        if fd not in keep:
            with contextlib.suppress(OSError):
                os.close(fd)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text("kscaffold-keep")


def _run(sandbox: SandboxDir, planned: Plan) -> None:
    """Start the guest, serve clients, end the guest. The lock is dropped when the process ends."""
    # Whoever connects now learns this process's number from the kernel (SO_PEERCRED), not from a file.
    sandbox.listener.listen(CLIENTS)
    _write_card(sandbox, planned, daemon=os.getpid(), qemu=0)
    try:
        guest = start_guest(planned)
    except (KscaffoldError, OSError) as error:
        _refuse(sandbox, from_os_error(error) if isinstance(error, OSError) else error)
        return
    try:
        _write_card(sandbox, planned, daemon=os.getpid(), qemu=guest.qemu.pid)
        _Daemon(sandbox, guest, planned).serve()
    finally:
        with contextlib.suppress(OSError):
            _save_log(sandbox.directory, guest)
        guest.close()
        _remove(sandbox.directory)


def _remove(directory: Path) -> None:
    """Take the sandbox off the list. Its log stays, for `logs`."""
    for name in ("card.json", SOCKET, "client"):
        (directory / name).unlink(missing_ok=True)


def _write_card(sandbox: SandboxDir, planned: Plan, *, daemon: int, qemu: int) -> None:
    """Write what `sandbox status` shows."""
    card = {
        "project": str(sandbox.project),
        "kernel": planned.kernel.release,
        "arch": planned.kernel.arch,
        "cmdline": planned.machine.cmdline,
        "accelerator": planned.machine.accelerator,
        "keeper": daemon,
        "keeper_started": start_time(daemon) if daemon else 0,
        "qemu": qemu,
        "started": time.time(),
        "key": planned.key,
    }
    write_whole(sandbox.directory / "card.json", json.dumps(card))


def _refuse(sandbox: SandboxDir, error: KscaffoldError) -> None:
    """Tell the waiting client why there is no guest. The sandbox is taken off the list first."""
    reason = [error.code, error.what, error.cause, error.fix]
    sandbox.listener.settimeout(_REFUSAL_WAIT)
    with contextlib.ExitStack() as end:
        end.callback(_remove, sandbox.directory)
        with contextlib.suppress(OSError):
            sock = end.enter_context(sandbox.listener.accept()[0])
            _remove(sandbox.directory)
            sock.sendall(protocol.frame(Kind.WELCOME, 0, 1, json.dumps(reason).encode()))


def _save_log(directory: Path, guest: Guest, ask: bool = True) -> None:
    """Write the guest's log and console; each is bounded. `ask`: ask the guest for its log. That is pointless
    where the guest has just not answered.
    """
    parts = b""
    if ask and guest.alive():
        with contextlib.suppress(ChannelClosed, ChannelTimeout):
            parts = guest.channel.ask(Verb.LOG, timeout=_LOG_TIMEOUT).payload
    if parts:
        write_whole(directory / "log", parts)
    console = guest.console()
    if not console and not guest.alive() and guest.was_reset() and not (directory / "console").exists():
        console = RESET
    if console:
        write_whole(directory / "console", console.encode(errors="replace"))


class _Daemon:
    """Serves one client at a time; the others wait in the listener's queue."""

    def __init__(self, sandbox: SandboxDir, guest: Guest, planned: Plan) -> None:
        self.directory = sandbox.directory
        self.listener = sandbox.listener
        self.guest = guest
        self.limit = time.monotonic() + timeouts.seconds("SANDBOX_LIMIT")
        self.idle = timeouts.seconds("SANDBOX_IDLE")
        self.served = 0
        self.facts = {
            "kernel": planned.kernel.release,
            "arch": planned.kernel.arch,
            "keeper": os.getpid(),
            "qemu": guest.qemu.pid,
            "cmdline": planned.machine.cmdline,
            "accelerator": guest.accelerator,
            "why_no_kvm": planned.why_no_kvm,
            "restored": guest.restored,
            "times": guest.times,
        }

    def serve(self) -> None:
        """Serve until a client says stop, the idle time or the limit is over, or the guest has gone."""
        used = time.monotonic()
        while time.monotonic() < self.limit:
            idle = idle_time(self.idle, guests_beside(self.directory), memory_now())
            over = min(used + idle, self.limit)
            patience = max(0.0, min(LOOK, over - time.monotonic()))
            guest, listener = self.guest.channel.fileno(), self.listener.fileno()
            ready, _, _ = select.select([listener, guest], [], [], patience)
            if guest in ready and not self.guest.alive():
                return
            if listener not in ready:
                if not ready and time.monotonic() >= over:
                    return
                if not ready:
                    continue
                time.sleep(0.05)  # the channel was closed a moment before its QEMU ends
                continue
            sock, _ = self.listener.accept()
            with sock:
                if ownership.peer(sock)[1] not in (os.geteuid(), 0):
                    continue  # the directory is ours alone: it was opened to others since
                self._name_client(sock)
                going_on = self._serve_client(sock)
            (self.directory / "client").unlink(missing_ok=True)
            used = time.monotonic()
            if not going_on or not self.guest.alive():
                return
            with contextlib.suppress(OSError):
                _save_log(self.directory, self.guest)

    def _end(self) -> None:
        """End the guest and take it off the list; clients hear of it afterwards."""
        self.guest.close()
        _remove(self.directory)

    def _name_client(self, sock: socket.socket) -> None:
        """Write which process uses the sandbox, for the clients that have to wait."""
        pid, _ = ownership.peer(sock)
        with contextlib.suppress(OSError):
            write_whole(self.directory / "client", str(pid))

    def _serve_client(self, sock: socket.socket) -> bool:
        """All requests of one client. False: the sandbox is to end."""
        sock.settimeout(_CLIENT_SILENCE)
        try:
            facts = {**self.facts, "served": self.served}
            self.served += 1
            sock.sendall(protocol.frame(Kind.WELCOME, 0, 0, json.dumps(facts).encode()))
            while asks(sock, self.listener, until=self.limit):
                head = _exactly(sock, protocol.REQUEST.size)
                if not head:
                    return True
                magic, verb, nonce, _, milliseconds, length, _ = protocol.REQUEST.unpack(head)
                if magic != protocol.MAGIC or length > protocol.MAX_PAYLOAD:
                    return True
                payload = _exactly(sock, length)
                if verb == Verb.STOP:
                    self._end()
                    sock.sendall(protocol.frame(Kind.END, nonce))
                    return False
                if not self._pass_on(sock, nonce, head + payload, milliseconds / 1000):
                    return False
            return True
        except (OSError, EOFError):
            # The client has gone; what it asked for has been done or will not be.
            return True

    def _pass_on(self, sock: socket.socket, nonce: int, request: bytes, timeout: float) -> bool:
        """Pass one request to the guest, and its answer to the client. False: the guest is lost, and ended.

        The work goes on when the client leaves: nobody wants half a load. But it gets little time then,
        because the next client has to wait for it.
        """
        self.guest.channel.clock.begin()
        given = deadline = self.guest.channel.now() + timeout
        there, is_sent = True, False
        verb = int.from_bytes(request[4:8], "little")
        try:
            self.guest.channel.send(request, deadline + _GRACE)
            is_sent = True
            while True:
                if verb in _CONVERSATIONS:
                    there = there and _relay_input(sock, self.guest)
                    deadline = self.guest.channel.now() + (_GRACE if there else 5 * _GRACE)
                elif there and _has_left(sock, self.guest.channel, deadline):
                    there, deadline = False, min(deadline, self.guest.channel.now())
                kind, answer = self.guest.channel.receive(nonce, deadline, _GRACE)
                # A conversation's client knows the time that its own answers took, and gets the question.
                ours = kind is Kind.DUE and not (there and verb in _CONVERSATIONS)
                if ours:
                    self.guest.channel.prolong(given if there else 0.0)
                deadline = self.guest.channel.prolonged(given) if there else deadline
                try:
                    if there and not ours:
                        sock.sendall(protocol.frame(kind, nonce, answer.status, answer.payload))
                except OSError:
                    there = False
                if kind is Kind.WANT and verb not in _CONVERSATIONS:
                    began = time.monotonic()
                    there = _relay_modules(sock, nonce, self.guest) and there
                    given += time.monotonic() - began
                    deadline = self.guest.channel.prolonged(given)
                if kind is Kind.END:
                    if verb in (Verb.LOAD, Verb.UNLOAD) and protocol.still_running(answer.payload):
                        # It may hold a processor for as long as the guest lives.
                        self.idle = min(self.idle, _IDLE_WHEN_HUNG)
                    return True
        except ChannelTimeout as error:
            if error.stopped and is_sent:  # it stays: whoever stopped it may let it go on
                console = f"{error.stopped}\n{self._last_console()}".encode(errors="replace")
                sock.sendall(protocol.frame(Kind.LOST, nonce, protocol.STOPPED, console))
                return True
            how = protocol.SILENT
            self.guest.interrogate()
        except ChannelClosed:
            how = protocol.RESET if self.guest.was_reset() else protocol.GONE
        with contextlib.suppress(OSError):
            _save_log(self.directory, self.guest, ask=how != protocol.SILENT)
            console = self._last_console().encode(errors="replace")
            self._end()
            sock.sendall(protocol.frame(Kind.LOST, nonce, how, console))
        return False

    def _last_console(self) -> str:
        return self.guest.console()[-_LAST_CONSOLE:]


def asks(
    client: socket.socket, listener: socket.socket, *, until: float, silence: float = _CLIENT_SILENCE
) -> bool:
    """Wait for a client's next request, or its end. False where it says nothing for `silence` seconds: one
    that is stopped (Ctrl-Z) may do so until another command wants the sandbox, or `until` (time.monotonic())
    has come.
    """
    pid, _ = ownership.peer(client)
    while not select.select([client], [], [], silence)[0]:
        if not is_stopped(pid):
            return False
        while is_stopped(pid):
            patience = max(0.0, min(LOOK, until - time.monotonic()))
            ready = select.select([client, listener], [], [], patience)[0]
            if client in ready:
                return True
            if ready or time.monotonic() > until:
                return False
    return True


def _has_left(client: socket.socket, guest: Channel, deadline: float) -> bool:
    """Wait for the guest's next word; True when the client went away before it."""
    if guest.has_unread():
        return False
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    poll.register(guest, select.POLLIN)
    heard = [fd for fd, _ in guest.wait_for(poll, deadline)]
    return client.fileno() in heard and guest.fileno() not in heard


def _relay_modules(sock: socket.socket, nonce: int, guest: Guest) -> bool:
    """The client's answer to a WANT. False: the client has gone, and the guest has been told of no module."""
    try:
        head = _exactly(sock, protocol.REQUEST.size)
        frame = head + _exactly(sock, protocol.REQUEST.unpack(head)[5]) if head else b""
    except (OSError, EOFError):
        frame = b""
    guest.channel.send(frame or protocol.provided(nonce, None), guest.channel.now() + _GRACE)
    return bool(frame)


def _relay_input(sock: socket.socket, guest: Guest) -> bool:
    """The input frames of a shell or a program, until the guest has something to say. False: the client has
    gone, and the program has been told to end.
    """
    while not guest.channel.has_unread():
        ready, _, _ = select.select([sock.fileno(), guest.channel.fileno()], [], [])
        if guest.channel.fileno() in ready:
            break
        try:
            head = _exactly(sock, protocol.REQUEST.size)
            frame = head + _exactly(sock, protocol.REQUEST.unpack(head)[5]) if head else b""
        except (OSError, EOFError):
            frame = b""
        if not frame:
            guest.channel.send(protocol.request(Verb.POWEROFF, 0), guest.channel.now() + _GRACE)
            return False
        guest.channel.send(frame, guest.channel.now() + _GRACE)
    return True


def _exactly(sock: socket.socket, size: int) -> bytes:
    """Read so many bytes; none where the client closed before the first. Raises EOFError in the middle."""
    got = bytearray()
    while len(got) < size:
        part = sock.recv(min(size - len(got), 1 << 20))
        if not part:
            if got:
                raise EOFError
            return b""
        got += part
    return bytes(got)

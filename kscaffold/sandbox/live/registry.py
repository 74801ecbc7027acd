"""The live sandboxes of this user: one for a project, found, started, asked and stopped by commands."""

import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kscaffold import process, timeouts
from kscaffold.arch import table
from kscaffold.errors import KscaffoldError
from kscaffold.files import ownership, paths, reader
from kscaffold.files.lock import is_locked, opened, try_locked, wait_for_lock
from kscaffold.records import dataclass
from kscaffold.sandbox.agent.channel import Channel, require_running
from kscaffold.sandbox.agent.protocol import ChannelClosed, ChannelTimeout, Verb
from kscaffold.sandbox.agent.running_clock import MOST_WAITING, RunningClock
from kscaffold.sandbox.live import daemon
from kscaffold.sandbox.vm.plan import Plan

_STOP_TIMEOUT = 5.0  # s for a daemon to hear that it is to end
_STOP_WAIT = 10.0  # s for it to end
_DIAL_TIMEOUT = 5.0  # s for a daemon to take a connection
_POLL = 0.01  # s between two looks for the end of a daemon
_PATIENCE = 30.0  # s for a daemon to find its guest lost, and to say so


PREVIOUS = "previous-"
"""The prefix of the files that the sandbox before this one left."""


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """A live sandbox as `sandbox status` shows it. `started`: seconds since 1970. `rss`: bytes resident."""

    id: str
    project: Path
    kernel: str
    arch: str
    cmdline: str
    accelerator: str
    daemon: int
    qemu: int
    started: float
    key: str
    rss: int
    daemon_started: int = 0

    @property
    def name(self) -> str:
        """The kernel's, as people and --kernel name it."""
        return table.kernel_name(self.kernel, self.arch)


@dataclass(frozen=True, slots=True)
class Connection:
    """A sandbox that only this command uses until it closes the connection. `facts`: the daemon's greeting.
    `started`: no command has used the sandbox before.
    """

    channel: Channel
    facts: dict[str, Any]
    started: bool

    @property
    def daemon(self) -> int | None:
        """The process number of the sandbox's daemon, as its greeting says."""
        return self.facts.get("keeper")  # the key is frozen: greetings of other versions have it


def sandbox_id(project: Path) -> str:
    """The name of a project directory's sandbox."""
    return hashlib.blake2b(
        os.path.realpath(project).encode(errors="surrogateescape"), digest_size=6
    ).hexdigest()


def sandbox_dir(project: Path) -> Path:
    """The directory of a project's sandbox, live or ended: socket, lock, card, and the last log."""
    return _root() / sandbox_id(project)


def has_copies(project: Path, *, previous: bool = False) -> bool:
    """Whether a module was loaded into the project's sandbox, or the `previous` one, as an instrumented
    copy.
    """
    return (sandbox_dir(project) / f"{PREVIOUS if previous else ''}copies").exists()


def find_sandbox(project: Path) -> SandboxInfo | None:
    """The project's live sandbox, None without one. What a dead daemon left is swept."""
    return _read_card(sandbox_dir(project))


def all_sandboxes() -> list[SandboxInfo]:
    """All live sandboxes of this user."""
    directories = sorted(_root().iterdir()) if _root().is_dir() else []
    return [card for directory in directories if (card := _read_card(directory))]


@contextlib.contextmanager
def connect(project: Path) -> Iterator[Connection | None]:
    """The project's live sandbox, None when there is none. Raises KscaffoldError KS606 when it is busy."""
    directory = sandbox_dir(project)
    sock = _dial(directory)
    if sock is None:
        yield None
        return
    with contextlib.closing(_channel(sock)) as opened:
        try:
            facts = _welcomed(opened, directory, timeouts.seconds("BUSY_TIMEOUT"))
        except KscaffoldError as error:
            if error.code != "KS607":
                raise
            facts = None  # it ended a moment ago
        yield Connection(opened, facts, False) if facts else None


@contextlib.contextmanager
def connect_or_start(project: Path, planned: Plan, note: Callable[[str], None]) -> Iterator[Connection]:
    """The project's live sandbox, started now when there is none, or when it runs another kernel.

    Two commands that find none start one between them: the second waits for the first's.
    """
    directory = sandbox_dir(project)
    paths.make_own(directory)
    with _starting(directory):
        card = _read_card(directory)
        if card and card.key != planned.key:
            ran = f"{card.name} {card.cmdline}".strip()
            # The same words stand for another kernel image: one that trusts other keys.
            same = (card.kernel, card.cmdline) == (planned.kernel.release, planned.machine.cmdline)
            ran = "with other keys or another image" if same else ran
            note(f"the sandbox ran {ran}; a new one takes its place")
            stop_sandbox(project)
            card = None
        sock = _dial(directory) if card else None
        if sock is None:
            _start(directory, planned, project)
            card, sock = None, _dial(directory)
    if sock is None:
        raise KscaffoldError("KS607", "the sandbox ended as soon as it had started")
    with contextlib.closing(_channel(sock)) as opened:
        # Without a QEMU on its card it is still being started, by this command or another.
        booting = card is None or card.qemu == 0
        boot = timeouts.seconds("BOOT_TIMEOUT") * 2 + MOST_WAITING  # for which the daemon's clock may stand
        patience = boot if booting else timeouts.seconds("BUSY_TIMEOUT")
        facts = _welcomed(opened, directory, patience)
        yield Connection(opened, facts, facts["served"] == 0)


def begin_sandbox(project: Path, planned: Plan) -> None:
    """Start the project's sandbox if none is live, and do not wait for its guest: `connect_or_start` does."""
    directory = sandbox_dir(project)
    paths.make_own(directory)
    with _starting(directory):
        if _read_card(directory) is None:
            _start(directory, planned, project)


def stop_sandbox(project: Path) -> bool:
    """End the project's sandbox; False when there was none. Waits until it is gone. Raises KscaffoldError
    KS606 where it does not go, and its card proves no process to be the one to kill.
    """
    directory = sandbox_dir(project)
    card = _read_card(directory)
    if card is None:
        return False
    if process.is_stopped(card.daemon):
        _kill(card)  # nobody is there to hear of it
    try:
        with connect(project) as connection:
            if connection is not None:
                with contextlib.suppress(ChannelClosed, ChannelTimeout):
                    connection.channel.ask(Verb.STOP, timeout=_STOP_TIMEOUT, grace=0)
    except KscaffoldError:
        _kill(card)  # busy for longer than anybody should wait
    if not _is_gone(card, directory):
        _kill(card)
        if not _is_gone(card, directory):
            raise KscaffoldError(
                "KS606",
                f"the sandbox of {project} has not ended",
                cause=f"a process still holds {directory / 'lock'}; its record names process {card.daemon}, "
                "which is killed only where it proves to be the sandbox's",
                fix=f"fuser -v {directory / 'lock'}",
            )
    return True


def _is_gone(card: SandboxInfo, directory: Path) -> bool:
    """Whether a sandbox ends within the time for that; another one may have begun in its place."""
    deadline = time.monotonic() + _STOP_WAIT
    while _has_daemon(directory):
        now = _read_card(directory)
        if now is not None and card.daemon not in (0, now.daemon):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def end_sandbox(connection: Connection, project: Path) -> None:
    """End the sandbox of a connection. Waits until it is gone, so that the next one can be started."""
    directory = sandbox_dir(project)
    with contextlib.suppress(ChannelClosed, ChannelTimeout):
        connection.channel.ask(Verb.STOP, timeout=_STOP_TIMEOUT, grace=0)
    connection.channel.close()
    deadline = time.monotonic() + _STOP_WAIT
    while time.monotonic() < deadline:
        card = _read_card(directory)
        if card is None or card.daemon != connection.daemon:
            return
        time.sleep(_POLL)


def is_ended(directory: Path) -> bool:
    """Whether a sandbox's directory is of one that has ended, and nobody starts another there now."""
    return not _has_daemon(directory) and not is_locked(directory / "starting")


def last_log(project: Path, *, previous: bool = False) -> tuple[bytes, str]:
    """The log records and console that the last sandbox of `project` left, or the `previous` one."""
    parts = []
    for name in ("log", "console"):
        try:
            kept = sandbox_dir(project) / (f"{PREVIOUS}{name}" if previous else name)
            parts.append(reader.read_bytes(kept, 64 << 20))
        except (OSError, KscaffoldError):
            parts.append(b"")
    return parts[0], parts[1].decode(errors="replace")


def _root() -> Path:
    return paths.runtime() / "sandboxes"


@contextlib.contextmanager
def _starting(directory: Path) -> Iterator[None]:
    """Keep others from starting a sandbox there meanwhile. Raises KscaffoldError KS606 where another takes
    too long: it may have to stop a sandbox that is busy first.
    """
    patience = timeouts.seconds("BUSY_TIMEOUT") + 2 * _STOP_WAIT
    with opened(directory / "starting") as fd:
        if not wait_for_lock(fd, patience):
            raise KscaffoldError(
                "KS606",
                "another command is starting this sandbox",
                cause=f"waited {patience:g} s for it",
                fix="wait for that command, or kscaffold sandbox stop",
            )
        yield


def _start(directory: Path, planned: Plan, project: Path) -> None:
    for left in ("card.json", daemon.SOCKET):
        (directory / left).unlink(missing_ok=True)
    for kept in ("log", "console", "told", "copies"):
        (directory / f"{PREVIOUS}{kept}").unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (directory / kept).rename(directory / f"{PREVIOUS}{kept}")
    with (
        opened(directory / "lock") as lock,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
    ):
        # Taken before the fork, and inherited: there is no moment at which nobody holds it.
        if not wait_for_lock(lock, _STOP_WAIT):
            raise KscaffoldError("KS606", "the last sandbox here has not ended", fix="kscaffold sandbox stop")
        listener.bind(str(directory / daemon.SOCKET))
        listener.listen(daemon.CLIENTS)
        daemon.fork_daemon(daemon.SandboxDir(directory, listener, lock, project), planned)


def _dial(directory: Path) -> socket.socket | None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(_DIAL_TIMEOUT)
    try:
        sock.connect(str(directory / daemon.SOCKET))
    except OSError:
        sock.close()
        return None
    _, user = ownership.peer(sock)
    if user not in (os.geteuid(), 0):
        sock.close()
        raise KscaffoldError(
            "KS618",
            f"{ownership.name_of(user)} answers in the place of this project's sandbox",
            cause=f"another user's process listens at {directory / daemon.SOCKET}",
            fix=f"rm -r {directory}",
        )
    return sock


def _channel(sock: socket.socket) -> Channel:
    """A channel to a daemon, with time enough for the daemon to find its guest lost, and to say so."""
    return Channel(sock, RunningClock.of(ownership.peer(sock)[0]), patience=_PATIENCE)


def _welcomed(opened: Channel, directory: Path, patience: float) -> dict[str, Any]:
    try:
        answer = opened.welcome(opened.now() + patience)
    except ChannelTimeout as error:
        require_running(error)
        try:
            owner = f"process {reader.read_text(directory / 'client', 64)}"
        except (OSError, KscaffoldError):
            owner = "another command"
        raise KscaffoldError(
            "KS606",
            f"the sandbox is busy with {owner}",
            cause=f"waited {patience:g} s for it",
            fix="wait for that command, or kscaffold sandbox stop",
        ) from None
    except ChannelClosed:
        raise KscaffoldError(
            "KS607",
            "the sandbox ended while this command waited for it",
            fix="try again: a new one is started",
        ) from None
    facts = json.loads(answer.payload)
    if answer.status:
        code, what, cause, fix = facts
        raise KscaffoldError(code, what, cause=cause, fix=fix)
    assert isinstance(facts, dict)
    opened.clock = RunningClock.of(facts["qemu"], facts["keeper"])
    return facts


def _has_daemon(directory: Path) -> bool:
    """A live daemon holds the lock of its directory."""
    return is_locked(directory / "lock")


def _read_card(directory: Path) -> SandboxInfo | None:
    try:
        facts = paths.recorded(directory / "card.json")
        if not _has_daemon(directory):
            _sweep(directory)
            return None
        return SandboxInfo(
            id=directory.name,
            project=Path(facts["project"]),
            kernel=facts["kernel"],
            # An older kscaffold, whose sandboxes were of this machine, wrote none: its daemons live on.
            arch=facts.get("arch") or os.uname().machine,
            cmdline=facts["cmdline"],
            accelerator=facts["accelerator"],
            daemon=facts["keeper"],  # the card's keys are frozen: daemons of other versions write them
            qemu=facts["qemu"],
            started=facts["started"],
            key=facts["key"],
            daemon_started=facts.get("keeper_started", 0),
            rss=_rss(facts["qemu"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _sweep(directory: Path) -> None:
    """Remove what a dead daemon left, under its lock: another command may be starting the next one, and its
    files have the same names.
    """
    with try_locked(directory / "lock") as ours:
        for left in ("card.json", daemon.SOCKET, "client") if ours else ():
            (directory / left).unlink(missing_ok=True)


def _rss(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _kill(card: SandboxInfo) -> None:
    """Kill a daemon that does not answer; its QEMU ends with it.

    The card is a file, and a number may be another process's by now: the kernel has to name the same process
    as the one that listens, and it has to have started when the card says.
    """
    if not card.daemon:
        return
    try:
        sock = _dial(_root() / card.id)
    except KscaffoldError:
        return
    listening = None
    if sock is not None:
        with contextlib.closing(sock):
            listening = ownership.peer(sock)[0]
    # Where its queue is full nobody can connect; its lock is held, and its start is on the card.
    if listening in (None, card.daemon):
        process.kill_proven(card.daemon, card.daemon_started)

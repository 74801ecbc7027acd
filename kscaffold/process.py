"""The only place that starts programs: argument lists, no shell, a clean environment, a deadline each."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kscaffold.errors import DeadlineError, ToolMissingError
from kscaffold.records import dataclass

# What would change a build or a program's language behind the user's back. MAKEFLAGS and its kin leak
# in when kscaffold itself is run from a Makefile.
_DROPPED = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEFILES", "GNUMAKEFLAGS", "LANGUAGE", "LANG")

# s for a program to end what it has started.
_FAREWELL = 5.0

# s that a wait ends late where this process was stopped meanwhile.
_STOPPED = 0.5

Child = subprocess.Popen[bytes]
"""A program that was started and not yet waited for."""

# All that this process started, as long as somebody holds them.
_children: "weakref.WeakSet[Child]" = weakref.WeakSet()

# The Debian package of a program, for the fix line.
PACKAGE_OF = {
    "make": "make",
    "gcc": "gcc",
    "apt-get": "apt",
    "dpkg": "dpkg",
    "insmod": "kmod",
    "rmmod": "kmod",
    "lsmod": "kmod",
    "modinfo": "kmod",
    "modprobe": "kmod",
    "depmod": "kmod",
    "dmesg": "util-linux",
    "sudo": "sudo",
    "git": "git",
    "diff3": "diffutils",
    "addr2line": "binutils",
    "objcopy": "binutils",
    "openssl": "openssl",
}


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that ended. `returncode` is negative for a signal, as in subprocess."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    seconds: float


def which(name: str) -> str | None:
    """The absolute path of a program, or None."""
    return shutil.which(name)


def need(name: str, package: str | None = None) -> str:
    """The absolute path of a program. Raises ToolMissingError that names its Debian package: `package`, else
    the one in PACKAGE_OF, else one of the program's own name.
    """
    path = shutil.which(name)
    if path is None:
        package = package or PACKAGE_OF.get(name, name)
        raise ToolMissingError("KS001", f"{name} is not installed", fix=apt_install(package))
    return path


def apt_install(*packages: str) -> str:
    """The command that installs Debian packages here: root's own, or with sudo where there is one."""
    line = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if os.geteuid() == 0:
        return line
    return f"sudo {line}" if shutil.which("sudo") else f"as root: {line}"


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment every program gets: the user's, without what changes results, in the C locale."""
    env = {k: v for k, v in os.environ.items() if k not in _DROPPED and not k.startswith("LC_")}
    env["LC_ALL"] = "C"
    env.update(extra or {})
    return env


def display(argv: Sequence[str]) -> str:
    """A command line as a user would type it."""
    return shlex.join(argv)


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    own_terminal: bool = False,
    has_begun: Callable[[], bool] = lambda: True,
) -> Finished:
    """Run a program to its end and keep what it printed (undecodable bytes become U+FFFD).

    `own_terminal`: it stays in our process group, so that it may ask for a password there. `has_begun`:
    asked at the deadline; another `timeout` seconds are granted while it says no.

    A non-zero exit is a value. Raises ToolMissingError when there is no such program and DeadlineError
    after `timeout` seconds; the program's whole process group is ended then, and on Ctrl-C.
    """
    started = time.monotonic()
    child = _start(argv, cwd=cwd, env=env, merge=False, group=not own_terminal)
    # Not `with child`, which waits for it: one that is stuck in the kernel can't be ended.
    try:
        while True:
            waits = time.monotonic()
            try:
                out, err = child.communicate(stdin, timeout=timeout)
                break
            except subprocess.TimeoutExpired:
                # Ctrl-Z stops us, and not it: what it says meanwhile waits unread.
                if has_begun() and time.monotonic() - waits < timeout + _STOPPED:
                    raise
                stdin = b""  # communicate() takes it once
    except subprocess.TimeoutExpired:
        _end(child)
        raise _late(argv, timeout) from None
    except BaseException:
        _end(child)
        raise
    finally:
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
    seconds = time.monotonic() - started
    said = (out.decode(errors="replace"), (err or b"").decode(errors="replace"))
    return Finished(tuple(argv), child.returncode, *said, seconds)


def stream(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    *,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    own_terminal: bool = False,
    on_start: Callable[[int], None] = lambda pid: None,
) -> int:
    """Run a program and hand over each line of stdout and stderr as it comes, without its newline.

    Returns the exit status. Errors, deadlines and `own_terminal` as in `run`. `on_start` gets the
    program's number, which is its process group's too.
    """
    import selectors  # only here: 3 ms

    deadline = time.monotonic() + timeout
    started = _start(argv, cwd=cwd, env=env, merge=True, group=not own_terminal)
    with started as child, selectors.DefaultSelector() as ready:
        assert child.stdout is not None and child.stdin is not None
        child.stdin.close()
        fd = child.stdout.fileno()
        ready.register(fd, selectors.EVENT_READ)
        rest = b""
        try:
            on_start(child.pid)
            while True:
                waits = time.monotonic()
                left = deadline - waits
                if left <= 0:
                    raise _late(argv, timeout)
                heard = ready.select(left)
                if (now := time.monotonic()) > deadline + _STOPPED:  # stopped by Ctrl-Z, as in run()
                    deadline = now + left
                if not heard:
                    continue
                chunk = os.read(fd, 65536)
                if not chunk:
                    break
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    on_line(line.decode(errors="replace"))
            if rest:
                on_line(rest.decode(errors="replace"))
            try:
                return child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise _late(argv, timeout) from None
        except BaseException:
            _end(child)
            raise


def read_so_far(pid: int, file: Path) -> int:
    """How far a process, or a child that it shares the file with, has read a file that is open, in bytes; 0
    where that can't be told.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (str(pid), *children):
            for link in Path(f"/proc/{each}/fd").iterdir():
                if link.readlink() == file:
                    return int(Path(f"/proc/{each}/fdinfo/{link.name}").read_text().split()[1])
    return 0


def _start(
    argv: Sequence[str],
    *,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    merge: bool,
    group: bool = True,
) -> "subprocess.Popen[bytes]":
    try:
        # A process group of its own, so that the whole family can be ended: make's children outlive make.
        child = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(env) if env is not None else environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else subprocess.PIPE,
            process_group=0 if group else None,
        )
        _children.add(child)
        return child
    except FileNotFoundError:
        if cwd is not None and not cwd.is_dir():
            raise
        need(argv[0])
        raise
    except PermissionError as error:
        raise ToolMissingError("KS001", f"{argv[0]} can't be run", cause=str(error)) from None


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End a program and its process group; it is reaped when this returns, if anything can end it."""
    for sig, patience in ((signal.SIGTERM, _FAREWELL), (signal.SIGKILL, 3.0)):
        try:
            # Its whole family where it has a group of its own, else it alone: the group is ours then.
            own = os.getpgid(child.pid) == child.pid
            (os.killpg if own else os.kill)(child.pid, sig)
        except ProcessLookupError:
            pass
        except PermissionError:  # sudo, which is root's
            return
        try:
            child.wait(patience)
            return
        except subprocess.TimeoutExpired:
            continue


def _late(argv: Sequence[str], timeout: float) -> DeadlineError:
    return DeadlineError(
        "KS002", f"{Path(argv[0]).name} did not end within {timeout:g} s", cause=f"ran {display(argv)}"
    )


def spawn(argv: Sequence[str], *, keep: Sequence[int], errors: Path, largest_file: int) -> Child:
    """Start a program that outlives this call, but never this process: the kernel ends it with us.

    `keep`: descriptors it inherits. `errors`: the file its stderr goes to. `largest_file`: bytes; what it
    writes beyond fails, so that no guest can fill a disk. Call from the main thread only: the death
    signal follows the thread that started the program.
    """
    import ctypes  # start-up time
    import resource

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def in_child() -> None:
        prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    try:
        with errors.open("wb") as stderr:
            child = subprocess.Popen(
                list(argv),
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                pass_fds=tuple(keep),
                preexec_fn=in_child,
                # SIGXFSZ stays ignored: a write beyond the limit is an error, not the end.
                restore_signals=False,
                start_new_session=True,
            )
            _children.add(child)
            return child
    except FileNotFoundError:
        need(argv[0])
        raise


def end_children() -> None:
    """End every program that this process started and that still runs, whichever thread waits for it."""
    for child in _children.copy():
        if child.poll() is None:
            _end(child)


def wait(child: Child, seconds: float) -> bool:
    """Whether a program of `spawn` ends within so many seconds."""
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when there is none, or it has ended (proc(5),
    stat, field 22). With its number that names one process.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return 0 if fields[0] in "ZX" else int(fields[19])
    except (OSError, IndexError, ValueError):
        return 0


def kill_proven(pid: int, started: int) -> bool:
    """Kill the process of that number that started then (`start_time`), where it is this user's. False, and
    nothing done, where the number is another process's by now.
    """
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # The descriptor is of one process: what is proven of it now stays true.
        if not started or start_time(pid) != started or Path(f"/proc/{pid}").stat().st_uid != os.geteuid():
            return False
        signal.pidfd_send_signal(fd, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def is_running(pid: str) -> bool:
    """Whether a process of that number runs. One that has ended and is not yet waited for does not: in a
    container there may be nobody who ever does.
    """
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def is_stopped(pid: int) -> bool:
    """Whether a process has been stopped by a signal or a debugger, and not yet continued."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1] in (b"T", b"t")
    except OSError:
        return False


def cpu_wait_seconds(pid: int) -> float:
    """Seconds that the busiest thread of a process has been ready to run and waited for a processor; 0.0
    where the kernel does not tell. (The others are woken all the time, and wait a little each time.)
    """
    busiest = (0, 0)
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # a thread that has just ended
            ran, waited = map(int, file.read_text().split()[:2])
            busiest = max(busiest, (ran, waited))
    return busiest[1] / 1e9


def end(child: Child) -> None:
    """End a program of `spawn` and reap it. Nothing of it is worth a farewell.

    Returns after 5 s even when it has not ended: a task that spins in the host's kernel can't be.
    """
    child.kill()
    wait(child, 5)

"""What a command says when it has no answer. "No" is a value; "can't answer" is raised."""

import errno
import os
from pathlib import Path
from typing import Any, ClassVar

EXIT_YES = 0
EXIT_NO = 1
EXIT_USAGE = 2
EXIT_NO_ANSWER = 69
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class ProgramStatus(int):
    """The exit status of a user's program, passed on: 130 of one is not our own for Ctrl-C."""


class KscaffoldError(Exception):
    """No answer could be had.

    `code` is a catalogue entry (`KS###`), `what` one lowercase phrase without a full stop, `cause` why
    (None when `what` says it all), `fix` the exact command or step that mends it.
    """

    exit_code: ClassVar[int] = EXIT_NO_ANSWER

    def __init__(self, code: str, what: str, *, cause: str | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.cause = cause
        self.fix = fix

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the error by class and fields: it may have been raised on another machine."""
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[KscaffoldError], args: tuple[Any, ...]) -> KscaffoldError:
    error = kind.__new__(kind)
    error.args = args
    return error


class UsageError(KscaffoldError):
    """The command was asked for something it can't be asked for; nothing was changed."""

    exit_code = EXIT_USAGE


class ToolMissingError(KscaffoldError):
    """A program that is needed is not installed."""


class DeadlineError(KscaffoldError):
    """Something did not end within its deadline; it was ended."""


def from_os_error(error: OSError) -> KscaffoldError:
    """An operating system error nobody nearer knew what to say about."""
    if error.errno == errno.ENOENT and not error.filename and _is_homeless():
        return KscaffoldError("KS088", "the directory you are in is not there any more", fix="cd")
    where = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes) else ""
    what = f"{(error.strerror or str(error)).lower()}{where}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return KscaffoldError("KS005", what, fix="free some space there (`df -h` shows what is full)")
    if error.errno in (errno.EACCES, errno.EPERM) and isinstance(error.filename, str | bytes):
        left = left_by_root(Path(os.fsdecode(error.filename)))
        if left is not None:
            return root_owned(left)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        fix = "work in a directory of your own, or get the right to that place"
        return KscaffoldError("KS006", what, fix=fix)
    return KscaffoldError("KS007", what)


def left_by_root(path: Path) -> Path | None:
    """The topmost of root's files and directories on the way to a path that lies in one of this user's: a
    command that ran under sudo left it. None where there is none.
    """
    user = os.geteuid()
    found = None
    here = Path.cwd() / path
    for place in (here, *here.parents) if user else ():
        try:
            owner, above = place.lstat().st_uid, place.parent.lstat().st_uid
        except OSError:
            continue
        if owner == 0 and above == user:
            found = place
    return found


def refuse_roots(error: OSError, path: Path) -> None:
    """Raise KscaffoldError KS097 where what could not be opened is what root left."""
    if error.errno in (errno.EACCES, errno.EPERM) and (left := left_by_root(path)) is not None:
        raise root_owned(left) from None


def root_owned(place: Path, whole: Path | None = None) -> KscaffoldError:
    """The error for what root left, and the one command that gives it back. `whole`: a directory of ours with
    all of it, where `place` is not all; None: what root has in the directory that a file is in goes along,
    where that is not a home, which may have things of root's on purpose.
    """
    import shlex  # start-up time: seldom needed

    # chown(1) takes the group that belongs to an account (`NAME:`) of names only.
    owner = f"{os.geteuid()}:{os.getegid()}"
    fix = f"sudo chown -R {owner} {shlex.quote(str(whole or place))}"
    at_home = place.parent == Path(os.environ.get("HOME", "/"))
    if whole is None and not place.is_dir() and not at_home and _are_others_roots(place):
        whole = place.parent
        fix = f"sudo find {shlex.quote(str(whole))} -user root -exec chown -h {owner} {{}} +"
    return KscaffoldError(
        "KS097",
        f"{place} belongs to root" + (f", and more in {whole}" if whole else ""),
        cause="a command that ran under sudo left it there",
        fix=fix,
    )


def _are_others_roots(file: Path) -> bool:
    try:
        return sum(entry.stat(follow_symlinks=False).st_uid == 0 for entry in os.scandir(file.parent)) > 1
    except OSError:
        return False


def _is_homeless() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False

"""Whose a directory or a peer is: what others may have changed is not believed, and not run."""

import os
import pwd
import stat
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socket import socket

_UCRED = "3i"  # struct ucred, unix(7): process, user, group
# Root's files as a user namespace without a mapping for root shows them: /proc/sys/kernel/overflowuid.
_UNMAPPED = 65534


def name_of(uid: int) -> str:
    """A user's name, or the number where the user database has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def own_users() -> frozenset[int]:
    """The users whose directories this process believes: itself, root, and under sudo who called it."""
    caller = os.environ.get("SUDO_UID", "")
    sudo = {int(caller)} if os.geteuid() == 0 and caller.isdecimal() else set()
    return frozenset({os.geteuid(), 0, *sudo})


def others_may_write(facts: os.stat_result) -> bool:
    """Whether somebody besides owner and root may write to it. The group that a user has alone, as Debian
    makes one with each account, is nobody else.
    """
    if facts.st_mode & stat.S_IWOTH:
        return True
    return bool(facts.st_mode & stat.S_IWGRP) and facts.st_gid != 0 and not _is_private_group(facts.st_gid)


def _is_private_group(gid: int) -> bool:
    import grp  # start-up time: few directories are writable to a group

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    alone = set(group.gr_mem) <= {user.pw_name}
    return gid == user.pw_gid and group.gr_name == user.pw_name and alone


def weakness(directory: Path, users: Iterable[int]) -> str | None:
    """Why somebody else could put another directory or file in the place of this one, as a phrase; None where
    nobody could. The directory and all above it are looked at, as far as they are there.

    A directory that all may write to is no weakness where its sticky bit is set (/tmp): there nobody can
    replace what is another's.
    """
    real = Path(os.path.realpath(directory))
    believed = {*users, 0}
    for place in (real, *real.parents):
        try:
            facts = place.stat()
        except OSError:
            continue
        if facts.st_uid not in believed and not (facts.st_uid == _UNMAPPED and place != real):
            return f"{place} belongs to {name_of(facts.st_uid)}"
        if others_may_write(facts) and not facts.st_mode & stat.S_ISVTX:
            return f"others may write to {place}"
    return None


def peer(sock: "socket") -> tuple[int, int]:
    """The process and the user at the other end of a Unix socket, as the kernel knows them: of a listening
    socket those that called listen(2) last.
    """
    from socket import SO_PEERCRED, SOL_SOCKET  # start-up time: few commands ask a sandbox

    size = struct.calcsize(_UCRED)
    pid, uid, _ = struct.unpack(_UCRED, sock.getsockopt(SOL_SOCKET, SO_PEERCRED, size))
    return pid, uid

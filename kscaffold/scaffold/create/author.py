"""Who writes a module, where the user does not say it."""

import os
import pwd
from pathlib import Path

from kscaffold import process
from kscaffold.errors import KscaffoldError
from kscaffold.files import git


def default_author() -> str:
    """What git would write into a commit, else the account's full name, else its login name."""
    name = _git("user.name")
    if name:
        address = _git("user.email")
        return f"{name} <{address}>" if address else name
    try:
        account = pwd.getpwuid(os.getuid())
    except KeyError:  # a container run as a number
        return "unknown"
    name = account.pw_gecos.split(",")[0] or account.pw_name
    return name.encode(errors="replace").decode()


def _git(key: str) -> str:
    if process.which("git") is None:
        return ""
    try:
        git.require_plain_settings(Path.cwd())
        asked = process.run(["git", "config", "--get", key], timeout=5)
    except (KscaffoldError, OSError):  # the directory may be gone
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""

"""How long anything of a sandbox may take, in seconds. Each can be set: KSCAFFOLD_<NAME>=SECONDS."""

import os

from kscaffold.errors import UsageError

MOST = 1e6
"""Seconds of any limit: twice that still fits into the milliseconds of poll(2)."""

COMMAND = "COMMAND_TIMEOUT"
"""The limit of a whole command. A command has none where this is not set."""

_DEFAULTS = {
    # A boot takes 2 s on an idle machine without KVM, ten times that on a crowded one.
    "BOOT_TIMEOUT": 60.0,
    "RESTORE_TIMEOUT": 10.0,
    "UNLOAD_TIMEOUT": 10.0,
    # A request that is not a load: a list, a log, a small file.
    "ANSWER_TIMEOUT": 10.0,
    # A second command waits this long for the first to be done with the sandbox.
    "BUSY_TIMEOUT": 30.0,
    # A sandbox ends when nobody has used it for the idle time, and always at the limit.
    "SANDBOX_IDLE": 1800.0,
    "SANDBOX_LIMIT": 28800.0,
    # A foreign template: fetching it, rendering it (a quarter of that is its processor time), and with hooks.
    "TEMPLATE_TIMEOUT": 120.0,
    "RENDER_TIMEOUT": 120.0,
    "HOOKS_TIMEOUT": 300.0,
}


def check_environment() -> None:
    """Raise UsageError for a limit that is set to no number of seconds, also for one that this command does
    not need: a process without a terminal may read it later, and could tell nobody.
    """
    for name in (*_DEFAULTS, COMMAND):
        if f"KSCAFFOLD_{name}" in os.environ:
            seconds(name)


def seconds(name: str) -> float:
    """The limit of that name. Raises UsageError for a value that is no positive number."""
    text = os.environ.get(f"KSCAFFOLD_{name}")
    if text is None:
        return _DEFAULTS[name]
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MOST:
        raise UsageError(
            "KS601",
            f"KSCAFFOLD_{name}={text} is no number of seconds up to a million",
            fix=f"unset KSCAFFOLD_{name}",
        )
    return value

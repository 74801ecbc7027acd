"""`exec`."""

import os
import sys
from pathlib import Path
from typing import Annotated

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer
from kscaffold.errors import UsageError
from kscaffold.timeouts import MOST

_USUAL, _AT_A_TERMINAL = 60.0, 12 * 3600.0  # s

Copy = Annotated[
    list[str] | None,
    typer.Option("--copy", metavar="FILE[:DEST]", help="Copy a file into the sandbox first; repeatable."),
]
Env = Annotated[
    list[str] | None, typer.Option("--env", "-e", metavar="K=V", help="A variable for it; repeatable.")
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="In a pristine sandbox with the module loaded, not the live one.")
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="S",
        min=0.1,
        max=MOST,
        callback=options.number,
        help="The program's deadline in seconds: 60, on a terminal 12 hours.",
    ),
]
Words = Annotated[
    list[str], typer.Argument(metavar="PROG [ARG]...", help="A program, a script, or a .c file.")
]


def exec_program(
    words: Words,
    copy: Copy = None,
    env: Env = None,
    timeout: Timeout = None,
    fresh: Fresh = False,
    firmware: options.Firmware = None,
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    cmdline: options.Cmdline = "",
    device: options.Devices = None,
    offline: options.Offline = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Run a program in the sandbox, and tell what the kernel said."""
    # Words behind PROG are the program's own, and --json may be one of them.
    console.json_mode, console.verbose = json, verbose
    kernel = options.spec_of(kernel, arch)
    from kscaffold.cli.render import exec as render  # start-up time
    from kscaffold.load.execute import ExecRequest
    from kscaffold.load.request import TargetRequest
    from kscaffold.load.verbs.exec import execute

    terminal = not json and sys.stdin.isatty() and sys.stdout.isatty()
    request = ExecRequest(
        tuple(words),
        directory or Path.cwd(),
        tuple(copy or ()),
        dict(_pair(one) for one in env or ()),
        _standard_input(),
        timeout or (_AT_A_TERMINAL if terminal else _USUAL),
        pass_signals=True,
        terminal=terminal,
        firmware=tuple(firmware or ()),
    )
    where = TargetRequest(kernel=kernel, cmdline=cmdline, offline=offline, devices=tuple(device or ()))
    heard = render.Heard(keep=json)
    done = execute(request, where, heard, fresh=fresh, progress=console.progress())
    return render.executed(request, done, heard)


def _standard_input() -> int | bytes:
    """The descriptor of our own; where that is no stream, nothing."""
    try:
        return os.dup(0)
    except OSError:
        return b""


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not name or not equals:
        raise UsageError("KS004", f"--env takes NAME=VALUE, and {word!r} is none")
    return name, value

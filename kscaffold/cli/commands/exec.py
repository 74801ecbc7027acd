"""`exec`."""

import os
import sys
from pathlib import Path
from typing import Annotated

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer
from kscaffold.errors import UsageError

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
Words = Annotated[
    list[str], typer.Argument(metavar="PROG [ARG]...", help="A program, a script, or a .c file.")
]


def exec_program(
    words: Words,
    copy: Copy = None,
    env: Env = None,
    timeout: options.Timeout = 60.0,
    fresh: Fresh = False,
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

    request = ExecRequest(
        tuple(words),
        directory or Path.cwd(),
        tuple(copy or ()),
        dict(_pair(one) for one in env or ()),
        b"" if sys.stdin.isatty() else _standard_input(),
        timeout,
        pass_signals=True,
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

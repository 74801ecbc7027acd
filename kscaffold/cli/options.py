"""Options that several commands share, spelled once."""

import errno
import os
from pathlib import Path
from typing import Annotated

from kscaffold.cli import typer_later as typer
from kscaffold.timeouts import MOST

# Of the 2047 bytes that an x86 kernel takes (COMMAND_LINE_SIZE) our own words need a quarter.
MOST_WORDS = 1500
# make takes an int.
MOST_JOBS = 10000


def number(seconds: float | None) -> float | None:
    """The callback of an option that takes seconds: NaN is in every range."""
    if seconds != seconds:
        raise typer.BadParameter("nan is no number of seconds")
    return seconds


def named_directory(directory: Path | None) -> Path | None:
    """make may read a project there, whosever it is: the user has named it. The callback of -C: Click lets
    through what is neither a file nor a directory, and takes what is locked for what is not there.

    Raises PermissionError.
    """
    if directory is not None:
        if not directory.is_dir():
            is_there = directory.exists()
            raise typer.BadParameter(
                f"'{directory}' is no directory" if is_there else f"directory '{directory}' does not exist"
            )
        if not os.access(directory, os.R_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory))
        from kscaffold.project import trust  # start-up time: few commands name one

        trust.name(directory)
    return directory


def output(file: Path | None) -> None:
    """Raise UsageError KS092 where what a command is to write would replace a device or the like: before the
    work, not after it.
    """
    if file is not None:
        from kscaffold.files import reader  # start-up time: few commands name one

        reader.replaceable(file)


def _kernel_words(text: str) -> str:
    if (length := len(os.fsencode(text))) > MOST_WORDS:
        raise typer.BadParameter(f"it has {length} bytes, there is room for {MOST_WORDS}")
    return text


def spec_of(kernel: str | None, arch: str | None) -> str | None:
    """The one name (kernel/choose.py) that --kernel and --arch together give; None where neither is given."""
    if arch is None:
        return kernel
    from kscaffold.kernel.choose import spec_of as both  # start-up time: few name an architecture

    return both(kernel, arch)


Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show every step and program.")]
KernelName = Annotated[
    str | None,
    typer.Option("--kernel", "-k", metavar="[A:]R", help="A release, or its beginning."),
]
Arch = Annotated[
    str | None,
    typer.Option("--arch", metavar="A", help="A kernel of this architecture: arm64, s390x, riscv64 …"),
]
Offline = Annotated[bool, typer.Option("--offline", help="Fetch nothing; refuse where that is needed.")]
Host = Annotated[bool, typer.Option("--host", help="Act on this machine's own kernel, not a sandbox.")]
Module = Annotated[str | None, typer.Option("--module", "-m", metavar="NAME", help="Only this module.")]
Sanitize = Annotated[
    bool, typer.Option("--sanitize", help="Find bugs of memory, locks and undefined behaviour.")
]
NoBuild = Annotated[bool, typer.Option("--no-build", help="Take the .ko as it is.")]
NoDeps = Annotated[bool, typer.Option("--no-deps", help="Load only what is named, as insmod does.")]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="S",
        min=0.1,
        max=MOST,
        callback=number,
        help="The deadline in the kernel, in seconds.",
    ),
]
Cmdline = Annotated[
    str,
    typer.Option(
        "--cmdline", metavar="TEXT", callback=_kernel_words, help="Add to the guest kernel's command line."
    ),
]
Cert = Annotated[
    list[str] | None,
    typer.Option("--cert", metavar="FILE", help="Its kernel trusts this key; `none`: none of yours."),
]
Firmware = Annotated[
    list[str] | None,
    typer.Option("--firmware", metavar="FILE[:NAME]", help="Have this in the sandbox's /lib/firmware."),
]
Devices = Annotated[
    list[str] | None,
    typer.Option("--device", metavar="D", help="A PCI device of QEMU's in the guest: edu (repeatable)."),
]
Watch = Annotated[
    float | None,
    typer.Option(
        "--watch", metavar="S", min=0, max=MOST, callback=number, help="Look on so long after the unload."
    ),
]
Directory = Annotated[
    Path | None,
    typer.Option(
        "--directory",
        "-C",
        metavar="DIR",
        file_okay=False,
        readable=False,
        callback=named_directory,
        help="Act there instead of here.",
    ),
]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write it all as one page for a browser.")
]
LoadWords = Annotated[
    list[str] | None, typer.Argument(metavar="[KO] [PARAM=VALUE]...", help="A .ko, and parameters.")
]
Trace = Annotated[bool, typer.Option("--trace", help="Show the stages of the load, with times.")]

"""`completion`."""

from typing import Annotated

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer
from kscaffold.cli.completion.scripts import SCRIPTS
from kscaffold.errors import EXIT_YES, UsageError

Shell = Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]


def completion(shell: Shell, json: options.Json = False) -> int:
    """Print a shell's completion. For bash: eval "$(kscaffold completion bash)"."""
    if shell not in SCRIPTS:
        what = f"there is no completion for {shell}"
        raise UsageError("KS004", what, fix=f"kscaffold completion {'|'.join(SCRIPTS)}")
    console.out(SCRIPTS[shell].rstrip("\n"))
    console.emit("completion", True, {"shell": shell, "script": SCRIPTS[shell]})
    return EXIT_YES

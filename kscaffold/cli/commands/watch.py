"""`watch`."""

import time
from pathlib import Path
from typing import Annotated

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer
from kscaffold.errors import EXIT_YES, UsageError

Verb = Annotated[
    str, typer.Argument(metavar="[VERB]", help="run (the default), build, check, load, reload or test.")
]


def watch(
    verb: Verb = "run",
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Do a verb again each time a source is saved, until Ctrl-C."""
    from kscaffold.testing import watch as watching  # start-up time

    if json:
        raise UsageError("KS004", "watch has no JSON", fix="kscaffold watch")
    if verb not in watching.VERBS:
        raise UsageError("KS656", f"{verb} can't be watched", fix=f"kscaffold watch {watching.VERBS[0]}")
    where = directory or Path.cwd()
    for why in watching.changes(where):
        console.clear()
        began = time.monotonic()
        status = watching.again(verb, where, console.out)
        word = "ok" if status == EXIT_YES else f"ended with {status}"
        after = f", after {', '.join(why)}" if why else ""
        console.note(f"-- {verb}: {word} in {time.monotonic() - began:.1f} s{after}; Ctrl-C ends")
    return EXIT_YES

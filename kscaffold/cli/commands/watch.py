"""`watch`."""

import time
from pathlib import Path
from typing import Annotated

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer
from kscaffold.errors import EXIT_YES, UsageError

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[VERB] [OPTION]...",
        help="run (the default), build, check, load, reload or test, and options of its own.",
    ),
]


def watch(
    words: Words = None,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Do a verb again each time a source is saved, until Ctrl-C."""
    from kscaffold.testing import watch as watching  # start-up time

    given = list(words or ())
    if json or "--json" in given:
        raise UsageError("KS004", "watch has no JSON", fix="kscaffold watch")
    verb = given.pop(0) if given and not given[0].startswith("-") else "run"
    if verb not in watching.VERBS:
        raise UsageError("KS656", f"{verb} can't be watched", fix=f"kscaffold watch {watching.VERBS[0]}")
    where = directory or watching.directory_of(given) or Path.cwd()
    try:
        for why in watching.changes(where):
            console.clear()
            began = time.monotonic()
            status = watching.again(verb, given, where, console.out)
            word = "ok" if status == EXIT_YES else f"ended with {status}"
            after = f", after {', '.join(why)}" if why else ""
            console.note(f"-- {verb}: {word} in {time.monotonic() - began:.1f} s{after}; Ctrl-C ends")
    except KeyboardInterrupt:  # how a watch is meant to end
        return EXIT_YES
    return EXIT_YES

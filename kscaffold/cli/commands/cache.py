"""`kscaffold cache`: what is kept on this machine."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli.documents import machine as documents
from kscaffold.errors import EXIT_YES
from kscaffold.files import paths

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kscaffold.cache import CacheEntry

app = typer.Typer(help="What is kept on this machine: how big, how old.", invoke_without_command=True)

DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Remove nothing; say what would go.")]


@app.callback()
def cache(context: typer.Context, json: options.Json = False, verbose: options.Verbose = False) -> int | None:
    """Show what is kept on this machine: how big, how old, and what nothing needs now."""
    if context.invoked_subcommand is not None:
        return None
    from kscaffold.cache import list_cache  # start-up time

    entries = list_cache()
    _show(entries)
    console.out(f"{_megabytes(entries):>11}  in all")
    old = [entry for entry in entries if entry.old]
    if old:
        console.note(f"kscaffold cache prune removes what is old: {_megabytes(old)}")
    console.emit("cache", True, documents.cache(entries))
    return EXIT_YES


@app.command()
def prune(dry_run: DryRun = False, json: options.Json = False, verbose: options.Verbose = False) -> int:
    """Remove what nothing needs now. Kernels go with `kscaffold kernel remove`."""
    from kscaffold.cache import prune_cache  # start-up time

    removed = prune_cache(dry_run=dry_run)
    _show(removed)
    console.step("Would free" if dry_run else "Freed", _megabytes(removed))
    console.emit("cache prune", True, documents.cache_prune(removed))
    return EXIT_YES


def _show(entries: "Iterable[CacheEntry]") -> None:
    """A line each, below the directory that it is in; why it is old on a line of its own."""
    head = None
    for entry in sorted(entries, key=lambda one: str(_root(one.path))):
        root = _root(entry.path)
        if root != head:
            head = root
            console.out(console.printable(_short(root)))
        days = max(0.0, time.time() - entry.used) / 86400
        line = (
            f"{entry.bytes / 1e6:8.1f} MB  {days:4.0f} days  {entry.kind:<14} {entry.path.relative_to(root)}"
        )
        console.out(console.printable(line))
        if entry.old:
            console.out(console.printable(f"{'old':>11}: {entry.old}"))


def _root(path: Path) -> Path:
    """Which of our directories a file is in."""
    return next(root for root in (paths.cache(), paths.state(), path.parent) if path.is_relative_to(root))


def _short(path: Path) -> str:
    home = paths.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _megabytes(entries: "Iterable[CacheEntry]") -> str:
    return f"{sum(entry.bytes for entry in entries) / 1e6:.1f} MB"

"""The command line, as typer parses it."""

from collections.abc import Sequence
from importlib import import_module

import typer

from kscaffold import __version__
from kscaffold.cli import remembered, typer_later
from kscaffold.cli.verbs import COMMANDS, GROUPS, command_of

_SETTINGS = {
    # `explain -1` asks for an errno.
    "explain": {"ignore_unknown_options": True},
    # What follows the program is its own.
    "exec": {"allow_interspersed_args": False},
    # What follows the verb is the verb's; without one it is that of `run`.
    "watch": {"allow_interspersed_args": False, "ignore_unknown_options": True},
}


def commands(args: Sequence[str] = ()) -> typer.Typer:
    """The command line for `args`: with the one command they begin with, else (help, a typing error) all.

    Reading 20 commands' options to run one of them costs 15 ms.
    """
    app = typer.Typer(
        name="kscaffold",
        help="Scaffold, build, check, load and explain Linux kernel modules, without root and without risk.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,  # rich would cost every command 70 ms
    )
    app.callback()(_root)
    asked = args[0] if args else ""
    one = asked in COMMANDS or asked in GROUPS
    for name in COMMANDS:
        if not one or name == asked:
            command = command_of(name)
            typer_later.resolve(command)
            app.command(name, context_settings=_SETTINGS.get(name))(remembered.noting(args, command))
    for name in GROUPS:
        if not one or name == asked:
            app.add_typer(_group(name), name=name)
    return app


def _group(name: str) -> typer.Typer:
    group: typer.Typer = import_module(f"kscaffold.cli.commands.{name}").app
    for command in group.registered_commands:
        if command.callback is not None:
            typer_later.resolve(command.callback)
    return group


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kscaffold {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", "-V", callback=_version, is_eager=True, help="Print it."
    ),
    quiet: bool = typer.Option(
        False, "--quiet", "-q", help="Only answers, warnings and errors; any command."
    ),
) -> None:
    pass

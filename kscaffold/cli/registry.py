"""Every command and the room it lives in. Only the room of the command that was asked for is imported."""

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

import typer

from kscaffold import __version__

# room:function, in the order of a module's life: --help lists them so.
_COMMANDS = {
    "new": "new:new",
    "update": "update:update",
    "adopt": "adopt:adopt",
    "build": "build:build",
    "clean": "clean:clean",
    "check": "check:check",
    "info": "info:info",
    "sign": "sign:sign",
    "load": "load:load",
    "unload": "unload:unload",
    "reload": "reload:reload",
    "list": "list:list_modules",
    "logs": "logs:logs",
    "run": "run:run",
    "exec": "exec:exec_program",
    "test": "test:test",
    "watch": "watch:watch",
    "explain": "explain:explain",
    "doctor": "doctor:doctor",
    "completion": "completion:completion",
}
# Rooms with an app of their own: their sub-commands.
_GROUPS = ("cache", "ci", "kbuild", "kernel", "package", "sandbox")
_SETTINGS = {
    # `explain -1` asks for an errno.
    "explain": {"ignore_unknown_options": True},
    # What follows the program is its own.
    "exec": {"allow_interspersed_args": False},
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
    one = asked in _COMMANDS or asked in _GROUPS
    for name, place in _COMMANDS.items():
        if not one or name == asked:
            room, _, function = place.partition(":")
            app.command(name, context_settings=_SETTINGS.get(name))(getattr(_room(room), function))
    for name in _GROUPS:
        if not one or name == asked:
            app.add_typer(_room(name).app, name=name)
    return app


def _room(name: str) -> ModuleType:
    return import_module(f"kscaffold.cli.commands.{name}")


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

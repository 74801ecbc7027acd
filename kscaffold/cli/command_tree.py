"""Every command with its options, as data: for completion, the reference pages and the man page."""

from typing import Any

import typer.main

from kscaffold.cli.registry import commands
from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class Parameter:
    """An option or an argument. `flag`: it takes no value."""

    names: tuple[str, ...]
    metavar: str
    help: str
    flag: bool


@dataclass(frozen=True, slots=True)
class Command:
    """A command; one with sub-commands has no options of its own."""

    name: str
    help: str
    options: tuple[Parameter, ...]
    arguments: tuple[Parameter, ...]
    commands: tuple["Command", ...] = ()


def command_tree() -> tuple[Command, ...]:
    """All commands, in the order of --help."""
    return tuple(_command(name, found) for name, found in _children(typer.main.get_command(commands())))


def _children(group: Any) -> list[tuple[str, Any]]:
    context = group.make_context("kscaffold", [], resilient_parsing=True)
    return [(name, group.get_command(context, name)) for name in group.list_commands(context)]


def _command(name: str, found: Any) -> Command:
    if hasattr(found, "commands"):
        children = tuple(_command(sub, each) for sub, each in _children(found))
        return Command(name, found.help or "", (), (), children)
    options: list[Parameter] = []
    arguments: list[Parameter] = []
    context = found.make_context(name, [], resilient_parsing=True)
    for parameter in found.params:
        entry = Parameter(
            (*parameter.opts, *parameter.secondary_opts),
            (parameter.metavar or parameter.make_metavar(context)).strip(),
            getattr(parameter, "help", None) or "",
            bool(getattr(parameter, "is_flag", False)),
        )
        (options if parameter.param_type_name == "option" else arguments).append(entry)
    return Command(name, " ".join((found.help or "").split()), tuple(options), tuple(arguments))

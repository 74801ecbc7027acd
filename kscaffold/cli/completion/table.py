"""The table that completion reads (`table.json`), made of the commands themselves: python -m docs.build."""

import json
from collections.abc import Iterable
from typing import Any

from kscaffold.cli.command_tree import Command, command_tree
from kscaffold.diagnosis import catalogue, errnos, stages
from kscaffold.explain import subjects, tables
from kscaffold.scaffold.create import render

# What is completed, by an option's or argument's metavar.
_KINDS = {
    "R": "kernel",
    "[A:]R": "kernel",
    "[R]": "kernel",
    "RELEASE": "kernel",
    "KO": "ko",
    "[KO]...": "file.ko",
    "[KO]... [PARAM=VALUE]...": "ko",
    "[KO] [PARAM=VALUE]...": "ko",
    "[NAME]...": "module",
    "[TOPIC|CODE|FILE|-|load [KO] [PARAM=VALUE]...]": "topic",
    "SHELL": "shell",
    "DIR": "directory",
    "[DIR]": "directory",
    "FILE": "file",
}
# Options whose metavar says too little.
_OPTIONS = {"--module": "module", "-m": "module", "--template": "template", "-t": "template"}


def table() -> str:
    """The table as JSON text."""
    commands = {command.name: _command(command) for command in command_tree()}
    lists = {
        "topic": _topics(),
        "template": [t.name for t in render.templates()],
        "shell": ["bash", "fish", "zsh"],
    }
    return json.dumps({"commands": commands, "lists": lists}, indent=1, sort_keys=True) + "\n"


def _topics() -> list[str]:
    codes = [e.code for first in "0123456789" for e in catalogue.entries(first).values()]
    names: Iterable[str] = [
        "load",
        "return",
        "commands",
        *codes,
        *errnos.names(),
        *(s.id for s in stages.STAGES),
        *tables.ALIASES,
        *(word for s in subjects.subjects() for word in s.words),
    ]
    return sorted({name for name in names if " " not in name})


def _command(command: Command) -> dict[str, Any]:
    if command.commands:
        return {"commands": {sub.name: _command(sub) for sub in command.commands}}
    options = {
        name: "" if option.flag else _OPTIONS.get(name) or _KINDS.get(option.metavar, "text")
        for option in command.options
        for name in option.names
    }
    kinds = [_KINDS.get(argument.metavar, "") for argument in command.arguments]
    return {"options": options, "argument": kinds[0] if kinds else ""}

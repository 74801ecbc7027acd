"""Every command and the file it lives in. Only the file of the command that was asked for is imported."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

# file:function, in the order of a module's life: --help lists them so.
COMMANDS = {
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
# Files with an app of their own: their sub-commands.
GROUPS = ("cache", "ci", "kbuild", "kernel", "package", "sandbox")


def command_of(verb: str) -> Callable[..., Any]:
    """The function behind one of COMMANDS."""
    file, _, function = COMMANDS[verb].partition(":")
    command: Callable[..., Any] = getattr(import_module(f"kscaffold.cli.commands.{file}"), function)
    return command

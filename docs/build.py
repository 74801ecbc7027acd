"""Write what is generated: python -m docs.build (tests/test_reference.py says when it is to be run again).

docs/reference/*.md, the man page docs/kscaffold.1 and the table of completion are made of the commands, the
catalogue, the stages and the contracts that the tests freeze. Nothing else is asked: the pages are static.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from kscaffold import errors, timeouts
from kscaffold.cli.command_tree import Command, Parameter, command_tree
from kscaffold.cli.completion.table import table
from kscaffold.diagnosis import catalogue, stages
from kscaffold.diagnosis.course import COURSE
from kscaffold.diagnosis.stages import index
from tests.test_contracts import DOCUMENTS, PARTS, STATUSES

ROOT = Path(__file__).resolve().parent.parent
_HEAD = "<!-- written by python -m docs.build -->\n\n"
_GROUPS = {
    "0": "kscaffold itself, and what it was asked for",
    "1": "building, and what a .ko is",
    "2": "loading",
    "3": "unloading, and what stays",
    "4": "files and signatures",
    "5": "kernels",
    "6": "sandboxes",
    "7": "the sanitizer",
}
_ENVIRONMENT = {
    "KSCAFFOLD_ACCEL": "`tcg`: do without KVM; `kvm`: want it",
    "KSCAFFOLD_TRUST": "`DIR[:DIR…]`: trees of others that make and pytest may read, with all below them",
    "KSCAFFOLD_COMMAND_TIMEOUT": "seconds after which any command ends; without it none",
    "KBUILD_SIGN_PIN": "the password of a key for `sign`",
    "CROSS_COMPILE": "the beginning of a cross compiler's name, as make takes it",
    "LD_LIBRARY_PATH": "where `exec` looks for the libraries of a program for this machine first",
    "XDG_CACHE_HOME": "kernels and snapshots are below it; else ~/.cache",
    "XDG_STATE_HOME": "build logs and records; else ~/.local/state",
    "XDG_DATA_HOME": "the signing key; else ~/.local/share",
    "XDG_CONFIG_HOME": "the default kernel; else ~/.config",
    "XDG_RUNTIME_DIR": "sockets of live sandboxes; else /tmp/kscaffold-UID",
    "NO_COLOR": "no colours",
    "FORCE_COLOR": "colours, also where there is no terminal",
}


def flat(commands: Iterable[Command], before: str = "") -> list[tuple[str, Command]]:
    """Every command that can be run, with its whole name."""
    found: list[tuple[str, Command]] = []
    for command in commands:
        name = f"{before}{command.name}"
        found += flat(command.commands, f"{name} ") if command.commands else [(name, command)]
    return found


def _usage(name: str, command: Command) -> str:
    return " ".join(["kscaffold", name, *(a.metavar for a in command.arguments)])


def _option(option: Parameter) -> str:
    return ", ".join(option.names) + ("" if option.flag else f" {option.metavar}")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def commands() -> str:
    """docs/reference/commands.md."""
    lines = ["# Commands\n", "As `kscaffold help COMMAND` tells them.\n"]
    for name, command in flat(command_tree()):
        lines.append(f"## {name}\n\n    {_usage(name, command)}\n\n{_cell(command.help)}\n")
        rows = [f"| `{_cell(_option(o))}` | {_cell(o.help)} |" for o in command.options]
        lines += ["| option | does |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def documents() -> str:
    """docs/reference/json.md."""
    lines = [
        "# JSON documents\n",
        "With `--json` stdout has one document (`logs -f`: one a line). Each has `schema` (1), `command` and",
        "`ok`; the keys below are its own. `x[]` is a list, `x{}` an object; `command.x` has their keys.\n",
        "| document | keys |",
        "|---|---|",
    ]
    lines += [f"| {name} | {', '.join(f'`{k}`' for k in keys.split())} |" for name, keys in DOCUMENTS.items()]
    lines += ["", "## Their parts\n", "| part | keys |", "|---|---|"]
    lines += [f"| {name} | {', '.join(f'`{k}`' for k in keys.split())} |" for name, keys in PARTS.items()]
    return "\n".join([*lines, ""])


def exit_codes() -> str:
    """docs/reference/exit-codes.md."""
    names = {value: name for name, value in vars(errors).items() if name.startswith("EXIT_")}
    rows = [f"| {code} | {text} | `errors.{names[code]}` |" for code, text in STATUSES.items()]
    return "\n".join(["# Exit codes\n", "| code | means | in the source |", "|---|---|---|", *rows, ""])


def environment() -> str:
    """docs/reference/environment.md."""
    rows = [f"| `{name}` | {text} |" for name, text in _ENVIRONMENT.items()]
    limits = [f"| `KSCAFFOLD_{name}` | {value:g} |" for name, value in timeouts._DEFAULTS.items()]
    return "\n".join(
        [
            "# Environment\n",
            "| variable | does |",
            "|---|---|",
            *rows,
            "\n## Limits\n",
            "| variable | seconds |",
            "|---|---|",
            *limits,
            "",
        ]
    )


def codes() -> str:
    """docs/reference/codes.md."""
    lines = ["# Codes\n", "Each has a page in the terminal, too: `kscaffold explain KS203`.\n"]
    for first, group in _GROUPS.items():
        entries = catalogue.entries(first)
        if not entries:
            continue
        lines.append(f"## KS{first}xx: {group}\n")
        for entry in entries.values():
            lines.append(f"### {entry.code}\n\n**{_cell(entry.title)}.** {_cell(entry.what)}\n")
            told = (("Proof", entry.proof), ("Cause", entry.cause), ("Fix", entry.fix))
            lines += [f"- {name}: {_cell(text)}" for name, text in told if text]
            lines.append("")
    return "\n".join(lines)


def stage_ids() -> str:
    """docs/reference/stages.md."""
    lines = ["# Stages of a load\n", "In the kernel's order; `course` is the step of the course's ten.\n"]
    lines += ["| # | id | course | what |", "|---|---|---|---|"]
    for stage in stages.STAGES:
        course = ", ".join(f"{number}: {COURSE[number]}" for number in stage.course)
        lines.append(f"| {index(stage.id) + 1} | `{stage.id}` | {course} | {_cell(stage.title)} |")
    return "\n".join([*lines, ""])


def _roff(text: str) -> str:
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain[:1] in (".", "'") else plain


def man_page() -> str:
    """docs/kscaffold.1."""
    lines = [
        '.\\" written by python -m docs.build',
        ".TH KSCAFFOLD 1",
        ".SH NAME",
        "kscaffold \\- scaffold, build, check, load and explain Linux kernel modules",
        ".SH SYNOPSIS",
        ".B kscaffold",
        "COMMAND [OPTIONS] [ARGUMENTS]",
        ".SH DESCRIPTION",
        "Each module is loaded into a throwaway virtual machine: no root is needed, and this machine's",
        "kernel is not touched.",
        ".SH COMMANDS",
    ]
    for name, command in flat(command_tree()):
        lines += [f".SS {_roff(_usage(name, command))}", _roff(command.help)]
        for option in command.options:
            lines += [".TP", f".B {_roff(_option(option))}", _roff(option.help)]
    lines.append(".SH EXIT STATUS")
    for code, text in STATUSES.items():
        lines += [".TP", f".B {code}", _roff(text)]
    lines.append(".SH ENVIRONMENT")
    for variable, text in _ENVIRONMENT.items():
        lines += [".TP", f".B {variable}", _roff(text.replace("`", ""))]
    return "\n".join([*lines, ""])


def _page(make: Callable[[], str]) -> Callable[[], str]:
    return lambda: _HEAD + re.sub(r"\n{3,}", "\n\n", make())


FILES: dict[str, Callable[[], str]] = {
    "docs/reference/commands.md": _page(commands),
    "docs/reference/json.md": _page(documents),
    "docs/reference/exit-codes.md": _page(exit_codes),
    "docs/reference/environment.md": _page(environment),
    "docs/reference/codes.md": _page(codes),
    "docs/reference/stages.md": _page(stage_ids),
    "docs/kscaffold.1": man_page,
    "kscaffold/cli/completion/table.json": table,
}
"""Each generated file, and what makes its text."""


def main() -> None:
    """Write all of them."""
    for name, make in FILES.items():
        (ROOT / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()

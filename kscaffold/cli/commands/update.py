"""`kscaffold update`."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from kscaffold import console
from kscaffold.cli import external_options, options
from kscaffold.cli import typer_later as typer
from kscaffold.cli.documents import project as documents
from kscaffold.errors import EXIT_NO, EXIT_YES, UsageError
from kscaffold.files import paths

if TYPE_CHECKING:
    from kscaffold.scaffold.update.plan import FileMerge
    from kscaffold.scaffold.update.update import Update

_Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="ANSWER=TEXT", help="Change author, description, license; any answer of others."
    ),
]
_Checkout = Annotated[
    str | None,
    typer.Option("--checkout", metavar="REF", help="Of a template of others: its branch, tag or commit."),
]
_Hooks = Annotated[
    bool | None,
    typer.Option(
        "--hooks/--no-hooks",
        help="Let a template of others run its own code; or do without what that made.",
        show_default=False,
    ),
]

# What is said of a step that was not taken, and of one that was.
_VERBS = {
    "changed": ("Change", "Changed"),
    "merged": ("Merge", "Merged"),
    "added": ("Add", "Added"),
    "removed": ("Remove", "Removed"),
    "deleted": ("Leave out", "Left out"),
    "conflict": ("Conflict", "Conflict"),
}


def update(
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="A project that kscaffold new made.", show_default=False),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Do what is shown, conflicts left out.")] = False,
    conflicts: Annotated[
        bool, typer.Option("--conflicts", help="With --write: both sides of a conflict, between markers.")
    ] = False,
    set_: _Set = None,
    checkout: _Checkout = None,
    trust: external_options.Trust = False,
    hooks: _Hooks = None,
    there: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Bring a project to its template's newest version. Your own edits stay."""
    from kscaffold.cli.external.update import DeclinedError, UpdateSession  # start-up time
    from kscaffold.scaffold.external.trust import UntrustedError
    from kscaffold.scaffold.update.update import update as update_project

    if conflicts and not write:
        raise UsageError("KS004", "--conflicts goes with --write", fix="kscaffold update --write --conflicts")
    directory = there / (directory or "") if there else directory
    where = directory or Path()
    if directory and not directory.is_dir():
        from kscaffold.files.near import missing_directory_fix  # start-up time: only after a typing error

        fix = missing_directory_fix(directory, "kscaffold update")
        raise UsageError("KS004", f"{directory} is not a directory", fix=fix)
    change = dict(_pair(each) for each in set_ or ())
    command = _command(directory, set_ or [], checkout, hooks)
    words = [*command, *["--write"] * write, *["--conflicts"] * conflicts]
    session = UpdateSession(words, trust, hooks, checkout, tuple(change))
    try:
        done = update_project(
            where, change=change, write=write, conflicts=conflicts, show=_show, prompts=session.prompts()
        )
    except UntrustedError as error:
        console.failure(error, "update", {"report": asdict(error.report)})
        return error.exit_code
    except DeclinedError:
        console.note("nothing was changed")
        return EXIT_NO
    if write:
        _done(done)
    _next(done, [*command, *["--trust"] * trust], write)
    for path in sorted({*done.marked} - {*done.written}):
        console.warn(
            f"{console.printable(path)} still has both sides of a conflict in it",
            fix="edit what is between <<<<<<< and >>>>>>>",
        )
    ok = not done.conflicts
    console.emit("update", ok, documents.update(done, session.fields()))
    return EXIT_YES if ok else EXIT_NO


def _short(path: Path) -> str:
    home = paths.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError("KS004", f"{text!a} is no ANSWER=TEXT", fix='--set description="What it does"')
    return key, value


def _show(planned: "Update") -> None:
    """The whole change, before any of it is made."""
    if planned.base == "none":
        console.warn("the files were too large to be kept as they were made: each difference is a conflict")
    elif planned.base == "missing":
        console.warn(
            "it is not known what the files were when they were made: each difference is a conflict",
            fix="git checkout .kscaffold.base .kscaffold.toml, if version control has them",
        )
    for line in planned.diff.split("\n")[:-1]:
        console.out(console.printable(line))


def _done(done: "Update") -> None:
    for step in done.steps:
        _say(step, written=step.target in done.written)
    if done.backup:
        console.step("Backup", _short(done.backup))


def _say(step: "FileMerge", written: bool) -> None:
    verb = _VERBS[step.kind][written]
    where = f", in {console.printable(step.target)}" if step.target not in (None, step.path) else ""
    console.step(verb, f"{console.printable(step.path)}: {step.why}{where}")


def _command(
    directory: Path | None, change: list[str], checkout: str | None, hooks: bool | None
) -> list[str]:
    command = ["kscaffold", "update", *([str(directory)] if directory else [])]
    for each in change:
        command += ["--set", each]
    command += ["--checkout", checkout] if checkout else []
    return command + ([] if hooks is None else ["--hooks" if hooks else "--no-hooks"])


def _next(done: "Update", command: list[str], write: bool) -> None:
    if not done.steps:
        version = "" if done.before == done.after else f", as of kscaffold {done.after}"
        console.step("Up to date", f"{done.directory.name}: template {done.template}{version}")
        return
    if not write:
        for step in done.steps:
            _say(step, written=False)
        if done.pending or not done.conflicts:
            console.step("Next", shlex.join([*command, "--write"]))
    unsettled = [s for s in done.conflicts if s.target not in done.written]
    if unsettled and (write or not done.pending):
        console.step(
            "Next", f"edit what is in conflict, or: {shlex.join([*command, '--write', '--conflicts'])}"
        )
    elif done.conflicts and not unsettled:
        console.step("Next", console.placed("edit what is between <<<<<<< and >>>>>>>, then kscaffold build"))
    elif write:
        console.step("Next", console.placed("kscaffold build"))

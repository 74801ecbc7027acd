"""Every command, gathered from its room's file. Names only; the work is one call away."""

import typer

from kscaffold import __version__
from kscaffold.cli import adopt, build, check, doctor, explain, kernel, load, new, sandbox

app = typer.Typer(
    name="kscaffold",
    help="Scaffold, build, check, load and explain Linux kernel modules, without root and without risk.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would cost every command 70 ms
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kscaffold {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print it."),
) -> None:
    pass


app.command("adopt")(adopt.adopt)
app.command("build")(build.build)
app.command("check")(check.check)
app.command("clean")(build.clean)
app.command("doctor")(doctor.doctor)
app.command("info")(check.info)
app.command("list")(load.list_modules)
app.command("load")(load.load)
app.command("logs")(load.logs)
app.command("new")(new.new)
app.command("reload")(load.reload)
app.command("run")(load.run)
app.command("unload")(load.unload)
app.add_typer(kernel.app, name="kernel")
app.add_typer(sandbox.app, name="sandbox")
# `explain -1` asks for an errno.
app.command("explain", context_settings={"ignore_unknown_options": True})(explain.explain)

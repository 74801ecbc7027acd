"""Shows what a template of others is, before the user trusts it."""

from kscaffold import console
from kscaffold.scaffold.external.inspect import Report


def show(report: Report, hooks: bool, before: str | None = None) -> None:
    """The report, to people. `before`: the commit that was taken last."""
    where = f" ({report.directory})" if report.directory else ""
    commit = f", commit {commits(before, report.commit)}" if report.commit else ""
    _line("Template", f"{report.source}{where}: {report.kind}{commit}")
    _line("Files", f"{report.files}, {_size(report.bytes)}")
    _line("Asks for", ", ".join(report.variables) or "nothing")
    for hook in report.hooks:
        says = "is run, by --hooks" if hooks else "is not run without --hooks"
        _line("Hook", f"{hook.file} ({hook.interpreter}, {_size(hook.bytes)}) {says}")
    for extension in report.extensions:
        says = "is imported, by --hooks" if hooks else "is refused without --hooks"
        _line("Code", f"{extension}, a Python module, {says}")
    if not report.runs_code:
        _line("Code", "none of its own: no hooks, no extensions")
    for name, why in list(report.left_out.items())[:10]:
        _line("Left out", f"{name}: {why}")
    if len(report.left_out) > 10:
        _line("Left out", f"and {len(report.left_out) - 10} more")
    if len(report.choices) > 1:
        _line("Others", ", ".join(c for c in report.choices if c != report.directory) + " (--template-dir)")


def commits(before: str | None, after: str) -> str:
    """The commits from which to which an update goes, as text."""
    return f"{before[:12]}..{after[:12]}" if before and before != after else after[:12]


def _line(name: str, text: str) -> None:
    # Names and hooks' first lines are the template's, not ours.
    console.step(name, console.printable(text))


def _size(count: int) -> str:
    return f"{count} bytes" if count < 10_000 else f"{count / 1000:.0f} kB"

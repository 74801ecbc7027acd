"""May a template of somebody else be rendered, and may its own code (hooks, Jinja extensions) run?"""

from kscaffold.errors import UsageError
from kscaffold.scaffold.external.inspect import Report


class UntrustedError(UsageError):
    """Nobody said that the template is to be trusted; the error has the report. `done`: what was not done."""

    def __init__(self, report: Report, fix: str, done: str = "made") -> None:
        cause = "a template can be anybody's"
        if report.runs_code:
            cause += ", and this one has code of its own, which stays off without --hooks"
        super().__init__("KS070", f"{report.source} is not trusted; nothing was {done}", cause=cause, fix=fix)
        self.report = report


def may_run_code(report: Report, hooks: bool | None, *, ran_before: bool = False) -> bool:
    """Whether the template's own code may run: where the user said --hooks, and nowhere else.

    `hooks`: what the user said, None for nothing. `ran_before`: hooks made a part of this project. Raises
    UsageError KS057 where hooks ran before and the user said nothing, KS079 where the template can't be
    rendered without its code and the code may not run.
    """
    if ran_before and report.hooks and hooks is None:
        # Without the hooks every file that the hooks made would look as if the template had dropped it.
        raise UsageError(
            "KS057",
            "this project was made with its template's hooks, and nothing says whether they may run again",
            cause="without them the update would take out what they made",
            fix="the same command with --hooks; or with --no-hooks, which does without what they made",
        )
    if report.extensions and not hooks:
        raise UsageError(
            "KS079",
            "the template can't be rendered without code of others: " + " ".join(report.extensions),
            cause="its cookiecutter.json wants these Python modules imported (_extensions)",
            fix="the same command with --hooks, if you trust them",
        )
    return bool(hooks)

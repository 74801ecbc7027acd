"""`kscaffold update` of a project whose template is somebody else's."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from kscaffold import console
from kscaffold.cli.external.report import commits, show
from kscaffold.records import dataclass, field
from kscaffold.scaffold.external.inspect import Report
from kscaffold.scaffold.external.trust import UntrustedError
from kscaffold.scaffold.external.update import RerenderReport, UpdatePrompts


class DeclinedError(Exception):
    """The user looked at the template and said no."""


@dataclass(slots=True)
class UpdateSession:
    """One update of a project whose template is somebody else's: the options given, and the outcome.

    `command`: the words of the command, without --trust. `outcome`: None for kscaffold's own templates.
    """

    command: Sequence[str]
    trust: bool
    hooks: bool | None
    checkout: str | None
    changed: tuple[str, ...]
    outcome: RerenderReport | None = field(default=None, init=False)

    def prompts(self) -> UpdatePrompts:
        """The prompts that the verb asks the user with."""
        return UpdatePrompts(
            self.hooks, self.checkout, self.changed, console.step, self._trusts, self._line, self._show_report
        )

    def _trusts(self, report: Report, before: str | None) -> None:
        if self.trust:
            return
        if not console.can_ask() or console.json_mode:
            show(report, bool(self.hooks), before)
            raise UntrustedError(report, shlex.join([*self.command, "--trust"]), "changed")
        show(report, bool(self.hooks), before)
        if report.extensions and not self.hooks:
            return  # which the verb refuses, with the reason: nothing to ask
        if console.ask("Trust it?", "no").lower() not in ("y", "yes"):
            raise DeclinedError

    def _line(self, text: str) -> None:
        console.note(f"  | {console.printable(text)}")

    def _show_report(self, outcome: RerenderReport) -> None:
        self.outcome = outcome
        if outcome.after and (self.trust or outcome.before == outcome.after):
            where = f" at {outcome.checkout}" if outcome.checkout else ""
            commit = commits(outcome.before, outcome.after)
            console.step("Template", f"{outcome.report.source}{where}: commit {commit}")
        for key, value in outcome.added.items():
            console.step("Asks anew", console.printable(f"{key}: {value} (--set {key}=… for another)"))
        for key in outcome.dropped:
            console.step("Drops", console.printable(f"{key}: the template asks for it no more"))
        if outcome.hooks_missing:
            console.warn(
                "its hooks ran for the last version and not for this one: what they made looks removed"
            )

    def fields(self) -> dict[str, Any] | None:
        """The entries for the JSON document; None for kscaffold's own templates."""
        if self.outcome is None:
            return None
        outcome = self.outcome
        return {
            "before": outcome.before,
            "after": outcome.after,
            "checkout": outcome.checkout,
            "added": dict(outcome.added),
            "dropped": list(outcome.dropped),
            "hooks_run": outcome.hooks_run,
            "report": asdict(outcome.report),
        }

"""`kscaffold update` of a project whose template is somebody else's."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from kscaffold import console
from kscaffold.cli.external.report import commits, show
from kscaffold.scaffold.external.inspect import Report
from kscaffold.scaffold.external.trust import UntrustedError
from kscaffold.scaffold.external.update import RerenderReport, UpdatePrompts


class DeclinedError(Exception):
    """The user looked at the template and said no."""


@dataclass(slots=True)
class UpdateSession:
    """What was allowed on the command line, and what became of it.

    `command`: the words of the command, without --trust. `renewal`: None for kscaffold's own templates.
    """

    command: Sequence[str]
    trust: bool
    hooks: bool | None
    checkout: str | None
    changed: tuple[str, ...]
    renewal: RerenderReport | None = field(default=None, init=False)

    def talk(self) -> UpdatePrompts:
        """For the verb."""
        return UpdatePrompts(
            self.hooks, self.checkout, self.changed, console.step, self._trusts, self._line, self._told
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

    def _told(self, renewal: RerenderReport) -> None:
        self.renewal = renewal
        if renewal.after and (self.trust or renewal.before == renewal.after):
            where = f" at {renewal.checkout}" if renewal.checkout else ""
            commit = commits(renewal.before, renewal.after)
            console.step("Template", f"{renewal.report.source}{where}: commit {commit}")
        for key, value in renewal.added.items():
            console.step("Asks anew", console.printable(f"{key}: {value} (--set {key}=… for another)"))
        for key in renewal.dropped:
            console.step("Drops", console.printable(f"{key}: the template asks for it no more"))
        if renewal.hooks_missing:
            console.warn(
                "its hooks ran for the last version and not for this one: what they made looks removed"
            )

    def fields(self) -> dict[str, Any] | None:
        """For the JSON document."""
        if self.renewal is None:
            return None
        told = self.renewal
        return {
            "before": told.before,
            "after": told.after,
            "checkout": told.checkout,
            "added": dict(told.added),
            "dropped": list(told.dropped),
            "hooks_run": told.hooks_run,
            "report": asdict(told.report),
        }

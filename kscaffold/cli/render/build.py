"""How a build looks to people."""

from typing import TYPE_CHECKING

from kscaffold import console
from kscaffold.cli.documents import build as documents
from kscaffold.errors import EXIT_NO

if TYPE_CHECKING:
    from kscaffold.make.report import BuildReport
    from kscaffold.project.project import ModuleTarget


def built(report: "BuildReport", modules: "tuple[ModuleTarget, ...]") -> None:
    """Print one build: a line, or why it failed."""
    for note in report.notes:
        console.step("Note", note)
    if report.ok:
        names = ", ".join(t.ko.name for t in modules)
        done = "is up to date" if report.up_to_date else f"in {report.seconds:.1f} s"
        console.step("Finished", f"{names} {done}")
    elif report.explanation:
        why = report.explanation
        console.note(f"{console.styled('error', 'red')}[{why.code}]: {why.what}")
        for word, text in (("cause", why.cause), ("fix", why.fix)):
            if text:
                console.note(f"{word:>7}: {text}")
        console.note(f"    log: {report.log}")


def failed_build(command: str, report: "BuildReport") -> int:
    """The build that another command began with has failed: that is the command's answer."""
    built(report, ())
    console.emit(command, False, {"build": documents.build(report, ())})
    return EXIT_NO

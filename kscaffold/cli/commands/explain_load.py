"""`explain load`: this very .ko, loaded into a guest of its own and told stage by stage."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kscaffold import console
from kscaffold.cli import prewarm
from kscaffold.cli.documents import explain as documents
from kscaffold.cli.render import load, walkthrough
from kscaffold.errors import EXIT_NO, EXIT_NO_ANSWER, EXIT_YES, KscaffoldError
from kscaffold.explain.walkthrough import LoadWalkthrough, watch
from kscaffold.load.plan import plan_loads
from kscaffold.load.request import LoadRequest
from kscaffold.project.find import find_project

# A program, a kernel or a sandbox that can't be had.
_NO_GUEST = ("KS001", "KS5", "KS6")


@dataclass(frozen=True, slots=True)
class WalkthroughRequest:
    """The options of `explain load`, as they were typed. `without`: a build, dependencies, the network."""

    words: Sequence[str]
    kernel: str | None
    module: str | None
    without: tuple[bool, bool, bool]
    timeout: float
    cmdline: str
    directory: Path | None
    html: Path | None


def explain_load(asked: WalkthroughRequest, *, meant: bool) -> int | str:
    """Load, and tell; the exit status. Where the general text is to be told instead, why: "" outside a
    project, or what is missing for a guest. `meant`: a .ko, a parameter or an option was given, so only a
    load will do.
    """
    here = asked.directory or Path.cwd()
    if not meant and not _is_in_project(here):
        return ""
    if asked.html is not None:
        from kscaffold.cli.render import html as render_html  # start-up time: few want one

        render_html.check_path(asked.html)
    try:
        told = _told(asked, here)
    except KscaffoldError as error:
        if meant or not error.code.startswith(_NO_GUEST):
            raise
        cause = f" ({error.cause})" if error.cause else ""
        fix = f"\n  fix: {error.fix}" if error.fix else ""
        return f"this project's own module could not be loaded: {error.what}{cause}{fix}"
    if isinstance(told, int):
        return told
    if asked.html is not None:
        render_html.write_page(asked.html, told)
    _emit(told)
    for number, one in enumerate(told):
        if number:
            console.out()
        walkthrough.tell(one)
    return status(told)


def _is_in_project(here: Path) -> bool:
    try:
        find_project(here)
    except KscaffoldError as error:
        return error.code != "KS101"
    return True


def _told(asked: WalkthroughRequest, here: Path) -> list[LoadWalkthrough] | int:
    no_build, no_deps, offline = asked.without
    request = LoadRequest.from_words(
        asked.words, here, asked.module, build=not no_build, dependencies=not no_deps
    )
    with prewarm.prewarm_guest(asked.kernel, asked.cmdline, None, offline=offline) as begun:
        jobs = plan_loads(request, begun.kernel, console.step, load.build_line)
        if jobs.failed:
            return load.failed_build("explain", jobs.failed)
        return watch(
            jobs,
            begun.plan,
            ahead=begun.restoring,
            timeout=asked.timeout,
            say=console.step,
            detail=console.detail,
        )


def _emit(told: Sequence[LoadWalkthrough]) -> None:
    good = all(one.report.ok for one in told)
    console.emit("explain", good, documents.walkthroughs(told))


def status(told: Iterable[LoadWalkthrough]) -> int:
    """The exit status: the load's answer is the answer."""
    verdicts = {one.report.judgement.verdict for one in told}
    if "lost" in verdicts:
        return EXIT_NO_ANSWER
    return EXIT_YES if verdicts <= {"loaded"} else EXIT_NO

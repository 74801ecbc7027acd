"""Unload modules from the live sandbox, or the host, and look on whether the kernel stays well."""

from collections.abc import Callable
from pathlib import Path

from kscaffold.load.live_crash import mark_told
from kscaffold.load.loaded_modules import unload_order
from kscaffold.load.open_target import running_target
from kscaffold.load.unload import UnloadReport, file_of, module_of_word
from kscaffold.load.unload import unload as unload_one
from kscaffold.load.unload_watch import watch_after_unload
from kscaffold.progress import SILENT, Progress
from kscaffold.records import dataclass, replace


@dataclass(frozen=True, slots=True)
class UnloadRequest:
    """What is to be unloaded. `at`: the directory whose sandbox and project are meant. `names`: modules or
    their files; none for those of the project, with `module` this one of them. `host`: from this machine's
    own kernel.
    """

    at: Path
    names: tuple[str, ...] = ()
    module: str | None = None
    host: bool = False


def unload(
    request: UnloadRequest,
    *,
    timeout: float,
    watch: float | None = None,
    progress: Progress = SILENT,
    on_unload: Callable[[UnloadReport], None] = lambda report: None,
) -> tuple[UnloadReport, ...]:
    """Unload each module; `timeout` of each in seconds, in the kernel.

    `watch`: seconds to look on afterwards, None for as long as the modules' imports suggest. `on_unload` gets
    each report, and one again that changed while the kernel was watched.
    """
    beside = sorted(request.at.glob("*.ko"))
    reports = []
    with running_target(request.at, host=request.host, progress=progress) as opened:
        if not opened.is_there:
            progress.note("no sandbox runs for this project: nothing is loaded")
        for name in request.names or unload_order(request.at, request.module, opened, progress):
            module = module_of_word(name)
            files = [Path(name), *(ko for ko in beside if module_of_word(ko.name) == module)]
            ko = file_of(module, files, opened.target)
            report = unload_one(name, opened.target, timeout=timeout, ko=ko)
            reports.append(_after_crash(report, opened.crashed) if opened.crashed else report)
            on_unload(reports[-1])
        watched = watch_after_unload(reports, opened.target, watch, progress)
        for before, after in zip(reports, watched, strict=True):
            if after is not before:
                on_unload(after)
        if opened.is_there and opened.kind == "sandbox":
            gone = any(r.judgement.verdict in ("crashed", "lost") for r in watched)
            mark_told(request.at, [r for report in watched for r in report.log], is_gone=gone)
    return tuple(watched)


def _after_crash(report: UnloadReport, crashed: str) -> UnloadReport:
    """The report of an unload from a kernel that had crashed before: its exit is not to blame for no end."""
    if report.ok or report.judgement.verdict == "crashed":
        return report
    cause = (
        f"this kernel had crashed before the unload ({crashed}); what the crashed task held it holds for ever"
    )
    fix = "kscaffold reload starts a new sandbox"
    return replace(report, judgement=replace(report.judgement, cause=cause, fix=fix))

"""Unload modules from the live sandbox, or the host, and look on whether the kernel stays well."""

from collections.abc import Callable
from pathlib import Path

from kscaffold.elf.module_file import ModuleFile
from kscaffold.load import live_copies
from kscaffold.load.blame import of_another
from kscaffold.load.finding import without_reports
from kscaffold.load.leftovers import LiveLeftovers, without_guesses
from kscaffold.load.live_crash import mark_told, modules_beside
from kscaffold.load.loaded_modules import unload_order
from kscaffold.load.open_target import running_target
from kscaffold.load.request import SLOWER
from kscaffold.load.unload import UnloadReport, file_of, module_of_word
from kscaffold.load.unload import unload as unload_one
from kscaffold.load.unload_watch import watch_after_unload
from kscaffold.make.fingerprint.compare import recorded_targets
from kscaffold.progress import SILENT, Progress
from kscaffold.records import dataclass, replace
from kscaffold.targets.target import Target


@dataclass(frozen=True, slots=True)
class UnloadRequest:
    """What is to be unloaded. `at`: the directory whose sandbox and project are meant. `names`: modules or
    their files; none for all modules of the project, or for `module` alone. `host`: from this machine's own
    kernel.
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
    on_residue: Callable[[UnloadReport], None] = lambda report: None,
) -> tuple[UnloadReport, ...]:
    """Unload each module; `timeout` of each in seconds, in the kernel.

    `watch`: seconds to look on afterwards, None for as long as the modules' imports suggest. `on_unload` gets
    each report, and one again that changed while the kernel was watched; `on_residue` the last one, where
    something was left behind.
    """
    beside = sorted({*request.at.glob("*.ko"), *(target.ko for target in recorded_targets(request.at))})
    known = None if request.host else live_copies.live_copies(request.at)
    copies = known.files if known else {}
    timeout *= SLOWER if copies else 1
    reports: list[UnloadReport] = []
    kos: list[ModuleFile] = []
    with running_target(request.at, host=request.host, progress=progress) as opened:
        if not opened.is_there:
            progress.note("no sandbox runs for this project: nothing is loaded")
        for name in request.names or unload_order(request.at, request.module, opened, progress):
            module = module_of_word(name)
            files = [Path(name), *(ko for ko in beside if module_of_word(ko.name) == module)]
            ko = copies.get(module) or file_of(module, files, opened.target, request.at)
            kos += [ko] if ko else []
            report = unload_one(name, opened.target, timeout=timeout, ko=ko)
            report = _as_users(report, request.at) if module in copies else report
            report = of_another(report, modules_beside(request.at))
            reports.append(_after_crash(report, opened.crashed) if opened.crashed else report)
            on_unload(reports[-1])
        watched = watch_after_unload(reports, opened.target, watch, progress)
        for number, (before, after) in enumerate(zip(reports, watched, strict=True)):
            if after is not before:
                watched[number] = after = _as_users(after, request.at) if after.module in copies else after
                on_unload(after)
        if opened.is_there and opened.kind == "sandbox":
            watched = _with_left(watched, kos, opened.target, opened.crashed)
            if watched and watched[-1].residue:
                on_residue(watched[-1])
            gone = any(r.judgement.verdict in ("crashed", "lost") for r in watched)
            mark_told(request.at, [r for report in watched for r in report.log], is_gone=gone)
    return tuple(watched)


def _with_left(
    reports: list[UnloadReport], kos: list[ModuleFile], target: Target, crashed: str | None
) -> list[UnloadReport]:
    """The reports, the last one with what is left behind in the sandbox."""
    fatal = any(c.fatal for r in reports for c in r.judgement.complaints)
    if not reports or crashed or fatal or not all(r.ok for r in reports):
        return reports
    left = LiveLeftovers(target).find(kos if len(kos) == len(reports) else [], reports)
    reports = without_guesses(reports, left)
    return [*reports[:-1], replace(reports[-1], residue=left)]


def _as_users(report: UnloadReport, at: Path) -> UnloadReport:
    """The report of an instrumented copy's unload as of the user's module, with what the sanitizer found."""
    found = (*(report.findings or ()), *live_copies.take_news(at, report.log))
    return replace(report, log=without_reports(report.log), findings=found)


def _after_crash(report: UnloadReport, crashed: str) -> UnloadReport:
    """The report of an unload from a kernel that had crashed before: its exit is not to blame for no end."""
    if report.ok or report.judgement.verdict == "crashed":
        return report
    cause = (
        f"this kernel had crashed before the unload ({crashed}); what the crashed task held it holds for ever"
    )
    fix = "kscaffold reload starts a new sandbox"
    return replace(report, judgement=replace(report.judgement, cause=cause, fix=fix))

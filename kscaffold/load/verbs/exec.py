"""Run a program of the user's in a sandbox: the live one, or a pristine one with the module loaded."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.choose import choose
from kscaffold.load import live_copies, live_crash
from kscaffold.load.complaints import files_by_module
from kscaffold.load.execute import ExecRequest, Executed, bring, read_program, run_in
from kscaffold.load.finding import without_reports
from kscaffold.load.firmware import add_firmware, firmware_files
from kscaffold.load.load import load_all
from kscaffold.load.modprobe import Modprobe
from kscaffold.load.open_target import open_sandbox
from kscaffold.load.plan import plan_loads
from kscaffold.load.prediction import Predictor
from kscaffold.load.prewarm import prewarm_guest
from kscaffold.load.request import LoadRequest, TargetRequest
from kscaffold.load.trust import trusted_certificates
from kscaffold.make.fingerprint.compare import recorded_targets
from kscaffold.progress import SILENT, Progress
from kscaffold.project.find import home
from kscaffold.records import replace
from kscaffold.sandbox.agent.program import GuestProgram, OutputListener
from kscaffold.sandbox.live import registry
from kscaffold.sandbox.vm.start import start_guest
from kscaffold.targets.sandbox import SandboxTarget


def execute(
    request: ExecRequest,
    where: TargetRequest,
    on_output: OutputListener | None,
    *,
    fresh: bool = False,
    progress: Progress = SILENT,
) -> Executed:
    """Run a program in the live sandbox of its directory, which is started where none runs; or with `fresh`
    in a pristine one with the project's modules loaded, which ends with the program.

    `on_output` gets its output; None: the report has it. Raises as `ready` does, and KscaffoldError where
    there is no kernel or sandbox.
    """
    at = home(request.directory)
    if fresh:
        return _in_a_fresh_one(request, where, on_output, progress)
    firmware = firmware_files(request.firmware, request.directory, ())
    with _live(at, request, where, progress) as (target, program):
        add_firmware(firmware, target)
        done = run_in(target, request, program, on_output, _Files(at))
        live_copies.tell_news(at, target, progress)
        if done.complaints or done.ending:
            live_crash.mark_told(at, done.log, is_gone=done.lost)
        return replace(done, log=without_reports(done.log))


def _in_a_fresh_one(
    request: ExecRequest, where: TargetRequest, on_output: OutputListener | None, progress: Progress
) -> Executed:
    with prewarm_guest(where, progress) as begun:
        jobs = LoadRequest(request.directory, firmware=request.firmware)
        plan = plan_loads(jobs, begun.kernel, progress)
        if plan.failed:
            return Executed(failed_build=plan.failed)
        files = read_program(request, begun.kernel)
        with contextlib.closing(start_guest(begun.plan, progress, begun.restoring)) as guest:
            target = SandboxTarget.from_guest(guest, begun.plan.machine.cmdline)
            predictor = Predictor(plan.kos, begun.kernel, progress.warn, begun.plan.trusted)
            loads = load_all(
                plan, target, timeout=10.0, predictor=predictor, seconds={}, on_report=lambda report: None
            )
            if not all(report.ok for report in loads):
                return Executed(loads=tuple(loads), kernel=target.release, arch=target.arch)
            modules = {report.module: report.file for report in loads}
            program = bring(target, request, files, begun.kernel, offline=where.offline, progress=progress)
            return replace(run_in(target, request, program, on_output, modules), loads=tuple(loads))


@contextlib.contextmanager
def _live(
    at: Path, request: ExecRequest, where: TargetRequest, progress: Progress
) -> Iterator[tuple[SandboxTarget, GuestProgram]]:
    """The live sandbox, with the program in it. One that runs keeps its kernel, unless another is named."""
    card = registry.find_sandbox(at)
    where = replace(where, kernel=where.kernel or (card.kernel if card else None))
    kernel = choose(where.kernel, offline=where.offline, progress=progress)
    files = read_program(request, kernel)
    trusted = trusted_certificates(kernel, where, progress)
    if card is None:
        progress.note("no sandbox was running: one starts, without a module (kscaffold load loads it)")
    with open_sandbox(at, kernel, where, trusted, progress) as (target, _):
        # Where make left modules the last time: it is not asked for every program.
        target.modprobe = Modprobe([t.ko.parent for t in recorded_targets(at)] or [at], kernel)
        yield target, bring(target, request, files, kernel, offline=where.offline, progress=progress)


class _Files(Mapping[str, ModuleFile]):
    """The project's modules, looked for only when somebody asks: make takes its time."""

    def __init__(self, at: Path) -> None:
        self._at = at
        self._found: dict[str, ModuleFile] | None = None

    def _look(self) -> dict[str, ModuleFile]:
        if self._found is None:
            from kscaffold.project.ask import read_project  # start-up time: only complaints ask

            try:
                paths: Sequence[Path] = [target.ko for target in read_project(self._at, None).targets]
            except KscaffoldError:
                paths = sorted(self._at.glob("*.ko"))
            known = live_copies.live_copies(self._at)
            self._found = {**files_by_module(paths), **(known.files if known else {})}
        return self._found

    def __getitem__(self, name: str) -> ModuleFile:
        return self._look()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._look())

    def __len__(self) -> int:
        return len(self._look())

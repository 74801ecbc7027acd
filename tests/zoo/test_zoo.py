"""Every broken module of the zoo, loaded for real: is it refused where we said, and for the reason we say?"""

import contextlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import pytest

from kscaffold.arch import table
from kscaffold.elf import content
from kscaffold.elf.module_file import ModuleFile
from kscaffold.kernel.fetch import is_prefix
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.blame import blame_late_crash
from kscaffold.load.load import load
from kscaffold.load.prediction import Predictor
from kscaffold.load.report import LoadReport
from kscaffold.load.unload import unload
from kscaffold.load.unload_watch import watch_after_unload
from kscaffold.module.arguments import Parameters
from kscaffold.module.predict.finding import Prediction
from kscaffold.sandbox.vm.plan import plan_vm
from kscaffold.sandbox.vm.start import start_guest
from kscaffold.targets.sandbox import SandboxTarget
from tests.conftest import REQUIRED, need_program
from tests.support.kernels import EVERYWHERE, MACHINES, need_either, need_kernel, need_machine
from tests.zoo.cases import CASES, OF_MACHINES, OTHER, Case, Found, sources_of
from tests.zoo.removals import REMOVALS, Gone
from tests.zoo.sources import built, remove_all

pytestmark = [pytest.mark.sandbox, pytest.mark.kernel]


@dataclass(frozen=True)
class Row:
    """One case, loaded. `expected` is what the table says for this kernel."""

    case: Case
    expected: Found
    prediction: Prediction
    report: LoadReport

    @property
    def machine(self) -> str:
        """Debian's name of the machine."""
        architecture = table.by_uname(self.report.arch)
        assert architecture is not None
        return architecture.debian

    @property
    def predicted(self) -> str:
        p = self.prediction
        return {True: "loads", None: "unknown"}.get(p.loads) or f"{p.stage} {p.errno}"

    @property
    def actual(self) -> str:
        """Where the kernel refused it; a prediction goes as far as init, not into it."""
        j = self.report.judgement
        refused = j.verdict == "refused" or (j.verdict == "hung" and j.stage != "init")
        return f"{j.stage} {j.errno}" if refused else "loads"

    @property
    def found(self) -> Found:
        j = self.report.judgement
        return Found(j.verdict, str(j.stage), j.errno, j.code, j.returned)

    @property
    def wrong(self) -> str:
        """What is not as it must be, "" for nothing."""
        j, flaws = self.report.judgement, []
        if self.found != self.expected:
            flaws.append(f"found {self.found}, must be {self.expected} ({j.cause})")
        if self.case.says not in (j.cause or "") and self.machine not in self.case.unsaid:
            flaws.append(f"the cause does not name {self.case.says}: {j.cause}")
        if j.verdict == "refused" and j.init_ran is not False:
            flaws.append("refused, and init is not known not to have run")
        if self.predicted not in (self.actual, "unknown") and not self.case.hidden:
            flaws.append(f"predicted {self.predicted}, was {self.actual}")
        if "failed" in (states := [s.status for s in j.stages]) and j.verdict != "crashed":
            # A guest that can't say any more where it is leaves the stage likely, and the others unknown.
            blind = not j.certain and set(states) == {"failed", "unobserved"}
            after = set(states[states.index("failed") + 1 :])
            if states.count("failed") != 1 or (after - {"not-reached"} and not blind):
                flaws.append(f"no waterfall: {states}")
        if self.report.prediction_mismatch and not self.case.hidden:
            flaws.append(f"said to differ from the prediction: {self.report.prediction_mismatch}")
        return "; ".join(flaws)


@pytest.fixture(scope="module", autouse=True)
def animals():
    """One build of all of them a kernel, for every test here."""
    yield
    remove_all()


# Modules whose trouble comes after their load, or after their unload.
LATE = frozenset({"later", "late-warner", "left-thread", "left-timer", "left-probe", "ended-timer"})
# What removals are tried with.
_REMOVED = {m.removesuffix(".ko") for case in REMOVALS for m in (case.module, *case.before)}
REMOVED = frozenset(name for name in _REMOVED if name[0] not in "=-" and name != "kernel")
# What only the module's own code decides.
UNKNOWABLE = {"its own check: -EPERM", "its own check: -ENOENT"}
# Whether a kernel looks for this, its image tells; these machines' images are not unpacked here.
UNREADABLE = {"armhf": {"a symbol of no section"}, "s390x": {"a symbol of no section"}}


@pytest.mark.parametrize("series", ["6.1", "5.10", "6.12"])
def test_zoo(series: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel(series)
    # The rules of the command line are the same in all of them, and each is one more boot.
    cases = [case for case in CASES if series == "6.1" or not case.cmdline]
    judged(series, rows_of(cases, (series, "amd64"), kernel, place_of(kernel, "amd64"), tmp_path), capfd)


@pytest.mark.parametrize("arch", MACHINES)
def test_zoo_of_other_machines(arch: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """All of it where KSCAFFOLD_REQUIRE names the machine."""
    kernel = need_machine(arch)
    # The rules of the command line are the same everywhere.
    cases = [case for case in (CASES if arch in REQUIRED else OF_MACHINES) if not case.cmdline]
    rows = rows_of(cases, (MACHINES[arch], arch), kernel, place_of(kernel, arch), tmp_path)
    judged(f"{arch}, {kernel.release}", rows, capfd, UNREADABLE.get(arch, set()))


def place_of(kernel: Kernel, arch: str) -> Path:
    """Where the modules of a kernel are, by one build for all the tests here: all of them on this machine and
    where KSCAFFOLD_REQUIRE names it.
    """
    if arch == "amd64" or arch in REQUIRED:
        return built(kernel)
    return built(kernel, sources_of(OF_MACHINES) | LATE | REMOVED)


def judged(
    name: str, rows: list[Row], capfd: pytest.CaptureFixture[str], unreadable: AbstractSet[str] = frozenset()
) -> None:
    """Print the matrix; nothing may be wrong. `unreadable`: cases that this kernel's image would tell of."""
    with capfd.disabled():
        print(f"\n{name}: {matrix(rows)}")
    wrong = [f"{row.case.name}: {row.wrong}" for row in rows if row.wrong]
    assert not wrong, "\n".join(wrong)
    assert {r.case.name for r in rows if r.predicted == "unknown"} <= UNKNOWABLE | unreadable


@pytest.mark.parametrize(("series", "arch"), EVERYWHERE)
def test_removals(series: str, arch: str, capfd: pytest.CaptureFixture[str]):
    kernel = need_either(series, arch)
    place = place_of(kernel, arch)
    wrong, pairs = [], Counter[tuple[str, str]]()
    for case in REMOVALS:
        expected = case.on.get(arch, case.elsewhere.get(series, case.found))
        with guest(kernel, "") as target:
            _prepare(case.before, place, target, case.seconds)
            name = case.module.removesuffix(".ko")
            file = place / f"{name}.ko"
            ko = ModuleFile.open(file) if file.exists() else None
            report = unload(case.module, target, timeout=case.seconds, ko=ko)
            there = None if case.gone is None else [m.name for m in target.modules()]
        j = report.judgement
        found = Gone(j.verdict, j.errno, j.code)
        pairs[expected.code or "-", found.code or "-"] += 1
        if found != expected or case.says not in (j.cause or "") or (j.code and not j.fix):
            wrong.append(f"{case.name}: found {found}, must be {expected} ({j.cause})")
        if there is not None and (report.module in there) == case.gone:
            wrong.append(f"{case.name}: it is{' not' if case.gone else ''} gone, which must not be")
    with capfd.disabled():
        told = ", ".join(f"{true}->{said} {n}" for (true, said), n in sorted(pairs.items()))
        print(f"\n{arch}, {series}: {len(REMOVALS)} unloads, true code -> explained: {told}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("series", "arch"), EVERYWHERE)
@pytest.mark.parametrize(
    ("name", "bit", "verdict", "code", "line"),
    [
        ("later", 7, "crashed", "KS250", "NULL pointer dereference"),
        ("late-warner", 9, "loaded", "KS252", "WARNING: CPU: "),
    ],
)
def test_what_comes_later(series: str, arch: str, name: str, bit: int, verdict: str, code: str, line: str):
    kernel = need_either(series, arch)
    ko, until = place_of(kernel, arch) / f"{name}.ko", time.monotonic() + 20
    with guest(kernel, "") as target:
        report = load(ModuleFile.open(ko), Parameters(), target, timeout=10)
        assert report.ok and not report.judgement.complaints
        target.write(f"/sys/module/{name.replace('-', '_')}/parameters/go", b"1", 0)
        while not (target.tainted() or 0) & 1 << bit and time.monotonic() < until:
            time.sleep(0.05)
        (told,) = blame_late_crash([report], [], target)
    j = told.judgement
    assert (j.verdict, j.stage, j.code, j.returned) == (verdict, "live", code, 0)
    assert "after init had returned" in (j.cause or "")
    # Each machine has words of its own for a null pointer.
    assert j.complaints and (arch != "amd64" or any(line in r.text for r in told.log))
    assert {c.module for c in j.complaints} == {name.replace("-", "_")}


@pytest.mark.parametrize(("series", "arch"), EVERYWHERE)
def test_what_outlives_its_module(series: str, arch: str):
    """A kernel that is well when exit comes back, and dies of what exit has forgotten."""
    kernel = need_either(series, arch)
    place = place_of(kernel, arch)
    for name, function, call in (
        ("left-thread", "round", "kthread_stop()"),
        ("left-timer", "tick", "timer_delete_sync()"),
        ("left-probe", "seen", "unregister_kprobe()"),
    ):
        with guest(kernel, "") as target:
            assert load(ModuleFile.open(place / f"{name}.ko"), Parameters(), target, timeout=20).ok
            # It may die in the middle of the unload, which is told in the same way.
            report = unload(name, target, timeout=20, ko=ModuleFile.open(place / f"{name}.ko"))
            (told,) = watch_after_unload([report], target, 60 if report.ok else None)
        j = told.judgement
        assert (name, j.verdict, j.code) == (name, "crashed", "KS617"), j
        # The kernel itself has no names there any more.
        assert f", in {function}+0x" in (j.cause or "") and "unloaded already" in (j.cause or ""), j
        assert call in (j.fix or "")
        assert arch != "amd64" or any("unable to handle page fault" in r.text for r in told.log)
    with guest(kernel, "") as target:
        assert load(ModuleFile.open(place / "ended-timer.ko"), Parameters(), target, timeout=20).ok
        report = unload("ended-timer", target, timeout=20, ko=ModuleFile.open(place / "ended-timer.ko"))
        assert report.dangling is not None and watch_after_unload([report], target) == [report] and report.ok


def _prepare(steps: tuple[str, ...], place: Path, target: SandboxTarget, seconds: float) -> None:
    """What happens to a guest before the case itself."""
    for step in steps:
        if step.startswith("="):
            _, path, text = step.split("=")
            target.write(path, text.encode())
        elif step.startswith("-"):
            unload(step[1:], target, timeout=seconds)
        else:
            load(ModuleFile.open(place / f"{step}.ko"), Parameters(), target, timeout=seconds)


def rows_of(
    cases: Iterable[Case], on: tuple[str, str], kernel: Kernel, place: Path, scratch: Path
) -> list[Row]:
    """Load each case that there is on this series and machine, in a guest of its own; but a module that is
    refused leaves a kernel as it was, and the next one that is to be refused is loaded into the same.
    """
    rows: list[Row] = []
    with contextlib.ExitStack() as shared:
        target: SandboxTarget | None = None
        for case in cases:
            expected = case.expected(*on)
            if expected is None:
                continue
            if expected.verdict != "refused" or case.before or case.cmdline or case.hidden:
                with guest(kernel, case.cmdline) as own:
                    rows.append(row(case, expected, kernel, place, scratch, own))
                continue
            target = target or shared.enter_context(guest(kernel, ""))
            there = [listed.name for listed in target.modules()]
            rows.append(row(case, expected, kernel, place, scratch, target))
            if rows[-1].found != expected or [listed.name for listed in target.modules()] != there:
                target = None  # nobody knows what this one has done
    return rows


def row(
    case: Case, expected: Found, kernel: Kernel, place: Path, scratch: Path, target: SandboxTarget
) -> Row:
    """Load one case."""
    ko = ModuleFile.open(patched(case, kernel, place, scratch))
    parameters = Parameters.parse(case.parameters)
    _prepare(case.before, place, target, case.seconds)
    predictor = Predictor([], kernel, lambda text: None)
    prediction = predictor.before(ko, parameters, target)
    assert prediction is not None
    report = load(ko, parameters, target, timeout=case.seconds, predictor=predictor)
    return Row(case, expected, prediction, report)


def patched(case: Case, kernel: Kernel, place: Path, scratch: Path) -> Path:
    """The case's file: as built, or in a copy of its own directory with the patch applied.

    Beside Module.symvers and what is loaded before it, as a build leaves it.
    """
    if case.source[0] in "/~":
        series = next(s for s in OTHER if is_prefix(s, kernel.release))
        home = kernel if case.source[0] == "/" else need_kernel(OTHER[series])
        assert home.modules is not None
        (path,) = (home.modules / "kernel").rglob(f"{case.source[1:]}.ko*")
    else:
        path = place / (case.source if case.source.endswith(".o") else f"{case.source}.ko")
    raw, _ = content.read_content(path)
    copy = Path(tempfile.mkdtemp(dir=scratch)) / f"{path.name.partition('.ko')[0].removesuffix('.o')}.ko"
    copy.write_bytes(case.patch(raw) if case.patch else raw)
    shutil.copy(place / "Module.symvers", copy.parent)
    for other in (place / f"{step}.ko" for step in case.before):
        if other.is_file() and other.name != copy.name:
            shutil.copy(other, copy.parent)
    return copy


@contextlib.contextmanager
def guest(kernel: Kernel, cmdline: str) -> Iterator[SandboxTarget]:
    """A pristine kernel."""
    plan = plan_vm(kernel, cmdline)
    started = start_guest(plan)
    try:
        yield SandboxTarget.from_guest(started, plan.machine.cmdline)
    finally:
        started.close()


def matrix(rows: list[Row]) -> str:
    """Predicted against actual, and explained against true: how often each pair came."""
    pairs = Counter((r.predicted, r.actual, r.case.hidden) for r in rows)
    lines = [f"{len(rows)} loads; predicted -> what the kernel did:"]
    for (predicted, actual, hidden), count in sorted(pairs.items()):
        mark = "" if predicted == actual else "  <- wrong"
        if hidden or predicted == "unknown":
            mark = "  (nothing outside tells)" if hidden else "  (nothing here tells)"
        lines.append(f"  {predicted:<24} -> {actual:<24} {count:3}{mark}")
    right = sum(r.found == r.expected for r in rows)
    lines.append(f"  verdict, stage, errno, code and init's return as expected: {right} of {len(rows)}")
    codes = Counter((r.expected.code or "-", r.found.code or "-") for r in rows)
    told = [f"{true}->{said} {n}" for (true, said), n in sorted(codes.items()) if true != said]
    lines.append(f"  explained otherwise than true: {', '.join(told) or 'none'}")
    return "\n".join(lines)

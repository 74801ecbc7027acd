"""How loads, unloads and logs look to people, and their JSON documents."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from kscaffold import console, lazy
from kscaffold.cli.documents import load as documents
from kscaffold.cli.render.source_line import source, stack
from kscaffold.diagnosis import errnos
from kscaffold.diagnosis.klog import Record, is_background
from kscaffold.errors import EXIT_NO, EXIT_NO_ANSWER, EXIT_YES
from kscaffold.load.flaws import flaws_of_residue
from kscaffold.load.report import LoadReport
from kscaffold.load.unload import UnloadReport

if TYPE_CHECKING:
    from kscaffold.load.flaws import Flaw
    from kscaffold.load.kernel_log import KernelLog
    from kscaffold.load.tries import Try
    from kscaffold.load.verbs.load import Loads
    from kscaffold.load.verbs.run import Run
    from kscaffold.make.report import BuildReport

_LOUD = {"emerg": "red", "alert": "red", "crit": "red", "err": "red", "warn": "yellow"}
_MOST_LINES = 16
# Said of every module that is not signed and not of the kernel's own tree: taint, and no harm.
_NOISE = lazy.pattern(
    r"loading out-of-tree module taints kernel|module verification failed: signature and/or"
)
# How the kernel begins a report of a crash.
_HEAD = lazy.pattern(
    r"(?:BUG|Oops|.{1,64}->init suspiciously|"
    r"WARNING|Kernel panic|kernel BUG|RIP: 0010|watchdog|INFO: task|general protection)"
)


def loaded(report: LoadReport) -> None:
    """Print one load: a line, then what is behind it when it did not go well."""
    name = console.printable(report.path.name)
    if report.ok:
        ms = report.seconds["load"] * 1000
        after = f", after {', '.join(report.dependencies)}" if report.dependencies else ""
        console.step("Loaded", f"{name} ({report.kernel_name}, {report.target}) in {ms:.0f} ms{after}")
    else:
        console.out(f"{console.styled(name, 'bold')}{_with(report)}: {_sentence(report)}")
    log_lines(report.log, report.module)
    why(report)
    if not report.ok:
        stack(report.stack, console.out)


def _with(report: LoadReport) -> str:
    """The parameters of one load, behind its module's name: a run can have many sets of them."""
    who = ", as an ordinary user" if report.as_user else ""
    return f" {console.printable(report.parameters.text)}{who}" if report.parameters else who


def why(report: LoadReport) -> None:
    """The cause and the fix: the answer of a load that failed, a remark on one that went well."""
    j = report.judgement
    say = console.note if report.ok else console.out
    if (j.verdict == "init-failed" or report.as_user) and j.certain and j.errno:
        from kscaffold.explain import phrases  # start-up time: most loads go well

        say(f"   note: {phrases.said_by_insmod(j.errno)}; lsmod does not show {report.module}")
    _notes(report, say)
    if report.ok:
        for flaw in report.flaws:
            _flaw(flaw, console.warn, console.note)
    elif j.cause:
        say(f"  {console.styled('cause', 'cyan')}: {console.printable(j.cause)}")
        if j.fix:
            say(console.fix_line(j.fix, report.path))
        if report.place:
            source(report.place, say)
        if j.code:
            say(f"   {console.styled('more', 'cyan')}: kscaffold explain {j.code}")
        left(report)


def _notes(report: LoadReport, say: Callable[[str], None]) -> None:
    if report.note:
        say(f"   note: {report.note}")
    for request in report.requests if report.ok or console.verbose else ():
        if request.modules:
            for_it = ", ".join(request.modules)
            say(f"   note: {for_it} loaded for {console.printable(request.name)} (request_module)")
        elif request.modules is None and console.verbose:
            say(f"   note: nobody has {console.printable(request.name)} (request_module)")
    if report.prediction_mismatch:
        say(f"   note: {console.printable(report.prediction_mismatch)}")


def _flaw(flaw: "Flaw", head: Callable[[str], None], say: Callable[[str], None]) -> None:
    """Print one reason why a successful load is not clean: the complaint, its source line, its code."""
    text = f"{flaw.text}, at {flaw.where}" if flaw.where and flaw.where not in flaw.text else flaw.text
    head(console.printable(text))
    if flaw.place:
        source(flaw.place, say)
    if flaw.fix:
        say(console.fix_line(flaw.fix))
    say(f"   {console.styled('more', 'cyan')}: kscaffold explain {flaw.code}")


def _sentence(report: LoadReport) -> str:
    j = report.judgement
    stage = f" at stage {j.stage}" if j.stage else ""
    errno = f" with {j.errno}" if j.errno else ""
    probably = "" if j.certain else "probably "
    if j.verdict == "init-failed" and not j.certain:
        return console.styled(f"init probably failed{errno}", "red")
    if j.verdict == "init-failed":
        number = f"{j.returned} " if j.returned is not None else ""
        name = errnos.name(j.returned) if j.returned is not None else j.errno
        return f"{console.styled('init failed', 'red')}: it ran and returned {number}({_minus(name)})"
    if report.crashed_by:
        return console.styled("nobody knows: the kernel crashed meanwhile", "red")
    words = {
        "refused": f"{probably}refused by the kernel{stage}{errno}",
        "crashed": f"{'ended' if j.code == 'KS619' else 'crashed'} the kernel{stage}",
        "hung": f"hung: no end within the deadline{stage}",
        "lost": "lost: nothing is known of how it ended",
    }
    return console.styled(words[j.verdict], "red")


def _minus(errno: str | None) -> str:
    return f"-{errno}" if errno and errno.startswith("E") else errno or "no errno"


def log_lines(records: Iterable[Record], module: str) -> None:
    """Print the log of the module and the kernel, without the lines that every out-of-tree module causes.

    Of a long log only the lines that matter most are printed; with -v, every line.
    """
    lines = [
        r
        for r in records
        if r.facility == 0
        and not _NOISE.search(r.text[:300])
        and not (is_background(r) and not console.verbose)
    ]
    shown = range(len(lines)) if console.verbose else _with_single(_telling(lines, module), lines)
    before = -1
    for index in shown:
        if index > before + 1:
            console.out("  | …")
        console.out(f"  | {_text(lines[index])}")
        before = index
    if gone := len(lines) - len(shown):
        console.out(f"  | … ({gone} line{' is' if gone == 1 else 's are'} left out: -v shows all)")


def _with_single(indexes: Sequence[int], lines: Sequence[Record]) -> Sequence[int]:
    """The indexes, and those that are missing alone between two, but for a crash's line of the processor."""
    single = {a + 1 for a, b in pairwise(indexes) if b == a + 2 and lines[a + 1].text[:5] != "CPU: "}
    return sorted({*indexes, *single})


def _telling(lines: list[Record], module: str) -> Sequence[int]:
    """The indexes of both ends of a log; of a crash's: the module's last words, what the kernel calls it,
    and where the module is named.
    """
    half = _MOST_LINES // 2
    if len(lines) <= _MOST_LINES:
        return range(len(lines))
    heads = _first_heads(lines)
    if not heads:
        return [*range(half), *range(len(lines) - half, len(lines))]
    crash = min(heads)
    named = [i for i in range(crash, len(lines)) if i in heads or module in lines[i].text]
    return [*range(max(0, crash - half // 2), crash), *named[:half], *named[half:][-half:]]


_WAITED = lazy.pattern(r"(?<= for more than )\d{1,6}(?= seconds)|(?<= stuck for )\d{1,6}(?=s!)")


def _first_heads(lines: Sequence[Record]) -> set[int]:
    """The indexes of what begins a report of a crash; of a task that the kernel names each second or so,
    the first.
    """
    found: dict[str, int] = {}
    for index, line in enumerate(lines):
        if _HEAD.match(line.text[:300]):
            text, again = _WAITED.subn("", line.text[:300])
            found.setdefault(text if again else str(index), index)
    return set(found.values())


def _text(r: Record) -> str:
    text = console.printable(r.text)
    return console.styled(text, _LOUD[r.level]) if r.level in _LOUD else text


def loads(command: str, done: "Loads", trace: bool) -> int:
    """The document of a load, and its exit status. `trace`: the stages of each before that."""
    if done.failed_build:
        return _failed_build(command, done.failed_build)
    reports = done.reports
    if trace:
        _waterfalls(reports)
    if any(r.judgement.verdict == "hung" and r.target == "sandbox" for r in reports):
        console.note("the sandbox stays for kscaffold logs and list; the next load replaces it")
    if done.sanitizer:
        from kscaffold.cli.render import sanitizer  # start-up time: few loads are sanitized

        sanitizer.findings(done.sanitizer)
    console.emit(command, all(r.ok for r in reports), documents.loads(done))
    return _status(reports)


def _failed_build(command: str, report: "BuildReport") -> int:
    from kscaffold.cli.render import build  # start-up time: most builds go well

    return build.failed_build(command, report)


def _waterfalls(reports: Iterable[LoadReport]) -> None:
    from kscaffold.cli.render import waterfall  # start-up time: few want them

    for report in reports:
        waterfall.show(report)


def _status(reports: Sequence[LoadReport]) -> int:
    verdicts = {r.judgement.verdict for r in reports}
    if "lost" in verdicts:
        return EXIT_NO_ANSWER
    return EXIT_YES if verdicts <= {"loaded"} else EXIT_NO


def runs(done: "Run", trace: bool) -> int:
    """All tries of a run: each on a line, the failures in full. `trace`: the stages of each before that."""
    if done.failed_build:
        return _failed_build("run", done.failed_build)
    results = done.tries
    if trace:
        _waterfalls(report for loads_, _ in results for report in loads_)
    reports: list[LoadReport] = []
    before: list[str] = []
    for one in results:
        reports += one[0]
        said = [r.text for part in one for report in part for r in report.log]
        _tell_run(one, done.flaws(one), done.has_bugs(one), said == before and not console.verbose)
        before = said
    if done.sanitizer:
        from kscaffold.cli.render import sanitizer  # start-up time: few runs are sanitized

        sanitizer.findings(done.sanitizer)
    if done.faults:
        from kscaffold.cli.render import faults  # start-up time: few runs have failing calls

        faults.faults(done.faults, done.allow)
    if done.coverage:
        from kscaffold.cli.render import coverage  # start-up time: few runs count

        coverage.coverage(done.coverage)
    console.emit("run", done.ok, documents.run(done))
    if len(results) > 1:
        well = sum(map(done.went_well, results))
        console.note(f"{well} of {len(results)} tries went well")
    lost = any(u.judgement.verdict == "lost" for _, us in results for u in us)
    status = _status(reports)
    return status if status else EXIT_NO_ANSWER if lost else EXIT_YES if done.ok else EXIT_NO


def _tell_run(one: "Try", flaws: "Sequence[Flaw]", has_bugs: bool, is_same: bool = False) -> None:
    """Print one try: what is against it comes first. `has_bugs`: the sanitizer's reports follow. `is_same`:
    the kernel said the same in the try before.
    """
    loads_, unloads_ = one
    last = loads_[-1]
    good = [r for r in loads_ if r.ok]
    for r in loads_:
        if not r.ok:
            loaded(r)
    if good and unloads_ and all(u.ok for u in unloads_):
        names = ", ".join(console.printable(r.path.name) for r in good)
        spent = f"{last.seconds['total']:.2f} s"
        text = f"{names}{_with(last)}: loaded and unloaded ({last.kernel_name}) in {spent}"
        if flaws or has_bugs:
            console.out(f"{text}, {console.styled('but not clean', 'red')}")
        else:
            console.step("Ran", text)
    _complain(one, flaws)
    if not good or not unloads_:
        return
    if is_same:
        console.out("  | (the lines of the try before)")
    for r in good if not is_same else ():
        log_lines(r.log, r.module)
    for u in unloads_:
        if u.ok:
            if not is_same:
                log_lines(u.log, u.module)
            if u.note:
                console.note(f"   note: {u.note}")
        else:
            unloaded(u)
    for r in good:
        _notes(r, console.note)


def _complain(one: "Try", flaws: "Sequence[Flaw]") -> None:
    """Print why a try is not clean. The flaws that are accepted become warnings."""
    for flaw in flaws:
        _flaw(flaw, lambda text: console.out(f"  {console.styled('complaint', 'red')}: {text}"), console.out)
    for flaw in (f for reports in one for r in reports for f in r.flaws):
        if flaw not in flaws:
            _flaw(flaw, console.warn, console.note)


def unloaded(report: UnloadReport) -> None:
    """Print one unload."""
    j = report.judgement
    foreign = report.kernel_name != report.kernel
    if report.ok:
        console.step("Unloaded", f"{report.module} ({report.kernel_name})" if foreign else report.module)
        log_lines(report.log, report.module)
        _regrets(report)
        _found(report)
        return
    from kscaffold.explain import phrases  # start-up time: most unloads go well

    errno = f" ({j.errno})" if j.errno else ""
    name, what = console.printable(report.module), phrases.unloaded(report)
    console.out(f"{console.styled(name, 'bold')}: {console.styled(what, 'red')}{errno}")
    log_lines(report.log, report.module)
    if j.cause:
        console.out(f"  {console.styled('cause', 'cyan')}: {console.printable(j.cause)}")
    if report.place:
        source(report.place, console.out)
    stack(report.stack, console.out)
    if j.fix:
        console.out(console.fix_line(j.fix))
    _found(report)


def _found(report: UnloadReport) -> None:
    """Print what the sanitizer found during an unload."""
    if report.findings:
        from kscaffold.cli.render import sanitizer  # start-up time: few unloads are sanitized

        for finding in report.findings:
            sanitizer.finding(finding)


def _regrets(report: UnloadReport) -> None:
    """Warn of what went wrong in an exit that came to its end."""
    for flaw in report.flaws:
        _flaw(flaw, console.warn, console.note)


def left(report: UnloadReport | LoadReport) -> None:
    """Warn of what unloads have left behind in a sandbox that lives on."""
    for flaw in flaws_of_residue(report.residue or ()):
        _flaw(flaw, console.warn, console.note)


def unloads(command: str, reports: Sequence[UnloadReport]) -> int:
    """The document of an unload, and its exit status."""
    good = all(r.ok for r in reports)
    console.emit(command, good, documents.unloads(reports))
    if any(r.judgement.verdict == "lost" for r in reports):
        return EXIT_NO_ANSWER
    return EXIT_YES if good else EXIT_NO


def log(shown: "KernelLog", names: set[str]) -> None:
    """Lines of a kernel's log; those of the project's modules have a mark: what names one, and in a
    sandbox all since its first load.
    """
    own = [
        is_own(r.text, names) or (i >= shown.loads and not is_background(r))
        for i, r in enumerate(shown.records)
    ]
    lines = documents.logs(shown.records, own)
    if console.json_lines:
        for line in lines:
            console.emit("logs", True, line)
    else:
        console.emit("logs", True, {"log": lines})
    for r, mine in zip(shown.records, own, strict=True) if not console.json_mode else ():
        when = f"[{r.time:12.6f}]" if r.time is not None else " " * 14
        mark = console.styled(">", "green") if mine else " "
        console.out(f"{mark} {console.styled(when, 'dim')} {_text(r)}")


def is_own(text: str, names: set[str]) -> bool:
    """A line that begins with, or names in brackets, one of these modules."""
    return any(text.startswith((f"{n}:", f"{n} ")) or f"[{n}]" in text for n in names)

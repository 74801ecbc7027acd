"""The guest of one test: a pristine kernel. Its methods fail the test where a user's command would say no."""

import contextlib
import os
import re
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from kscaffold.diagnosis.crash import Complaint, may_have_complaint
from kscaffold.diagnosis.klog import Record
from kscaffold.elf.module_name import normalize_name
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.addr2line import SourceLine
from kscaffold.load.complaints import complaints_of, files_by_module
from kscaffold.load.dependencies import module_of_kernel
from kscaffold.load.execute import Executed
from kscaffold.load.flaws import OTHERS, Flaw, flaws_of_endless_unload, flaws_of_residue
from kscaffold.load.report import LoadReport
from kscaffold.load.sandbox import Sandbox
from kscaffold.load.stuck import Stuck
from kscaffold.load.unload import UnloadReport
from kscaffold.records import dataclass
from kscaffold.sandbox.agent.running_clock import LookingClock
from kscaffold.testing.evidence import Evidence

_PATIENCE = "/proc/sys/kernel/hung_task_timeout_secs"
_LOOK = 0.1  # s between two looks at the log
# By the exit status of the guest's process that made the call.
_WRONG_COUNTS = {
    1: "returned 0: it took nothing, and did not say why",
    2: "returned more than the bytes that it was asked for",
}
TIMEOUT = 10.0
"""Seconds that a load, an unload, a read or a write may take in the kernel."""


class GuestFailure(AssertionError):
    """The kernel, or a program in the guest, did not do what the test wants."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that ended, as subprocess tells it: `returncode` is negative for a signal."""

    args: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    complaints: tuple[Complaint, ...]


class Guest:
    """A pristine kernel for one test. `modules`: the .ko files of the project, by the kernel's name.

    A method fails the test where the kernel says no; those that begin with `try_` return what it said.
    """

    def __init__(
        self, sandbox: Sandbox, modules: Mapping[str, Path], directory: Path, devices: Sequence[str] = ()
    ) -> None:
        self._sandbox = sandbox
        self._modules = dict(modules)
        self._directory = directory
        self.kernel: Kernel = sandbox.kernel
        self.devices = tuple(devices)
        self.evidence = Evidence()

    def __repr__(self) -> str:
        return f"Guest({self.kernel.name})"

    def load(self, module: str | Path | None = None, **parameters: object) -> LoadReport:
        """insmod: a module of the project or of the kernel by name, or a .ko; None: the project's only one.
        The test fails where it is not loaded.
        """
        __tracebackhide__ = True
        report = self.try_load(module, **parameters)
        if not report.ok:
            j = report.judgement
            raise GuestFailure(f"{report.path.name} was not loaded ({j.verdict}): {j.cause}")
        return report

    def try_load(self, module: str | Path | None = None, **parameters: object) -> LoadReport:
        """Load as `load` does; a load that fails is a report that is not `ok`, with `judgement.errno` and
        `judgement.cause`.
        """
        __tracebackhide__ = True
        ko = self._ko(module)
        words = [f"{name}={value}" for name, value in parameters.items()]
        # By its name where the project builds it: by hand it may be another kernel's turn.
        name = next((n for n, built in self._modules.items() if built == ko), None)
        self._note("load", name or os.path.relpath(ko), *words)
        self._alive()
        with self._answering():
            report = self._sandbox.load(ko, timeout=TIMEOUT, **parameters)
        self.evidence.modules[report.module] = ko
        self.evidence.loads.append(report)
        stages = report.judgement.stages
        self.evidence.trace = "" if report.ok else "\n".join(f"{s.id}: {s.status}" for s in stages)
        self._take_report(report)
        return report

    def unload(self, module: str | Path | None = None) -> UnloadReport:
        """rmmod, by name or file; None for the project's only one. The test fails where it stays."""
        __tracebackhide__ = True
        report = self.try_unload(module)
        if not report.ok:
            j = report.judgement
            raise GuestFailure(f"{report.module} was not unloaded ({j.verdict}): {j.cause}")
        return report

    def try_unload(self, module: str | Path | None = None) -> UnloadReport:
        """Unload as `unload` does; a module that stays is a report that is not `ok`."""
        __tracebackhide__ = True
        ko = self._ko(module)
        self._note("unload", ko.stem)
        self._alive()
        with self._answering():
            report = self._sandbox.unload(ko, timeout=TIMEOUT)
        self.evidence.unloads.append(report)
        self._take_report(report)
        return report

    def exec(
        self,
        program: str | Path,
        *arguments: object,
        input: str | bytes = b"",
        copy: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        check: bool = False,
    ) -> Completed:
        """Run a program in the guest: a `.c` file, a program of this machine, a script for sh, a command of
        BusyBox. Relative paths are relative to the test's file. `check`: the test fails where it does not end
        with 0.

        The test fails where the program does not start, does not end within `timeout` seconds, or takes the
        guest with it.
        """
        __tracebackhide__ = True
        path = self._directory / program if "/" in str(program) or str(program).endswith(".c") else program
        words = (str(program), *map(str, arguments))
        shown = os.path.relpath(path) if isinstance(path, Path) else str(path)
        self._note("exec", "--", shown, *words[1:])
        self._alive()
        data = input.encode() if isinstance(input, str) else input
        files = [str(self._directory / one) for one in copy]
        self.evidence.used = True
        with self._answering():
            done = self._sandbox.exec(path, *words[1:], input=data, copy=files, env=env, timeout=timeout)
        self._take(done.complaints, done.log, done.place, lost=done.lost)
        self._judge(done, words[0], timeout)
        assert done.status is not None
        if check and done.status:
            said = done.stderr.decode(errors="replace").strip()
            raise GuestFailure(f"{shlex.join(words)} ended with {done.status}: {said}")
        out, errors = (part.decode(errors="replace") for part in (done.stdout, done.stderr))
        return Completed(words, done.status, out, errors, done.complaints)

    def read(self, path: str, *, timeout: float = TIMEOUT) -> str:
        """What a file of the guest holds, as text. Raises OSError as open(2) and read(2) fail there; the test
        fails where the read does not end within `timeout` seconds.
        """
        __tracebackhide__ = True
        self._note("exec", "--", "cat", path)
        return self._pass_file(path, None, timeout).stdout.decode(errors="replace")

    def read_bytes(self, path: str, *, timeout: float = TIMEOUT) -> bytes:
        """Read a file as `read` does; the result is bytes."""
        __tracebackhide__ = True
        self._note("exec", "--", "cat", path)
        return self._pass_file(path, None, timeout).stdout

    def write(self, path: str, data: str | bytes, *, timeout: float = TIMEOUT) -> None:
        """Write to a file of the guest that is there, with one write(2) for each 64 KiB. Raises OSError as
        open(2) and write(2) fail there.
        """
        __tracebackhide__ = True
        text = data.decode(errors="replace") if isinstance(data, bytes) else data
        self._note("exec", "--", "sh", "-c", f"printf %s {shlex.quote(text)} > {path}")
        self._pass_file(path, data.encode() if isinstance(data, str) else data, timeout)

    def firmware(self, name: str, data: bytes) -> None:
        """Have firmware in the guest's /lib/firmware, beside what the project has in `firmware/`."""
        __tracebackhide__ = True
        self._alive()
        with self._answering():
            self._sandbox.firmware(name, data)

    def log(self) -> list[str]:
        """The lines of the kernel's log since the first load or program."""
        __tracebackhide__ = True
        return [record.text for record in self.records()]

    def expect_log(self, pattern: str, *, timeout: float = 2.0) -> re.Match[str]:
        """Wait until a line of the log has the pattern (a regular expression), and return the match. The test
        fails where none comes within `timeout` seconds in which the guest could run.
        """
        __tracebackhide__ = True
        clock = LookingClock()
        while True:
            lines = self.log()
            for line in lines:
                if found := re.search(pattern, line):
                    return found
            if clock.look() >= timeout:
                self.evidence.waited = True
                last = "\n".join(f"  | {line}" for line in lines[-10:]) or "  (it is empty)"
                stuck = self._stuck()
                self.evidence.place = self.evidence.place or next((one.place for one in stuck), None)
                self.evidence.stack += "".join(one.stack for one in stuck)
                busy = "".join(f"{one}\n" for one in stuck)
                raise GuestFailure(
                    f"no line of the kernel's log has {pattern!r}; {busy}its last lines:\n{last}"
                )
            time.sleep(_LOOK)

    def records(self) -> list[Record]:
        """The log's records with level and time; the last ones that were heard of, where the guest
        is lost.
        """
        __tracebackhide__ = True
        if self.evidence.lost or not self.evidence.commands:
            return self.evidence.records
        try:
            with self._answering():
                records = self._sandbox.log_since_first_request()
        except (GuestFailure, KscaffoldError):
            self.evidence.lost = True
            return self.evidence.records
        self.evidence.records = records
        return records

    def complaints(self) -> tuple[Complaint, ...]:
        """What the kernel complained of so far, each once."""
        found = list(self.evidence.complaints)
        records = self.records()
        if not self.evidence.lost:
            known = {complaint.seq for complaint in found}
            files = files_by_module(self.evidence.modules.values())
            # A kernel that says nothing is not asked whether it is well: that costs each test its time.
            if may_have_complaint(records):
                tainted = self._sandbox.tainted()
                waiting = self.evidence.late or self.evidence.waited
                more, place = complaints_of(records, files, tainted, waiting=waiting)
                found += [one for one in more if one.seq not in known]
                self.evidence.place = self.evidence.place or place
        return tuple(found)

    def flaws(self) -> tuple[Flaw, ...]:
        """The flaws of loads and unloads that succeeded, without the kernel's complaints; and what was left
        behind, where the test did no more than load and unload: programs and files take memory of their
        own. A sanitizer sees what is never freed when its module goes, so what is loaded is unloaded then.
        """
        seen = self.evidence
        wrong = self._end() if self._sandbox.looks_for_leaks and not seen.lost else []
        reports: list[LoadReport | UnloadReport] = [*seen.loads, *seen.unloads]
        found = [f for r in reports for f in r.flaws if f.kind in OTHERS]
        if not seen.lost:
            found += self._sandbox.bugs()
        if not seen.used and not seen.lost:
            found += flaws_of_residue(self._sandbox.residue(seen.loads, seen.unloads) or ())
        stuck = [] if self._sandbox.looks_for_leaks or seen.lost else self._stuck()
        # What works, or waits for what comes, ends when its module goes.
        if stuck:
            before = seen.place
            wrong += self._end(stuck)
            seen.place = before or (stuck[0].place if wrong else None)
        seen.flaws = (*found, *wrong)
        return seen.flaws

    def _stuck(self) -> list[Stuck]:
        """The workers and threads that are busy in a module."""
        with contextlib.suppress(KscaffoldError, OSError):
            return list(self._sandbox.stuck() if self.evidence.loads else ())
        return []

    def _end(self, stuck: Sequence[Stuck] = ()) -> list[Flaw]:
        """Unload what the test left in, the last one first, and return what was wrong with that; a module
        that is in use stays. `stuck`: who was busy before.
        """
        found = []
        with contextlib.suppress(KscaffoldError, GuestFailure, OSError):
            if stuck:  # of whom the kernel would tell no more, and each second
                self._sandbox.write(_PATIENCE, b"0")
            here = {module.name for module in self._sandbox.modules()}
            for report in reversed(tuple(self.evidence.loads)):
                if report.module in here:
                    here.remove(report.module)
                    done = self.try_unload(self.evidence.modules[report.module])
                    found += [flaw for flaw in done.flaws if flaw.kind in OTHERS]
                    found += flaws_of_endless_unload(done, str(stuck[0]) if stuck else "")
        return found

    def _pass_file(self, path: str, data: bytes | None, timeout: float) -> Executed:
        __tracebackhide__ = True
        self._alive()
        self.evidence.used = True
        with self._answering():
            done = self._sandbox.pass_file(path, data, timeout=timeout)
        self._take(done.complaints, done.log, done.place, lost=done.lost)
        if done.errno and not done.late:
            raise OSError(done.errno, os.strerror(done.errno), path)
        call = "read" if data is None else "write"
        self._judge(done, f"{call} of {path}", timeout)
        if done.status:
            how = _WRONG_COUNTS.get(done.status, "was killed by the kernel")
            raise GuestFailure(f"a {call} of {path} {how}")
        return done

    def _judge(self, done: Executed, name: str, timeout: float) -> None:
        __tracebackhide__ = True
        self.evidence.stack = self.evidence.stack or done.stack
        self.evidence.late = self.evidence.late or done.late
        if done.lost:
            how = f"hangs, at {done.place}" if done.late and done.place else "crashed, or hangs"
            raise GuestFailure(f"the guest did not outlive {name}: its kernel {how}")
        if done.late:
            raise GuestFailure(f"{name} did not end within {timeout:g} s{done.stands}")
        if done.errno:
            raise GuestFailure(f"{name} did not start: {os.strerror(done.errno)}")

    def _ko(self, module: str | Path | None) -> Path:
        __tracebackhide__ = True
        if module is None:
            if len(self._modules) != 1:
                names = ", ".join(self._modules) or "none"
                raise GuestFailure(f"which module? the project has: {names}")
            return next(iter(self._modules.values()))
        name = str(module)
        if name.endswith(".ko"):
            return self._directory / name
        wanted = normalize_name(name)
        found = self._modules.get(wanted) or module_of_kernel(wanted, self.kernel)
        if found is None:
            names = ", ".join(self._modules) or "none"
            raise GuestFailure(
                f"neither the project nor {self.kernel.name} has a module {name}; the project has: {names}"
            )
        return found

    def _note(self, *words: str) -> None:
        self.evidence.commands.append(shlex.join(("kscaffold", *words)))

    def _alive(self) -> None:
        __tracebackhide__ = True
        if self.evidence.lost:
            raise GuestFailure("the guest is lost: its kernel crashed, or hangs")

    def _take_report(self, report: LoadReport | UnloadReport) -> None:
        """Keep what a load or an unload told, and whether the guest outlived it."""
        verdict = report.judgement.verdict
        self.evidence.stack = self.evidence.stack or report.stack
        self.evidence.late = self.evidence.late or verdict == "hung"
        lost = verdict in ("crashed", "hung", "lost") and not self._answers()
        place = report.place
        if place and len(self.evidence.modules) > 1:
            # A load knows its own module only; here the one that was called by it is known, too.
            files = files_by_module(self.evidence.modules.values())
            place = complaints_of(report.log, files, None)[1] or place
        self._take(report.judgement.complaints, report.log, place, lost=lost)

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Fail the test where the guest does not answer, with what its kernel was at."""
        __tracebackhide__ = True
        try:
            yield
        except KscaffoldError as error:
            if error.code != "KS610":
                raise
            records, place, stack = self._sandbox.last_words()
            self.evidence.stack = self.evidence.stack or stack
            self._take((), records, place, lost=True)
            raise GuestFailure("the guest does not answer: its kernel crashed, or hangs") from None

    def _answers(self) -> bool:
        with contextlib.suppress(KscaffoldError, OSError):
            return bool(self._sandbox.modules() is not None)
        return False

    def _take(
        self,
        complaints: Iterable[Complaint],
        records: Sequence[Record],
        place: SourceLine | None,
        *,
        lost: bool,
    ) -> None:
        """Keep what an answer told."""
        self.evidence.complaints += complaints
        self.evidence.records += records
        self.evidence.place = self.evidence.place or place
        self.evidence.lost = self.evidence.lost or lost

"""What a target says of its kernel, by the files of a kernel that was written here."""

import errno
from pathlib import Path

import pytest

from kscaffold.diagnosis.attempt import NOT_KNOWN, Facts
from kscaffold.errors import KscaffoldError
from kscaffold.sandbox.agent.channel import Channel
from kscaffold.sandbox.agent.protocol import Answer, Verb
from kscaffold.targets.absent import AbsentSandbox
from kscaffold.targets.facts import KernelFiles, read_facts
from kscaffold.targets.host import HostTarget
from kscaffold.targets.sandbox import SandboxTarget

ALL = {
    "/proc/self/status": b"CapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\nSeccomp:\t0\n",
    "/proc/self/uid_map": b"         0          0 4294967295\n",
    "/proc/sys/kernel/modules_disabled": b"0\n",
    "/sys/kernel/security/lockdown": b"none [integrity] confidentiality\n",
    "/sys/module/module/parameters/sig_enforce": b"Y\n",
    "/sys/module/loaded/.": b"",
    "/sys/module/loaded/initstate": b"live\n",
    "/sys/module/printk/.": b"",
}


class Files:
    """A kernel's files, and how often somebody asked for one."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.asked = files, 0

    def read(self, path: str) -> bytes:
        self.asked += 1
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        return self.files[path]


def test_facts_are_what_the_files_say():
    found = read_facts("hello", KernelFiles(Files(ALL).read))
    assert found == Facts(False, False, False, True, True, False)
    assert read_facts("hello", KernelFiles(Files(ALL).read), capabilities="CapBnd").capable is True


@pytest.mark.parametrize(("name", "builtin"), [("printk", True), ("loaded", False), ("hello", False)])
def test_a_name_of_built_in_code_has_a_directory_and_no_state(name: str, builtin: bool):
    assert read_facts(name, KernelFiles(Files(ALL).read)).builtin is builtin


def test_what_is_not_there_is_not_known():
    assert read_facts("hello", KernelFiles(Files({}).read)) == Facts(builtin=False)
    # A kernel without user namespaces has no uid_map: the capability is the whole one.
    status = {"/proc/self/status": b"CapEff:\t000001ffffffffff\n"}
    assert read_facts("hello", KernelFiles(Files(status).read)).capable is True
    other = {**status, "/proc/self/uid_map": b"0 100000 65536\n"}
    assert read_facts("hello", KernelFiles(Files(other).read)).capable is False


def test_a_kernel_that_does_not_answer_is_asked_once():
    asked = []

    def read(path: str) -> bytes:
        asked.append(path)
        raise KscaffoldError("KS610", "the sandbox does not answer")

    files = KernelFiles(read)
    assert read_facts("hello", files) == Facts(builtin=False) and files.is_silent
    assert len(asked) == 1


def test_a_host_reads_its_own_files_and_answers_for_no_other_module(tmp_path: Path):
    for path, content in ALL.items():
        if not path.endswith("/."):
            (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path[1:]).write_bytes(content)
    target = HostTarget(lambda _: None, tmp_path)
    assert target.read("/sys/module/loaded/initstate") == b"live\n"
    with pytest.raises(FileNotFoundError):
        target.read("/nothing")
    with pytest.raises(NotADirectoryError):
        target.read("/proc/self/status/.")
    found = target.facts("loaded")
    assert (found.lockdown, found.sig_enforce, found.builtin) == (True, True, False)
    # Others load modules, too: its taint and its later words prove nothing.
    assert target.tainted() is None and target.watch(60) is None


def test_where_no_sandbox_runs_nothing_is_known_and_nothing_waits():
    target = AbsentSandbox()
    assert (target.modules(), target.log(), target.tainted(), target.watch(60)) == ([], [], None, None)
    assert target.facts("hello") == NOT_KNOWN and target.unload("hello", 1).errno == errno.ENOENT
    with pytest.raises(FileNotFoundError):
        target.read("/proc/version")


class SleepingMachine(Channel):
    """A guest that is well until it is looked at `crashes` times after its machine slept for a minute."""

    def __init__(self, crashes: int) -> None:
        self.seconds, self.looks, self.crashes = 0.0, 0, crashes

    def now(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += 60 if self.looks == 10 else seconds + 0.001

    def ask(self, verb: Verb, payload: bytes = b"", **more: object) -> Answer:
        if verb is Verb.LOG:
            return Answer(0, b"")
        self.looks += 1
        return Answer(0, b"0\n" if self.looks < 10 + self.crashes else b"128\n")


@pytest.mark.parametrize(("crashes", "errno"), [(5, None), (60, 0)])
def test_a_machine_that_slept_has_not_watched_meanwhile(crashes, errno):
    """The timer of a guest that slept as well comes after both wake."""
    machine = SleepingMachine(crashes)
    assert SandboxTarget(machine, ("6.1", "x86_64"), "tcg", "").watch(0.98).errno == errno
    # A second of looks, 20 of them in one, of which that minute counts as 0.2 s.
    assert machine.looks == (15 if errno is None else 18)

"""The standard examination of a module: what is asked of each one where its project has no tests of its own.

pytest runs this file as it runs a project's tests, with the same fixtures.
"""

import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kscaffold.elf.model import ModuleParameter
from kscaffold.elf.module_name import normalize_name
from kscaffold.files import reader
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.build_project import build_project
from kscaffold.module.check import check_module
from kscaffold.module.predict.param_values import RANGES
from kscaffold.project.ask import read_project
from kscaffold.sandbox.agent.running_clock import LookingClock
from kscaffold.testing.guest import TIMEOUT, Guest, GuestFailure
from kscaffold.testing.project import project_of
from kscaffold.testing.results import SOURCE

# What a module is asked to take besides the ends of a type's range.
_MORE_VALUES = {
    "bool": ("Y", "N"),
    "invbool": ("Y", "N"),
    "bool_enable_only": ("Y",),
    "bint": ("Y", "N"),
    "charp": ("x", "x" * 1000),
    "string": ("x", "x" * 1000),
}
_LOOK = 0.05  # s between two looks for a process
# Where the devices and files of modules are.
_PLACES = ("/dev", "/proc", "/sys/kernel/debug")
# Opens a file, says so, and holds it open in a process that outlives the command.
_HOLDER = """
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int count, char **words)
{
	int file = open(words[1], O_RDONLY | O_NONBLOCK), stream;

	if (count != 2 || file < 0)
		return 1;
	if (fork())
		return 0;
	setsid();
	for (stream = 0; stream < 3; stream++)
		close(stream);
	for (;;)
		pause();
}
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each module of the project."""
    if "module_name" in metafunc.fixturenames:
        project = project_of(metafunc.config.getoption("--kscaffold-project") or Path.cwd())
        names = [normalize_name(t.name) for t in read_project(project, None).targets] if project else []
        metafunc.parametrize("module_name", names)


def test_builds_without_warnings(
    request: pytest.FixtureRequest, kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the project builds at W=1, and no line of its own is warned of."""
    project = project_of(request.config.getoption("--kscaffold-project") or Path.cwd())
    assert project is not None
    copy = tmp_path / project.name
    _copy(project, copy)
    monkeypatch.setenv("KBUILD_EXTRA_WARN", "1")  # what W=1 sets
    report = build_project(copy, kernel)
    mine = [c for c in report.complaints if c.file and not Path(c.file).is_absolute()]
    said = [f"{c.file}:{c.line}: {c.level}: {c.text}" for c in mine]
    if not report.ok and not said and report.explanation:
        said = [str(report.explanation.cause or report.explanation.what)]
    if mine:
        request.node.user_properties.append((SOURCE, f"{mine[0].file}:{mine[0].line}"))
    if said or not report.ok:
        pytest.fail("\n".join(said), pytrace=False)


def _copy(project: Path, copy: Path) -> None:
    """Copy what make reads of a project. Links stay links, and what is no plain file of a text's size
    becomes a link: there may be no end to copying it. The copy is this user's alone, whatever the umask: make
    would not read it else.
    """
    made = shutil.ignore_patterns("*.o", "*.ko", ".*", "*.mod", "*.mod.c")
    project = project.absolute()
    for where, inside, names in os.walk(project):
        here = copy / Path(where).relative_to(project)
        here.mkdir(mode=0o755)
        inside[:] = sorted({*inside} - made(where, inside))
        links = [name for name in inside if Path(where, name).is_symlink()]  # which are not walked into
        for name in {*names, *links} - made(where, names):
            _put(Path(where, name), here / name, project)


def _put(file: Path, to: Path, project: Path) -> None:
    facts = file.lstat()
    if stat.S_ISLNK(facts.st_mode):
        target = file.parent / file.readlink()
        within = not file.readlink().is_absolute() and Path(os.path.normpath(target)).is_relative_to(project)
        to.symlink_to(file.readlink() if within else target)
    elif stat.S_ISREG(facts.st_mode) and facts.st_size <= reader.MOST_TEXT and os.access(file, os.R_OK):
        shutil.copy2(file, to)
        to.chmod(facts.st_mode & 0o755)
    else:
        to.symlink_to(file)


def test_check(kernel: Kernel, modules: dict[str, Path], module_name: str) -> None:
    """Nothing is wrong with the .ko."""
    report = check_module(modules[module_name], kernel=kernel)
    wrong = [f"{f.code}: {f.message}" for f in report.findings if f.level == "error"]
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def test_loads_and_unloads_twice(guest: Guest, module_name: str) -> None:
    """What exit leaves behind meets the second load."""
    for _ in range(2):
        guest.load(module_name)
        guest.unload(module_name)


def test_parameters_at_their_limits(
    new_guest: Callable[[], Guest], modules: dict[str, Path], module_name: str
) -> None:
    """Each parameter takes, or refuses, the ends of its range: neither crashes the kernel."""
    ko = check_module(modules[module_name]).ko
    values = [(p, value) for p in (ko.parameters if ko else ()) for value in _values(p)]
    if not values:
        pytest.skip(f"{module_name} has no parameters")
    guest = new_guest()
    for parameter, value in values:
        report = guest.try_load(module_name, **{parameter.name: value})
        verdict = report.judgement.verdict
        if verdict in ("crashed", "hung", "lost"):
            raise GuestFailure(f"with {parameter.name}={value} the load {verdict}: {report.judgement.cause}")
        if report.ok:
            guest.unload(module_name)


def _values(parameter: ModuleParameter) -> tuple[str, ...]:
    kind = (parameter.type or "").removeprefix("array of ")
    if kind in RANGES:
        return tuple(str(value) for value in dict.fromkeys((*RANGES[kind], 0)))
    return _MORE_VALUES.get(kind, ())


def test_unload_while_in_use(guest: Guest, module_name: str, tmp_path: Path) -> None:
    """Where a file of the module's is open, the unload is refused, or survived: so is the close after it."""
    before = _files(guest)
    guest.load(module_name)
    files = sorted(_files(guest) - before)
    (tmp_path / "hold.c").write_text(_HOLDER)
    held = [file for file in files if guest.exec(tmp_path / "hold.c", file).returncode == 0]
    if not held:
        pytest.skip(f"{module_name} makes no file that can be held open in {', '.join(_PLACES)}")
    report = guest.try_unload(module_name)
    if report.judgement.verdict in ("crashed", "hung", "lost"):
        j = report.judgement
        raise GuestFailure(f"the unload {j.verdict} while {held[0]} was open: {j.cause}")
    guest.exec("killall", "-KILL", "hold")
    clock = LookingClock()
    while guest.exec("pidof", "hold").returncode == 0 and clock.look() < TIMEOUT:
        if report.ok and guest.complaints():
            raise GuestFailure(
                f"{module_name} was unloaded while {held[0]} was open, and the kernel crashed when that was"
                " closed: without .owner = THIS_MODULE nobody holds the module"
            )
        time.sleep(_LOOK)
    if not report.ok:
        guest.unload(module_name)


def _files(guest: Guest) -> set[str]:
    """The files in the places of modules, but for those of processes."""
    found = guest.exec("find", *_PLACES, "-maxdepth", "2", "!", "-type", "d").stdout.split("\n")
    return {line for line in found if (line and not line.startswith("/proc/")) or line.count("/") == 2}

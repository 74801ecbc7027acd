"""What a script may use: the names and signatures are a contract, and docs/api.md shows what is so."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kscaffold import api
from tests.conftest import ROOT, need_program
from tests.support.kernels import need_kernel
from tests.support.projects import HELLO, write

PAGE = (ROOT / "docs/api.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.S)

# A name may be added, and a parameter with a default; what is here stays.
SIGNATURES = {
    "build": "(project='.', kernel=None, *, jobs=None, progress=SILENT)",
    "check": "(ko, *, kernel=None, parameters=(), cmdline='')",
    "choose_kernel": "(release=None, *, offline=False, progress=SILENT)",
    "execute": "(*words, directory='.', input=b'', kernel=None, fresh=False, timeout=60.0, progress=SILENT)",
    "test": "(*paths, directory='.', kernels=(), instruments=(), executor=None, progress=SILENT)",
    "matrix": "(*kos, directory='.', kernels, sets=((),), executor=None, timeout=10.0, progress=SILENT)",
    "explain": "(topic=None, *, log=None)",
    "explain_load": "(*kos, directory='.', parameters=(), kernel=None, timeout=10.0, progress=SILENT)",
    "find_kernel": "(release=None)",
    "info": "(ko)",
    "kernels": "()",
    "load": "(*kos, directory='.', parameters=(), kernel=None, host=False, sanitize=False, timeout=10.0,"
    " progress=SILENT)",
    "new": "(name, directory='.', *, template=None, author=None, description=None, license='GPL-2.0-only')",
    "run": "(*kos, directory='.', sets=((),), kernel=None, instruments=(), timeout=10.0, progress=SILENT)",
    "stop_sandbox": "(directory='.')",
    "unload": "(*names, directory='.', host=False, timeout=10.0, progress=SILENT)",
    "Project": "(directory)",
    "Project.build": "(self, kernel=None, *, jobs=None, progress=SILENT)",
    "Project.find": "(directory='.')",
    "Project.modules": "(self, kernel=None)",
    "Progress": "(step=_ignore_step, note=_ignore, detail=_ignore, warn=_ignore, verbose=False, bar=_no_bar)",
    "Sandbox": "(kernel=None, *, cmdline='', certs=None, offline=False, devices=(), progress=SILENT)",
    "Sandbox.exec": "(self, program, *arguments, input=b'', copy=(), env=None, timeout=60.0)",
    "Sandbox.firmware": "(self, name, data)",
    "Sandbox.write": "(self, path, data)",
    "Sandbox.load": "(self, ko, *, timeout=10.0, **parameters)",
    "Sandbox.log": "(self)",
    "Sandbox.modules": "(self)",
    "Sandbox.read": "(self, path)",
    "Sandbox.unload": "(self, module, *, timeout=10.0)",
}
# The reports: their fields are the facts that a script reads.
REPORTS = {
    "BuildReport": "ok project modules release arch log complaints notes seconds up_to_date explanation",
    "CheckReport": "path ko kernel arch prediction findings signature",
    "Created": "name path template module sources files repository needs",
    "Executed": "status errno late lost complaints place log stdout stderr kernel arch seconds loads"
    " failed_build stack stands ending",
    "Explanation": None,
    "Judgement": None,
    "Kernel": None,
    "Listed": "name size refcount used_by state taints permanent",
    "LoadReport": "module file parameters target kernel judgement log seconds accelerator dependencies note "
    "stack prediction_mismatch place timeline residue as_user requests crashed_by arch",
    "LoadWalkthrough": "report anatomy observed steps flaw unload ordinary_user",
    "Loads": "reports failed_build sanitizer",
    "Record": None,
    "Run": "tries build_seconds failed_build allow sanitizer faults coverage",
    "Matrix": "cells seconds",
    "MatrixCell": "kernel parameters run error seconds arch",
    "TestRun": "directory kernels results examined seconds no_answer part coverage arches",
    "UnloadReport": "module judgement log seconds place dangling note due residue findings kernel arch bugs"
    " stack begun crashed_by",
    "Walkthroughs": "loads failed_build",
}
ERRORS = ("KscaffoldError", "UsageError")


def shown(callable_: object) -> str:
    """A signature without types, which mypy holds; a default that is no literal by its name."""
    parameters = []
    signature = inspect.signature(callable_)  # type: ignore[arg-type]
    for parameter in signature.parameters.values():
        default = parameter.default
        if default is api.SILENT:
            default = _Name("SILENT")
        elif inspect.isfunction(default):
            default = _Name(default.__name__)
        parameters.append(parameter.replace(annotation=inspect.Parameter.empty, default=default))
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


class _Name:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


def test_the_names():
    functions = {name for name in SIGNATURES if "." not in name}
    assert set(api.__all__) == functions | set(REPORTS) | set(ERRORS)
    assert list(api.__all__) == sorted(api.__all__)


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_signature(name: str):
    found = api
    for part in name.split("."):
        found = getattr(found, part)
    assert shown(found) == SIGNATURES[name]
    assert found.__doc__


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_is_frozen(name: str):
    report = getattr(api, name)
    assert report.__dataclass_params__.frozen
    assert report.__doc__
    if REPORTS[name]:
        assert " ".join(report.__dataclass_fields__) == REPORTS[name]


def test_a_name_that_is_none():
    with pytest.raises(AttributeError, match="has no attribute 'reboot'"):
        api.reboot  # noqa: B018
    with pytest.raises(ValueError, match="not open"):
        api.Sandbox().modules()


def test_importing_it_costs_its_own_text():
    """No more of kscaffold than errors and Progress, and nothing of anybody else's."""
    probe = "import sys; before = set(sys.modules); import kscaffold.api; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    ours = {name for name in loaded if name.split(".")[0] == "kscaffold"}
    assert ours == {
        "kscaffold",
        "kscaffold.api",
        "kscaffold.errors",
        "kscaffold.progress",
        "kscaffold.records",
    }
    assert not {name for name in loaded - ours if name.split(".")[0] not in sys.stdlib_module_names}


def test_a_project_is_found_made_and_explained_without_a_kernel(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    created = api.new("hello")
    assert (created.path, created.module) == (tmp_path / "hello", "hello.ko")
    assert api.Project.find("hello").directory == tmp_path / "hello"
    with pytest.raises(api.KscaffoldError) as caught:
        api.Project.find(tmp_path)
    assert caught.value.code == "KS101"
    with pytest.raises(api.UsageError):
        api.new("hello")
    assert api.explain("KS230").known
    assert not api.explain("KS9999").known


@pytest.mark.kernel
def test_a_build_that_fails_is_a_report(tmp_path: Path):
    kernel = need_kernel("6.1")
    created = api.new("hello", tmp_path)
    (created.path / "hello.c").write_text("int x = ;\n")
    lines: list[str] = []
    report = api.build(created.path, kernel, progress=api.Progress(note=lines.append))
    assert not report.ok
    assert report.explanation
    assert report.complaints[0].line == 1
    assert any("hello.c:1" in line for line in lines)
    loads = api.load(directory=created.path, kernel=kernel.release)
    assert (loads.ok, loads.reports) == (False, ())
    assert loads.failed_build
    assert loads.failed_build.explanation == report.explanation
    run = api.run(directory=created.path, kernel=kernel.release)
    assert (run.ok, run.tries) == (False, ())


CRASH = HELLO.replace('pr_info("hello\\n");', "*(volatile int *)8 = 1;")


@pytest.mark.sandbox
def test_a_crash_ends_no_more_than_the_guest(tmp_path: Path):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    project = write(tmp_path, Kbuild="obj-m := hello.o crash.o\n", hello__c=HELLO, crash__c=CRASH)
    assert api.build(project, kernel).ok
    with api.Sandbox(kernel) as sandbox, api.Sandbox(kernel) as other:
        assert sandbox.load(project / "hello.ko").ok
        report = sandbox.load(project / "crash.ko")
        assert (report.ok, report.judgement.verdict) == (False, "crashed")
        assert report.place and report.place.line == 6
        assert any("NULL pointer" in record.text for record in sandbox.log())
        with pytest.raises(FileNotFoundError):
            sandbox.read("/nothing")
        with pytest.raises(api.UsageError):
            sandbox.load(project / "nothing.ko")
        pristine = other.modules()
        assert other.load(project / "hello.ko").ok
        assert {m.name for m in other.modules()} - {m.name for m in pristine} == {"hello"}
        assert other.unload(project / "hello.ko").ok
        again = other.unload("hello")
        assert (again.ok, again.judgement.errno) == (False, "ENOENT")
    with pytest.raises(ValueError, match="not open"):
        other.modules()


@pytest.mark.sandbox
def test_a_loaded_module_stays_in_the_project_s_sandbox(tmp_path: Path, ks):
    """The same sandbox as the command's."""
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    write(tmp_path, Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    notes: list[tuple[str, str]] = []
    loads = api.load(
        directory=tmp_path, kernel=kernel, progress=api.Progress(lambda *step: notes.append(step))
    )
    assert loads.ok
    assert [report.module for report in loads.reports] == ["hello"]
    assert ("Building", f"hello for {kernel.release}") in notes
    listed = ks("list", "-C", tmp_path, "--json").json
    assert [m["name"] for m in listed["modules"]] == ["hello"]
    again = api.load(directory=tmp_path, kernel=kernel)
    assert (again.ok, again.reports[0].judgement.errno) == (False, "EEXIST")


@pytest.mark.sandbox
def test_the_page_shows_what_is_so(tmp_path: Path, monkeypatch, capfd):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    need_kernel("6.1")
    monkeypatch.chdir(tmp_path)
    world: dict[str, object] = {}
    assert len(EXAMPLES) > 5
    for example in EXAMPLES:
        exec(compile(example, "docs/api.md", "exec"), world)
    guests = Path(os.environ["XDG_RUNTIME_DIR"]) / "kscaffold/guests"
    assert list(guests.iterdir()) == [], "a guest was left"
    assert capfd.readouterr().err == ""

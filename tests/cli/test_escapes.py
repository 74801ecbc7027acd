"""Nothing that others named or wrote steers the terminal: every command, beside hostile names and texts."""

import io
import itertools
import json
import os
import pty
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from kscaffold import console
from kscaffold.cli.completion.candidates import complete
from kscaffold.cli.render.coverage import coverage as print_coverage
from kscaffold.cli.render.faults import faults as print_faults
from kscaffold.cli.render.sanitizer import findings as print_findings
from kscaffold.cli.render.test import tested as print_results
from kscaffold.diagnosis.reports.sanitizer import KINDS, Report, Site
from kscaffold.errors import EXIT_BUG, KscaffoldError
from kscaffold.explain.html import Section
from kscaffold.explain.html import render_page as loads_page
from kscaffold.instrument.coverage import Coverage, FileCoverage, FunctionCount
from kscaffold.instrument.fault_calls import failures
from kscaffold.instrument.fault_rows import Call, Faults, Row, Wrong
from kscaffold.instrument.findings import Finding, Findings
from kscaffold.load.addr2line import SourceLine
from kscaffold.testing.html import render_page
from kscaffold.testing.junit import joined
from kscaffold.testing.pytest_job import TestResult as Result
from kscaffold.testing.run import TestRun as Run
from tests.conftest import ROOT
from tests.support.elf import Ko
from tests.support.projects import HELLO
from tests.support.worlds import World

EVIL = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202e"
# What would be a line of its own.
FORGED = "x\nerror[KS999]: forged"
# What a terminal may get: text, newlines and tabs, and our own colours.
STEERS = re.compile(r"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e]")
OURS = re.compile(r"\x1b\[(?:[0-9]|3[0-9])m")

COMMANDS = (
    "check",
    "check evil.ko",
    "check .",
    "info evil.ko",
    "info",
    "adopt",
    "adopt .",
    "build",
    "clean",
    "list",
    "logs",
    "unload",
    "unload {evil}",
    "load {evil} --offline",
    "load evil.ko {evil}=1 --offline",
    "run evil.ko --offline",
    "explain {evil}",
    "explain load evil.ko --offline",
    "explain load {evil}.ko --offline",
    "new {evil}",
    "new hello --template {evil}",
    "update",
    "sign evil.ko --key {evil}",
    "sign {evil}",
    "package dkms",
    "kbuild add-module {evil}",
    "kbuild add-object {evil}.o",
    "kernel list",
    "kernel default {evil}",
    "kernel add --build {evil}",
    "kernel remove {evil}",
    "sandbox status",
    "sandbox stop",
    "cache",
    "cache prune",
    "doctor",
    "{evil}",
    "list --{evil}",
    "explain evil.log",
    "explain {evil}.log",
    "run evil.ko --offline --sanitize --no-build",
    "run evil.ko --offline --faults --no-build",
    "run evil.ko --offline --coverage --lcov {evil}/out",
    "run evil.ko --offline --html {evil}/out",
    "run --kernel {evil} --offline",
    "reload {evil} --offline",
    "exec --offline -- ./{evil}",
    "exec --offline --copy {evil} -- ./prog.sh",
    "load evil.ko --offline --firmware {evil}",
    "check evil.ko --cert {evil}",
    "test tests/{evil}.py --offline",
    "test -k {evil} --offline --kernel {evil}",
    "package install --root {evil} --offline --no-build",
    "kbuild rename evil {evil}",
    "kernel add {evil}/{evil}",
    "kernel add --image {evil}",
    "watch {evil}",
    "completion {evil}",
)


@pytest.fixture
def evil_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory, a Kbuild, a module and settings that try to steer the terminal."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache{EVIL}"))
    World().stored()
    place = tmp_path / f"dir{EVIL}"
    place.mkdir()
    (place / "Kbuild").write_text(f"$(info {EVIL})\n$(warning {EVIL})\nobj-m := evil.o {EVIL}.o\n")
    (place / "evil.c").write_text(HELLO + f"/* {EVIL} */\n")
    info = [
        ("description", EVIL),
        ("author", EVIL),
        ("firmware", EVIL),
        ("alias", EVIL),
        ("parm", f"{EVIL}:{EVIL}"),
    ]
    (place / "evil.ko").write_bytes(Ko("evil", info=info, vermagic=EVIL, license=EVIL, depends=EVIL).bytes())
    (place / "evil.log").write_text(f"[    1.000000] evil: {EVIL} Unknown symbol {EVIL} (err -2)\n")
    (place / "prog.sh").write_text(f"#!/bin/{EVIL}\n")
    (place / "dkms.conf").write_text(f'PACKAGE_NAME="{EVIL}"\n')
    (place / "kscaffold.toml").write_text('allow = ["\\u001b]0;pwned\\u0007"]\n')
    (place / "tests").mkdir()
    (place / "tests" / f"{EVIL}.py").write_text("")
    (place / ".kscaffold.toml").write_text(f'schema = 1\nkscaffold = "{EVIL!a}"\n')
    monkeypatch.chdir(place)
    return place


def test_no_command_passes_on_what_steers_a_terminal(ks, evil_place: Path):
    for command in COMMANDS:
        ran = ks(*(word.replace("{evil}", EVIL) for word in command.split()))
        assert ran.status != EXIT_BUG, (command, ran.err)
        found = STEERS.search(ran.out + ran.err)
        assert found is None, (command, (ran.out + ran.err)[max(0, found.start() - 80) : found.end() + 20])


def test_no_name_begins_a_line_that_seems_ours(ks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache{FORGED}"))
    World().stored()
    place = tmp_path / f"dir{FORGED}"
    place.mkdir()
    (place / "Kbuild").write_text("obj-m := evil.o\n")
    (place / "evil.c").write_text(HELLO)
    (place / f"{FORGED}.c").write_text(HELLO)
    info = [(key, FORGED) for key in ("description", "author", "firmware", "alias", "version")]
    info.append(("parm", f"{FORGED}:{FORGED}"))
    ko = Ko("evil", info=info, vermagic=FORGED, license=FORGED, depends=FORGED)
    (place / "evil.ko").write_bytes(ko.bytes())
    (place / f"{FORGED}.ko").write_bytes(ko.bytes())
    (place / "evil.log").write_text("[    1.000000] evil: Unknown symbol x (err -2)\n")
    (place / "prog.sh").write_text(f"#!/bin/{FORGED}\n")
    (place / "tests").mkdir()
    (place / "tests" / f"{FORGED}.py").write_text("")
    (place / ".kscaffold.toml").write_text(f"schema = 1\nkscaffold = {json.dumps(FORGED)}\n")
    (place / "kscaffold.toml").write_text(f"allow = [{json.dumps(FORGED)}]\n")
    monkeypatch.chdir(place)
    found = []
    for command in (*COMMANDS, "check {evil}.ko", "info {evil}.ko", "load {evil}.ko", "-C {evil} build"):
        ran = ks(*(word.replace("{evil}", FORGED) for word in command.split()))
        assert ran.status != EXIT_BUG, (command, ran.err)
        lines = (ran.out + ran.err).split("\n")
        at = [n for n, line in enumerate(lines) if line.startswith("error[KS999]")]
        found += [(command, lines[n - 1][-120:]) for n in at]
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize("text", [f"[    1.000000] evil: {EVIL} Unknown symbol {EVIL} (err -2)\n", EVIL])
def test_a_log_on_stdin(tmp_path: Path, text: str):
    argv = [sys.executable, "-m", "kscaffold", "explain", "-"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(argv, input=text.encode(), capture_output=True, env=env)
    assert STEERS.search((ran.stdout + ran.stderr).decode()) is None


@pytest.mark.parametrize("command", ["check evil.ko", "list", "adopt", "doctor"])
def test_a_terminal_gets_our_colours_and_nothing_else(evil_place: Path, command: str):
    env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {
        "TERM": "xterm",
        "PYTHONPATH": str(ROOT),
    }
    reader, writer = pty.openpty()
    argv = [sys.executable, "-m", "kscaffold", *command.split()]
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer, env=env)
    os.close(writer)
    said = b""
    while True:
        try:
            part = os.read(reader, 65536)
        except OSError:  # EIO: the last writer has closed it
            break
        if not part:
            break
        said += part
    os.close(reader)
    assert child.wait() in (0, 1, 69)
    text = said.decode().replace("\r\n", "\n")
    assert command == "list" or OURS.search(text)
    assert STEERS.search(OURS.sub("", text)) is None, text


def tables() -> None:
    """The tables of tests, failing calls, coverage, the sanitizer and residue, of a module that means ill."""
    place = SourceLine(EVIL, 7, EVIL, ((6, EVIL), (7, EVIL)))
    at, site = (Site(role, f"{EVIL}+0x1/0x2 [{EVIL}]", EVIL, EVIL) for role in ("at", "allocated"))
    report = Report(next(iter(KINDS)), EVIL, "read", 8, EVIL, None, (at, site), (site,), text=EVIL, lock=EVIL)
    findings = (Finding(report, place, ((at, place), (site, place)), EVIL),)
    print_findings(Findings(findings, {EVIL: "why"}, frozenset({0})))
    wrong, function = (Wrong(EVIL, EVIL), Wrong(EVIL)), next(iter(failures()))
    rows = [
        Row(Call(n, function, False, f"{EVIL}+0x1/0x2 [{EVIL}]"), where, outcome, EVIL, wrong, EVIL, EVIL)
        for n, (where, outcome) in enumerate(itertools.product((place, None), ("leaked", "crashed", "clean")))
    ]
    print_faults(Faults(tuple(rows), 3), ())
    print_faults(Faults((), 0, EVIL), ())
    counted = (FunctionCount(EVIL, 1, 0),)
    file = FileCoverage(EVIL, Path(EVIL), {1: 0, 2: 1, 3: 0}, counted, (EVIL, EVIL, EVIL))
    coverage = Coverage((file,), {EVIL: "why"})
    print_coverage(coverage)
    print_results(results(coverage))


def results(coverage: Coverage | None = None) -> Run:
    error = KscaffoldError("KS653", EVIL, cause=EVIL, fix=EVIL)
    failed = Result(f"{EVIL}::{EVIL}", "failed", 1.0, EVIL, (EVIL,), EVIL, EVIL, 3, ((EVIL, EVIL),))
    alone = Result(f"tests/{EVIL}.py::x", "passed", 1.0, EVIL, (), EVIL)
    return Run(Path(EVIL), (EVIL, "6.1"), (failed, alone), False, 1.0, {EVIL: error}, None, coverage)


def test_no_table_steers_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    for service in ("", "GITHUB_ACTIONS"):
        monkeypatch.setenv(service or "UNSET", "true")
        tables()
    said = "".join(capsys.readouterr())
    assert said.count(r"\x1b]0;pwned") > 40
    found = STEERS.search(said)
    assert found is None, said[max(0, found.start() - 80) : found.end() + 20]


def test_no_page_steers_who_prints_it():
    page = render_page(results(), datetime.now().astimezone())
    assert page.count(r"\x1b]0;pwned") > 5 and STEERS.search(page) is None
    row = Section(EVIL, EVIL, (EVIL,), ((EVIL,),), ((EVIL, ((1, EVIL, True),)),))
    page = loads_page((), datetime.now().astimezone(), [row])
    assert page.count(r"\x1b]0;pwned") > 3 and STEERS.search(page) is None


@pytest.mark.parametrize("count", [1, 2])
def test_no_report_of_junit_steers_who_prints_it(count: int):
    """pytest writes #x1B for what XML can't have; C1 and marks of direction XML can."""
    part = '<testsuites><testsuite><testcase name="\x9b31m\u202e\u2066é\u00a0"/></testsuite></testsuites>'
    text = joined([part.encode()] * count).decode()
    assert 'name="#x9B31m#x202E#x2066é\u00a0"' in text and STEERS.search(text) is None


def test_a_shell_is_offered_no_name_that_steers_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("good.ko", f"{EVIL}.ko", "two\nlines.ko"):
        (tmp_path / name).write_bytes(b"")
    assert complete(["load", f"{tmp_path}/"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/good.ko\n"


def test_the_one_door_cleans_what_it_writes(monkeypatch: pytest.MonkeyPatch):
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stderr", heard)
    console.note(f"a\tb\u00a0c é {EVIL}\n\udfff31m\rend")
    assert heard.getvalue() == ("a\tb\u00a0c é \\x1b]0;pwned\\x07\\x1b[2J\\x9b31m\\x202e\n\x1b[31m\\x0dend\n")


def test_a_screen_is_emptied_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    console.clear()
    assert stream.getvalue() == ""
    stream.isatty = lambda: True
    monkeypatch.setenv("TERM", "dumb")
    console.clear()
    assert stream.getvalue() == ""
    monkeypatch.setenv("TERM", "xterm")
    console.clear()
    assert stream.getvalue() == "\x1b[2J\x1b[H"

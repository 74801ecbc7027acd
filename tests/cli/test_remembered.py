"""A command line that was parsed before means what typer made of it, and typer is not imported for it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kscaffold.cli import remembered, verbs
from kscaffold.cli.registry import commands
from kscaffold.files import paths

LINES = (
    ["run"],
    ["run", "-p", "a=1 b=2", "-p", "", "--repeat", "3", "--timeout", "2.5", "--json", "count=1"],
    ["load", "x.ko", "name=a b", "--kernel", "6.1", "--trace", "-v"],
    ["unload"],
    ["check", "--", "-odd.ko", "a=1"],
    ["build", "-v"],
    ["list", "-a"],
    ["logs"],
)


@pytest.fixture
def parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict]]:
    """The calls that command lines end in, instead of what the commands do."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "kscaffold").mkdir()
    calls: list[tuple[str, dict]] = []

    for verb in remembered._VERBS:
        command = verbs.command_of(verb)
        module = sys.modules[command.__module__]

        def instead(__verb: str = verb, **values: object) -> int:
            calls.append((__verb, values))
            return 0

        instead.__wrapped__ = command  # its options are the command's
        instead.__annotations__ = command.__annotations__
        monkeypatch.setattr(module, command.__name__, instead)
    return calls


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_a_line_means_what_it_meant(parsed: list[tuple[str, dict]], line: list[str]):
    assert remembered.remembered(line) is None
    commands(line)(args=line, standalone_mode=False)
    known = remembered.remembered(line)
    assert known is not None
    known()
    (first, typed), (second, kept) = parsed
    assert (first, typed) == (second, kept) and first == line[0]


def test_what_is_not_kept(parsed: list[tuple[str, dict]], tmp_path: Path):
    for line in (
        ["run", "-C", str(tmp_path)],
        ["run", "--html", "x.html"],
        ["doctor"],
        ["run", "a=" + "1" * 5000],
    ):
        if line[0] in remembered._VERBS:
            commands(line)(args=line, standalone_mode=False)
        assert remembered.remembered(line) is None, line
    assert remembered.remembered([]) is None


def test_other_options_forget_what_lines_meant(
    parsed: list[tuple[str, dict]], monkeypatch: pytest.MonkeyPatch
):
    commands(["run"])(args=["run"], standalone_mode=False)
    assert remembered.remembered(["run"])
    monkeypatch.setattr(remembered, "__version__", "0.0.0")
    assert remembered.remembered(["run"]) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"stamp": 1}', '{"stamp": 1, "lines": 2}'])
def test_a_damaged_record_is_no_record(parsed: list[tuple[str, dict]], text: str):
    commands(["run"])(args=["run"], standalone_mode=False)
    file = paths.cache() / "command-lines" / "run.json"
    stamp = json.loads(file.read_text())["stamp"]
    file.write_text(text.replace("1", json.dumps(stamp), 1))
    assert remembered.remembered(["run"]) is None


def test_no_more_are_kept_than_a_day_needs(parsed: list[tuple[str, dict]]):
    for number in range(remembered._MOST_LINES + 3):
        line = ["run", f"n={number}"]
        commands(line)(args=line, standalone_mode=False)
    assert remembered.remembered(["run", "n=2"]) is None
    assert remembered.remembered(["run", f"n={number}"])


def test_typer_is_not_imported_for_a_known_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "kscaffold").mkdir()
    probe = (
        "import sys, kscaffold.cli.app as app\nstatus = app.main(['list'])\n"
        "print('typer' in sys.modules)\nsys.exit(status)"
    )
    said = [
        subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True).stdout
        for _ in range(2)
    ]
    assert [text.splitlines()[-1] for text in said] == ["True", "False"]

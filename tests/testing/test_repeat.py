"""The commands by which a failed test is repeated do what the test did: its kernel, its instruments."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from kscaffold.testing.verdict import EXAMINATION, again, sections


@pytest.mark.parametrize(("sanitized", "word"), [(False, ""), (True, " --sanitize")])
def test_the_same_test_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sanitized: bool, word: str):
    monkeypatch.chdir(tmp_path)
    test = tmp_path / "tests/test_it.py"
    assert again("test_a[6.1]", test, "6.1", sanitized=sanitized) == (
        f"kscaffold test --kernel 6.1{word} tests/test_it.py::test_a"
    )
    assert again("test_clean[6.1]", EXAMINATION, "6.1", sanitized=sanitized) == (
        f"kscaffold test --kernel 6.1{word} -k test_clean"
    )


@pytest.mark.parametrize(("sanitized", "word"), [(False, ""), (True, " --sanitize")])
def test_what_it_did_by_hand(sanitized: bool, word: str):
    commands = [
        "kscaffold load hello howmany=3",
        "kscaffold exec -- cat /proc/hello",
        "kscaffold unload hello",
    ]
    evidence = SimpleNamespace(place=None, stack="", trace="", commands=commands)
    kernel = SimpleNamespace(release="6.1.0-1-amd64")
    guest = SimpleNamespace(kernel=kernel, devices=("edu",), evidence=evidence, log=lambda: [])
    assert sections([guest], 100, sanitized=sanitized) == [
        (
            "by hand",
            "kscaffold sandbox stop\n"
            f"kscaffold load --kernel 6.1.0-1-amd64 --device edu{word} hello howmany=3\n"
            "kscaffold exec --kernel 6.1.0-1-amd64 --device edu -- cat /proc/hello\n"
            "kscaffold unload hello",
        )
    ]

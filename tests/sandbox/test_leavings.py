"""What an ended sandbox left is read as any file is: nobody waits for what may never end."""

import os

import pytest

from kscaffold.sandbox.live import registry


@pytest.mark.parametrize("name", ["lock", "log", "console"])
def test_no_command_waits_for_what_a_sandbox_left(ks, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KSCAFFOLD_COMMAND_TIMEOUT", "15")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = registry.sandbox_dir(tmp_path) / name
    place.parent.mkdir(parents=True, mode=0o700)
    os.mkfifo(place)
    for command in ("list", "logs", "unload", "cache", "cache prune"):
        ran = ks(*command.split())
        assert "KS008" not in ran.err and ran.status in (0, 1), (command, ran.err)

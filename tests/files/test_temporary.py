"""What a killed run leaves in the place for temporary files is swept by the next one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kscaffold.files.temporary import temporary_directory
from tests.conftest import ROOT

_HOLD = (
    "from kscaffold.files.temporary import temporary_directory\n"
    "import time\n"
    "with temporary_directory() as place:\n"
    "    (place / 'file').write_text('')\n"
    "    print(place, flush=True)\n"
    "    time.sleep(60)\n"
)


def test_what_a_killed_run_left_goes_and_what_lives_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    env = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", _HOLD], stdout=subprocess.PIPE, env=env) as other:
        assert other.stdout is not None
        left = Path(os.fsdecode(other.stdout.readline().strip()))
        (tmp_path / "kscaffold-work-link").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "kscaffold-work-file").write_text("")
        (tmp_path / "elsewhere").mkdir()
        with temporary_directory() as mine:
            assert left.parent == mine.parent == tmp_path and (left / "file").exists()
            assert mine.stat().st_mode & 0o777 == 0o700
        assert not mine.exists()
        other.send_signal(signal.SIGKILL)
        other.wait(10)
    assert left.exists()
    with temporary_directory() as mine:
        assert mine.exists() and not left.exists()
    kept = {"kscaffold-work-link", "kscaffold-work-file", "elsewhere"}
    assert {place.name for place in tmp_path.iterdir()} == kept


def test_no_other_door_leads_there():
    """A directory of tempfile's own is nobody's to sweep."""
    for file in (ROOT / "kscaffold").rglob("*.py"):
        if file.name not in ("temporary.py", "key.py"):
            assert "tempfile." not in file.read_text(), file

"""What `sign` says to do next can be typed as it stands."""

import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import need_program
from tests.support.elf import Ko


@pytest.mark.parametrize("words", [("odd dir/hello.ko",), ("-C", "odd dir", "hello.ko")])
def test_the_next_command_names_the_same_file(ks, tmp_path: Path, monkeypatch, words: tuple[str, ...]):
    need_program("openssl", "openssl")
    for name in ("CACHE", "DATA", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    (tmp_path / "odd dir").mkdir()
    (tmp_path / "odd dir/hello.ko").write_bytes(Ko().bytes())
    monkeypatch.chdir(tmp_path)
    ran = ks("sign", *words)
    assert ran.status == 0, ran.err
    told = re.search(r"Next kscaffold (.*)", ran.err)
    assert told is not None
    where = ["-C", "odd dir"] if "-C" in words else []
    assert shlex.split(told[1]) == ["run", words[-1], *where, "--cmdline", "module.sig_enforce=1"]

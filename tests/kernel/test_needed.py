"""What is missing is told before a kernel is fetched, and so is a place that can't be written to."""

import os
import shutil
from pathlib import Path

import pytest

from kscaffold import process
from tests.support.projects import HELLO, write


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A container without any program, and without a kernel."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(write(tmp_path / "hello", Kbuild="obj-m := hello.o\n", hello__c=HELLO))
    # The running kernel would do where it can be built for.
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "x", "0.0.0-none", "1", "x86_64")))
    return tmp_path / "bin"


def test_all_that_a_load_lacks_is_one_line(ks, bare):
    for command in ("load", "run", "reload", "explain load -m hello"):
        ran = ks(*command.split(), "--json")
        assert ran.status == 69, command
        assert ran.json["error"]["message"] == "make, gcc, qemu-system-x86_64 are not installed"
        fix = "apt-get install --no-install-recommends make gcc qemu-system-x86"
        assert ran.json["error"]["fix"].endswith(fix)
        assert "Fetching" not in ran.err


def test_a_build_needs_no_qemu(ks, bare):
    assert ks("build", "--json").json["error"]["message"] == "make, gcc are not installed"


@pytest.mark.parametrize(
    ("uid", "has_sudo", "begins"),
    [(0, True, "apt-get"), (7, True, "sudo apt-get"), (7, False, "as root: ")],
)
def test_sudo_is_named_where_it_serves(bare, monkeypatch, uid, has_sudo, begins):
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    if has_sudo:
        (bare / "sudo").symlink_to(shutil.which("sh", path="/bin:/usr/bin") or "")
    assert process.apt_install("a", "b").startswith(begins)


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "XDG_STATE_HOME"])
def test_doctor_names_a_place_that_can_t_be_written_to(ks, tmp_path, monkeypatch, variable):
    (tmp_path / "file").write_text("")  # root may write into every directory
    monkeypatch.setenv(variable, f"{tmp_path}/file")
    finding = next(f for f in ks("doctor", "--json").json["findings"] if f["what"] == "places")
    assert finding["state"] == "missing" and f"{tmp_path}/file/kscaffold can't be" in finding["text"]
    assert finding["fix"] == f"export {variable}=DIR, directories of yours"


def test_doctor_names_all_variables_where_there_is_no_home(ks, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", f"{tmp_path}/file")
    monkeypatch.delenv("XDG_CACHE_HOME")
    finding = next(f for f in ks("doctor", "--json").json["findings"] if f["what"] == "places")
    assert finding["state"] == "missing" and f"(HOME is {tmp_path}/file)" in finding["text"]
    names = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
    assert finding["fix"] == "export " + " ".join(f"{n}=DIR" for n in names) + ", directories of yours"

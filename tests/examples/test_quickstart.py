"""What examples/prepare.sh leaves on a machine, tried on one whose every program is a fake."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

_REAL = ["sh", "cat", "cksum", "dirname", "env", "grep", "ln", "ls", "mkdir", "readlink", "rm", "mktemp"]
_PACKAGES = "python3 python3-venv gcc make libelf1 qemu-system-x86 kmod apt"
_KSCAFFOLD = "#!/bin/sh\necho kscaffold 0\n"
# What the fake programs do: `there` lists the packages that are installed.
_FAKES = {
    "id": 'echo "$FAKE_UID"',
    "uname": "echo x86_64",
    "dpkg-query": 'grep -qxe "$3" -e "$4" "$FAKE/there" && echo "install ok installed"',
    "apt-get": 'echo "apt-get $*" >>"$FAKE/log"',
    "python3": 'case "$*" in *venv*) mkdir -p .venv/bin && cp_python .venv/bin/python ;; esac',
    "cp_python": 'cat "$FAKE/venv-python" >"$1" && /bin/chmod 755 "$1"',
}
_VENV_PYTHON = f"#!/bin/sh\nprintf '{_KSCAFFOLD}' >.venv/bin/kscaffold\n/bin/chmod 755 .venv/bin/kscaffold\n"
_PIPX = f"""case "$1" in
environment) echo "$HOME/pipx-bin" ;;
install) mkdir -p "$HOME/pipx-bin" && printf '{_KSCAFFOLD}' >"$HOME/pipx-bin/kscaffold" &&
  /bin/chmod 755 "$HOME/pipx-bin/kscaffold" ;;
list) [ -e "$HOME/pipx-bin/kscaffold" ] && echo "kscaffold 0" ;;
uninstall) rm "$HOME/pipx-bin/kscaffold" ;;
esac
echo "pipx $*" >>"$FAKE/log"
"""


@dataclass
class Machine:
    """A clone, a home and programs of its own."""

    root: Path
    uid: int = 1000

    def __post_init__(self) -> None:
        for name in ("bin", "clone/examples", "home"):
            (self.root / name).mkdir(parents=True)
        for name in ("prepare.sh", "quickstart.sh"):
            shutil.copy(ROOT / "examples" / name, self.root / "clone/examples")
        shutil.copy(ROOT / "pyproject.toml", self.root / "clone")
        for name in _REAL:
            real = shutil.which(name)
            assert real
            (self.root / "bin" / name).symlink_to(real)
        for name, does in _FAKES.items():
            self.program(name, does)
        (self.root / "venv-python").write_text(_VENV_PYTHON)
        self.installed(_PACKAGES)

    def program(self, name: str, does: str) -> None:
        file = self.root / "bin" / name
        file.write_text(f"#!/bin/sh\n{does}\n")
        file.chmod(0o755)

    def installed(self, packages: str) -> None:
        (self.root / "there").write_text("\n".join(packages.split()) + "\n")

    @property
    def link(self) -> Path:
        return self.root / "home/.local/bin/kscaffold"

    @property
    def log(self) -> str:
        file = self.root / "log"
        return file.read_text() if file.exists() else ""

    def run(self, option: str, path: str = "") -> "subprocess.CompletedProcess[str]":
        environment = {
            "PATH": f"{self.root}/bin{path}",
            "HOME": str(self.root / "home"),
            "FAKE": str(self.root),
            "FAKE_UID": str(self.uid),
        }
        return subprocess.run(
            ["/bin/sh", str(self.root / "clone/examples/quickstart.sh"), option],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_link_is_left_with_a_word_on_path(machine):
    ran = machine.run("--install-only")
    assert ran.returncode == 0, ran.stderr
    assert os.readlink(machine.link) == f"{machine.root}/clone/.venv/bin/kscaffold"
    assert f'export PATH="{machine.link.parent}:$PATH"' in ran.stdout
    assert "kscaffold 0" in ran.stdout


def test_where_path_has_the_place_nothing_is_said_of_it(machine):
    ran = machine.run("--install-only", path=f":{machine.link.parent}")
    assert ran.returncode == 0 and ran.stdout == "kscaffold 0\n"


def test_a_second_time_does_nothing(machine):
    machine.run("--install-only")
    ran = machine.run("--install-only")
    assert (ran.returncode, ran.stderr) == (0, "") and machine.log == ""


def test_it_can_be_undone(machine):
    machine.run("--install-only")
    ran = machine.run("--undo")
    assert ran.returncode == 0
    assert not machine.link.is_symlink() and not (machine.root / "clone/.venv").exists()


def test_a_developer_s_environment_is_not_undone(machine):
    machine.run("--install-only")
    (machine.root / "clone/.venv/tests").write_text("")
    machine.run("--undo")
    assert not machine.link.is_symlink() and (machine.root / "clone/.venv/bin/kscaffold").exists()


def test_another_s_command_stays(machine):
    machine.link.parent.mkdir(parents=True)
    machine.link.write_text("mine")
    ran = machine.run("--install-only")
    assert ran.returncode == 0 and machine.link.read_text() == "mine"
    assert f"{machine.link} is there already and stays" in ran.stderr
    machine.run("--undo")
    assert machine.link.read_text() == "mine"


def test_pipx_does_it_where_it_is(machine):
    machine.program("pipx", _PIPX)
    ran = machine.run("--install-only")
    assert ran.returncode == 0 and ran.stdout == "kscaffold 0\n"
    # Debian 12's pipx knows no -q.
    assert "pipx install -e ." in machine.log and not machine.link.exists()
    assert machine.log.count("pipx install") == 1
    machine.run("--install-only")
    assert machine.log.count("pipx install") == 1
    machine.run("--undo")
    assert not (machine.root / "home/pipx-bin/kscaffold").exists()


def test_all_missing_packages_in_one_line_without_sudo(machine):
    machine.installed("python3 python3-venv apt")
    ran = machine.run("--install-only")
    assert ran.returncode == 69 and machine.log == ""
    assert (
        "  apt-get update && apt-get install -y --no-install-recommends"
        " gcc make libelf1 qemu-system-x86 kmod\n" in ran.stderr
    )


def test_root_needs_no_sudo(machine):
    machine.uid = 0
    machine.installed("python3 python3-venv apt gcc make libelf1t64")
    ran = machine.run("--install-only")
    assert ran.returncode == 0, ran.stderr
    assert machine.log.splitlines() == [
        "apt-get update -qq",
        "apt-get install -y -qq --no-install-recommends qemu-system-x86 kmod",
    ]


def test_a_home_that_can_t_be_written_to(machine):
    (machine.root / "home").rmdir()
    (machine.root / "home").write_text("no directory")
    ran = machine.run("--install-only")
    assert ran.returncode == 0 and "can't be written to; this clone's command is" in ran.stderr
    assert f'export PATH="{machine.root}/clone/.venv/bin:$PATH"' in ran.stdout

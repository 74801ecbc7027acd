"""What a person can ask for wrongly, or in an odd place: one clear answer, and nothing done."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kscaffold.arch.x86_64 import ARCHITECTURE as X86_64
from kscaffold.cli import options
from kscaffold.errors import UsageError
from kscaffold.load.request import LoadRequest
from kscaffold.load.verbs.run import _accepted
from kscaffold.sandbox.vm.qemu import Machine, kernel_cmdline
from tests.conftest import Ran
from tests.support.elf import Ko
from tests.support.kernels import need_kernel
from tests.support.projects import HELLO, write
from tests.support.worlds import World


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project to be in, and a small kernel that it could not be built for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    World().stored()
    write(tmp_path / "hello", Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    monkeypatch.chdir(tmp_path / "hello")
    return tmp_path / "hello"


def code(ran: Ran) -> tuple[int, str]:
    """The exit status and the code of a refusal with --json."""
    return ran.status, ran.json["error"]["code"]


def shell(line: str, at: Path) -> "subprocess.CompletedProcess[str]":
    """A line of a shell, in which $k is kscaffold."""
    environment = {**os.environ, "k": f"{sys.executable} -m kscaffold"}
    return subprocess.run(
        ["sh", "-c", line], cwd=at, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", ["load", "run", "reload", "unload", "explain load"])
@pytest.mark.parametrize("value", ["nan", "inf", "1e400", "-1", "0", "1e15", "ten"])
def test_a_deadline_is_a_number_of_seconds(ks, here, command, value):
    ran = ks(*command.split(), "--timeout", value, "--json")
    assert code(ran) == (2, "KS004") and "--timeout" in ran.json["error"]["message"]


def test_make_can_count_so_far(ks, here):
    assert code(ks("build", "-j", "99999999999999999999", "--json")) == (2, "KS004")
    assert not list(here.glob("*.o"))


def test_the_kernel_s_command_line_has_its_length(ks, here):
    most = "x" * options.MOST_WORDS
    machine = Machine(
        architecture=X86_64,
        vmlinux=Path("vmlinux"),
        initramfs=None,
        cmdline=most,
        memory=128,
        cpus=1,
        accelerator="tcg",
        tsc_khz=2_300_000,
    )
    # COMMAND_LINE_SIZE of x86 counts the NUL, and an initramfs takes two words more.
    assert len(kernel_cmdline(machine)) + len(" initrdmem=0x12345678,12345678 memmap=123M$0x12345678") < 2048
    for command in ("load", "run", "reload", "sandbox shell", "explain load"):
        assert code(ks(*command.split(), "--cmdline", f"{most}x", "--json")) == (2, "KS004")


@pytest.mark.parametrize(
    ("asked", "fix"),
    [
        ("kernel remove", "kscaffold kernel remove --help"),
        ("kernel frob", "kscaffold kernel --help"),
        ("kbuild rename a", "kscaffold kbuild rename --help"),
        ("list --frob", "kscaffold list --help"),
        ("frob", "kscaffold --help"),
    ],
)
def test_the_help_of_the_very_command_is_named(ks, here, asked, fix):
    assert ks(*asked.split(), "--json").json["error"]["fix"] == fix


@pytest.mark.parametrize(
    ("asked", "fix"),
    [
        ("list -C nowhere", "name a directory that is there: ls -d */"),
        ("list -C /no-such-place", "name a directory that is there: ls -d /*/"),
        ("list -C soruce", "-C source"),
        ("list -C Kbuild", "-C ."),
        ("run --lcov no/where/x", "mkdir -p no/where"),
        ("test --lcov no/where/x", "mkdir -p no/where"),
        ("test --junit no/x.xml", "mkdir -p {here}/no"),
        ("test --shard 5/2", "--shard 1/2, and --shard 2/2 for the rest"),
        ("sign --key kye.pem", "--key key.pem"),
        ("sign --key key.pem --cert kye.pem", "name key.pem"),
        (
            "sign --key nosuch",
            "name the file of the private key; without --key kscaffold signs with a key of its own",
        ),
        ("kernel add --build /nonexistent", "ls -d /lib/modules/*/build /usr/src/linux-headers-* shows"),
        ("kernel add --image /nonexistent", "ls -d /boot/vmlinuz-* shows"),
        ("kernel add --build {here}/soruce", "kscaffold kernel add --build {here}/source"),
    ],
)
def test_what_is_not_there_has_a_fix_of_its_own(ks, here, asked, fix):
    (here / "source").mkdir()
    (here / "key.pem").write_text("-----BEGIN PRIVATE KEY-----")
    ran = ks(*asked.format(here=here).split(), "--json")
    assert ran.status == (69 if fix.startswith("mkdir") else 2)
    assert ran.json["error"]["fix"].startswith(fix.format(here=here)), ran.json["error"]


def test_a_code_is_told_as_it_was_written(here):
    with pytest.raises(UsageError) as raised:
        _accepted(LoadRequest(here, allow=("Foo",)))
    assert (raised.value.code, raised.value.what) == ("KS091", "Foo is no code of kscaffold's")
    assert _accepted(LoadRequest(here, allow=("ks252",))) == {"KS252"}


def test_a_kernel_that_is_not_meant_well(ks, here, tmp_path):
    World().kernel(tmp_path / "other")
    assert ks("build", "-k", str(tmp_path), "--json").json["error"]["fix"] == (
        f"kscaffold kernel add --build {tmp_path}"
    )
    fixes = {
        "9.9": "kscaffold kernel list shows those that are here; "
        "kscaffold kernel add 9.9 fetches it where the suite has it",
        "6.12": "kscaffold kernel add 6.12",
        "bookworm": "kscaffold kernel list shows those that are here",
    }
    for spec, fix in fixes.items():
        assert ks("build", "-k", spec, "--json").json["error"]["fix"] == fix
    assert ks("kernel", "default", "9.9", "--json").json["error"]["fix"] == fixes["9.9"]
    assert ks("kernel", "remove", "9.9", "--json").json["error"]["fix"] == "kscaffold kernel list"


@pytest.mark.parametrize("command", ["list", "logs", "load", "unload", "build", "check", "info"])
def test_a_directory_that_is_not_there(ks, here, command):
    for place in (here / "none", here / "Kbuild"):
        assert code(ks(command, "-C", place, "--json")) == (2, "KS004")
    # The sandbox of a project that was removed can still be ended.
    assert ks("sandbox", "stop", "-C", here / "none").status == 0


@pytest.mark.parametrize("command", ["build", "load", "list", "new x", "check", "adopt", "sandbox stop"])
def test_in_a_directory_that_was_removed(here, command):
    ran = shell(f"mkdir gone && cd gone && rmdir ../gone && $k {command}", here)
    assert ran.returncode == 69 and "error[KS088]" in ran.stderr and "fix: cd" in ran.stderr


# "." is this project, as to each verb.
@pytest.mark.parametrize("name", ["", "..", "a/..", "/"])
def test_unload_of_no_name(ks, here, name):
    assert code(ks("unload", name, "--json")) == (2, "KS089")


@pytest.mark.parametrize("command", ["--version", "explain", "explain --json", "kernel list --json"])
def test_an_answer_that_can_t_be_written(here, command):
    nobody = shell(f"$k {command} >&-", here)
    assert nobody.returncode == 0 and "Traceback" not in nobody.stderr
    full = shell(f"$k {command} >/dev/full", here)
    assert full.returncode == 69 and "no space left on device" in full.stderr
    assert "Traceback" not in full.stderr
    assert shell(f"$k {command} >/dev/full 2>/dev/full", here).returncode == 69


def test_with_all_streams_closed(here):
    ran = shell("$k new made <&- >&- 2>&-", here)
    assert ran.returncode == 0 and (here / "made/Kbuild").exists()
    (here / "tpl/{{cookiecutter.name}}").mkdir(parents=True)
    (here / "tpl/cookiecutter.json").write_text('{"name": "x"}')
    ran = shell("$k new theirs --template ./tpl <&-", here)
    assert ran.returncode == 2 and "--trust" in ran.stderr


def test_an_error_shows_control_characters(ks, here):
    ran = ks("check", "\x1b[31mred\nline")
    assert ran.status == 2 and "\x1b" not in ran.err and "there is no \\x1b[31mred" in ran.err


def test_check_and_info_know_the_project_around_them(ks, here, monkeypatch):
    (here / "hello.ko").write_bytes(Ko("hello").bytes())
    (here / "deeper").mkdir()
    monkeypatch.chdir(here / "deeper")
    for command in ("check", "info"):
        ran = ks(command, "--json")
        assert (ran.status, ran.json["path"]) == (0, str(here / "hello.ko"))


def test_a_path_in_a_document_serves_from_anywhere(ks, here):
    (here / "hello.ko").write_bytes(Ko("hello").bytes())
    assert ks("check", "hello.ko", "--json").json["path"] == str(here / "hello.ko")
    assert ks("info", "./hello.ko", "--json").json["path"] == str(here / "hello.ko")
    assert ks("check", "hello.ko").out.startswith("hello.ko\n")


def test_what_looks_like_a_file_and_can_t_be_read(ks, here):
    ran = ks("check", "/proc/self/mem", "--json")
    assert code(ran) == (69, "KS402") and "/proc/self/mem" in ran.json["error"]["message"]


def test_what_is_there_and_no_file(ks, here):
    os.mkfifo(here / "pipe.ko")
    for command in ("load", "run", "reload"):
        assert "pipe.ko is no regular file" in ks(command, "pipe.ko").err


def test_the_whole_command_s_deadline_says_how_to_move_it(here):
    ran = shell("KSCAFFOLD_COMMAND_TIMEOUT=0.001 $k kernel list", here)
    assert ran.returncode == 69 and "error[KS008]" in ran.stderr
    assert "fix: KSCAFFOLD_COMMAND_TIMEOUT=SECONDS gives it more" in ran.stderr


def test_the_beginning_of_what_is_no_module(ks, here):
    (here / "x.ko").write_text("root:x")
    ran = ks("info", "x.ko", "--json")
    assert ran.json["error"]["cause"] == "it begins with 'root'"


@pytest.mark.kernel
@pytest.mark.parametrize("command", ["build", "load", "run", "reload", "sign", "package install", "check"])
def test_a_module_that_the_project_has_not(ks, tmp_path, monkeypatch, command):
    project = write(tmp_path / "hello", Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    monkeypatch.chdir(project)
    ran = ks(*command.split(), "-k", need_kernel("6.1").release, "-m", "nosuch", "--json")
    assert code(ran) == (2, "KS109") and "it builds hello" in ran.err
    assert sorted(p.name for p in project.iterdir()) == ["Kbuild", "hello.c"]


@pytest.mark.parametrize("command", ["", "kernel", "kbuild", "package", "sandbox"])
def test_each_command_is_listed_with_a_whole_sentence(ks, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    listed = ks(*command.split(), "--help").out.partition("Commands:")[2]
    lines = re.findall(r"^  (\S+)  +(.*)$", listed, re.M)
    assert lines and all(text.endswith(".") and not text.endswith("...") for _, text in lines)


def test_commands_are_listed_as_a_module_lives(ks):
    listed = re.findall(r"^  (\S+)  ", ks("--help").out.partition("Commands:")[2], re.M)
    life = ["new", "build", "check", "load", "unload", "explain"]
    assert [name for name in listed if name in life] == life


@pytest.mark.parametrize("topic", ["load", "symbols", "EPERM"])
def test_text_is_folded_for_the_terminal(ks, monkeypatch, topic):
    told = {}
    for columns in (40, 80, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        told[columns] = ks("explain", topic).out
        folded = [line for line in told[columns].splitlines() if re.match(r" {4,}[a-z]", line)]
        assert folded and all(len(line) < columns for line in folded)
    assert told[40] != told[80] == told[200]
    assert told[40].split() == told[80].split()


@pytest.mark.kernel
@pytest.mark.parametrize("command", ["load", "run", "reload", "explain load"])
def test_a_directory_and_a_name_are_those_of_a_project(ks, tmp_path, monkeypatch, command):
    write(tmp_path / "hello", Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    monkeypatch.chdir(tmp_path)
    release = need_kernel("6.1").release
    elsewhere = ks(*command.split(), "hello", "-k", release, "-m", "nosuch", "--json")
    assert code(elsewhere) == (2, "KS109") and "it builds hello" in elsewhere.err
    monkeypatch.chdir(tmp_path / "hello")
    by_name = ks(*command.split(), "nosuch", "-k", release, "--json")
    assert code(by_name) == (2, "KS109") and "it builds hello" in by_name.err

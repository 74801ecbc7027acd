"""--host: the real programs' place is taken by scripts on a PATH of the test's own. No kernel is touched."""

import errno
import os
import time
from pathlib import Path

import pytest

from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.load import load
from kscaffold.load.report import LoadReport
from kscaffold.load.unload import unload
from kscaffold.module.arguments import Parameters
from kscaffold.targets.host import HostTarget
from tests.support.elf import Ko

_SCRIPTS = {
    "insmod": 'note insmod "$@"; . "$W/insmod.does"',
    "rmmod": 'note rmmod "$@"; . "$W/rmmod.does"',
    "lsmod": 'echo "Module                  Size  Used by"; /bin/cat "$W/list"',
    # util-linux's answer to who may not read the log
    "dmesg": 'if [ -e "$W/restricted" ] && [ -z "$AS_ROOT" ]; then '
    'echo "dmesg: read kernel buffer failed: Operation not permitted" >&2; exit 1; fi; /bin/cat "$W/log"',
    "sudo": 'note sudo "$@"; . "$W/sudo.does"; AS_ROOT=1 exec "$@"',
}
_LOADS = "echo 'hello 16384 0 ' >> $W/list"
_OOPS = """\
<1>[   12.000000] BUG: kernel NULL pointer dereference, address: 0000000000000000
<4>[   12.000001] Oops: 0002 [#1] PREEMPT SMP PTI
<4>[   12.000002] RIP: 0010:hello_init+0x5/0x1000 [hello]
<4>[   12.000003] Call Trace:
<4>[   12.000004] ---[ end trace 0000000000000000 ]---
"""


class Host:
    """A machine made of scripts and files. `calls`: the programs that were run, with their arguments."""

    def __init__(self, at: Path) -> None:
        self.at = at
        self.bin = at / "usr/sbin"
        self.bin.mkdir(parents=True)
        for name, body in _SCRIPTS.items():
            head = (
                f'#!/bin/sh\nW={at}\nnote() {{ printf "%s\\037" "$@" >> "$W/calls"; echo >> "$W/calls"; }}\n'
            )
            (self.bin / name).write_text(head + body + "\n")
            (self.bin / name).chmod(0o755)
        for name in ("insmod.does", "rmmod.does", "sudo.does", "list", "calls"):
            (at / name).write_text("")
        (at / "log").write_text("<6>[    1.000000] Linux version\n")

    def does(self, program: str, shell: str) -> None:
        """What the program does when it is run."""
        (self.at / f"{program}.does").write_text(shell.replace("$W", str(self.at)) + "\n")

    def says(self, program: str, text: str, status: int = 1, log: str = "") -> None:
        """It fails with this text, after the kernel logged `log`."""
        (self.at / "kernel-says").write_text(log)
        (self.at / "said").write_text(text + "\n")
        self.does(program, f"/bin/cat $W/kernel-says >> $W/log; /bin/cat $W/said >&2; exit {status}")

    def file(self, path: str, text: str) -> None:
        """A file below / of this machine."""
        (self.at / path).parent.mkdir(parents=True, exist_ok=True)
        (self.at / path).write_text(text)

    @property
    def calls(self) -> list[list[str]]:
        lines = (self.at / "calls").read_text().splitlines()
        return [line.split("\037")[:-1] for line in lines]

    @property
    def programs(self) -> list[str]:
        return [call[0] for call in self.calls]

    def load(self, ko: Path, timeout: float = 5.0) -> LoadReport:
        """As the verb does it, with this machine's /proc and /sys."""
        return load(ModuleFile.open(ko), Parameters(), HostTarget(lambda _: None, self.at), timeout=timeout)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path / "host")
    monkeypatch.setenv("PATH", str(made.bin))
    # Who runs the tests does not matter: each test says who the user is.
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is run by somebody who is not root."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.fixture
def ko(tmp_path: Path) -> Path:
    path = tmp_path / "hello.ko"
    path.write_bytes(Ko().bytes())
    return path


def test_loaded_is_in_the_list(ks, host, ko):
    host.does("insmod", f"{_LOADS}; echo '<6>[    9.0] hello: hello from init' >> $W/log")
    ran = ks("load", "--host", ko, "--json")
    assert ran.status == 0
    assert (ran.json["verdict"], ran.json["target"], ran.json["accelerator"]) == ("loaded", "host", None)
    assert [r["text"] for r in ran.json["log"]] == ["hello: hello from init"]
    assert host.programs == ["insmod"]
    assert f"$ {host.bin}/insmod {ko}" in ran.err


def test_exit_0_alone_is_no_proof(ks, host, ko):
    ran = ks("load", "--host", ko, "--json")
    assert ran.status == 69
    assert (ran.json["verdict"], ran.json["loaded"]) == ("lost", False)
    assert ran.json["cause"] == "insmod exited with 0, and lsmod does not list hello"
    assert "sandbox" not in ran.json["fix"]
    said = ks("load", "--host", ko)
    assert "lsmod does not list hello" in said.out + said.err


def test_exit_0_of_a_module_that_was_there_before_is_no_proof(ks, host, ko):
    """As modprobe does it: nothing was loaded now."""
    (host.at / "list").write_text("hello 16384 0\n")
    host.file("proc/modules", "hello 16384 0 - Live 0x0000000000000000 (OE)\n")
    attempt = HostTarget(lambda _: None, host.at).load(ModuleFile.open(ko), Parameters(), 5.0)
    assert (attempt.errno, attempt.note) == (None, "insmod exited with 0, and hello was loaded before")
    assert host.load(ko).judgement.verdict == "lost"


def test_parameters_arrive_as_every_kmod_takes_them(ks, host, ko):
    """Before kmod 34 insmod joins its words with blanks, later it quotes a value that is not yet."""
    host.does("insmod", _LOADS)
    assert ks("load", "--host", ko, "hello.n=1", "other.n=2", "whom=a b").status == 0
    assert host.calls == [["insmod", str(ko), "n=1", "other.n=2", 'whom="a b"']]


def test_the_command_is_shown_before_it_runs(ks, host, ko, capfd):
    # The program looks whether it has been announced.
    host.does("insmod", f"{_LOADS}; echo and now insmod >&2; exit 1")
    ran = ks("load", "--host", ko)
    assert "$ " in ran.err.splitlines()[0] and "insmod" in ran.err.splitlines()[0]


# kmod's words, with their errno and the verdict where the log is readable and silent.
_TEXTS = [
    ("Invalid module format", "ENOEXEC"),
    ("Unknown symbol in module", "ENOENT"),
    ("Module has wrong symbol version", "ESRCH"),
    ("Invalid parameters", "EINVAL"),
    ("Operation not permitted", "EPERM"),
    ("Permission denied", "EACCES"),
    ("File exists", "EEXIST"),
    ("Device or resource busy", "EBUSY"),
    ("Cannot allocate memory", "ENOMEM"),
    ("Key was rejected by service", "EKEYREJECTED"),
    ("Required key not available", "ENOKEY"),
    ("Bad message", "EBADMSG"),
    ("Package not installed", "ENOPKG"),
    ("Numerical result out of range", "ERANGE"),
    ("Text file busy", "ETXTBSY"),
    ("Bad address", "EFAULT"),
    ("Function not implemented", "ENOSYS"),
    ("Operation not supported", "EOPNOTSUPP"),
    ("No such device", "ENODEV"),
    ("Interrupted system call", "EINTR"),
    ("Resource temporarily unavailable", "EAGAIN"),
]


@pytest.mark.parametrize(("text", "name"), _TEXTS)
def test_what_insmod_says_is_an_errno(ks, host, ko, text, name):
    host.says("insmod", f"insmod: ERROR: could not insert module {ko}: {text}")
    ran = ks("load", "--host", ko, "--json")
    assert ran.status == 1
    assert ran.json["errno"] == name
    assert ran.json["verdict"] in ("refused", "init-failed")
    assert ran.json["init_ran"] is not True and ran.json["returned"] is None  # nothing here proves it
    assert ran.json["cause"] and ran.json["fix"] and ran.json["code"]


@pytest.mark.parametrize(
    ("text", "name"),
    [("invalid module format", "ENOEXEC"), ("Invalid argument", "EINVAL"), ("File exists", "EEXIST")],
)
def test_busybox_says_it_in_other_words(ks, host, ko, text, name):
    host.says("insmod", f"insmod: can't insert '{ko}': {text}", getattr(errno, name))
    assert ks("load", "--host", ko, "--json").json["errno"] == name


def test_a_line_of_the_kernels_tells_the_stage(ks, host, ko):
    host.says(
        "insmod",
        f"insmod: ERROR: could not insert module {ko}: Unknown symbol in module",
        log="<4>[    9.0] hello: Unknown symbol nosuch (err -2)\n",
    )
    ran = ks("load", "--host", ko, "--json")
    assert (ran.json["verdict"], ran.json["stage"], ran.json["code"]) == ("refused", "symbols", "KS204")
    # The module could have printed that line itself: likely, and said so.
    assert ran.json["init_ran"] is None
    assert "probably" in ks("load", "--host", ko).out


_ROOT = {
    "proc/self/status": "CapEff:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\nSeccomp:\t0\n",
    "proc/self/uid_map": "         0          0 4294967295\n",
    "proc/sys/kernel/modules_disabled": "0\n",
    "sys/kernel/security/lockdown": "[none] integrity confidentiality\n",
    "sys/module/module/parameters/sig_enforce": "N\n",
}


@pytest.mark.parametrize(
    ("path", "text", "verdict", "code"),
    [
        ("proc/self/uid_map", _ROOT["proc/self/uid_map"], "init-failed", "KS201"),
        ("proc/self/uid_map", "0 100000 65536\n", "refused", "KS232"),
        ("proc/self/status", "CapEff:\t00000000a80425fb\nSeccomp:\t0\n", "refused", "KS232"),
        ("proc/self/status", _ROOT["proc/self/status"].replace("\t0\n", "\t2\n"), "refused", "KS235"),
        ("proc/sys/kernel/modules_disabled", "1\n", "refused", "KS233"),
        ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n", "refused", "KS229"),
        ("proc/cmdline", "quiet module_blacklist=a,hello\n", "refused", "KS230"),
    ],
)
def test_eperm_is_told_apart_by_what_the_machine_says(host, ko, path, text, verdict, code):
    host.says("insmod", f"insmod: ERROR: could not insert module {ko}: Operation not permitted")
    for name, content in _ROOT.items():
        host.file(name, content)
    host.file(path, text)
    judgement = host.load(ko).judgement
    assert (judgement.verdict, judgement.code) == (verdict, code)
    if verdict == "init-failed":
        assert not judgement.certain and "probably" in (judgement.cause or "")


def test_a_name_of_built_in_code(host, ko):
    host.says("insmod", f"insmod: ERROR: could not insert module {ko}: Invalid parameters")
    host.file("sys/module/hello/parameters/x", "")
    assert host.load(ko).judgement.code == "KS225"


def test_an_insmod_that_was_killed(ks, host, ko):
    (host.at / "oops").write_text(_OOPS)
    host.does("insmod", "/bin/cat $W/oops >> $W/log; exit 137")
    ran = ks("load", "--host", ko, "--json")
    assert ran.status == 1
    assert (ran.json["verdict"], ran.json["stage"]) == ("crashed", "init")
    assert ran.json["complaints"][0]["where"] == "hello_init+0x5/0x1000 [hello]"


@pytest.mark.parametrize("how", ["kill -9 $$", "exit 137"])
def test_killed_and_still_loading_is_a_crash_without_a_word(host, ko, how):
    host.does("insmod", f"{_LOADS}; {how}")
    host.file("proc/modules", "hello 16384 1 - Loading 0x0000000000000000 (OE+)\n")
    judgement = host.load(ko).judgement
    assert (judgement.verdict, judgement.certain) == ("crashed", True)


def test_killed_and_gone_is_lost(ks, host, ko):
    # The out-of-memory killer, somebody's kill -9: nothing proves a crash.
    host.does("insmod", "kill -9 $$")
    assert ks("load", "--host", ko, "--json").json["verdict"] == "lost"


def test_a_load_without_an_end_is_hung(ks, host, ko):
    host.does("insmod", "exec /bin/sleep 60")
    began = time.monotonic()
    ran = ks("load", "--host", ko, "--timeout", "0.3", "--json")
    assert ran.status == 1 and ran.json["verdict"] == "hung"
    assert time.monotonic() - began < 30
    assert ran.json["errno"] is None and ran.json["loaded"] is False


def test_one_child_is_elevated(ks, host, ko, user):
    host.does("insmod", _LOADS)
    ran = ks("load", "--host", ko, "n=1")
    assert ran.status == 0
    assert host.programs == ["sudo", "insmod"]
    assert host.calls[0][1:] == [f"{host.bin}/insmod", str(ko), "n=1"]
    assert f"$ {host.bin}/sudo {host.bin}/insmod {ko} n=1" in ran.err


def test_sudo_that_says_no_is_no_answer(ks, host, ko, user):
    host.says("sudo", "sudo: a password is required")
    for verb in (["load", "--host", ko], ["unload", "--host", "hello"]):
        ran = ks(*verb, "--json")
        assert ran.status == 69
        assert ran.json["error"]["code"] == "KS296"
        assert ran.json["error"]["cause"] == "sudo: a password is required"


def test_typing_a_password_is_no_hanging_module(ks, host, ko, user):
    host.does("sudo", "/bin/sleep 1")
    host.does("insmod", _LOADS)
    assert ks("load", "--host", ko, "--timeout", "0.2").status == 0


def test_a_hung_load_behind_sudo(host, ko, user):
    host.does("insmod", f"{_LOADS}; exec /bin/sleep 60")
    host.file("proc/modules", "hello 16384 1 - Loading 0x0000000000000000 (OE+)\n")
    assert host.load(ko, timeout=0.3).judgement.verdict == "hung"


@pytest.mark.parametrize(
    ("text", "verdict", "code"),
    [
        ("Invalid module format", "refused", "KS282"),
        ("Unknown symbol in module", "refused", "KS284"),
        ("Invalid parameters", "refused", "KS285"),
        ("Key was rejected by service", "refused", "KS226"),
        ("No such device", "init-failed", "KS201"),
    ],
)
def test_where_the_log_may_not_be_read(ks, host, ko, user, text, verdict, code):
    (host.at / "restricted").touch()
    host.says("insmod", f"insmod: ERROR: could not insert module {ko}: {text}")
    ran = ks("load", "--host", ko, "--json")
    assert (ran.json["verdict"], ran.json["code"], ran.json["init_ran"]) == (verdict, code, None)
    assert ran.json["log"] == []
    said = ks("load", "--host", ko)
    assert "probably" in said.out and "kscaffold logs --host" in said.out
    assert host.programs == ["sudo", "insmod"] * 2  # not a second child for the log


def test_a_good_load_without_its_log(ks, host, ko, user):
    (host.at / "restricted").touch()
    host.does("insmod", _LOADS)
    ran = ks("load", "--host", ko)
    assert ran.status == 0 and "kscaffold logs --host" in ran.err


def test_the_log_is_read_with_a_privilege_only_where_needed(ks, host, user):
    assert ks("logs", "--host").status == 0
    assert host.calls == []
    (host.at / "restricted").touch()
    ran = ks("logs", "--host", "--json")
    assert [r["text"] for r in ran.json["log"]] == ["Linux version"]
    assert host.calls == [["sudo", f"{host.bin}/dmesg", "--raw"]]
    host.says("sudo", "sudo: a password is required")
    ran = ks("logs", "--host", "--json")
    assert ran.status == 69 and ran.json["error"]["code"] == "KS280"


def test_following_is_one_child(ks, host, user):
    (host.at / "restricted").touch()
    ran = ks("logs", "--host", "-f")
    assert ran.status == 0 and "Linux version" in ran.out
    assert host.calls == [["sudo", f"{host.bin}/dmesg", "--raw", "--follow"]]


def test_insmod_need_not_be_on_the_path_of_a_user(host, ko, monkeypatch):
    # Debian's users have no /usr/sbin in theirs.
    (host.at / "bin").mkdir()
    (host.bin / "dmesg").rename(host.at / "bin/dmesg")
    monkeypatch.setenv("PATH", str(host.at / "bin"))
    host.does("insmod", _LOADS)
    assert host.load(ko).ok


@pytest.mark.parametrize(
    ("said", "errno_", "code"),
    [
        ("rmmod: ERROR: Module hello is not currently loaded", "ENOENT", "KS301"),
        ("rmmod: ERROR: Module hello is in use by: other", "EAGAIN", "KS303"),
        ("rmmod: ERROR: Module hello is in use", "EAGAIN", "KS303"),
        ("rmmod: ERROR: Module hello is builtin.", "ENOENT", "KS301"),
        ("rmmod: ERROR: could not remove module hello: Operation not permitted", "EPERM", "KS307"),
        ("rmmod: ERROR: could not remove module hello: Device or resource busy", "EBUSY", "KS304"),
        ("rmmod: can't unload module 'hello': Resource temporarily unavailable", "EAGAIN", "KS303"),
        ("rmmod: ERROR: Module unloading is not supported", "ENOSYS", "KS310"),
    ],
)
def test_what_rmmod_says(ks, host, said, errno_, code):
    host.says("rmmod", said)
    ran = ks("unload", "--host", "hello", "--json")
    assert ran.status == 1
    assert (ran.json["verdict"], ran.json["errno"], ran.json["code"]) == ("refused", errno_, code)
    assert ran.json["fix"]


def test_who_uses_it_is_told(ks, host):
    (host.at / "list").write_text("hello 16384 1 other\n")
    host.says("rmmod", "rmmod: ERROR: Module hello is in use by: other")
    ran = ks("unload", "--host", "hello", "--json")
    assert ran.json["code"] == "KS302" and "other" in ran.json["cause"]


def test_unload(ks, host, user):
    for name in ("my-mod", "my_mod", "my-mod.ko", "./my-mod.ko"):
        (host.at / "calls").write_text("")
        ran = ks("unload", "--host", name)
        assert ran.status == 0
        assert host.calls == [["sudo", f"{host.bin}/rmmod", "my_mod"], ["rmmod", "my_mod"]]


def test_an_exit_that_never_comes_back(host):
    target = HostTarget(lambda _: None, host.at)
    (host.at / "list").write_text("hello 16384 0\n")
    host.file("proc/modules", "hello 16384 0 - Unloading 0x0000000000000000 (OE-)\n")
    host.does("rmmod", "kill -9 $$")
    assert unload("hello", target, timeout=5).judgement.verdict == "crashed"
    host.does("rmmod", "exec /bin/sleep 60")
    assert unload("hello", target, timeout=0.3).judgement.verdict == "hung"


def test_reload_is_rmmod_then_insmod(ks, host, ko, user):
    host.does("insmod", _LOADS)
    host.does("rmmod", ": > $W/list")
    (host.at / "list").write_text("hello 16384 0\n")
    assert ks("reload", "--host", ko).status == 0
    assert host.programs == ["sudo", "rmmod", "sudo", "insmod"]
    (host.at / "list").write_text("")
    (host.at / "calls").write_text("")
    assert ks("reload", "--host", ko).status == 0
    assert host.programs == ["sudo", "insmod"]


def test_reload_stops_where_the_module_stays(ks, host, ko):
    (host.at / "list").write_text("hello 16384 1\n")
    host.says("rmmod", "rmmod: ERROR: Module hello is in use")
    ran = ks("reload", "--host", ko, "--json")
    assert ran.status == 1 and ran.json["errno"] == "EAGAIN"
    assert host.programs == ["rmmod"]


def test_list(ks, host):
    (host.at / "list").write_text("hello 16384 1 other,[permanent]\nlooped 12288 0\n")
    ran = ks("list", "--host", "--all", "--json")
    assert ran.json["target"] == "host"
    first, second = ran.json["modules"]
    assert first == {
        "name": "hello", "size": 16384, "refcount": 1, "used_by": ["other"], "state": "live",
        "permanent": True, "taints": "",
    }  # fmt: skip
    assert second["used_by"] == []
    assert "hello" in ks("list", "--host", "--all").out
    assert host.programs == []  # nothing was elevated


def test_list_and_logs_take_what_the_other_verbs_take(ks, host, ko, monkeypatch):
    """A name, a .ko, a project's directory, and -C."""
    (host.at / "list").write_text("hello 16384 0\nother 12288 0\n")
    there = host.at / "there"
    there.mkdir()
    (there / "Kbuild").write_text("obj-m := hello.o\n")
    (host.at / "log").write_text("<6>[    1.000000] hello: a\n<6>[    2.000000] other: b\n")
    for words in (["hello"], [str(ko)], [str(there)], ["-C", str(there)]):
        ran = ks("list", "--host", *words, "--json")
        assert [m["name"] for m in ran.json["modules"]] == ["hello"], words
        ran = ks("logs", "--host", *words, "--json")
        assert [line["own"] for line in ran.json["log"]] == [True, False], words
    ran = ks("list", "--host", "other", "hello", "--json")
    assert [m["name"] for m in ran.json["modules"]] == ["hello", "other"]
    assert "gone is not loaded" in ks("list", "--host", "gone").err

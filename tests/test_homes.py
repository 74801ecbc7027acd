"""sudo before, sudo after, and homes that are none: the right words, and nothing written in wrong places."""

import os
import re
import shlex
import subprocess

import pytest

from tests.support.accounts import Account
from tests.support.elf import Ko
from tests.support.projects import HELLO, write

_HERE = "from kscaffold.files import paths; print(paths.cache(), paths.state())"


@pytest.mark.parametrize("home", ["", "relative/place", "/", "./", None])
def test_a_home_that_names_none_is_the_user_databases(accounts: tuple[Account, Account], home: str | None):
    one, _ = accounts
    env = {"HOME": home} if home is not None else {}
    ran = one.python("-c", _HERE, **env)
    assert ran.out.split() == [f"{one.home}/.cache/kscaffold", f"{one.home}/.local/state/kscaffold"]


def test_a_home_with_blanks(accounts: tuple[Account, Account]):
    one, _ = accounts
    home = one.home / "my files"
    home.mkdir()
    one.own(home)
    assert one.ks("list", HOME=str(home), cwd=home).status == 0
    made = one.python(
        "-c", "from kscaffold.files import paths; paths.make_own(paths.state() / 'x')", HOME=str(home)
    )
    assert made.status == 0
    assert [p.name for p in home.iterdir()] == [".local"]


def test_a_home_that_cant_be_written_to(accounts: tuple[Account, Account]):
    one, _ = accounts
    ran = one.ks("kernel", "add", HOME="/proc", XDG_CACHE_HOME="")
    assert ran.status == 69 and "HOME" in ran.err and "XDG_CACHE_HOME" in ran.err, ran.err
    doctor = one.ks("doctor", HOME="/proc")
    assert doctor.status == 1
    assert doctor.out.count("/proc/.cache/kscaffold") == 2, "told once, and where the cache is"
    assert (
        "can't be written to (HOME is /proc)" in doctor.out and "fix: export XDG_CACHE_HOME=DIR" in doctor.out
    )


@pytest.mark.parametrize("home", ["/dev/null", "/etc/passwd"])
def test_a_home_that_is_a_file(accounts: tuple[Account, Account], home: str):
    """That others may write to /dev/null is not what is wrong."""
    one, _ = accounts
    for command in (("kernel", "list"), ("cache",), ("kernel", "add")):
        ran = one.ks(*command, HOME=home)
        assert ran.status == 69 and f"error[KS006]: {home} can't be written to" in ran.err, ran.err
        assert f"cause: HOME is '{home}'" in ran.err and "XDG_CACHE_HOME" in ran.err, ran.err
    assert one.ks("doctor", HOME=home).status == 1


def test_a_directory_that_cant_be_read_is_not_empty(accounts: tuple[Account, Account]):
    one, _ = accounts
    place = one.home / "locked"
    place.mkdir(mode=0o000)
    one.own(place)
    (below := place / "project").mkdir()
    for command in (
        ("check", place),
        ("info", place),
        ("adopt", place),
        ("adopt", below),
        ("build", "-C", place),
        ("load", "-C", place),
        ("ci", "github", "-C", below),
        ("new", "fresh", "-C", place),
        ("sandbox", "stop", "-C", below),
        ("kernel", "add", "--build", place),
    ):
        ran = one.ks(*command)
        said = f"error[KS006]: permission denied: {command[-1]}"
        assert ran.status == 69 and said in ran.err.split("\n"), (command, ran.err)
    nowhere = one.ks("build", "-C", one.home / "nowhere")
    assert nowhere.status == 2 and "does not exist" in nowhere.err, nowhere.err


def mend(said: str) -> None:
    """Run the command that is told, as root, as whom these tests run."""
    found = re.search(r"fix: sudo ((?:chown|find) .*)", said)
    assert found, said
    subprocess.run(shlex.split(found[1]), check=True)


def test_what_root_left_in_the_places_of_a_user(accounts: tuple[Account, Account]):
    one, _ = accounts
    for place in (".cache", ".local/state"):
        base = one.home / place
        base.mkdir(parents=True)
        one.own(base, base.parent)
        (base / "kscaffold").mkdir()
        ran = one.ks("doctor")
        assert ran.status == 1
        assert f"{base}/kscaffold belongs to root" in ran.out
        assert f"fix: sudo chown -R {one.uid}:{one.gid} {base}/kscaffold" in ran.out
        mend(ran.out)
        assert one.ks("doctor").out.count("belongs to root") == 0
    # One directory of it: what a command under sudo made.
    tmp = one.home / ".cache/kscaffold/tmp"
    tmp.mkdir()
    assert f"fix: sudo chown -R {one.uid}:{one.gid} {tmp}" in one.ks("doctor").out
    made = one.python(
        "-c", "from kscaffold.cli.app import main; import sys; sys.exit(main(['kernel', 'add']))"
    )
    assert made.status == 69
    assert "error[KS097]" in made.err and f"fix: sudo chown -R {one.uid}:{one.gid} {tmp}" in made.err, (
        made.err
    )


def test_what_root_left_in_a_place_is_told_by_whoever_looks_there(accounts: tuple[Account, Account]):
    """A directory that root made for itself alone looks like one that is empty."""
    one, _ = accounts
    cache, state, config = (one.home / d / "kscaffold" for d in (".cache", ".local/state", ".config"))
    for place in (cache / "kernels", cache / "snapshots", state / "projects"):
        place.mkdir(parents=True)
        one.own(*place.parents[: len(place.relative_to(one.home).parts) - 1], place)
    config.mkdir(parents=True)
    (config / "default-kernel").write_text("6.1.0-none\n")
    (cache / "kernels" / "6.1.0-left").mkdir()
    one.own(config.parent, config, config / "default-kernel", cache / "kernels" / "6.1.0-left")
    for place, command in (
        (cache / "kernels", ("kernel", "list")),
        (cache / "kernels" / "6.1.0-left", ("kernel", "list")),
        (state / "projects", ("cache",)),
        (config / "default-kernel", ("kernel", "list")),
    ):
        mode = place.stat().st_mode
        os.chown(place, 0, 0)
        place.chmod(0o700)
        ran = one.ks(*command)
        assert ran.status == 69 and f"error[KS097]: {place} belongs to root" in ran.err, (
            place,
            ran.out,
            ran.err,
        )
        assert f"fix: sudo chown -R {one.uid}:{one.gid} {place}\n" in ran.err, ran.err
        mend(ran.err)
        assert place.stat().st_uid == one.uid
        place.chmod(mode)
    # One command for all of it.
    for place in (cache / "kernels", cache / "snapshots"):
        os.chown(place, 0, 0)
        place.chmod(0o700)
    assert f"fix: sudo chown -R {one.uid}:{one.gid} {cache}\n" in one.ks("doctor").out
    # Kernels of another's that can be read are good to build for.
    one.own(cache / "snapshots")
    (cache / "kernels").chmod(0o755)
    assert one.ks("kernel", "list").status == 0


def test_what_root_left_in_a_project(accounts: tuple[Account, Account]):
    one, _ = accounts
    project = one.home / "hello"
    write(project, Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    ran = one.ks("kbuild", "add-module", "other", "-C", project)
    assert ran.status == 69, ran.err
    assert "error[KS097]" in ran.err and f"fix: sudo chown -R {one.uid}:{one.gid} {project}" in ran.err, (
        ran.err
    )


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("hello.ko", "check {}"),
        ("hello.ko", "info {}"),
        ("my.pem", "sign ok.ko --key {}"),
        ("my.x509", "check ok.ko --cert {}"),
    ],
)
def test_what_root_left_to_be_read(accounts: tuple[Account, Account], name: str, command: str):
    one, _ = accounts
    (fine := one.home / "ok.ko").write_bytes(Ko("ok").bytes())
    one.own(fine)
    (left := one.home / name).write_bytes(Ko("hello").bytes())
    left.chmod(0o600)
    words = command.replace("{}", name).split()
    ran = one.ks(*words)
    assert ran.status == 69 and f"error[KS097]: {left} belongs to root\n" in ran.err, ran.err
    mend(ran.err)
    assert "KS097" not in one.ks(*words).err


def test_what_is_given_back_is_what_root_left_and_no_more(accounts: tuple[Account, Account]):
    """In a home that is the file itself; in another directory what is root's there, and nobody else's."""
    one, other = accounts
    below = one.home / "work"
    below.mkdir()
    one.own(below)
    for place in (one.home, below):
        for name in ("hello.ko", "kept"):
            (place / name).write_bytes(Ko("hello").bytes())
            (place / name).chmod(0o600)
    (below / "theirs").write_text("")
    other.own(below / "theirs")
    ran = one.ks("check", "hello.ko")
    assert f"fix: sudo chown -R {one.uid}:{one.gid} {one.home}/hello.ko\n" in ran.err, ran.err
    mend(ran.err)
    assert [(one.home / name).stat().st_uid for name in ("hello.ko", "kept")] == [one.uid, 0]
    ran = one.ks("check", below / "hello.ko")
    assert f"{below}/hello.ko belongs to root, and more in {below}\n" in ran.err, ran.err
    mend(ran.err)
    owners = [(below / name).stat().st_uid for name in ("hello.ko", "kept", "theirs")]
    assert owners == [one.uid, one.uid, other.uid]
    assert "KS097" not in one.ks("check", "hello.ko").err + one.ks("check", below / "hello.ko").err


def test_a_project_built_in_the_cache_gets_no_dkms_conf_there(
    accounts: tuple[Account, Account], monkeypatch: pytest.MonkeyPatch
):
    """Root's project is built in a directory of the user's cache: its dkms.conf was written there (KS009)."""
    one, _ = accounts
    one.store_kernel(monkeypatch)
    project = one.home / "hello"
    write(project, Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    assert "can't be written to: built in" in one.ks("build", "-C", project).err
    ran = one.ks("package", "dkms", "-C", project)
    assert ran.status == 69 and f"error[KS097]: {project} belongs to root" in ran.err, ran.err
    assert list((one.home / ".cache").rglob("dkms.conf")) == []


def test_sudo_with_the_home_of_the_caller(accounts: tuple[Account, Account]):
    """Root would leave files there that the user can't replace."""
    one, _ = accounts
    root = Account("root", 0, 0, one.home)
    ran = root.ks("kernel", "default", "--clear", SUDO_UID=str(one.uid))
    assert ran.status == 69 and "run kscaffold as yourself" in ran.err
    assert not any(p.name.startswith(".co") for p in one.home.iterdir())

"""`kscaffold kernel add` and `remove`: whole or not at all, whatever happens."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kscaffold.errors import KscaffoldError
from kscaffold.kernel import store
from kscaffold.kernel.buildable import build_problem
from tests.conftest import need_program
from tests.support.images import elf
from tests.support.kernels import only
from tests.support.mirror import NEW, OLD, Mirror, start, wait_for

# --- a kernel that is fetched ---


def test_added_kernel_works_where_it_is(mirror: Mirror, ks):
    need_program("make", "make")
    ran = ks("kernel", "add")
    assert (ran.status, ran.out) == (0, "")
    assert f"Added {OLD} of" in ran.err and " MB on disk) in " in ran.err
    kernel = only(OLD)
    assert build_problem(kernel) is None
    made = subprocess.run(["make", "-C", kernel.build, "M=/x", "modules"], capture_output=True, text=True)
    assert "made /x" in made.stdout, made.stderr
    assert (kernel.modules / "build").resolve() == kernel.build.resolve()
    assert (kernel.modules / "source/Makefile").exists()
    assert kernel.vmlinux.read_bytes() == elf(release=OLD)
    assert store.bootable(kernel) == kernel.vmlinux
    gone = ["usr/share", "usr/src/linux-headers-6.1.0-9-cloud-amd64/vmlinux", f"boot/System.map-{OLD}"]
    assert not [g for g in gone if (store.root() / OLD / g).exists()]
    assert mirror.left() == [f"kernels/{OLD}"]


def test_debian_13_s_place_of_modules_is_the_same_for_us(mirror: Mirror, ks):
    assert ks("kernel", "add", "6.12").status == 0
    assert only(NEW).modules == store.root() / NEW / "lib/modules" / NEW
    assert (only(NEW).modules / "modules.builtin").exists()


def test_a_kernel_in_parts_is_put_together(mirror: Mirror, ks):
    added = ks("kernel", "add", "7")
    assert added.status == 0, added.err
    assert "Chose 7.3.4+deb13-cloud-amd64" in added.err  # a newer one is mentioned, and nobody has it
    kernel = only("7.3.4+deb13-cloud-amd64")
    assert store.bootable(kernel) == kernel.vmlinux and kernel.image == kernel.modules / "vmlinuz"
    assert kernel.vmlinux.read_bytes() == elf(release=kernel.release)
    assert (kernel.modules / "kernel/nothing.txt").exists() and build_problem(kernel) is None
    # Somebody made room.
    kernel.vmlinux.unlink()
    again = only(kernel.release)
    assert again.vmlinux is None and store.bootable(again).read_bytes() == elf(release=kernel.release)


def test_another_flavour_is_fetched_when_asked_for(mirror: Mirror, ks):
    full = ks("kernel", "add", "6.1", "--flavour", "amd64")
    assert full.status == 0, full.err
    assert only("6.1.0-9-amd64").image.name == "vmlinuz-6.1.0-9-amd64"
    assert ks("kernel", "add", "6.1").status == 0
    assert {k.release for k in store.known() if k.source == "fetched"} == {"6.1.0-9-amd64", OLD}
    several = ks("kernel", "default", "6.1")
    assert (several.status, "could be several" in several.err) == (2, True)
    none = ks("kernel", "add", "6.1", "--flavour", "huge")
    assert (none.status, "there is no huge kernel 6.1" in none.err) == (69, True)
    assert "fix: kscaffold kernel add 6.1 --flavour cloud-amd64" in none.err
    # No kernel can have that name: the fix names those that there are. Where it repeats a word, it is quoted.
    odd = ks("kernel", "add", "6;1", "--json").json["error"]["fix"]
    assert odd == "kscaffold kernel add 6.1; or kscaffold kernel add 6.12"
    odd = ks("kernel", "add", "6;1", "--flavour", "huge", "--json").json["error"]["fix"]
    assert odd == "kscaffold kernel add '6;1' --flavour cloud-amd64"
    assert ks("kernel", "add", "--flavour", "amd64", "--build", "/x").status == 2


def test_json_of_every_kernel_command(mirror: Mirror, ks):
    facts = {"release", "source", "origin", "arch", "build", "image", "modules", "bytes"}
    head = {"schema", "command", "ok"}
    added = ks("kernel", "add", "--json").json
    assert set(added) == head | {"kernel", "already", "seconds"}
    assert set(added["kernel"]) == facts
    assert (added["command"], added["ok"], added["already"]) == ("kernel add", True, False)
    again = ks("kernel", "add", "--json").json
    assert again["already"] is True and again["kernel"] == added["kernel"]
    listed = ks("kernel", "list", "--json").json
    assert set(listed) == head | {"kernels", "chosen", "default"}
    assert added["kernel"] in listed["kernels"] and listed["chosen"] == OLD
    default = ks("kernel", "default", "6.1", "--json").json
    assert set(default) == head | {"default", "kernel"}
    assert default["default"] == OLD and default["kernel"] == added["kernel"]
    removed = ks("kernel", "remove", OLD, "--json").json
    assert set(removed) == head | {"kernel"}
    failed = ks("kernel", "remove", OLD, "--json")
    assert failed.status == 2 and failed.json["error"]["code"] == "KS530"
    assert failed.json["command"] == "kernel remove"


def test_a_newer_package_of_the_same_release_replaces_it(mirror: Mirror, ks):
    assert ks("kernel", "add").status == 0
    record = store.root() / OLD / "kernel.json"
    text = json.loads(record.read_text())
    text["packages"]["linux-kbuild-6.1"] = "6.1.8-1"
    record.write_text(json.dumps(text))
    assert ks("kernel", "add", "--json").json["already"] is False
    assert json.loads(record.read_text())["packages"]["linux-kbuild-6.1"] == "6.1.9-1"
    assert mirror.left() == [f"kernels/{OLD}"]


@pytest.mark.parametrize("record", ["", "{}", "[]", "null", '{"release": 1}', "\0\0\0"])
def test_a_damaged_record_is_no_kernel_and_is_mended_by_add(mirror: Mirror, ks, record):
    assert ks("kernel", "add").status == 0
    (store.root() / OLD / "kernel.json").write_text(record)
    assert OLD not in ks("kernel", "list").out
    assert ks("kernel", "add").status == 0
    assert only(OLD).source == "fetched"


def test_remove_leaves_nothing_and_clears_the_default(mirror: Mirror, ks):
    ks("kernel", "add")
    ks("kernel", "default", OLD)
    assert ks("kernel", "remove", "6.1").status == 0
    assert mirror.left() == [] and store.default() is None


def test_a_cache_that_make_can_t_build_in_is_refused_at_once(mirror: Mirror, ks, monkeypatch):
    for name in ("a b", "a:b", "a$b"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(mirror.cache / name))
        ran = ks("kernel", "add", "--json")
        assert (ran.status, ran.json["error"]["code"]) == (69, "KS506")
    assert not mirror.cache.exists()


# --- interrupted, two at once, a full disk ---

# Blocks after the real program has done its work, until the file GO is there.
BLOCK = """
"$REAL" "$@"; status=$?
if {condition}; then : >{at}; until [ -e {go} ]; do sleep 0.05; done; fi
exit $status"""


def blocked(mirror: Mirror, name: str, condition: str = "true") -> tuple[Path, Path]:
    at, go = mirror.programs / f"{name}.at", mirror.programs / f"{name}.go"
    mirror.program(name, BLOCK.format(condition=condition, at=at, go=go))
    return at, go


DOWNLOADING = ("apt-get", '[ "$1" = download ]')
UPDATING = ("apt-get", '[ "$1" = update ]')
UNPACKING = ("dpkg-deb", "true")


@pytest.mark.parametrize("where", [UPDATING, DOWNLOADING, UNPACKING])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_add_leaves_no_kernel_and_the_next_one_sweeps(mirror: Mirror, ks, where, how):
    at, go = blocked(mirror, *where)
    child = start("kernel", "add")
    wait_for(at, child)
    child.send_signal(how)
    child.communicate(timeout=60)
    assert child.returncode == (130 if how == signal.SIGINT else -how)
    go.touch()
    mirror.honest(where[0])
    assert store.known() == [k for k in store.known() if k.source == "running"]
    if how != signal.SIGKILL:
        assert mirror.left() == []
    assert ks("kernel", "add").status == 0
    assert mirror.left() == [f"kernels/{OLD}"]


def test_an_abandoned_directory_without_its_lock_is_swept_too(mirror: Mirror, ks):
    (mirror.cache / "kscaffold/tmp/123-abc/kernel").mkdir(parents=True)
    assert ks("kernel", "add").status == 0
    assert mirror.left() == [f"kernels/{OLD}"]


def test_of_two_adds_the_second_waits_and_finds_it_there(mirror: Mirror):
    at, go = blocked(mirror, *UNPACKING)
    first = start("kernel", "add")
    wait_for(at, first)
    mirror.honest("dpkg-deb")
    second = start("kernel", "add")
    assert second.stderr
    lines = []
    for line in second.stderr:  # ends with the process, so a second that did not wait fails below
        lines.append(line)
        if "Waiting" in line:
            go.touch()
    go.touch()
    _, told = first.communicate(timeout=60)
    assert (first.wait(), second.wait(timeout=60)) == (0, 0), (told, lines)
    assert any("Waiting for the kscaffold that is adding" in line for line in lines)
    assert any("Already here" in line for line in lines)
    assert "Added" in told
    assert mirror.left() == [f"kernels/{OLD}"]
    assert build_problem(only(OLD)) is None


def test_two_adds_of_two_kernels_do_not_wait(mirror: Mirror, ks):
    at, go = blocked(mirror, *UNPACKING)
    first = start("kernel", "add")
    wait_for(at, first)
    mirror.honest("dpkg-deb")
    ran = ks("kernel", "add", "6.12")
    assert ran.status == 0 and "Waiting" not in ran.err
    go.touch()
    assert first.wait(timeout=60) == 0
    assert mirror.left() == [f"kernels/{OLD}", f"kernels/{NEW}"]


def test_a_crowd_of_adds_gives_one_whole_kernel(mirror: Mirror):
    crowd = [start("kernel", "add", "--json") for _ in range(4)]
    documents = []
    for child in crowd:
        out, err = child.communicate(timeout=120)
        assert child.returncode == 0, err
        documents.append(json.loads(out))
    assert sorted(d["already"] for d in documents) == [False, True, True, True]
    assert mirror.left() == [f"kernels/{OLD}"]


FILL = 'cat /dev/zero >"$(dirname "$3")/filler"'


def add_on_a_small_disk(mirror: Mirror, options: str) -> tuple[int, dict, list[str]]:
    """`kernel add` with the cache on a file system of its own: its status, document, and what is left."""
    unshare = [need_program("unshare", "util-linux"), "-m" if os.getuid() == 0 else "-rm"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine lets this user make no mount namespace")
    mirror.cache.mkdir(exist_ok=True)
    base = mirror.cache / "kscaffold"
    out, status, left = (mirror.programs / name for name in ("out", "status", "left"))
    inside = (
        f"mount -t tmpfs -o {options} none {mirror.cache} || exit\n"
        f"{sys.executable} -m kscaffold kernel add --json >{out}\n"
        f"echo $? >{status}\n"
        f"find {base}/tmp {base}/kernels -mindepth 1 -maxdepth 1 >{left}\n"
    )
    ran = subprocess.run([*unshare, "sh", "-c", inside], capture_output=True, text=True, timeout=120)
    assert out.exists(), ran.stderr
    return int(status.read_text()), json.loads(out.read_text()), left.read_text().split()


@pytest.mark.parametrize(
    ("options", "program"),
    [
        ("size=1m", None),  # too small from the start: told before anything is downloaded
        ("size=80m", f'{FILL}; exec "$REAL" "$@"'),  # fills up before unpacking
    ],
)
def test_a_full_disk_is_told_and_leaves_nothing(mirror: Mirror, options, program):
    if program:
        mirror.program("dpkg-deb", program)
    status, document, left = add_on_a_small_disk(mirror, options)
    assert (status, document["error"]["code"], left) == (69, "KS505", []), document
    assert "XDG_CACHE_HOME" in document["error"]["fix"]


def test_wherever_the_disk_gets_full_it_is_all_or_nothing(mirror: Mirror):
    """A file more each time: every program and every write of ours meets the end of the disk once."""
    answers = []
    for files in range(4, 100, 5):
        status, document, left = add_on_a_small_disk(mirror, f"size=80m,nr_inodes={files}")
        answers.append(status)
        if status == 0:
            assert left == [str(mirror.cache / "kscaffold/kernels" / OLD)]
        else:
            assert (status, left) == (69, []), document
            assert document["error"]["code"] in ("KS505", "KS005"), (files, document)
    assert set(answers) == {0, 69} and answers == sorted(answers, reverse=True)


def test_waiting_for_a_lock_has_an_end(tmp_path: Path):
    from kscaffold.files.lock import locked

    with (
        locked(tmp_path / "lock"),
        pytest.raises(KscaffoldError) as caught,
        locked(tmp_path / "lock", timeout=0.2),
    ):
        pass
    assert caught.value.code == "KS508"

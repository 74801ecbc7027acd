"""Other machines from end to end: a kernel of each fetched, built for, booted, restored, loaded into, read.

arm64 and s390x are tried always; KSCAFFOLD_REQUIRE names the others: KSCAFFOLD_REQUIRE=armhf,riscv64,ppc64el.
"""

import os
import random
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kscaffold.arch import table
from kscaffold.elf import kofile
from kscaffold.kernel import facts
from kscaffold.kernel.kernel import Kernel
from kscaffold.module.check import check_module
from tests.conftest import REQUIRED, Ran
from tests.support.kernels import ALWAYS, MACHINES, need_machine, need_named
from tests.support.typist import Typist

Ks = Callable[..., Ran]
# A load in a live sandbox of a crowded machine.
ENOUGH = "60"

# It sleeps, so a restored guest whose timer does not tick is found out; then it writes where nobody may. (To
# read there is no fault on s390x: the processor's own page is at address 0.)
CRASH = """#include <linux/delay.h>
#include <linux/module.h>

static bool crash;
module_param(crash, bool, 0444);

static int *nothing;

static noinline void write_there(int *where)
{
	pr_info("about to write\\n");
	WRITE_ONCE(*where, 1);
}

static int __init sleeper_init(void)
{
	unsigned long start = jiffies;

	msleep(50);
	pr_info("slept %u ms\\n", jiffies_to_msecs(jiffies - start));
	if (crash)
		write_there(nothing);
	return 0;
}

static void __exit sleeper_exit(void)
{
	pr_info("goodbye\\n");
}

module_init(sleeper_init);
module_exit(sleeper_exit);
MODULE_DESCRIPTION("Sleeps, and crashes when it is told to");
MODULE_LICENSE("GPL");
"""
CRASH_LINE = CRASH.splitlines().index("\tWRITE_ONCE(*where, 1);") + 1


@pytest.fixture(params=list(MACHINES))
def other(request: pytest.FixtureRequest) -> Kernel:
    """A kernel of each other machine."""
    return need_machine(request.param)


@pytest.fixture
def sleeper(tmp_path: Path) -> Path:
    place = tmp_path / "sleeper"
    place.mkdir()
    (place / "sleeper.c").write_text(CRASH)
    (place / "Kbuild").write_text("obj-m := sleeper.o\n")
    return place


def texts(document: dict[str, object]) -> list[str]:
    log = document["log"]
    assert isinstance(log, list)
    return [line["text"] for line in log]


@pytest.mark.sandbox
def test_a_module_s_whole_life_on_each_machine(other: Kernel, sleeper: Path, ks: Ks):
    """Built, read, foretold, run in a booted and in a restored guest, traced, crashed, with its line."""
    assert other.build is not None
    arch = table.by_uname(other.arch)
    assert arch is not None
    at = ("-C", sleeper)

    ran = ks("run", *at, "--arch", arch.debian, "-k", other.release, "--json")
    assert ran.status == 0, ran.err
    assert (ran.json["verdict"], ran.json["kernel"]) == ("loaded", other.release)
    assert any(text.startswith("slept ") for text in texts(ran.json))
    assert table.of_elf((sleeper / "sleeper.ko").read_bytes()[:64]) is arch

    # A guest that was restored: its timer ticks, and each stage is told as on this machine.
    ran = ks("run", *at, "-k", other.release, "--trace", "-v")
    assert ran.status == 0, ran.err
    assert " restored " in ran.err and "Booting" not in ran.err
    assert "| slept " in ran.out and "| goodbye" in ran.out
    table_of_stages = [line.split() for line in ran.out.splitlines()]
    states = {words[1]: words[3] for words in table_of_stages if len(words) > 4 and words[0].isdigit()}
    assert states["init"] == "passed" and states["symbols"] == "passed", states

    checked = ks("check", *at, "--arch", arch.debian, "-k", other.release, "--json")
    assert checked.status == 0, checked.out
    assert checked.json["prediction"]["loads"] is True

    crashed = ks("run", *at, "-k", other.release, "crash=1", "--json")
    assert crashed.status == 1
    assert (crashed.json["verdict"], crashed.json["stage"]) == ("crashed", "init")
    assert f"sleeper.c:{CRASH_LINE}" in crashed.json["cause"]


@pytest.mark.sandbox
def test_a_live_sandbox_of_each_machine(other: Kernel, sleeper: Path, ks: Ks):
    """Loaded, listed, a command of BusyBox run, unloaded, its log read; and the machine is named by each."""
    machine = table.by_uname(other.arch)
    assert machine is not None
    at, named = ("-C", sleeper), ("--arch", machine.debian)
    loaded = ks("load", *at, *named, "-k", other.release, "--timeout", ENOUGH)
    assert loaded.status == 0, loaded.err
    assert f"({machine.debian}:{other.release}, sandbox)" in loaded.err
    listed = ks("list", *at, *named, "--json").json
    assert (listed["kernel"], listed["arch"]) == (other.release, other.arch)
    assert [module["name"] for module in listed["modules"]] == ["sleeper"]
    assert f"{machine.debian}:{other.release}" in ks("sandbox", "status").out
    ran = ks("exec", *at, *named, "--", "uname", "-m")
    assert (ran.status, ran.out.strip()) == (0, machine.name), ran.err
    here = table.host()
    assert here is not None
    asked = ks("unload", *at, "--arch", here.debian)
    assert asked.status == 2 and "KS534" in asked.err and f"{machine.debian}:{other.release}" in asked.err
    _types_uname(sleeper, named, machine.name)
    unloaded = ks("unload", *at, *named, "--timeout", ENOUGH, "--json")
    assert unloaded.status == 0, unloaded.err
    assert (unloaded.json["kernel"], unloaded.json["arch"]) == (other.release, other.arch)
    assert "goodbye" in texts(ks("logs", *at, *named, "--json").json)


def _types_uname(directory: Path, named: tuple[str, ...], said: str) -> None:
    """A shell on a terminal is the guest's."""
    argv = [sys.executable, "-m", "kscaffold", "sandbox", "shell", "-C", str(directory), *named]
    typist = Typist(argv)
    try:
        typist.expect("sandbox# ")
        typist.type("uname -m; exit 3\n")
        typist.expect(rf"\n{said}\r\n")
        assert typist.child.wait(20) == 3
    finally:
        typist.child.kill()
        typist.child.wait()
        os.close(typist.master)


@pytest.mark.sandbox
def test_what_else_is_done_with_a_module(other: Kernel, sleeper: Path, ks: Ks, tmp_path: Path):
    """Built, shown, adopted, explained, tested, signed, packaged; each names the machine."""
    machine = table.by_uname(other.arch)
    assert machine is not None
    need_named(machine.debian)
    at, named = ("-C", sleeper), ("--arch", machine.debian, "-k", other.release)

    ran = ks("build", *at, *named, "--json")
    assert (ran.status, ran.json["kernel"], ran.json["arch"]) == (0, other.release, other.arch), ran.err
    assert ks("info", sleeper / "sleeper.ko", "--json").json["architecture"] == machine.name
    ran = ks("adopt", sleeper, *named, "--json")
    assert (ran.status, [m["name"] for m in ran.json["modules"]]) == (0, ["sleeper"]), ran.err

    ran = ks("explain", "load", *at, *named, "--json")
    assert (ran.status, ran.json["kernel"], ran.json["arch"]) == (0, other.release, other.arch), ran.err
    assert {step["stage"]: step["status"] for step in ran.json["steps"]}["init"] == "passed"

    # Not with `crash`, which the examination would give it, too.
    examined = (*at, "--arch", machine.debian, "--kernel", other.release, "-k", "not limits")
    ran = ks("test", *examined, "--json")
    assert ran.status == 0, ran.out + ran.err
    assert {(m["module"], m["kernel"], m["arch"]) for m in ran.json["modules"]} == {
        ("sleeper", other.release, other.arch)
    }
    ran = ks("test", *examined)
    assert ran.out.splitlines()[-2].split() == ["Module", f"{machine.debian}:{other.release}"]

    _signed(other, sleeper, ks, named)
    root = tmp_path / "root"
    root.mkdir()
    ran = ks("package", "install", "--root", root, *at, *named, "--json")
    assert (ran.status, ran.json["kernel"], ran.json["arch"]) == (0, other.release, other.arch), ran.err
    (put,) = ran.json["modules"]
    assert table.of_elf(Path(put["path"]).read_bytes()[:64]) is machine


def _signed(other: Kernel, project: Path, ks: Ks, named: tuple[str, ...]) -> None:
    """Its kernel can't be given the certificate: that is said, and what is proposed next is not refused."""
    signed = ks("sign", "-C", project, *named)
    assert signed.status == 0, signed.err
    assert f"{other.name} can't be given your certificate" in signed.err
    (following,) = re.findall(r"^ *Next (kscaffold .*)$", signed.err, re.M)
    ran = ks(*shlex.split(following)[1:], "--json")
    assert (ran.status, ran.json["arch"]) == (0, other.arch), ran.err


@pytest.mark.kernel
def test_the_distribution_s_own_modules_have_nothing_wrong(other: Kernel):
    """More of them where KSCAFFOLD_REQUIRE names the machine."""
    assert other.modules is not None
    machine = table.by_uname(other.arch)
    assert machine is not None
    kos = sorted(other.modules.rglob("*.ko*"))
    count = 220 if machine.debian in REQUIRED else 40
    for ko in random.Random(14).sample(kos, count):
        report = check_module(ko, kernel=other)
        assert report.prediction.loads is True, (ko.name, report.findings)
        assert [f for f in report.findings if f.level != "info"] == [], ko.name


@pytest.mark.kernel
def test_a_vermagic_is_put_together_as_the_kernel_s_own_modules_have_it(other: Kernel):
    assert other.modules is not None
    own = kofile.read_ko(next(iter(sorted(other.modules.rglob("*.ko*")))))
    assert facts._vermagic(other, facts.read_facts(other).config) == own.vermagic


@pytest.mark.kernel
def test_a_module_of_one_machine_is_refused_by_the_kernel_of_another(sleeper: Path, ks: Ks):
    first, second = (need_machine(arch) for arch in ALWAYS)
    assert ks("build", "-C", sleeper, "-k", first.release).status == 0
    # Where no kernel is named for the file, one of its own machine is meant.
    assert ks("check", sleeper / "sleeper.ko", "--json").json["kernel"].endswith(f"-{ALWAYS[0]}")
    ran = ks("check", sleeper / "sleeper.ko", "-k", second.release, "--json")
    assert ran.status == 1
    prediction = ran.json["prediction"]
    assert (prediction["loads"], prediction["errno"], prediction["stage"]) == (False, "ENOEXEC", "elf")


@pytest.mark.kernel
def test_other_machines_are_never_taken_unasked(ks: Ks):
    for arch in ALWAYS:
        need_machine(arch)
    chosen = ks("kernel", "default", "--json").json["kernel"]
    assert chosen is None or chosen["arch"] == os.uname().machine
    told = ks("kernel", "list")
    for arch in ALWAYS:
        kernel = need_machine(arch)
        assert any(f"{kernel.release} " in line and f" {arch}, " in line for line in told.out.splitlines())

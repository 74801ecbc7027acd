"""What a template does when init fails half way: each call that can fail is made to, and nothing is left."""

import errno
import functools
import os
import re
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from kscaffold import process
from kscaffold.diagnosis.crash import complaints
from kscaffold.elf.module_file import ModuleFile
from kscaffold.kernel.buildtree import read_tree
from kscaffold.kernel.compiler import toolchain
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.dependencies import module_of_kernel
from kscaffold.load.sandbox import Sandbox
from kscaffold.module.arguments import Parameters
from kscaffold.scaffold.create.new import ProjectRequest, new
from tests.support import templated
from tests.support.guesttool import Argument, Result, Room, Tool
from tests.support.kdirs import SERIES
from tests.support.kernels import need_kernel
from tests.zoo.sources import WITHOUT_LINES

pytestmark = [pytest.mark.kernel, pytest.mark.sandbox]

# Each call of an init that can fail, in their order, and what it gives then.
CALLS = {
    "block": [("vzalloc", "NULL"), ("compat_alloc_disk", "ERR_PTR(-ENOMEM)"), ("compat_add_disk", "-ENOMEM")],
    "chardev": [("misc_register", "-ENOMEM")],
    "netdev": [("alloc_netdev", "NULL"), ("register_netdev", "-ENOMEM")],
    "input": [
        ("platform_driver_register", "-ENOMEM"),
        ("platform_device_register_simple", "ERR_PTR(-ENOMEM)"),
        ("devm_input_allocate_device", "NULL"),
        ("input_register_device", "-ENOMEM"),
    ],
    "kprobe": [("register_kprobe", "-ENOMEM")],
    "pci": [
        ("devm_kzalloc", "NULL"),
        ("pcim_enable_device", "-ENOMEM"),
        ("pcim_iomap_regions", "-ENOMEM"),
        ("pci_alloc_irq_vectors", "-ENOMEM"),
        ("devm_request_irq", "-ENOMEM"),
    ],
    "platform": [
        ("platform_driver_register", "-ENOMEM"),
        ("platform_device_register_simple", "ERR_PTR(-ENOMEM)"),
        ("devm_kzalloc", "NULL"),
    ],
    "procfs": [("proc_create", "NULL")],
    "sysfs": [("kobject_create_and_add", "NULL"), ("sysfs_create_group", "-ENOMEM")],
    "timer": [("alloc_ordered_workqueue", "NULL"), ("kthread_run", "ERR_PTR(-ENOMEM)")],
}
# How many calls are made: netdev's are made once for each end.
TIMES = {template: len(calls) for template, calls in CALLS.items()} | {"netdev": 4}
# How many of them init makes: the others are of probe, and where that fails the driver has no device.
OF_INIT = TIMES | {"input": 2, "pci": 0, "platform": 2}

_HEAD = """
static int calls, fail_at;
module_param(fail_at, int, 0444);
static bool failing(void) { return ++calls == fail_at; }
"""

_AT_ONCE = 64  # tasks, of three calls each; the tool makes 200


@functools.cache
def built(series: str) -> Path:
    """Modules f-TEMPLATE with a parameter fail_at: which of the calls fails, 0 for none."""
    return _build(need_kernel(series), CALLS)


def _build(kernel: Kernel, calls: Mapping[str, list[tuple[str, str]]]) -> Path:
    """Modules f-TEMPLATE of a kernel. A name with `-sim` at its end is the template's second module."""
    place = Path(tempfile.mkdtemp(prefix="ks-unwinding-"))
    for module in calls:
        template = module.removesuffix("-sim")
        if not (place / f"f-{template}").exists():
            new(ProjectRequest(f"f-{template}", place, template))
        _let_fail(place / f"f-{template}" / f"f-{module}.c", calls[module])
    kinds = " ".join(f"{project.name}/" for project in place.iterdir())
    (place / "Kbuild").write_text(f"obj-m := {kinds}\n")
    assert kernel.build is not None
    variables = toolchain(read_tree(kernel.build)).variables
    argv = ["make", "-j2", "-C", str(kernel.build), f"M={place}", *variables, WITHOUT_LINES, "modules"]
    done = process.run(argv, timeout=600, env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def _let_fail(source: Path, calls: list[tuple[str, str]]) -> None:
    """Make each of the calls fail that `fail_at` says."""
    text = source.read_text()
    for call, failed in calls:
        text, count = re.subn(rf"= {call}\(", f"= failing() ? {failed} : {call}(", text)
        assert count, call
    last = text.rindex("#include")
    end = text.index("\n", last) + 1
    if text[end:].startswith("#endif"):
        end = text.index("\n", end) + 1
    source.write_text(text[:end] + _HEAD + text[end:])


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize("template", CALLS)
def test_init_fails_at_each_step_and_nothing_is_left(template, series):
    # On 5.10 the last call of block's, add_disk(), can't fail.
    count = TIMES[template] - ((series, template) == ("5.10", "block"))
    steps = list(range(1, count + 1))
    ko = built(series) / f"f-{template}" / f"f-{template}.ko"
    module = ModuleFile.open(ko)
    with templated.guest(series, devices=("edu",) if template == "pci" else ()) as guest:
        before = guest.target.modules()
        tool = Tool(guest.target)
        seen = _traces(guest, tool, ko.stem)
        for step in [*steps, *steps]:
            given = Parameters.parse(f"fail_at={step}")
            in_init = step <= OF_INIT[template]
            assert (step, guest.target.load(module, given, 20).errno) == (step, errno.ENOMEM * in_init)
            if not in_init:
                assert guest.target.unload(ko.stem.replace("-", "_"), 20).errno == 0
            assert guest.target.modules() == before
            assert _traces(guest, tool, ko.stem) == seen
        # After all that it still works, so nothing of it was left in the way.
        assert guest.target.load(module, Parameters(), 20).errno == 0
        assert _traces(guest, tool, ko.stem) != seen
        assert guest.target.unload(ko.stem.replace("-", "_"), 20).errno == 0
        assert _traces(guest, tool, ko.stem) == seen
        # The kernel's word on a probe that failed, and kprobe's own.
        told = ("failed with error -12", "can't be watched")
        assert [text for text in guest.quarrels() if not text.endswith(told)] == []


def _traces(guest: templated.Guest, tool: Tool, stem: str) -> list[str]:
    """What a module of this name could leave: files of its name, threads, network devices."""
    name = stem.replace("-", "_")
    found = []
    for path in (
        f"/proc/{name}",
        f"/sys/devices/platform/{name}/uevent",
        f"/sys/kernel/{name}/celsius",
        f"/sys/block/{name}/size",
    ):
        try:
            found.append(f"{path}: {guest.target.read(path)!r}")
        except OSError:
            continue
    for path in ("/proc/bus/input/devices", "/proc/interrupts", "/proc/iomem", "/proc/ioports"):
        found += [line for line in guest.target.read(path).decode().splitlines() if name in line]
    found += guest.target.read("/sys/kernel/debug/kprobes/list").decode().splitlines()
    misc = [line.split()[1] for line in guest.target.read("/proc/misc").decode().splitlines()]
    net = [line.split()[0] for line in guest.target.read("/proc/net/dev").decode().splitlines()[2:]]
    # "-NAME" is what a worker of the kernel's did last, "+NAME" what it does now (wq_worker_comm()).
    threads = [c for c in _tasks(guest, tool) if name[:10] in c and not re.match(r"kworker/[^+]*-", c)]
    return [*found, *sorted(misc), *sorted(net), *sorted(threads)]


def _tasks(guest: templated.Guest, tool: Tool) -> list[str]:
    """The name of each task of the guest. One request asks for many: each takes as long as all of them."""
    last, found = int(guest.target.read("/proc/loadavg").split()[-1]), []
    for first in range(2, last + 1, _AT_ONCE):
        calls: list[tuple[Argument, ...]] = []
        for number in range(first, min(first + _AT_ONCE, last + 1)):
            fd = Result(len(calls))
            calls += [
                ("open", f"/proc/{number}/comm", os.O_RDONLY),
                ("read", fd, Room(64), 64),
                ("close", fd),
            ]
        found += [read.bytes[: read.value].decode().strip() for read in tool(*calls)[1::3] if read.value > 0]
    return found


# Of classes that only a full kernel has.
FULL_CALLS = {
    "i2c": [("i2c_smbus_read_byte_data", "-ENOMEM")],
    "spi": [("spi_setup", "-ENOMEM"), ("chip_read", "-ENOMEM")],
    "spi-sim": [
        ("root_device_register", "ERR_PTR(-ENOMEM)"),
        ("__spi_alloc_controller", "NULL"),
        ("spi_register_controller", "-ENOMEM"),
    ],
    "usb": [("usb_find_common_endpoints", "-ENOMEM"), ("devm_kzalloc", "NULL")],
}
_FAILED = "failed with error -12"  # the kernel's word on a probe


def test_a_probe_that_fails_leaves_nothing_on_a_full_kernel(full_kernel):
    place = _build(full_kernel, FULL_CALLS)

    def ko(module: str) -> Path:
        return place / f"f-{module.removesuffix('-sim')}" / f"f-{module}.ko"

    with Sandbox(full_kernel) as box:
        stub = module_of_kernel("i2c_stub", full_kernel)
        assert stub and box.load(stub, chip_addr="0x48").ok
        adapter, chip = "/sys/bus/i2c/devices/i2c-0", "/sys/bus/i2c/devices/0-0048/temperature"
        for step in (1, 0):
            assert box.load(ko("i2c"), fail_at=step).ok
            box.write(f"{adapter}/new_device", b"example-sensor 0x48")
            assert _there(box, chip) == (step == 0)
            box.write(f"{adapter}/delete_device", b"0x48")
            assert box.unload("f-i2c").ok

        for step in (1, 2, 3):
            assert box.load(ko("spi-sim"), fail_at=step).judgement.errno == "ENOMEM"
        for step in (1, 2, 0):
            assert box.load(ko("spi"), fail_at=step).ok and box.load(ko("spi-sim")).ok
            assert _there(box, "/sys/bus/spi/devices/spi0.0/level") == (step == 0)
            assert box.unload("f-spi-sim").ok and box.unload("f-spi").ok

        plug = place / "f-usb/tests/plug.sh"
        for name in ("dummy_hcd", "usb_f_ss_lb"):
            module = module_of_kernel(name, full_kernel)
            assert module and box.load(module).ok
        for step in (1, 2, 3, 0):
            assert box.load(ko("usb"), fail_at=step).ok
            assert box.exec(plug, "in").status == 0
            _await(box, "1-1:1.0: a loop" if step == 0 else _FAILED, max(step, 1))
            assert _there(box, "/sys/bus/usb/devices/1-1:1.0/message") == (step == 0)
            assert box.exec(plug, "out").status == 0
            assert box.unload("f-usb").ok
        assert complaints(box.log()) == []


def _there(box: Sandbox, path: str) -> bool:
    try:
        box.read(path)
    except FileNotFoundError:
        return False
    return True


def _await(box: Sandbox, words: str, times: int) -> None:
    """Wait until a line of the log about usb has come so often."""
    deadline = time.monotonic() + 20
    while sum(words in r.text for r in box.log() if "1-1:1.0" in r.text) < times:
        assert time.monotonic() < deadline, [r.text for r in box.log()][-20:]
        time.sleep(0.1)


def test_memory_of_the_disk_is_given_back():
    """Ten times 64 MB, in a guest of 256; and a size that it never has."""
    with templated.guest("6.1") as guest:
        for _ in range(10):
            with guest.loaded("block", "megabytes=64"):
                pass
        assert guest.load("block", "megabytes=1024") == errno.ENOMEM
        assert guest.load("block", "megabytes=64") == 0


def test_memory_of_the_words_is_given_back():
    with templated.guest("6.1") as guest:
        tool = Tool(guest.target)

        def fill() -> None:
            with guest.loaded("procfs") as name:
                for _ in range(5):
                    words = [("write", Result(0), b"x" * 80, 80)] * 190
                    tool(("open", f"/proc/{name}", os.O_WRONLY), *words)

        def used() -> int:
            lines = guest.target.read("/proc/slabinfo").decode().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("kmalloc-128 "))

        fill()
        before = used()
        for _ in range(5):
            fill()
        assert used() - before < 2000  # 4750 words were written in between

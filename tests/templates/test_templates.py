"""Each template loaded, used as its README says and by system calls, and unloaded, in a guest."""

import errno
import os
import signal
import struct

import pytest

from kscaffold.elf.module_file import ModuleFile
from kscaffold.module.arguments import Parameters
from kscaffold.packages.busybox import busybox
from kscaffold.scaffold.create.render import templates
from tests.support import templated
from tests.support.guesttool import Done, Result, Room, Tool
from tests.support.templated import Guest

pytestmark = [pytest.mark.kernel, pytest.mark.sandbox]

POLLIN, POLLOUT = 1, 4


def values(done: list[Done]) -> list[int]:
    return [d.value for d in done]


def text(guest: Guest, path: str) -> str:
    return guest.target.read(path).decode()


def refusal(guest: Guest, path: str, content: str) -> int:
    """The errno of writing to a file of the guest."""
    with pytest.raises(OSError) as refused:
        guest.target.write(path, content.encode())
    assert refused.value.errno
    return refused.value.errno


def test_every_template_twice_and_nothing_is_left(guest):
    before = guest.target.modules()
    for template in guest.built.names:
        for _ in range(2):
            assert (template, guest.load(template)) == (template, 0)
            assert (template, guest.load(template)) == (template, errno.EEXIST)
            assert (template, guest.unload(template)) == (template, 0)
    assert guest.target.modules() == before
    assert guest.quarrels() == []


def test_what_the_readme_says_works():
    """Line by line in a shell of the guest, after the module was loaded."""
    with templated.guest("6.1") as guest:
        guest.target.install_busybox(busybox(offline=False).read_bytes())
        for template in (t for t in templates() if t.tries and t.name in guest.built.names):
            with guest.loaded(template.name) as name:
                for line in template.tries:
                    typed = line.format(name=templated.module(template.name), kernel_name=name)
                    status, said = guest.target.run(["/bin/sh", "-c", typed], 20)
                    assert (typed, status) == (typed, 0), said


def test_chardev_reads_what_was_written(guest):
    tool = Tool(guest.target)
    with guest.loaded("chardev") as name:
        device = f"/dev/{name}"
        done = tool(
            ("open", device, os.O_RDWR | os.O_NONBLOCK),
            ("write", Result(0), b"hello", 5),
            ("read", Result(0), Room(3), 3),
            ("read", Result(0), Room(9), 9),
            ("read", Result(0), Room(9), 9),
            ("read", Result(0), Room(1), 0),
            ("lseek", Result(0), 0, os.SEEK_SET),
            ("read", Result(0), 8, 4),  # nothing there: it would block, before it sees the address
            ("write", Result(0), 8, 4),
        )
        assert values(done) == [3, 5, 3, 2, -errno.EAGAIN, 0, -errno.ESPIPE, -errno.EAGAIN, -errno.EFAULT]
        assert (done[2].bytes, done[3].bytes[:2]) == (b"hel", b"lo")


def test_chardev_takes_4096_bytes_and_says_so(guest):
    tool = Tool(guest.target)
    length = 2 << 30 | 4 << 16 | 0xE7 << 8 | 2
    clear = 0xE7 << 8 | 1
    asked = struct.pack("ihh", 3, POLLIN | POLLOUT, 0)
    with guest.loaded("chardev") as name:
        done = tool(
            ("open", f"/dev/{name}", os.O_RDWR | os.O_NONBLOCK),
            ("poll", Room(8, asked), 1, 0),
            ("write", Result(0), bytes(range(256)) * 16 + b"more", 4100),
            ("write", Result(0), b"x", 1),
            ("poll", Room(8, asked), 1, 0),
            ("ioctl", Result(0), length, Room(4)),
            ("read", Result(0), Room(4096), 4096),
            ("write", Result(0), b"again", 5),
            ("poll", Room(8, asked), 1, 0),
            ("ioctl", Result(0), clear),
            ("ioctl", Result(0), length, Room(4)),
            ("ioctl", Result(0), 1234, 0),
            ("ioctl", Result(0), length, 8),
        )
        assert values(done)[2:4] == [4096, -errno.EAGAIN]
        ready = [struct.unpack("ihh", done[i].bytes)[2] for i in (1, 4, 8)]
        assert ready == [POLLOUT, POLLIN, POLLIN | POLLOUT]
        assert struct.unpack("I", done[5].bytes)[0] == 4096
        assert done[6].bytes == bytes(range(256)) * 16
        assert values(done)[9:] == [0, 0, -errno.ENOTTY, -errno.EFAULT]
        assert done[10].bytes == bytes(4)


def test_chardev_wakes_who_waits(guest):
    """A child sleeps in read() until the parent writes, a parent in poll() until the child does."""
    tool = Tool(guest.target)
    with guest.loaded("chardev") as name:
        done = tool(
            ("open", f"/dev/{name}", os.O_RDWR),
            ("fork",),
            ("?1:read", Result(0), Room(4), 4),
            ("?1:write", Result(0), b"back", 4),
            ("?1:exit", 0),
            ("!1:write", Result(0), b"ping", 4),
            ("!1:wait4", -1, 0, 0, 0),
            ("!1:poll", Room(8, struct.pack("ihh", 3, POLLIN, 0)), 1, -1),
            ("!1:read", Result(0), Room(4), 4),
        )
        assert (done[2].value, done[2].bytes) == (4, b"ping")
        assert done[-1].bytes == b"back"
        # Full: write() waits for room, and is woken by a read.
        done = tool(
            ("open", f"/dev/{name}", os.O_RDWR),
            ("write", Result(0), bytes(4096), 4096),
            ("fork",),
            ("?2:write", Result(0), b"late", 4),
            ("?2:exit", 0),
            ("!2:read", Result(0), Room(4096), 4096),
            ("!2:wait4", -1, 0, 0, 0),
            ("!2:read", Result(0), Room(4), 4),
        )
        assert done[-1].bytes == b"late"


def test_chardev_stays_while_it_is_open(guest):
    tool = Tool(guest.target)
    with guest.loaded("chardev") as name:
        held = tool(
            ("open", f"/dev/{name}", os.O_RDONLY),
            ("delete_module", name, os.O_NONBLOCK),
            ("close", Result(0)),
        )
        assert values(held) == [3, -errno.EWOULDBLOCK, 0]


@pytest.mark.parametrize("call", ["read", "write"])
def test_chardev_lets_a_signal_end_the_waiting(guest, call):
    tool = Tool(guest.target)
    with guest.loaded("chardev") as name:
        full = [("write", Result(0), bytes(4096), 4096)] if call == "write" else [("lseek", Result(0), 0, 0)]
        done = tool(
            ("open", f"/dev/{name}", os.O_RDWR),
            *full,
            ("fork",),
            (f"?2:{call}", Result(0), Room(4), 4),
            ("?2:exit", 0),
            ("!2:kill", Result(2), signal.SIGTERM),
            ("!2:wait4", Result(2), Room(4), 0, 0),
        )
        assert struct.unpack("I", done[-1].bytes)[0] == signal.SIGTERM


def test_procfs_lists_what_was_written(guest):
    with guest.loaded("procfs") as name:
        path = f"/proc/{name}"
        assert text(guest, path) == ""
        for word in ("first\n", "second", "third one\n"):
            guest.target.write(path, word.encode())
        assert text(guest, path) == "first\nsecond\nthird one\n"
        assert refusal(guest, path, "x" * 81) == errno.EINVAL
        tool = Tool(guest.target)
        # In small pieces, which no line fits into; from a position; and from a bad address.
        pieces = tool(
            ("open", path, os.O_RDWR),
            *[("read", Result(0), Room(4), 4)] * 8,
            ("lseek", Result(0), 6, os.SEEK_SET),
            ("read", Result(0), Room(6), 6),
            ("write", Result(0), 8, 4),
        )
        got = b"".join(p.bytes[: p.value] for p in pieces[1:9])
        assert got == b"first\nsecond\nthird one\n"
        assert pieces[-2].bytes == b"second"
        assert pieces[-1].value == -errno.EFAULT
    with pytest.raises(FileNotFoundError):
        guest.target.read(path)


def test_procfs_has_an_end_and_forgets(guest):
    with guest.loaded("procfs") as name:
        tool = Tool(guest.target)
        for _ in range(10):
            tool(("open", f"/proc/{name}", os.O_WRONLY), *[("write", Result(0), b"word", 4)] * 100)
        assert text(guest, f"/proc/{name}") == "word\n" * 1000
        assert refusal(guest, f"/proc/{name}", "one more") == errno.ENOSPC
    with guest.loaded("procfs") as name:
        assert text(guest, f"/proc/{name}") == ""


def test_sysfs_attributes(guest):
    with guest.loaded("sysfs") as name:
        place = f"/sys/kernel/{name}"
        assert (text(guest, f"{place}/celsius"), text(guest, f"{place}/fahrenheit")) == ("20\n", "68\n")
        guest.target.write(f"{place}/celsius", b"-40\n")
        assert (text(guest, f"{place}/celsius"), text(guest, f"{place}/fahrenheit")) == ("-40\n", "-40\n")
        assert refusal(guest, f"{place}/celsius", "-274") == errno.ERANGE
        assert refusal(guest, f"{place}/celsius", "10001") == errno.ERANGE
        assert refusal(guest, f"{place}/celsius", "99999999999") == errno.ERANGE
        assert refusal(guest, f"{place}/celsius", "warm") == errno.EINVAL
        assert text(guest, f"{place}/celsius") == "-40\n"
        assert refusal(guest, f"{place}/reset", "perhaps") == errno.EINVAL
        guest.target.write(f"{place}/reset", b"0")
        assert text(guest, f"{place}/celsius") == "-40\n"
        guest.target.write(f"{place}/reset", b"1\n")
        assert text(guest, f"{place}/celsius") == "20\n"
        with pytest.raises(OSError):
            guest.target.read(f"{place}/reset")
    with pytest.raises(FileNotFoundError):
        guest.target.read(f"{place}/celsius")


def test_debugfs_files(guest):
    with guest.loaded("debugfs") as name:
        place = f"/sys/kernel/debug/{name}"
        assert text(guest, f"{place}/report") == "line 1\nline 2\nline 3\n"
        guest.target.write(f"{place}/howmany", b"2")
        guest.target.write(f"{place}/loud", b"Y")
        assert text(guest, f"{place}/report") == "line 1!\nline 2!\n"
        guest.target.write(f"{place}/howmany", b"4000000000")
        assert len(text(guest, f"{place}/report").splitlines()) == 1000
        assert text(guest, f"{place}/percent") == "50\n"
        guest.target.write(f"{place}/percent", b"100\n")
        assert refusal(guest, f"{place}/percent", "101") == errno.ERANGE
        assert text(guest, f"{place}/percent") == "100\n"
        assert int(text(guest, f"{place}/reports")) >= 3
    with pytest.raises(FileNotFoundError):
        guest.target.read(f"{place}/report")


def test_timer_ticks_until_it_is_stopped(guest):
    assert guest.load("timer", "period=0") == errno.EINVAL
    nap = ("nanosleep", struct.pack("QQ", 0, 100_000_000), 0)
    tool = Tool(guest.target)
    with guest.loaded("timer", "period=10"):
        for _ in range(200):
            if len(guest.said("timer")) >= 3:
                break
            tool(nap)
        ticks = [line for line in guest.said("timer") if line.startswith("tick")]
        assert len(ticks) >= 3
        assert ticks == [f"tick {n + 1}" for n in range(len(ticks))]
    said = guest.said("timer")
    assert said[-1] == f"heard {len(said) - 1} ticks"
    tool(nap)
    assert guest.said("timer") == said


def test_timer_stops_in_the_middle_of_it(guest):
    for _ in range(20):
        with guest.loaded("timer", "period=1"):
            pass


_AF_PACKET, _SOCK_RAW, _PROTOCOL = 17, 3, 0x88B5  # a number for experiments (IEEE 802)
_SIOCSIFFLAGS, _SIOCGIFINDEX, _UP = 0x8914, 0x8933, 1


def _ifreq(name: str, number: int = 0) -> bytes:
    return struct.pack("16sI", name.encode(), number).ljust(40, b"\0")


def _link_address(index: int) -> bytes:
    return struct.pack("=HHiHBB8s", _AF_PACKET, _PROTOCOL >> 8 | (_PROTOCOL & 255) << 8, index, 0, 0, 0, b"")


def test_netdev_carries_packets_both_ways(guest):
    for af_packet in guest.kernel.modules.rglob("af_packet.ko*"):  # where it is not built in
        assert guest.target.load(ModuleFile.open(af_packet), Parameters(), 20).errno == 0
    tool = Tool(guest.target)
    protocol = _PROTOCOL >> 8 | (_PROTOCOL & 255) << 8
    with guest.loaded("netdev"):
        assert guest.said("netdev") == ["pair0 and pair1 are a pair"]
        index = {n: int(text(guest, f"/sys/class/net/{n}/ifindex")) for n in ("pair0", "pair1")}
        frames = {n: b"\xff" * 6 + b"\x02\0\0\0\0\x01\x88\xb5" + f"from {n}".encode() * 9 for n in index}
        size = len(frames["pair0"])
        both = (
            ("socket", _AF_PACKET, _SOCK_RAW, protocol),
            ("bind", Result(0), _link_address(index["pair0"]), 20),
            ("socket", _AF_PACKET, _SOCK_RAW, protocol),
            ("bind", Result(2), _link_address(index["pair1"]), 20),
        )
        up = tool(
            ("socket", _AF_PACKET, _SOCK_RAW, protocol),
            ("ioctl", Result(0), _SIOCSIFFLAGS, _ifreq("pair0", _UP)),
            ("open", "/sys/class/net/pair0/carrier", os.O_RDONLY),
            ("pread", Result(2), Room(2), 2, 0),
            ("ioctl", Result(0), _SIOCSIFFLAGS, _ifreq("pair1", _UP)),
            ("pread", Result(2), Room(2), 2, 0),
        )
        assert values(up)[1:] == [0, 4, 2, 0, 2]
        assert (up[3].bytes, up[5].bytes) == (b"0\n", b"1\n")
        for sender, receiver in (("pair0", "pair1"), ("pair1", "pair0")):
            done = tool(
                *both,
                ("sendto", Result(0 if sender == "pair0" else 2), frames[sender], size, 0, 0, 0),
                ("recvfrom", Result(2 if sender == "pair0" else 0), Room(200), 200, 0, 0, 0),
            )
            assert (done[4].value, done[5].value) == (size, size)
            assert done[5].bytes[:size] == frames[sender]
            for counter in (f"{sender}/statistics/tx", f"{receiver}/statistics/rx"):
                assert int(text(guest, f"/sys/class/net/{counter}_packets")) >= 1
                assert int(text(guest, f"/sys/class/net/{counter}_bytes")) >= size - 14
        # One end down: dropped, counted, and no harm.
        down = tool(
            *both,
            ("ioctl", Result(0), _SIOCSIFFLAGS, _ifreq("pair1")),
            ("open", "/sys/class/net/pair0/carrier", os.O_RDONLY),
            ("read", Result(5), Room(2), 2),
        )
        assert down[6].bytes == b"0\n"
    with pytest.raises(FileNotFoundError):
        guest.target.read("/sys/class/net/pair0/ifindex")


def test_block_keeps_what_was_written(guest):
    tool = Tool(guest.target)
    for bad in ("0", "1025"):
        assert guest.load("block", f"megabytes={bad}") == errno.EINVAL
    with guest.loaded("block", "megabytes=1") as name:
        assert text(guest, f"/sys/block/{name}/size") == "2048\n"
        device = f"/dev/{name}"
        assert guest.target.read(device) == bytes(1 << 20)
        pattern = os.urandom(3000)
        # Not at sectors' ends: the page cache reads, changes and writes whole ones.
        done = tool(
            ("open", device, os.O_RDWR),
            ("pwrite", Result(0), pattern, 3000, 700),
            ("fsync", Result(0)),
            ("pwrite", Result(0), b"the end", 7, (1 << 20) - 7),
            ("pwrite", Result(0), b"x", 1, 1 << 20),
            ("fsync", Result(0)),
        )
        assert values(done)[1:] == [3000, 0, 7, -errno.ENOSPC, 0]
        guest.target.write("/proc/sys/vm/drop_caches", b"3")  # from the disk, not from the page cache
        disk = guest.target.read(device)
        assert disk[700:3700] == pattern
        assert disk[-7:] == b"the end"
        assert disk.count(0) >= (1 << 20) - 3007
    with guest.loaded("block", "megabytes=1"):
        assert guest.target.read(device) == bytes(1 << 20)  # what was there before is gone


def test_exporter_and_its_user(guest):
    assert guest.load("exporter", end="-user") == errno.ENOENT  # "Unknown symbol", told as an error
    with templated.guest(guest.series) as fresh:
        with fresh.loaded("exporter"):
            assert fresh.load("exporter", "number=42", end="-user") == 0
            assert fresh.unload("exporter") == errno.EWOULDBLOCK  # in use
            assert fresh.unload("exporter", "-user") == 0
        assert fresh.said("exporter") == ["ready for users", "the last tally is 0"]
        user = [r.text for r in fresh.target.log() if r.text.startswith("my_exporter_user: the")]
        assert [line.split(": ")[1] for line in user] == ["the tally is 42", "the tally is 0 again"]

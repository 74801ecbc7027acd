"""What is left behind, from two photographs: written ones here, real ones in tests/zoo/test_leavers.py."""

import re
from importlib.resources import files

import pytest

from kscaffold.diagnosis import catalogue
from kscaffold.diagnosis.residue import sections
from kscaffold.diagnosis.residue.compare import NOISE, Part, compare, grown, parts
from kscaffold.diagnosis.residue.kinds import KINDS, Residue
from kscaffold.diagnosis.residue.sections import SECTIONS, is_kept_cache, sections_of
from kscaffold.diagnosis.residue.source import made_by
from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.flaws import RESIDUE
from kscaffold.load.leftovers import Leftovers, sections_to_watch
from kscaffold.targets.absent import AbsentSandbox
from tests.support.elf import Ko


def told(*found: Part) -> list[tuple[str, str]]:
    return [(r.kind, r.name) for r in compare(found)]


def test_the_agent_takes_the_same_parts_in_the_same_order():
    source = files("kscaffold.sandbox.agent").joinpath("agent.c").read_text()
    table = source[source.index("*const seen[]") :]
    taken = re.findall(r'"(\d)(/[^"]+)"', table[: table.index("};")])
    assert tuple(path for _, path in taken) == SECTIONS
    assert len(SECTIONS) < 31  # the topmost bit asks for the first photograph


def test_every_kind_has_an_entry_and_a_call_that_makes_it():
    for kind, each in KINDS.items():
        assert catalogue.entry(each.code) is not None and each.code in RESIDUE, kind
        assert re.compile(each.makers).groups == 0, kind


def test_parts():
    assert parts("\1/dev\n/dev/a\n\2/dev/a\n/dev/b\n\1/proc/misc\nx\n\3") == [
        Part("/dev", "/dev/a\n", "/dev/a\n/dev/b\n"),
        Part("/proc/misc", "x\n", None),
    ]
    assert parts("") == []


@pytest.mark.parametrize(
    ("section", "before", "after", "found"),
    [
        ("/proc", "/proc/a\n", "/proc/a\n/proc/b\n/proc/b/c\n", [("proc", "b")]),
        ("/proc", "", "task kworker/0:2\ntask mine\n", [("thread", "mine")]),
        ("/proc", "", "task kworker/R-queue\n", [("thread", "queue")]),
        ("/sys/class", "", "/sys/class/c\n/sys/class/c/d\n", [("class", "c")]),
        ("/sys/class", "", "/sys/class/net/eth9\n", [("netdev", "eth9")]),
        ("/sys/bus", "", "/sys/bus/platform/drivers/d\n", [("driver", "d")]),
        ("/sys/bus", "", "/sys/bus/b\n/sys/bus/b/devices\n", [("bus", "b")]),
        ("/sys/bus", "", "/sys/bus/platform/mode\n", [("sysfs", "/sys/bus/platform/mode")]),
        ("/sys/class", "", "/sys/class/net/eth9\n/sys/class/bdi/7:0\n", [("netdev", "eth9")]),
        ("/sys/class", "", "/sys/class/block/mode\n", [("sysfs", "/sys/class/block/mode")]),
        ("/sys/devices/virtual", "", "/sys/devices/virtual/c/d\n", [("device", "d")]),
        ("/sys/kernel/slab", "", "/sys/kernel/slab/:0000064 0\n/sys/kernel/slab/mine\n", [("slab", "mine")]),
        (
            "/sys/kernel/slab",
            "/sys/kernel/slab/:0000040 3\n",
            "/sys/kernel/slab/:0000040 4\n/sys/kernel/slab/shares@\n",
            [("slab", "shares")],
        ),
        # Destroyed: the link stays.
        (
            "/sys/kernel/slab",
            "/sys/kernel/slab/:0000040 3\n",
            "/sys/kernel/slab/:0000040 3\n/sys/kernel/slab/shares@\n",
            [],
        ),
        ("/sys/kernel/debug", "", "/sys/kernel/debug/d\n/sys/kernel/debug/d/f\n", [("debugfs", "d")]),
        (
            "/proc/devices",
            "Character devices:\n  1 mem\n\nBlock devices:\n 8 sd\n",
            "Character devices:\n  1 mem\n240 c\n\nBlock devices:\n 8 sd\n250 b\n",
            [("chrdev", "c (240)"), ("blkdev", "b (250)")],
        ),
        (
            "/proc/interrupts",
            "           CPU0\n  1:   9   IO-APIC   1-edge   i8042\nLOC: 1 Local\n",
            "           CPU0\n  1:  12   IO-APIC   1-edge   i8042, mine\nLOC: 9 Local\n",
            [("interrupt", "1 (mine)")],
        ),
        ("/proc/filesystems", "nodev\tproc\n", "nodev\tproc\n\text9\n", [("filesystem", "ext9")]),
        ("/proc/misc", "1 a\n", "1 a\n60 mine\n", [("misc", "mine")]),
    ],
)
def test_what_differs_is_named(section, before, after, found):
    assert told(Part(section, before, after)) == found
    assert told(Part(section, after, before)) == []


def test_one_thing_is_told_once():
    device = Part("/sys/devices/virtual", "", "/sys/devices/virtual/c/d\n")
    assert told(device, Part("/dev", "", "/dev/d\n")) == [("device", "d")]
    link = Part("/sys/class", "", "/sys/class/c/d\n")
    assert told(device, link) == [("device", "d")]
    assert told(Part("/dev", "", "/dev/input/e3\n"), Part("/sys/class", "", "/sys/class/input/e3\n")) == [
        ("dev", "input/e3")
    ]
    assert told(Part("/sys/bus", "", "/sys/bus/b\n/sys/bus/b/devices\n/sys/bus/b/uevent\n")) == [("bus", "b")]


def memory(free: int) -> str:
    return f"MemTotal: 200000 kB\nMemFree: {free} kB\nActive: 10 kB\nInactive: 10 kB\n"


def test_memory_grows_by_more_than_noise():
    lost = Part("/proc/meminfo", memory(100000), memory(100000 - (19 << 10)))
    assert told(lost) == [("memory", "19 MB")]
    little = Part("/proc/meminfo", memory(100000), memory(100000 - (NOISE >> 11)))
    assert told(little) == []
    # Free pages that a processor keeps are not lost.
    kept = Part("/proc/zoneinfo", "    cpu: 0\n              count: 5\n", "              count: 4869\n")
    assert grown([lost, kept]) == 0 and told(lost, kept) == []


class _Photographed(AbsentSandbox):
    """A kernel that lost 1 MB, and took 0.7 MB of that from the free pages that its processor kept."""

    def photograph(self, sections, *, first=False):
        seen = {
            "/proc/meminfo": (memory(100000), memory(100000 - 300)),
            "/proc/zoneinfo": ("  count: 190\n", "  count: 9\n"),
        }
        return [Part(name, *seen[name]) for name in seen if sections >> SECTIONS.index(name) & 1]


def test_what_was_taken_from_free_pages_that_were_kept_is_lost(tmp_path):
    (tmp_path / "m.ko").write_bytes(Ko("m", imports={"__kmalloc": 1}).bytes())
    ko = ModuleFile.open(tmp_path / "m.ko")
    left = Leftovers([ko], sections_to_watch([ko]), _Photographed()).find([], [])
    assert [(r.kind, r.name) for r in left] == [("memory", "1 MB")]


@pytest.mark.parametrize(
    ("call", "undo"),
    [
        ("sysfs_create_group(kernel_kobj, &group)", "sysfs_remove_group()"),
        ("bus_create_file(&platform_bus_type, &mode)", "bus_remove_file()"),
        ('kobject_create_and_add("left", kernel_kobj)', "kobject_put()"),
    ],
)
def test_what_is_left_in_sysfs_is_taken_back_by_the_calls_own_opposite(call, undo):
    (left,) = compare([Part("/sys/kernel", "", "/sys/kernel/left\n")], [("a.c", f"static int x;\n{call};\n")])
    assert left.where == "a.c:2" and left.fix.startswith(f"call {undo} in exit")


def test_nodes_of_an_idr_are_memory_that_nobody_reclaims():
    def reclaimable(kilobytes: int) -> Part:
        text = f"{memory(100000 - kilobytes)}SReclaimable: {{}} kB\n"
        return Part("/proc/meminfo", f"{memory(100000)}SReclaimable: 0 kB\n", text.format(kilobytes))

    assert told(reclaimable(3856)) == [("memory", "4 MB")]
    assert told(reclaimable(328)) == []  # names and inodes of files that were looked at
    source = "static int __init start(void)\n{\n\treturn idr_alloc(&all, it, 0, 0, GFP_KERNEL);\n}\n"
    (left,) = compare([reclaimable(3856)], [("a.c", source)])
    assert left.where == "a.c:3" and left.fix.startswith("call idr_destroy() in exit")


def test_areas_are_the_module_s_where_nobody_has_their_caller():
    line = "0xffffc90000001000-0xffffc90000202000 2101248 {} pages=512 vmalloc\n"
    assert told(Part("/proc/vmallocinfo", "", line.format("0xffffffffc0a0205d"))) == [("vmalloc", "2 MB")]
    assert told(Part("/proc/vmallocinfo", "", line.format("m_init+0x1/0x9 [m]"))) == [("vmalloc", "2 MB")]
    assert told(Part("/proc/vmallocinfo", "", line.format("alloc_large+0x1/0x9"))) == []
    many = "".join(f"0xffffc900000{n}1000-0 1052672 m_init+0x1/0x9 [m] vmalloc\n" for n in range(19))
    assert told(Part("/proc/vmallocinfo", "", many)) == [("vmalloc", "19 MB in 19 areas")]


SOURCE = """
/* proc_create("old", …) was here */
#define make(name) proc_create(name, 0, NULL, &ops)
static int __init start(void)
{
	proc_mkdir("other", NULL);
	make("mine"); // proc_create("mine")
}
"""


def test_the_call_that_names_it_is_the_one():
    assert made_by(Residue("proc", "mine"), [("a.c", SOURCE)]).where == "a.c:7"
    assert made_by(Residue("proc", "other"), [("a.c", SOURCE)]).where == "a.c:6"
    assert made_by(Residue("netdev", "eth0"), [("a.c", SOURCE)]).where is None


@pytest.mark.parametrize(
    ("left", "call", "undo"),
    [
        (Residue("vmalloc", "8 KB"), "p = ioremap(0xfee00000, 4096);", "iounmap()"),
        (Residue("vmalloc", "8 KB"), "p = vmap(pages, 2, VM_MAP, PAGE_KERNEL);", "vunmap()"),
        (Residue("vmalloc", "8 KB"), "p = vmalloc(8192);", None),  # the kind's own
        (
            Residue("callback", "up"),
            'cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "a", up, NULL);',
            "cpuhp_remove_state_nocalls()",
        ),
    ],
)
def test_the_call_tells_what_takes_it_back(left, call, undo):
    found = made_by(left, [("a.c", f"static int f(void)\n{{\n\t{call}\n}}\n")])
    assert (found.where, found.undo) == ("a.c:3", undo)


def test_a_list_that_kills_its_reader_is_told_with_the_name_in_the_source():
    declared = 'static struct miscdevice m = { .minor = 255, .name = "mine" };'
    text = f"{declared}\nint f(void) {{ return misc_register(&m); }}"
    (left,) = compare([Part("/proc/misc", "", None), Part("/dev", "", "/dev/mine\n")], [("m.c", text)])
    assert (left.kind, left.name, left.where) == ("misc", "mine", "m.c:2")
    assert left.text == "the misc device mine is still registered; reading /proc/misc crashes the kernel"


def test_only_what_the_imports_can_leave_is_looked_at():
    assert sections_of({"_printk", "__fentry__", "param_ops_int", "kfree", "msleep"}) == 0
    only = sections_of({"_printk", "debugfs_create_dir", "debugfs_remove"})
    assert [s for i, s in enumerate(SECTIONS) if only >> i & 1] == ["/sys/kernel/debug"]
    unknown = sections_of({"of_somebody_else"})
    assert all(unknown >> SECTIONS.index(s) & 1 for s in ("/proc", "/dev", "/sys/class", "/proc/interrupts"))


def test_common_imports_leave_nothing_by_the_patterns_either():
    neutral, parts = sections._LEAVES[0]
    assert parts == ()
    assert [name for name in sections.COMMON if not re.fullmatch(neutral, name)] == []


@pytest.mark.parametrize(
    ("name", "imports", "kept"),
    [
        ("mine", {"kmem_cache_create_usercopy", "_printk"}, False),
        ("mine", {"__kmem_cache_create_args"}, False),
        ("PROTO", {"proto_register"}, False),
        ("bio-72", {"bioset_init"}, False),
        ("other", {"scsi_host_alloc", "kmem_cache_alloc_noprof"}, True),
        ("scsi_sense_cache", {"scsi_host_alloc", "__kmem_cache_create_args"}, True),
    ],
)
def test_a_cache_that_the_kernel_makes_for_itself(name: str, imports: set[str], kept: bool):
    """SCSI's at the first host adapter."""
    assert is_kept_cache(name, imports) == kept

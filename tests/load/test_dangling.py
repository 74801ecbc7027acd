"""What a module leaves running: whom its imports suspect, and what is told of those that did it."""

import shutil
from pathlib import Path

import pytest

from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.unload_verdict import UnloadJudgement
from kscaffold.elf import kofile, quick
from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.dangling import DanglingCallbacks, find_dangling, seconds_to_watch
from kscaffold.load.leftovers import LiveLeftovers, without_guesses
from kscaffold.load.sandbox import Sandbox
from kscaffold.load.unload import UnloadReport
from kscaffold.records import replace
from kscaffold.targets.absent import AbsentSandbox
from tests.conftest import need_program
from tests.support.elf import LOCAL, Ko, Symbol
from tests.support.kernels import need_kernel
from tests.support.modules import built


@pytest.mark.parametrize(
    "imports",
    [
        (),
        ("_printk", "__fentry__", "misc_register", "misc_deregister"),
        ("register_netdev", "unregister_netdev", "free_netdev"),
        ("__register_chrdev", "__unregister_chrdev", "devm_request_threaded_irq"),
        ("unregister_reboot_notifier", "flush_work", "kthread_stop"),
        ("devm_register_reboot_notifier", "devm_extcon_register_notifier"),  # the device's end ends them
        ("register_kprobe", "unregister_kprobes"),
        ("nf_register_net_hooks", "nf_unregister_net_hook"),
    ],
)
def test_most_modules_start_nothing(imports):
    assert seconds_to_watch(imports)[0] == 0


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("mod_timer", "timer_delete_sync"),
        ("add_timer", "del_timer_sync"),
        ("mod_timer", "try_to_del_timer_sync"),
        ("mod_timer", "timer_shutdown"),
        ("queue_work_on", "drain_workqueue"),
        ("kthread_create_on_node", "complete_and_exit"),
        ("hrtimer_start_range_ns", "hrtimer_cancel"),
        ("queue_work_on", "cancel_work_sync"),
        ("queue_work_on", "__flush_workqueue"),
        ("queue_delayed_work_on", "cancel_delayed_work_sync"),
        ("kthread_create_on_node", "kthread_stop"),
        ("queue_work_on", "disable_work_sync"),
        ("queue_delayed_work_on", "disable_delayed_work_sync"),
        ("kthread_create_worker_on_node", "kthread_destroy_worker"),
        ("call_rcu", "rcu_barrier"),
        ("__tasklet_schedule", "tasklet_kill"),
        ("irq_work_queue", "irq_work_sync"),
        ("request_threaded_irq", "free_irq"),
        ("register_kprobe", "unregister_kprobe"),
        ("register_reboot_notifier", "unregister_reboot_notifier"),
        ("register_console", "unregister_console"),
        ("nf_register_net_hook", "nf_unregister_net_hook"),
        ("call_rcu", "unregister_pernet_subsys"),
        ("queue_work_on", "rhashtable_free_and_destroy"),
    ],
)
def test_what_starts_something_is_watched_longer_without_its_end(start, end):
    long, stop = seconds_to_watch({"_printk", start})
    short, _ = seconds_to_watch({"_printk", start, end})
    assert long > short and (short > 0 or "register_" in start)
    assert start in stop
    # Another kind's end is none.
    assert seconds_to_watch({start, "misc_deregister"})[0] == long


@pytest.mark.kernel
def test_the_quick_look_sees_what_the_elf_reader_sees():
    place = built(need_kernel("6.1"))
    for name in ("hello", "leaver", "flood"):
        ko = place / f"{name}.ko"
        facts = kofile.read_ko(ko)
        assert quick.imports(ko) == set(facts.undefined) | set(facts.weak_imports)
        assert quick.resident(ko)[".text" if name == "leaver" else ".exit.text"] > 0
        assert set(quick.resident(ko)) < {s.name for s in facts.sections}
        assert quick.module_name(ko) == name
    assert quick.symbol_at(place / "leaver.ko", ".exit.text", 4)[:2] == ("leaver_exit", 4)
    assert quick.symbol_at(place / "leaver.ko", ".nothing", 4) is None


def test_a_file_that_is_no_module_imports_nothing(tmp_path):
    for number, bad in enumerate(
        (b"", b"\x7fELF\x02\x01", b"\x7fELF\x02\x01" + b"\xff" * 300, b"\xfd7zXZ\0")
    ):
        (tmp_path / f"{number}.ko").write_bytes(bad)
        assert quick.imports(tmp_path / f"{number}.ko") == frozenset()
        assert quick.resident(tmp_path / f"{number}.ko") == {}
        assert quick.build_id(tmp_path / f"{number}.ko") is None
    assert quick.imports(tmp_path / "none.ko") == frozenset()


# What 7.3 said of a probe that its module left.
TRAP = """\
Oops: int3: 0000 [#1] SMP NOPTI
CPU: 0 UID: 0 PID: 1 Comm: init Tainted: G           OE       7.3.4+deb13-cloud-amd64 #1 PREEMPT(full)
Tainted: [O]=OOT_MODULE, [E]=UNSIGNED_MODULE
Hardware name: Bochs Bochs, BIOS Bochs 01/01/2011
RIP: 0010:{}
Code: cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc <cc> cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc"""


@pytest.mark.parametrize(
    ("at", "facility", "gone"),
    [
        ("0xffffffffc0402011", 0, ".text"),
        ("0xffffffffc0402020", 0, ".text"),  # behind the last byte, which is what it met
        ("0xffffffffc0402010", 0, None),
        ("0xffffffffc0402021", 0, None),
        ("seen+0x1/0x10 [left_probe]", 0, None),  # the module is there: the kernel has its names
        ("0xffffffffc0402011", 3, None),  # a program wrote it
    ],
)
def test_code_that_is_traps_now_is_gone(at, facility, gone):
    places = {".text": (0xFFFFFFFFC0402010, 0x10)}
    left = DanglingCallbacks(
        "left_probe", ModuleFile(Path("none.ko"), b""), 1.5, "unregister_kprobe()", places
    )
    records = [Record(text, facility=facility) for text in TRAP.format(at).splitlines()]
    assert left.freed_address(records) == gone


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A directory with its own copy of the module and its source."""
    need_program("qemu-system-x86_64", "qemu-system-x86")
    place = built(need_kernel("6.1"))
    for file in ("leaver.ko", "leaver.c", "hello.ko"):
        shutil.copy(place / file, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.sandbox
def test_run_tells_of_a_thread_that_outlives_its_module(ks, here):
    kernel = need_kernel("6.1").release
    ran = ks("run", "-k", kernel, "leaver.ko")
    assert ran.status == 1
    assert "leaver: crashed the kernel after it was unloaded" in ran.out
    assert "leaver was unloaded already" in ran.out and "leaver.c:" in ran.out and "round()" in ran.out
    assert "kthread_stop() for what kthread_create_on_node() started" in ran.out
    told = ks("run", "--json", "-k", kernel, "leaver.ko").json
    assert (told["ok"], told["verdict"], told["code"], told["returned"]) == (False, "crashed", "KS617", 0)
    assert told["complaints"][0]["kind"] == "oops" and "leaver.c:" in told["complaints"][0]["where"]
    # Once each, though a panic says the log again.
    assert [r["text"] for r in told["log"]].count("goodbye") == 1
    assert ks("run", "--json", "-k", kernel, "--watch", "0.1", "hello.ko").json["verdict"] == "loaded"


@pytest.mark.sandbox
def test_unload_tells_of_it_too_and_the_next_load_works(ks, here):
    kernel = need_kernel("6.1").release
    assert ks("load", "-k", kernel, "leaver.ko").status == 0
    ran = ks("unload", "leaver")
    assert ran.status == 1
    assert "leaver: crashed the kernel after it was unloaded" in ran.out and "leaver.c:" in ran.out
    assert ks("load", "-k", kernel, "hello.ko").status == 0
    assert ks("unload", "--json", "hello").json["verdict"] == "unloaded"
    # A file that was built anew is not the one that is loaded: it names nothing.
    assert ks("load", "-k", kernel, "leaver.ko").status == 0
    content = (here / "leaver.ko").read_bytes()
    note = quick.build_id(here / "leaver.ko")
    assert note
    (here / "leaver.ko").write_bytes(content.replace(note, note[:-4] + bytes(4)))
    ran = ks("unload", "--json", "--watch", "60", "leaver")
    assert (ran.status, ran.json["verdict"], ran.json["code"]) == (1, "crashed", "KS617")
    assert "leaver.c" not in ran.json["cause"]


TEXT, DATA = 0xFFFFFFFFC0226000, 0xFFFFFFFFC0228000


class Pointing(AbsentSandbox):
    """A kernel with no modules, where these pointers are found."""

    def __init__(self, *pointers: tuple[int, int]) -> None:
        super().__init__()
        self.found = pointers

    def photograph(self, sections, *, first=False):
        return []

    def pointers(self, low, high, *, deep=False):
        return tuple((at, to) for at, to in self.found if low <= to < high)


def gone(tmp_path: Path, name: str, at: int, *told: str) -> UnloadReport:
    """A module that has gone from `at` on and has early() there, and is said to have left something."""
    (tmp_path / f"{name}.ko").write_bytes(
        Ko(name, imports={"__tasklet_schedule": 1}, more_symbols=[Symbol("early", ".text", 0, LOCAL)]).bytes()
    )
    ko = ModuleFile.open(tmp_path / f"{name}.ko")
    left = DanglingCallbacks(name, ko, 1.5, "stop", {".text": (at, 0x40)}, known=told)
    said = UnloadJudgement("unloaded", None, "KS617", "likely", "stop it", False, ())
    return UnloadReport(name, said, (), 0.0, dangling=left)


def test_a_proof_is_of_its_module_and_silences_no_other_guess(tmp_path):
    first, second = gone(tmp_path, "first", TEXT), gone(tmp_path, "second", DATA)
    left = LiveLeftovers(Pointing((0xFFFFFFFF82000000, DATA))).find([], [first, second])
    assert left is not None and [(r.kind, r.name, r.module) for r in left] == [
        ("callback", "early", "second")
    ]
    assert [u.judgement.code for u in without_guesses([first, second], left)] == ["KS617", None]


def test_a_timer_that_is_told_is_not_told_again_by_a_pointer(tmp_path):
    module = gone(tmp_path, "m", TEXT, "early()")
    assert LiveLeftovers(Pointing((0xFFFFFFFF82000000, TEXT))).find([], [module]) == ()


@pytest.mark.sandbox
def test_where_an_init_was_that_has_gone_is_no_pointer_to_who_is_there_now():
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    with Sandbox(kernel) as sandbox:
        assert sandbox.load(next(kernel.modules.rglob("scsi_mod.ko"))).ok
        _, target = sandbox._open()
        memory = target.memory()
        (maps,) = target._look_up(["ftrace_mod_maps"])
        assert memory and maps
        # struct ftrace_mod_map: rcu, list (to which the kernel's pointers lead), mod, start_addr, end_addr.
        entry = memory.words(memory.read([(maps, 8)])[0])[0]
        _, _, module, start, end = memory.words(memory.read([(entry, 40)])[0])
        assert (start & 4095, end & 4095) == (0, 4095)
        assert start not in [to for _, to in target.pointers(start, end + 1, deep=True)]
        assert module in [to for _, to in target.pointers(module, module + 1, deep=True)]


def test_a_module_that_hides_is_not_asked_for_its_files(tmp_path):
    class Hidden(AbsentSandbox):
        def read(self, path):
            raise AssertionError(f"the module may have freed {path}")

    (tmp_path / "m.ko").write_bytes(Ko("m", imports={"register_kprobe": 1}).bytes())
    assert find_dangling(ModuleFile.open(tmp_path / "m.ko"), "m", Hidden()) is None


@pytest.mark.parametrize(
    ("call", "imports", "found"),
    [
        ("call_rcu(&p->head, later);", {"call_rcu": 1, "rcu_barrier": 2}, []),
        ("call_rcu(&p->head, later);", {"call_rcu": 1}, ["later"]),
        ("INIT_WORK(&p->work, later);", {"queue_work_on": 1, "cancel_work_sync": 2}, []),
        ("INIT_WORK(&p->work, later);", {"queue_work_on": 1}, ["later"]),
        ("timer_setup(&p->timer, later, 0);", {"mod_timer": 1, "del_timer_sync": 2}, []),
        # What is registered stays until it is unregistered, whoever else is.
        ("register_thing(later);", {"register_thing": 1, "unregister_thing": 2}, ["later"]),
    ],
)
def test_what_freed_memory_still_says_is_no_callback_of_who_waits_for_it(tmp_path, call, imports, found):
    (tmp_path / "n.c").write_text(f"static void f(struct p *p)\n{{\n\t{call}\n}}\n")
    (tmp_path / "n.ko").write_bytes(
        Ko("n", imports=imports, more_symbols=[Symbol("later", ".text", 16, LOCAL)]).bytes()
    )
    left = DanglingCallbacks("n", ModuleFile.open(tmp_path / "n.ko"), 1.5, "stop", {".text": (TEXT, 0x40)})
    report = replace(gone(tmp_path, "m", DATA), dangling=left)
    told = LiveLeftovers(Pointing((0xFFFF888004000000, TEXT + 16))).find([], [report])
    assert [r.name for r in told or ()] == found

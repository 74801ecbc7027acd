"""The pytest plugin, in a pytest of its own: what a user's test sees, and what a failed one tells."""

import re

import pytest

from kscaffold.testing.shard import split
from tests.conftest import need_program
from tests.support.kernels import need_kernel

pytest_plugins = ["pytester"]

# /proc/trap gives what was written; what begins with O, W, L, A, 0, > or + does what no file does.
TRAP = """
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/uaccess.h>
static char kept[64] = "nothing";
static size_t length = 7;
static int howmany;
module_param(howmany, int, 0444);
static int *volatile nowhere;
static ssize_t trap_read(struct file *f, char __user *to, size_t size, loff_t *at)
{
	if (kept[0] == '+')
		return size + 1;
	return simple_read_from_buffer(to, size, at, kept, length);
}
static ssize_t trap_write(struct file *f, const char __user *from, size_t size, loff_t *at)
{
	if (size > sizeof(kept))
		return -ENOSPC;
	if (copy_from_user(kept, from, size))
		return -EFAULT;
	length = size;
	if (kept[0] == 'O')
		*nowhere = 1;
	WARN_ON(kept[0] == 'W');
	while (kept[0] == 'L')
		if (msleep_interruptible(1000))
			return -EINTR;
	if (kept[0] == 'A')
		return -EAGAIN;
	return kept[0] == '0' ? 0 : size + (kept[0] == '>');
}
static const struct proc_ops trap_ops = { .proc_read = trap_read, .proc_write = trap_write };
static int __init trap_init(void)
{
	pr_info("trap: here with %d\\n", howmany);
	return howmany < 0 ? -EINVAL : proc_create("trap", 0600, NULL, &trap_ops) ? 0 : -ENOMEM;
}
static void __exit trap_exit(void) { remove_proc_entry("trap", NULL); }
module_init(trap_init);
module_exit(trap_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("for a test");
"""
LINE_OF_OOPS = 1 + TRAP.splitlines().index("\t\t*nowhere = 1;")
LINE_OF_WARN = 1 + TRAP.splitlines().index("\tWARN_ON(kept[0] == 'W');")


@pytest.fixture
def project(pytester):
    """A project with a module; its tests are in a directory beside the sources."""
    need_program("qemu-system-x86_64", "qemu-system-x86")
    pytester.path.joinpath("Kbuild").write_text("obj-m := trap.o\n")
    pytester.path.joinpath("trap.c").write_text(TRAP)
    pytester.path.joinpath("tests").mkdir()
    return pytester


def run(project, text: str, *words: str):
    """The tests on 6.1; what a second run of one that failed tells is test_second_run.py's."""
    project.path.joinpath("tests/test_it.py").write_text(text)
    release = need_kernel("6.1").release
    # A process of its own: pytester takes away what is imported in this one, classes that others hold.
    alone = [] if "-n" in words else ["-p", "no:xdist"]
    return project.runpytest_subprocess(
        "-p",
        "no:cacheprovider",
        *alone,
        "--kscaffold-second-runs",
        "0",
        "--kscaffold-kernel",
        release,
        *words,
    )


GOOD = """
import pytest

def test_all_that_a_guest_does(guest, modules, kernel):
    assert list(modules) == ["trap"] and guest.kernel == kernel
    assert guest.load("trap", howmany=3).ok
    assert guest.expect_log(r"here with (\\d+)")[1] == "3"
    assert guest.read("/proc/trap") == "nothing"
    guest.write("/proc/trap", "a word")
    assert guest.read_bytes("/proc/trap") == b"a word"
    assert guest.read("/sys/module/trap/parameters/howmany") == "3\\n"
    with pytest.raises(OSError) as error:
        guest.write("/proc/trap", "x" * 65)
    assert error.value.errno == 28
    with pytest.raises(FileNotFoundError):
        guest.read("/proc/nothing")
    with pytest.raises(BlockingIOError):
        guest.write("/proc/trap", "A", timeout=2)
    for word, why in (("0", "returned 0"), (">", "returned more")):
        with pytest.raises(AssertionError, match=f"a write of /proc/trap {why}"):
            guest.write("/proc/trap", word)
    guest.write("/proc/trap", "+")
    with pytest.raises(AssertionError, match="a read of /proc/trap returned more"):
        guest.read("/proc/trap")
    (guest._directory / "say.c").write_text(
        '#include <stdio.h>\\nint main(int n, char **w) { puts(w[1]); fputs("no", stderr); return 4; }'
    )
    said = guest.exec("say.c", "yes")
    assert (said.returncode, said.stdout, said.stderr, said.complaints) == (4, "yes\\n", "no", ())
    assert guest.unload().ok

def test_each_guest_is_pristine(guest):
    assert guest.log() == []
    with pytest.raises(FileNotFoundError):
        guest.read("/proc/trap")

def test_a_refusal_is_a_report(guest):
    report = guest.try_load(howmany=-1)
    assert not report.ok and report.judgement.verdict == "init-failed"
    assert not guest.try_unload().ok

@pytest.mark.complaint("warn")
def test_a_wanted_complaint(guest):
    guest.load()
    guest.write("/proc/trap", "W")

@pytest.mark.complaint("NULL pointer")
def test_a_wanted_oops(guest):
    guest.load()
    with pytest.raises(AssertionError, match="killed by the kernel"):
        guest.write("/proc/trap", "O")
"""


@pytest.mark.sandbox
def test_what_a_guest_does(project):
    run(project, GOOD).assert_outcomes(passed=5)


BAD = """
import pytest

def test_warns(guest):
    guest.load()
    guest.write("/proc/trap", "W")

def test_oopses(guest):
    guest.load()
    guest.write("/proc/trap", "O")

def test_never_ends(guest):
    guest.load()
    guest.write("/proc/trap", "L", timeout=1)

@pytest.mark.complaint("oops")
def test_a_complaint_that_does_not_come(guest):
    guest.load()

def test_a_load_that_fails(guest):
    guest.load(howmany=-1)

def test_a_line_that_does_not_come(guest):
    guest.load()
    guest.expect_log("no such line", timeout=0.2)

def test_warns_and_fails(guest):
    guest.load()
    guest.write("/proc/trap", "W")
    assert guest.read("/proc/trap") == "w"

@pytest.fixture
def used(guest):
    guest.load()
    guest.write("/proc/trap", "O")

def test_whose_fixture_oopses(used): pass

def test_goes_on(guest):
    guest.load()
"""


@pytest.mark.sandbox
def test_what_a_failed_test_tells(project):
    ran = run(project, BAD)
    ran.assert_outcomes(failed=7, passed=1, errors=1)
    head = r"_{3,} (?:ERROR at setup of )?(test_\w+)\["
    told = {m[1]: m[0] for m in re.finditer(head + r".*?(?=\n_{3,} |\n={3,} \S)", str(ran.stdout), re.S)}
    assert f"trap.c:{LINE_OF_WARN}" in told["test_warns"]
    assert "the kernel complained: WARNING" in told["test_warns"]
    assert re.search(r"> +\d+ \| \tWARN_ON|> +\d+ \| +WARN_ON", told["test_warns"])
    assert "the kernel complained: WARNING" in told["test_warns_and_fails"]
    for name in ("test_oopses", "test_whose_fixture_oopses"):
        assert f"trap.c:{LINE_OF_OOPS}" in told[name] and "Call Trace" in told[name]
    release = need_kernel("6.1").release
    for command in (f"kscaffold load --kernel {release} trap", "kscaffold exec"):
        assert command in told["test_oopses"]
    assert f"kscaffold test --kernel {release} tests/test_it.py::test_oopses" in told["test_oopses"]
    assert "did not end within 1 s" in told["test_never_ends"]
    assert "was to complain of 'oops', and did not" in told["test_a_complaint_that_does_not_come"]
    assert "init returned -22 (-EINVAL)" in told["test_a_load_that_fails"]
    assert "no such line" in told["test_a_line_that_does_not_come"]
    # Of our own code no line is shown.
    assert "kscaffold/testing/guest.py" not in str(ran.stdout).replace("kscaffold.testing.guest", "")


@pytest.mark.sandbox
def test_a_build_that_fails_fails_the_test(project):
    project.path.joinpath("trap.c").write_text("int x = ;\n")
    ran = run(project, "def test_it(guest): pass\n")
    ran.assert_outcomes(errors=1)
    assert "trap.c:1" in str(ran.stdout)


def test_without_a_guest_nothing_is_asked(pytester):
    """No kernel, no project: a plain test of somebody else's is left alone."""
    pytester.makepyfile("def test_it(): pass\ndef test_bad(): assert 0\n")
    ran = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist", "--strict-markers")
    ran.assert_outcomes(passed=1, failed=1)
    assert "kernel" not in str(ran.stdout)


def test_the_plugin_costs_a_plain_pytest_nothing(pytester):
    pytester.makepyfile(
        "import sys\ndef test_it():\n"
        "    ours = {n for n in sys.modules if n.startswith('kscaffold')}\n"
        "    assert ours == {'kscaffold', 'kscaffold.testing', 'kscaffold.testing.plugin'}\n"
    )
    pytester.runpytest_subprocess("-p", "no:xdist").assert_outcomes(passed=1)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_are_all_and_none_twice(count):
    items = list(range(20))
    parts = [split(items, f"{number}/{count}")[0] for number in range(1, count + 1)]
    assert sorted(one for part in parts for one in part) == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "x/y", "1/0", ""])
def test_a_shard_that_is_none(shard):
    with pytest.raises(pytest.UsageError):
        split([1, 2], shard)


KTAP = """
#include <linux/module.h>
static bool bad;
module_param(bad, bool, 0444);
static int __init ktap_init(void)
{
	printk(KERN_INFO "KTAP version 1\\n");
	printk(KERN_INFO "1..1\\n");
	printk(KERN_INFO "    KTAP version 1\\n");
	printk(KERN_INFO "    # Subtest: suite\\n");
	printk(KERN_INFO "    1..3\\n");
	printk(KERN_INFO "    ok 1 good\\n");
	printk(KERN_INFO "    ok 2 left_out # SKIP no device\\n");
	printk(KERN_INFO "    # wrong: EXPECTATION FAILED at ktap.c:12\\n");
	printk(KERN_INFO "    %sok 3 wrong\\n", bad ? "not " : "");
	printk(KERN_INFO "%sok 1 suite\\n", bad ? "not " : "");
	return 0;
}
static void __exit ktap_exit(void) { }
module_init(ktap_init);
module_exit(ktap_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("for a test");
"""


@pytest.mark.sandbox
def test_lines_of_ktap_are_results(project):
    project.path.joinpath("Kbuild").write_text("obj-m := ktap.o\n")
    project.path.joinpath("ktap.c").write_text(KTAP)
    text = "import pytest\n@pytest.mark.parametrize('bad', [False, True])\n"
    text += "def test_kunit(guest, bad):\n    guest.load(bad=bad)\n"
    for words in ((), ("-n", "1")):
        ran = run(project, text, "--junit-xml", "out.xml", *words)
        # Of the good one all but what is skipped; of the bad one the case and the test itself fail.
        ran.assert_outcomes(passed=4, failed=2, skipped=2)
        assert re.search(r"FAILED .*test_kunit\[.*True::suite.wrong\]", str(ran.stdout))
        assert "suite.wrong: not ok (wrong: EXPECTATION FAILED at ktap.c:12)" in str(ran.stdout)
    assert 'name="test_kunit' in (project.path / "out.xml").read_text()


# As tools/testing/selftests/kselftest_module.h has it: init prints the sum, and fails where a test did.
SUM = """
#include <linux/module.h>
static unsigned int failed;
module_param(failed, uint, 0444);
static int __init sum_init(void)
{
	if (failed)
		printk(KERN_WARNING KBUILD_MODNAME ": failed %u out of 3 tests\\n", failed);
	else
		printk(KERN_INFO KBUILD_MODNAME ": all 3 tests passed\\n");
	return failed ? -EINVAL : 0;
}
static void __exit sum_exit(void) { }
module_init(sum_init);
module_exit(sum_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("for a test");
"""


@pytest.mark.sandbox
def test_the_sum_of_a_kselftest_module_is_a_result(project):
    project.path.joinpath("Kbuild").write_text("obj-m := sum.o\n")
    project.path.joinpath("sum.c").write_text(SUM)
    text = "import pytest\n@pytest.mark.parametrize('failed', [0, 2])\n"
    text += "def test_sum(guest, failed):\n    guest.load(failed=failed)\n"
    ran = run(project, text)
    ran.assert_outcomes(passed=2, failed=2)
    assert re.search(r"_ test_sum\[.*2::sum\] _+\s+failed 2 out of 3 tests\n", str(ran.stdout))

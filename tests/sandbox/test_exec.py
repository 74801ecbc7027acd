"""`exec` in a real sandbox: streams, statuses, signals, files, and what the kernel complained of."""

import json
import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from kscaffold.errors import KscaffoldError
from kscaffold.load.sandbox import Sandbox
from tests.conftest import ROOT, need_program
from tests.support.kernels import need_kernel
from tests.support.projects import write
from tests.support.typist import Typist

pytestmark = [pytest.mark.sandbox, pytest.mark.kernel]

THREADS = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void *thread(void *text) { printf("%s\\n", (char *)text); pthread_exit(0); }
int main(int count, char **words)
{
	static char buffer[70000];
	pthread_t t;
	long n = 0, got;

	pthread_create(&t, 0, thread, words[1]);
	pthread_join(t, 0);
	while ((got = read(0, buffer, sizeof(buffer))) > 0)
		n += got;
	fprintf(stderr, "%ld %s %s\\n", n, getenv("WORD"), getcwd(buffer, sizeof(buffer)));
	return 7;
}
"""
# /proc/trap: a read is a null pointer's, an open(2) for writing never ends.
TRAP = """
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
static int *volatile nowhere;
static ssize_t trap_read(struct file *f, char __user *to, size_t size, loff_t *at)
{
	return *nowhere;
}
static ssize_t trap_write(struct file *f, const char __user *from, size_t size, loff_t *at)
{
	for (;;)
		if (msleep_interruptible(1000))
			return -EINTR;
}
static const struct proc_ops trap_ops = { .proc_read = trap_read, .proc_write = trap_write };
static int __init trap_init(void) { return proc_create("trap", 0600, NULL, &trap_ops) ? 0 : -ENOMEM; }
static void __exit trap_exit(void) { remove_proc_entry("trap", NULL); }
module_init(trap_init);
module_exit(trap_exit);
MODULE_LICENSE("GPL");
"""


@pytest.fixture
def project(ks, tmp_path, monkeypatch):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    need_program("gcc", "gcc")
    monkeypatch.chdir(write(tmp_path, Kbuild="obj-m := trap.o\n", trap__c=TRAP, threads__c=THREADS))
    assert ks("kernel", "default", need_kernel("6.1").release).status == 0
    return tmp_path


def command(*words: str, **more: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "kscaffold", "exec", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **more,
    )


def test_streams_status_environment_and_directory(project):
    subprocess.run(["gcc", "-pthread", "-o", "threads", "threads.c"], check=True)
    for program in ("./threads", "./threads.c"):  # dynamic; static
        run = command("--env", "WORD=x y", "--", program, "said by a thread", stdin=subprocess.PIPE)
        out, errors = run.communicate(bytes(300_000), timeout=120)
        assert run.returncode == 7
        assert out == b"said by a thread\n"
        assert f"300000 x y {project}\n" in errors.decode()


def test_how_a_program_ends_is_how_exec_ends(ks, project):
    (project / "end.c").write_text(
        "#include <signal.h>\n#include <stdlib.h>\nint main(int n, char **w) { raise(atoi(w[1])); return 3; }"
    )
    assert ks("exec", "end.c", "0").status == 3
    ran = ks("exec", "--", "sh", "-c", "exit 130")  # as a shell ends that Ctrl-C has ended
    assert (ran.status, ran.err) == (130, "")
    ran = ks("exec", "--json", "--", "end.c", str(int(signal.SIGSEGV)))
    assert ran.status == 128 + signal.SIGSEGV
    assert (ran.json["status"], ran.json["signal"]) == (None, signal.SIGSEGV)
    assert ks("exec", "/no/such/program").status == 127
    ran = ks("exec", "--", "no-such-program")
    assert ran.status == 2 and "error[KS641]: there is no program no-such-program" in ran.err
    assert ks("exec", "--", "sh", "-c", "exit $(($# / 100))", "sh", *["x" * 50] * 2000).status == 20
    for many in (["x" * 50] * 20_000, ["x"] * 9000):
        ran = ks("exec", "--", "sh", "-c", "exit", *many)
        assert (ran.status, "sh did not start: Argument list too long" in ran.err) == (126, True)
    (project / "forever.c").write_text("int main(void) { for (;;); }")
    began = time.monotonic()
    ran = ks("exec", "--timeout", "1", "--json", "--", "forever.c")
    assert ran.status == 69 and ran.json["late"] and not ran.json["lost"]
    assert time.monotonic() - began < 30
    # Nobody is left behind, and the sandbox is of use.
    assert ks("exec", "end.c", "0").status == 3


def test_a_program_that_starts_others_finds_them(ks, project):
    """In a sandbox that was just made: nothing has brought BusyBox before."""
    (project / "other.c").write_text(
        '#include <stdlib.h>\nint main(void) { return system("test -e /proc/1 && exit 5") >> 8; }'
    )
    need_program("bash", "bash")
    script = 'test "$(expr 1 + 1)" = 2 && exit 5'
    for words in (["other.c"], ["sh", "-c", script], ["bash", "-c", script]):
        assert ks("exec", "--fresh", "--", *words).status == 5


def test_ctrl_c_goes_to_the_program(project):
    (project / "wait.c").write_text(
        "#include <signal.h>\n#include <unistd.h>\nstatic void end(int n) { _exit(42); }"
        'int main(void) { signal(SIGINT, end); write(1, "ready", 5); for (;;) pause(); }'
    )
    run = command("wait.c", stdin=subprocess.DEVNULL)
    assert run.stdout is not None and run.stdout.read(5) == b"ready"
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode == 42


def test_files_go_in_once_and_fast(project):
    kernel = need_kernel("6.1")
    big = os.urandom(10_000_000)
    with Sandbox(kernel) as sandbox:
        target = sandbox._open()[1]
        began = os.times()
        assert target.install(big, "/a/b/big") is True
        assert target.install(big, "/c/big") is False  # a second name of what is there
        assert target.install(big, "/c/copy", 0o600) is False
        spent = os.times()
        # Our own part of the work; the guest's is in the benchmark.
        assert spent.user - began.user + spent.system - began.system < 1.5
        Path("hash.c").write_text(
            "#include <stdio.h>\nint main(int n, char **w) {"
            ' FILE *f = fopen(w[1], "r"); int c; unsigned h = 5381;'
            ' while ((c = getc(f)) != EOF) h = h * 33 + c; printf("%u", h); return 0; }'
        )
        mine = 5381
        for byte in big:
            mine = (mine * 33 + byte) & 0xFFFFFFFF
        for place in ("/a/b/big", "/c/copy"):
            assert sandbox.exec("hash.c", place).stdout == str(mine).encode()
        # A guest that is full keeps no part of a file: that would pass for the whole later.
        rest = int(sandbox.exec("df", "-m", "/").stdout.split()[-3])  # MiB
        sandbox.exec("dd", "if=/dev/zero", "of=/rest", "bs=1M", f"count={rest - 4}")
        with pytest.raises(KscaffoldError, match="no room") as full:
            target.install(big[1:], "/more")
        assert (full.value.code, full.value.fix) == ("KS005", "kscaffold reload")
        sandbox.exec("rm", "/rest")
        assert target.install(big[1:], "/more") is True


def test_an_oops_is_told_with_its_line(ks, project):
    assert ks("load").status == 0
    (project / "read.c").write_text(
        "#include <fcntl.h>\n#include <unistd.h>\n"
        'int main(void) { char c; return read(open("/proc/trap", O_RDONLY), &c, 1); }'
    )
    ran = ks("exec", "read.c")
    assert ran.status > 128
    line = 1 + TRAP.splitlines().index("\treturn *nowhere;")
    assert f"trap.c:{line}" in ran.err and "the kernel complained" in ran.err
    document = ks("exec", "--fresh", "--json", "--", "read.c").json
    assert document["complaints"][0]["kind"] == "oops" and not document["ok"]
    assert f"trap.c:{line}" in document["complaints"][0]["where"]


STAY = """
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
static void *stay(void *unused) { write(open("/proc/trap", O_WRONLY), "x", 1); return 0; }
int main(int n, char **w)
{
	pthread_t other;

	if (*w[1] == 'c' && fork())
		return wait(0) < 0;
	if (*w[1] == 't')
		return pthread_create(&other, 0, stay, 0) || pthread_join(other, 0);
	stay(0);
	return 0;
}
"""


def test_a_driver_that_never_answers_ends_the_program_at_its_deadline(ks, project):
    assert ks("load").status == 0
    (project / "stay.c").write_text(STAY)
    for who in ("self", "child", "thread"):
        ran = ks("exec", "--timeout", "1", "--json", "--", "stay.c", who)
        assert ran.json["late"] and ran.status == 69
        assert any("trap_write+" in line for line in ran.json["stack"]), (who, ran.json["stack"])
    assert ks("unload", "trap").status == 0  # nobody has it open any more


PROMPT = """
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
static void show(int n)
{
	struct winsize w;

	ioctl(0, TIOCGWINSZ, &w);
	printf("%d x %d\\n", w.ws_row, w.ws_col);
}
static void end(int n) { puts("interrupted"); exit(42); }
int main(void)
{
	char line[80];

	signal(SIGWINCH, show);
	signal(SIGINT, end);
	setbuf(stdout, 0);
	printf("%d%d%d %s\\n", isatty(0), isatty(1), isatty(2), getenv("TERM"));
	show(0);
	for (;;)
		if (fgets(line, sizeof(line), stdin))
			printf("<%.3s>\\n", line);
		else
			clearerr(stdin);
}
"""


def test_a_terminal_where_there_is_one(project, monkeypatch):
    monkeypatch.setenv("TERM", "vt220")
    (project / "prompt.c").write_text(PROMPT)
    typist = Typist([sys.executable, "-m", "kscaffold", "exec", "prompt.c"])
    try:
        typist.expect(r"111 vt220\r\n24 x 80\r\n")
        typist.type("yes\n")
        typist.expect(r"yes\r\n<yes>\r\n")  # the guest's terminal echoes
        typist.size(50, 132)
        typist.expect(r"50 x 132\r\n")
        typist.type("\x03")
        typist.expect(r"interrupted\r\n")
        assert typist.child.wait(60) == 42
        # The user's own terminal is as it was.
        assert termios.tcgetattr(typist.master)[3] & termios.ICANON
    finally:
        typist.child.kill()
        typist.child.wait()
        os.close(typist.master)


def test_a_program_of_the_distribution_with_a_server_of_its_own(project):
    need_program("iperf3", "iperf3")
    with Sandbox(need_kernel("6.1")) as sandbox:
        assert sandbox.exec("ip", "link", "set", "lo", "up").ok
        assert sandbox.exec("iperf3", "-s", "-1", "-D").ok
        deadline = time.monotonic() + 30
        while not (done := sandbox.exec("iperf3", "-c", "127.0.0.1", "-n", "1M", "-J")).ok:
            assert time.monotonic() < deadline, done.stdout  # the server does not listen yet
        assert json.loads(done.stdout)["end"]["sum_sent"]["bytes"] >= 1 << 20

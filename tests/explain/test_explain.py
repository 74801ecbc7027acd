"""kscaffold explain: what students read, what programs read, and a log from anywhere."""

import json
import os
import subprocess
import sys
import time
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kscaffold.diagnosis import catalogue, stages
from kscaffold.diagnosis.course import COURSE
from kscaffold.explain import subjects, tables
from kscaffold.explain.explain import explain
from tests.conftest import ROOT
from tests.support.evidence import DATA, KERNELS, loads

KEYS = {"schema", "command", "ok", "topic", "kind", "title", "text"}
KEYS |= {"steps", "returns", "commands", "entries", "folded"}
STEP = {"stage", "title", "course", "functions", "what", "course_differs", "elsewhere"}
ENTRY = {"code", "title", "stage", "what", "proof", "cause", "fix", "see", "lines", "where"}


STUMBLES = tomllib.loads((DATA / "stumbles.toml").read_text(encoding="utf-8"))


def run(*argv, stdin=b""):
    """The command as a process of its own, with this standard input."""
    return subprocess.run(
        [sys.executable, "-m", "kscaffold", "explain", *argv],
        input=stdin,
        capture_output=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )


def test_the_course_in_the_kernels_order(ks):
    ran = ks("explain", "load")
    assert ran.status == 0
    steps = [int(w.split("step ")[1].split(":")[0]) for w in ran.out.splitlines() if "[course, step" in w]
    assert steps == [1, 2, 3, 4, 5, 6, 9, 8, 7, 7, 10]
    for name in COURSE.values():
        assert name in ran.out


@pytest.mark.parametrize(
    "topic", [(), ("load",), ("return",), ("commands",), ("EPERM",), ("KS204",), ("init",)]
)
def test_lines_fit_a_terminal_of_80_columns(topic):
    ran = run(*topic)
    assert ran.returncode == 0
    assert max(len(line) for line in ran.stdout.decode().splitlines()) <= 80


def test_without_a_topic_everything_is_told():
    ran = run()
    text = " ".join(ran.stdout.decode().split())
    for part in ("finit_module()", "suspiciously returned", "kscaffold unload", "rmmod"):
        assert part in text


def test_every_command_of_the_course_has_its_wrapper(ks):
    ran = ks("explain", "commands")
    for plain in ("insmod", "lsmod", "rmmod", "dmesg", "make", "make clean", "modinfo"):
        assert any(line.strip().startswith(plain) for line in ran.out.splitlines()), plain
    for plain, wrapped in (("insmod", "load"), ("lsmod", "list"), ("rmmod", "unload"), ("dmesg", "logs")):
        assert f"kscaffold {wrapped}" in ks("explain", plain).out


def test_the_three_kinds_of_return_values(ks):
    document = ks("explain", "return", "--json").json
    assert [r["value"] for r in document["returns"]] == ["0", "negative", "positive"]
    assert document["returns"][2]["meaning"].startswith("loaded")


@pytest.mark.parametrize("stage", stages.ORDER)
def test_every_stage_is_a_topic(ks, stage):
    document = ks("explain", stage, "--json").json
    assert [s["stage"] for s in document["steps"]] == [stage]
    assert set(document["steps"][0]) == STEP


@pytest.mark.parametrize(
    ("topic", "found"),
    [
        ("step 9", ["list"]),
        ("Step 7", ["arguments", "parameters"]),
        ("ELF verification", ["elf"]),
        ("symbol resolution", ["symbols"]),
        ("do_one_initcall", ["init"]),
        ("copy_from_user()", ["copy"]),
        ("sys_init_module", ["syscall"]),
    ],
)
def test_steps_and_functions_are_topics(topic, found):
    assert [s.id for s in explain(topic).steps] == found


@pytest.mark.parametrize("code", catalogue.entries())
def test_every_code_prints_its_entry(ks, code):
    ran = ks("explain", code)
    assert ran.status == 0
    assert ran.out.startswith(f"{code}: ")
    assert "fix:" in ran.out
    assert "\x1b" not in ran.out


def test_codes_in_any_case_and_unknown_ones(ks):
    assert ks("explain", "ks204").out == ks("explain", "KS204").out
    ran = ks("explain", "KS999")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("nothing known here\n    fix: ")


@pytest.mark.parametrize("topic", ["EPERM", "eperm", "-1", "-EPERM"])
def test_errnos_by_name_and_number(ks, topic):
    document = ks("explain", topic, "--json").json
    codes = [e["code"] for e in document["entries"]]
    assert document["topic"] == "EPERM"
    assert codes[0] == "KS201"
    assert {"KS229", "KS230", "KS231", "KS232", "KS233", "KS234", "KS307"} <= set(codes)


def test_errno_as_insmod_says_it():
    assert "Invalid module format" in explain("ENOEXEC").text
    assert explain("EOPNOTSUPP").topic == "EOPNOTSUPP"
    assert explain("EWOULDBLOCK").topic == "EAGAIN"
    assert explain("517").topic == "EPROBE_DEFER"
    assert explain("0").kind == "return"
    assert explain("ENOTANERRNO").kind == "unknown"
    assert explain("4000").kind == "unknown"


@pytest.mark.parametrize("word", tables.ALIASES)
def test_words_of_the_field(word):
    assert explain(word.upper()).entries[0].entry.code == tables.ALIASES[word]


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("printk", "printk()"),
        ("module_init", "module_init()"),
        ("Module.symvers", "Module.symvers"),
        ("MODULE_LICENSE", "MODULE_LICENSE()"),
        ("modules.order", "modules.order"),
        ('printk(KERN_INFO "hello\\n");', "printk()"),
        ('pr_info("hello\\n");', "printk()"),
        ("module_init(hello_init);", "module_init()"),
        ("module_exit(hello_exit);", "module_exit()"),
        ('MODULE_LICENSE("GPL");', "MODULE_LICENSE()"),
        ("module_param(count, int, 0644);", "module_param()"),
        ("EXPORT_SYMBOL_GPL(shared);", "EXPORT_SYMBOL()"),
        ("import_ns", "namespaces of symbols"),
        ('MODULE_IMPORT_NS("DMA_BUF");', "namespaces of symbols"),
        ("MODULE_IMPORT_NS(DMA_BUF);", "namespaces of symbols"),
        ("EXPORT_SYMBOL_NS_GPL(shared, OURS);", "namespaces of symbols"),
        ("obj-m := hello.o", "obj-m"),
        ("ownname-objs := ret-1.o", "NAME-objs"),
        ("make -C /lib/modules/$(shell uname -r)/build M=$(PWD) modules", "make -C KDIR"),
        ("ownname.ko", ".ko"),
        ("modprobe hello", "modprobe and depmod"),
        ("user space", "user space and kernel space"),
        ("CPU: 3 PID: 2310 Comm: cat Tainted: G           OE     5.18.1 #1", "Tainted: the letters"),
        ("if (copy_from_user(buffer, user, n))", "copy_from_user()"),
    ],
)
def test_a_subject_of_the_course_is_told_and_not_a_trouble(line, title):
    told = explain(line)
    assert (told.kind, told.entries) == ("subject", ())
    assert told.title.startswith(title)
    assert explain(log=f"{line}\n").title == told.title


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("sudo insmod hello.ko", "insmod"),
        ("$ sudo rmmod hello", "rmmod"),
        ("lsmod | grep ownname", "lsmod"),
        ("dmesg | tail", "dmesg"),
        ("make clean", "make clean"),
    ],
)
def test_a_command_as_it_is_typed_is_told_as_that_command(line, command):
    for told in (explain(line), explain(log=f"{line}\n")):
        assert (told.kind, told.topic) == ("commands", command)


def test_modprobe_hides_what_was_there_already():
    assert "says nothing and exits with 0" in (explain("modprobe").text or "")


def test_what_a_subject_names_to_read_on_is_a_topic():
    for subject in subjects.subjects():
        for topic in subject.more:
            assert explain(topic).known, (subject.title, topic)


@pytest.mark.parametrize("form", ["{}", "{}\n", "insmod: ERROR: could not insert module hello.ko: {}\n"])
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("Operation not permitted", "root"),
        ("File exists", "lsmod"),
        ("Invalid module format", "vermagic"),
        ("Key was rejected by service", "sign"),
        ("Unknown symbol in module", "symbol"),
        ("Killed", "oops"),
        ("Segmentation fault", "oops"),
    ],
)
def test_an_error_s_words_alone_are_told_with_what_more_to_paste(words, says, form):
    if words in ("Killed", "Segmentation fault") and form.startswith("insmod"):
        form = "{} insmod hello.ko"
    told = explain(log=form.format(words))
    text = f"{told.text} " + " ".join(
        f"{t.entry.what} {t.entry.proof} {t.cause} {t.fix}" for t in told.entries
    )
    assert told.known
    assert says in text
    assert "dmesg" in text


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("kernel BUG at /home/user/hello/hello.c:12!", "KS251"),
        ("WARNING: CPU: 0 PID: 12 at /home/user/hello/hello.c:12 f+0x1/0x2 [hello]", "KS252"),
        ("INFO: task insmod:411 blocked for more than 120 seconds.", "KS255"),
        ("BUG: kernel NULL pointer dereference, address: 0000000000000010", "KS250"),
        ("BUG: scheduling while atomic: insmod/411/0x00000002", "KS256"),
        ("watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [insmod:411]", "KS254"),
        ("Internal error: Oops: 96000004 [#1] SMP", "KS250"),
    ],
)
def test_the_first_line_of_a_report_alone_is_told_with_what_more_to_paste(line, code):
    (told,) = explain(line).entries
    assert told.entry.code == code
    assert "paste also: the lines after this one" in told.fix
    # In the middle of a log that goes on it is no report: a module may print what it likes.
    assert explain(log=f"{line}\n" + "hello: tick\n" * 20).entries == ()


@pytest.mark.parametrize(
    ("word", "code"), [("oops", "KS250"), ("panic", "KS253"), ("soft lockup", "KS254"), ("bug", "KS251")]
)
def test_crashes_are_topics(word, code):
    assert explain(word).entries[0].entry.code == code


def test_a_line_as_a_topic(ks):
    ran = ks("explain", "hello: Unknown symbol nosuch (err -2)")
    assert ran.status == 0
    assert "KS204" in ran.out and "nosuch" in ran.out


@pytest.mark.parametrize(
    ("topic", "near"),
    [
        ("vermagik", "vermagic"),
        ("EPRM", "EPERM"),
        ("insmood", "insmod"),
        ("secureboot", "secure boot"),
        ("relocation", "relocate"),
        ("simplify_symbol", "simplify_symbols"),
        ("sceduling while atomic", "scheduling while atomic"),
    ],
)
def test_a_misspelt_topic_is_asked_about_and_not_answered(ks, topic, near):
    ran = ks("explain", topic)
    assert (ran.status, ran.out, ran.err) == (1, "", f"nothing known here\n    fix: did you mean {near}?\n")
    assert ks("explain", near).status == 0


@pytest.mark.parametrize("topic", ["bogus", "how do I load", "{symbol}", "KS", "_", "é" * 50])
def test_unknown_is_said_and_not_guessed(ks, topic):
    """And what to do next."""
    ran = ks("explain", topic)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("nothing known here\n    fix: kscaffold explain lists the topics; ")


def test_unknown_options_are_usage(ks):
    for argument in ("--bogus", "-x", "--json=1"):
        assert ks("explain", argument).status == 2


@pytest.mark.parametrize("argv", [("load",), ("EPERM",), ("KS204",), ("commands",), ("bogus",), ("return",)])
def test_the_keys_of_the_document(ks, argv):
    ran = ks("explain", *argv, "--json")
    document = ran.json
    assert set(document) == KEYS
    assert document["command"] == "explain"
    assert document["ok"] == (ran.status == 0)
    for entry in document["entries"] + document["folded"]:
        assert set(entry) == ENTRY
    for step in document["steps"]:
        assert set(step) == STEP


LOG = b"""[    3.29] hello: loading out-of-tree module taints kernel.
[    3.30] hello: Unknown symbol nosuch_fn (err -2)
insmod: ERROR: could not insert module hello.ko: Unknown symbol in module
"""


@pytest.mark.parametrize("argv", [(), ("-",)])
def test_a_pasted_log(argv):
    ran = run(*argv, "--json", stdin=LOG)
    document = json.loads(ran.stdout)
    assert (ran.returncode, document["kind"], document["topic"]) == (0, "log", "-")
    assert [e["code"] for e in document["entries"]] == ["KS204"]
    assert document["entries"][0]["lines"] == ["hello: Unknown symbol nosuch_fn (err -2)"]
    assert "nosuch_fn" in document["entries"][0]["cause"]
    assert [e["code"] for e in document["folded"]] == ["KS290"]


def test_insmods_words_alone_are_told_as_what_they_are():
    ran = run("-", "--json", stdin=LOG.splitlines()[2])
    assert [e["code"] for e in json.loads(ran.stdout)["entries"]] == ["KS284"]


def test_a_log_of_a_file(tmp_path):
    path = tmp_path / "dmesg.txt"
    path.write_bytes(LOG)
    with path.open("rb") as stdin:
        ran = subprocess.run(
            [sys.executable, "-m", "kscaffold", "explain"],
            stdin=stdin,
            capture_output=True,
            cwd=ROOT,
            check=False,
        )
    assert ran.returncode == 0
    assert b"KS204" in ran.stdout


@pytest.mark.parametrize("name", ["dmesg.txt", "make.log", "sub/what"])
def test_a_file_is_read(ks, tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(LOG)
    ran = ks("explain", str(path))
    assert ran.status == 0
    assert "KS204" in ran.out and "nosuch_fn" in ran.out


def test_a_file_that_can_t_be_read_or_is_no_text(ks, tmp_path):
    module = tmp_path / "hello.ko"
    module.write_bytes(b"\x7fELF\2\1\1\0\0")
    ran = ks("explain", str(module))
    assert (ran.status, ran.out) == (2, "")
    assert "KS402" in ran.err and f"kscaffold check {module}" in ran.err
    ran = ks("explain", str(tmp_path / "none.log"))
    assert (ran.status, ran.out) == (2, "")
    assert "KS401" in ran.err


@pytest.mark.parametrize(("name", "code"), [("list", "KS258"), ("vermagic", "KS210"), ("bug", "KS251")])
def test_recorded_logs_of_a_crash_or_a_refusal(name, code):
    text = "\n".join(f"[{r.time:12.6f}] {r.text}" for r in loads("6.1")[name].records)
    assert explain(log=text).entries[0].entry.code == code


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_healthy_log_gets_no_cause(kernel):
    told = explain(log=(DATA / f"healthy-{kernel}.txt").read_text(encoding="utf-8"))
    assert told.entries == ()


def test_a_build_log():
    log = "  CC [M]  /home/s/own/ret-1.o\nERROR: modpost: missing MODULE_LICENSE() in /home/s/own/own.o\n"
    told = explain(log=log)
    assert [t.entry.code for t in told.entries] == ["KS112"]


def test_an_unknown_log_is_said_to_be():
    ran = run("-", stdin=b"the cat sat on the mat\n")
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert ran.stderr.startswith(b"nothing known here\n    fix: ")
    failed = run("-", stdin=b"frobnicate: the widget failed\n").stderr
    assert b"paste what stands around it, too" in failed
    assert run("-", stdin=b"").returncode == 1


@pytest.mark.parametrize("stdin", ["devnull", "empty-file", "closed"])
def test_nothing_on_standard_input_gives_the_course(tmp_path, stdin):
    (tmp_path / "empty").touch()
    command = [sys.executable, "-m", "kscaffold", "explain"]
    if stdin == "closed":
        command = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
    source = {"devnull": os.devnull, "empty-file": tmp_path / "empty", "closed": os.devnull}[stdin]
    with open(source, "rb") as handle:
        ran = subprocess.run(command, stdin=handle, capture_output=True, cwd=ROOT, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(b"What happens when a module is loaded")


def test_a_pipe_that_nobody_writes_to_does_not_hang():
    reader, writer = os.pipe()
    started = time.monotonic()
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "kscaffold", "explain"],
            stdin=reader,
            capture_output=True,
            cwd=ROOT,
            timeout=60,
            check=False,
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert ran.returncode == 0
    assert ran.stdout.startswith(b"What happens when a module is loaded")
    assert time.monotonic() - started < 30


def test_a_topic_never_reads_standard_input():
    assert b"KS204" not in run("KS210", stdin=LOG).stdout


def test_control_characters_of_a_log_are_shown_not_sent():
    ran = run("-", stdin=b"hello: `\x1b\x07x' invalid for parameter `n'\n")
    assert b"\x1b" not in ran.stdout
    assert b"\\x1b" in ran.stdout


@settings(max_examples=150)
@given(st.text(max_size=300))
def test_any_topic_gets_an_answer(text):
    explain(text)
    explain(log=text)


def test_a_flood_of_a_log_takes_bounded_time():
    flood = b"[    3.300000] hello: Unknown symbol nosuch_fn (err -2)\n" * 200_000
    ran = run("-", stdin=flood)
    assert ran.returncode == 0
    assert len(ran.stdout) < 5000


@pytest.mark.parametrize("name", STUMBLES)
def test_what_users_stumble_over(name):
    stumble = STUMBLES[name]
    found = explain(log="\n".join(stumble["log"]))
    if "noise" in stumble:
        assert (found.entries, found.folded[0].entry.code) == ((), stumble["noise"])
        return
    first = found.entries[0]
    assert first.entry.code == stumble["code"]
    assert first.cause and first.fix and "{" not in first.cause + first.fix
    assert stumble.get("says", "") in f"{first.entry.title} {first.cause} {first.fix}"

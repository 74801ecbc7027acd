"""A first course's words: each that names a thing has an answer, and the answer is about that thing."""

import pytest

from kscaffold.diagnosis.course import COURSE
from kscaffold.explain.explain import explain
from kscaffold.explain.tables import COURSE_NAMES
from kscaffold.explain.topics import topics

# A word as a course writes it, and what its answer has to speak of.
WORDS = {
    "printk": "kernel's log",
    "printk()": "kernel's log",
    "printf()": "does not exist in the kernel",
    "_printk": "macro",
    "makefile": "make -C",
    "make": "modpost writes",
    "make clean": "takes all of them away",
    "obj-m := hello.o": "hello.ko",
    "ownname-objs := ret-1.o": "ownname.ko",
    "-objs": "ownname.ko",
    "hello.ko": "ELF",
    "ret-1.c": "ret-1.o is the compiled source",
    "ret-1.o": "ret-1.o is the compiled source",
    ".mod.c": "modpost",
    "Module.symvers": "exports",
    "modules.order": "order",
    "kernel object file": "becomes a part",
    "kernel module": "becomes a part",
    "insmod": "kscaffold load",
    "sudo insmod hello.ko": "kscaffold load",
    "rmmod": "delete_module()",
    "sudo rmmod hello": "delete_module()",
    "lsmod | grep ownname": "kscaffold list",
    "dmesg | tail": "kscaffold logs",
    "init_module()": "asks the kernel",
    "sys_init_module()": "asks the kernel",
    "permission check": "may this program",
    "root": "CAP_SYS_MODULE",
    "sudo": "CAP_SYS_MODULE",
    "ordinary user": "Operation not permitted",
    "load_module()": "memory",
    "copy_from_user()": "memory",
    "ELF verification": "machine",
    "offset generation": "offset",
    "convenience variables": "address",
    "copy module arguments": "param",
    "module arguments": "module_param()",
    "symbol resolution": "addresses",
    "external symbols": "_printk",
    "unresolved symbols": "ENOENT",
    "doubly linked list": "two pointers",
    "module list": "two pointers",
    "module_init()": "names the function",
    "return values": "EPERM",
    "0": "EPERM",
    "negative value": "EPERM",
    "-1": "Operation not permitted",
    "kernel logs": "dmesg",
    "user space": "system call",
    "kernel space": "system call",
    "system call": "system call",
    "kernel memory": "memory",
    "custom name": "ownname",
    "module name": "ownname",
    "uname -r": "release",
    "/lib/modules": "Makefile",
    "M=$(PWD)": "make -C",
}

# What else the course's text and drawings name, each line of which can be given to `explain` as it stands.
DRAWN = {
    "What happens when you run insmod?": "may this program",
    "what happens when a kernel module is loaded": "may this program",
    "make files": "make -C",
    "all:": "what make can be asked to do",
    "clean:": "what make can be asked to do",
    "M=": "directory of the module",
    "make -C /lib/modules/$(shell uname -r)/build M=$(PWD) modules": "make -C",
    "$(PWD)": "release",
    "final kernel object file": "becomes a part",
    "hello.c": "ret-1.o is the compiled source",
    "sudo insmod module_name.ko": "finit_module()",
    "to insert module": "finit_module()",
    "list modules": "/proc/modules",
    "remove module": "delete_module()",
    "User Space Program": "system call",
    "insmod Utility": "finit_module()",
    "init_module() System Call": "asks the kernel",
    "systems call": "system call",
    "Kernel Entry Function": "asks the kernel",
    "Only root / sudo user": "CAP_SYS_MODULE",
    "root or sudo users": "CAP_SYS_MODULE",
    "Core Module Loader": "memory",
    "Allocate Kernel Memory": "memory is planned",
    "Copy .ko from User Space to Kernel Space": "memory",
    "api": "API",
    "executable and linkable format": "machine",
    "ELF file": "machine",
    "Check valid ELF module": "machine",
    "Functions / Symbols / Variables": "memory is planned",
    "symbols": "addresses",
    "variables": "external symbol",
    "functions": "external symbol",
    "Copy Module Args": "param",
    "related errors": "ENOENT",
    "Resolve external symbols": "addresses",
    "Add Module to Kernel List": "list",
    "data structure": "two pointers",
    "loaded modules": "two pointers",
    "module_initi() function": "names the function",
    "module_init() Call": "your function runs",
    "Module loaded successfully": "EPERM",
    "Module loading failed": "EPERM",
    "return -1": "EPERM",
    "dmesg logs": "kernel's log",
    "custom kernel module": "ownname",
    "file name": "ownname",
    "object files": "ret-1.o is the compiled source",
    "compilation flow": "ret-1.o is the compiled source",
    "ret1.c": "ret-1.o is the compiled source",
    "ret1.ko": "ELF",
    "ret-1": "ownname",
    "kernel messages": "kernel's log",
    "module insertion": "may this program",
}


def _said(topic: str) -> str:
    answer = explain(topic)
    steps = " ".join(f"{s.title} {s.what} {s.course_differs}" for s in answer.steps)
    rows = " ".join(f"{row.wrapped} {row.does}" for row in answer.commands)
    returns = " ".join(row.meaning for row in answer.returns)
    return " ".join((answer.kind, answer.title, answer.text, steps, rows, returns))


@pytest.mark.parametrize(("word", "about"), (WORDS | DRAWN).items())
def test_each_word_is_answered(word, about):
    said = _said(word)
    assert not said.startswith("unknown") and about in said


@pytest.mark.parametrize("word", ["asdf", "ls", "the", "s", "discrepancy", "grade"])
def test_what_is_no_word_of_the_field_is_unknown(word):
    assert not explain(word).known


def test_each_other_name_leads_to_a_topic():
    for name, topic in COURSE_NAMES.items():
        assert explain(topic).known and explain(name).title == explain(topic).title, name


@pytest.mark.parametrize("number", COURSE)
def test_a_bare_number_is_the_course_s_step(number):
    answer = explain(str(number))
    assert answer.kind == "stage" and all(number in step.course for step in answer.steps)
    assert explain(f"step {number}").steps == answer.steps
    assert explain(f"-{number}").kind == "errno"


def test_all_that_is_listed_is_known():
    for topic in topics():
        assert explain(topic.name).known, topic


def test_the_list_names_each_group(ks):
    out = ks("explain", "--list").out
    assert [line for line in out.splitlines() if line and line[0] != " "] == [
        "Topics",
        "Stages",
        "Steps",
        "Codes",
    ]
    assert all(len(line) < 80 for line in out.splitlines()) and "  KS204 " in out

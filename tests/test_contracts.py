"""What other programs build on: the documents of --json, the exit statuses, the streams. A change here
breaks somebody's script: it wants a line in CHANGELOG, and for a key that goes or means something else a
new `schema`.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Ran, need_program
from tests.support.elf import Ko
from tests.support.kernels import need_kernel
from tests.support.modules import built
from tests.support.projects import HELLO, write
from tests.support.worlds import RELEASE, World

# Every document has these.
ENVELOPE = "schema command ok"

# A document's own keys, by command. `x[]` is a list of documents that are told at `x`.
DOCUMENTS = {
    "new": "name path template module files",
    "new, foreign": "name path template module files builds hooks_run report{}",
    "new, not trusted": "error{} report{}",
    "new --list": "templates[]",
    "update": "directory template before after base up_to_date marked[] files[] diff backup origin{}",
    "update, not trusted": "error{} report{}",
    "build": "kernel arch modules[] up_to_date complaints[] notes log seconds code cause fix",
    "clean": "directory removed kept",
    "sign": "key certificate made signer hash modules[]",
    "check": "module path kernel arch init{} exit{} license vermagic parameters[] depends imports exports"
    " signed signature{} prediction{} findings[]",
    "check several": "modules[]",
    "info": "module path architecture size compression signed modinfo[] imports exports sections[]",
    "load": "module path parameters target kernel arch verdict loaded stage errno init_ran returned code"
    " cause fix log[] complaints[] stages[] dependencies seconds{} accelerator clean note residue as_user"
    " requests",
    "load several": "seconds{} results[]",
    "run --sanitize": "module path parameters target kernel arch verdict loaded stage errno init_ran returned"
    " code cause fix log[] complaints[] stages[] dependencies seconds{} accelerator clean note residue"
    " as_user requests sanitizer{}",
    "run --sanitize, several": "seconds{} results[] sanitizer{}",
    "run --faults --coverage": "module path parameters target kernel arch verdict loaded stage errno init_ran"
    " returned code cause fix log[] complaints[] stages[] dependencies seconds{} accelerator clean note"
    " residue as_user requests faults{} coverage{}",
    "load --sanitize": "module path parameters target kernel arch verdict loaded stage errno init_ran"
    " returned code cause fix log[] complaints[] stages[] dependencies seconds{} accelerator clean note"
    " residue as_user requests sanitizer{}",
    "load, not built": "build{}",
    "unload": "module kernel arch verdict errno code cause fix log[] seconds clean complaints[] residue",
    "unload, of a copy": "module kernel arch verdict errno code cause fix log[] seconds clean complaints[]"
    " residue sanitizer{}",
    "unload several": "results[]",
    "list": "target kernel arch modules[]",
    "exec": "program kernel arch status signal errno late lost ending stack[] stdout stderr complaints[]"
    " log[] loads[] seconds",
    "test": "directory kernels examined modules[] tests[] seconds",
    "test, projects": "kernels projects[] seconds",
    "ci": "path text",
    "logs": "log[]",
    "logs -f": "level time text own",
    "explain": "topic kind title text steps[] returns[] commands[] entries[] folded[]",
    "explain --list": "topics[]",
    "explain load": "topic kind module path parameters target kernel arch verdict loaded stage errno init_ran"
    " returned code cause fix log[] complaints[] stages[] dependencies seconds{} accelerator steps[]"
    " ko{} flaw clean note residue as_user requests ordinary_user questions[]",
    "explain load several": "topic kind results[]",
    "kernel list": "kernels[] chosen default",
    "kernel add": "kernel{} already seconds",
    "kernel remove": "kernel{}",
    "kernel default": "default kernel{}",
    "sandbox status": "sandboxes[] snapshots[]",
    "sandbox stop": "stopped",
    "doctor": "findings[] cache{}",
    "completion": "shell script",
    "cache": "entries[] bytes old",
    "cache prune": "removed[] bytes",
    "error": "error{}",
}
# Documents within documents.
PARTS = {
    "error": "code message cause fix",
    "update.files": "path change why target written",
    "update.origin": "before after checkout added{} dropped[] hooks_run report{}",
    "new.report": "source kind commit directory files bytes variables hooks[] extensions left_out{} choices",
    "new.report.hooks": "file when interpreter bytes",
    "build.modules": "name path",
    "build.complaints": "level file line text",
    "check.init": "symbol section",
    "check.exit": "symbol section",
    "check.parameters": "name type description",
    "check.signature": "signer serial key_id key hash valid in_kernel",
    "check.prediction": "loads stage errno",
    "sign.modules": "module path out replaced",
    "check.findings": "code level stage message fix",
    "info.modinfo": "key value",
    "load.log": "level time text",
    "load.complaints": "kind text where",
    "exec.complaints": "kind text where",
    "exec.log": "level time text",
    "test, projects.projects": "directory ok error modules[] tests[] seconds",
    "test.modules": "module kernel arch outcome",
    "test.tests": "test kernel arch modules outcome seconds text sections file line",
    "test.sections": "title text",
    "test.errors": "kernel code what cause fix",
    "run.residue": "kind name where",
    "run --sanitize.sanitizer": "reports[] unseen[]",
    "run --sanitize.reports": "kind code text detail cause fix where access size object lock task parameters"
    " sites[] stack",
    "run --sanitize.where": "file line function",
    "run --sanitize.object": "kind size offset count",
    "run --sanitize.sites": "role at where",
    "run --sanitize.unseen": "module what",
    "run --faults.faults": "clean rows[] left_out problem",
    "run --faults.rows": "number call function where outcome failed_with returned code cause fix wrong[]"
    " parameters test",
    "run --faults.where": "file line function",
    "run --faults.wrong": "text where",
    "run --coverage.coverage": "share files[] unseen[]",
    "run --coverage.files": "file lines[] functions[]",
    "load.stages": "id status microseconds",
    "load.seconds": "build start load total",
    "load several.seconds": "total",
    "unload.log": "level time text",
    "list.modules": "name size refcount used_by state permanent taints",
    "logs.log": "level time text own",
    "explain --list.topics": "group name title",
    "explain.steps": "stage title course functions what course_differs elsewhere",
    "explain load.steps": "stage title course[] status start microseconds within facts[]",
    "explain load.course": "step name",
    "explain load.questions": "question answer",
    "explain load.facts": "label value source columns rows",
    "explain load.ko": "name size architecture signed license vermagic depends init exit parameters imports"
    " exports sections relocations",
    "explain load.parameters": "name type description given value",
    "explain load.imports": "symbol provider weak gpl crc",
    "explain load.exports": "symbol gpl namespace",
    "explain load.sections": "name size memory address",
    "explain load.relocations": "section count types",
    "explain.returns": "value meaning insmod lsmod log",
    "explain.commands": "plain wrapped does",
    "explain.entries": "code title stage what proof cause fix see lines where",
    "kernel": "release source origin arch build image modules bytes",
    "sandbox status.sandboxes": "id project kernel arch cmdline accelerator keeper qemu seconds rss",
    "sandbox status.snapshots": "key kernel arch bytes used",
    "doctor.findings": "what state text fix",
    "doctor.cache": "path kernels snapshots",
    "cache.entries": "kind path bytes used old",
}
# What docs/reference/exit-codes.md and the man page say.
STATUSES = {
    0: "yes",
    1: "the answer is no: the build failed, the check found an error, the kernel refused, init failed, "
    "crashed or hung",
    2: "the command was asked for something it can't be asked for; nothing was changed",
    69: "no answer could be had: no headers, no QEMU, a lost sandbox, a deadline",
    70: "a bug in kscaffold",
    130: "interrupted",
}


def keys(text: str) -> set[str]:
    return {word.rstrip("[]{}") for word in text.split()}


def is_document(ran: Ran, shape: str, command: str | None = None) -> dict[str, Any]:
    """stdout is one document of this shape, and nothing else."""
    document = json.loads(ran.out)
    assert set(document) == keys(ENVELOPE) | keys(DOCUMENTS[shape])
    assert document["schema"] == 1
    assert document["command"] == (command or shape)
    assert isinstance(document["ok"], bool) and document["ok"] is (ran.status == 0)
    return document


def is_part(part: Any, shape: str) -> None:
    for each in part if isinstance(part, list) else [part]:
        assert set(each) == keys(PARTS[shape]), shape


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to be in, a small kernel that can be neither built for nor booted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    World().stored()
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    return tmp_path / "in"


def test_new(ks, here):
    is_document(ks("new", "hello", "--json"), "new")
    is_document(ks("new", "--list", "--json"), "new --list", "new")
    is_document(ks("new", "hello", "--json"), "error", "new")
    (here / "tpl/{{cookiecutter.name}}").mkdir(parents=True)
    (here / "tpl/cookiecutter.json").write_text('{"name": "x"}')
    (here / "tpl/hooks").mkdir()
    (here / "tpl/hooks/post_gen_project.sh").write_text("#!/bin/sh\n")
    document = is_document(ks("new", "mine", "--template", "./tpl", "--json"), "new, not trusted", "new")
    is_part(document["error"], "error")
    again = is_document(ks("new", "mine", "--template", "./tpl", "--trust", "--json"), "new, foreign", "new")
    for report in (document["report"], again["report"]):
        is_part(report, "new.report")
        is_part(report["hooks"], "new.report.hooks")
    assert report["hooks"] and not again["hooks_run"] and again["module"] is None


def test_update(ks, here):
    assert ks("new", "hello").status == 0
    document = is_document(ks("update", "hello", "--json"), "update")
    assert document["up_to_date"] and document["base"] == "kept"
    document = is_document(ks("update", "hello", "--set", "author=x", "--write", "--json"), "update")
    is_part(document["files"], "update.files")
    assert document["files"] and document["diff"] and document["backup"]
    (here / "hello/hello.c").unlink()
    (here / "hello/hello.c").mkdir()
    document = is_document(ks("update", "hello", "--set", "author=y", "--json"), "update")
    assert not document["ok"] and document["files"][0]["change"] == "conflict"
    assert document["origin"] is None and document["marked"] == []


def test_update_of_a_template_of_others(ks, here):
    (here / "tpl/{{cookiecutter.name}}").mkdir(parents=True)
    (here / "tpl/{{cookiecutter.name}}/a").write_text("{{ cookiecutter.author }}")
    (here / "tpl/cookiecutter.json").write_text('{"name": "x", "author": "y"}')
    assert ks("new", "mine", "--template", "./tpl", "--trust").status == 0
    document = is_document(ks("update", "mine", "--json"), "update, not trusted", "update")
    is_part(document["report"], "new.report")
    words = ["--set", "author=z", "--trust", "--json"]
    document = is_document(ks("update", "mine", *words), "update")
    is_part(document["origin"], "update.origin")
    is_part(document["origin"]["report"], "new.report")
    assert document["files"] and document["template"] == str(here / "tpl")


def test_check_and_info(ks, here):
    ko = write_ko(here, Ko("ret_1", parameters={"n": "int"}, exit=None))
    document = is_document(ks("check", ko, "--json"), "check")
    for part in ("init", "parameters", "prediction", "findings"):
        is_part(document[part], f"check.{part}")
    assert document["findings"] and document["exit"] is None
    several = is_document(ks("check", ko, write_ko(here, Ko("b")), "--json"), "check several", "check")
    for each in several["modules"]:
        assert set(each) == keys(DOCUMENTS["check"])
    document = is_document(ks("info", ko, "--json"), "info")
    is_part(document["modinfo"], "info.modinfo")


def test_sign(ks, here):
    need_program("openssl", "openssl")
    ko = write_ko(here, Ko("ret_1"))
    document = is_document(ks("sign", ko, "--json"), "sign")
    is_part(document["modules"], "sign.modules")
    assert document["modules"] and document["made"] is True
    checked = is_document(ks("check", ko, "--json"), "check")
    is_part(checked["signature"], "check.signature")
    is_document(ks("sign", "no.ko", "--json"), "error", "sign")


def write_ko(directory: Path, ko: Ko) -> Path:
    (directory / f"{ko.name}.ko").write_bytes(ko.bytes())
    return directory / f"{ko.name}.ko"


def test_kernel(ks, here):
    document = is_document(ks("kernel", "list", "--json"), "kernel list")
    is_part(document["kernels"], "kernel")
    assert document["kernels"]
    document = is_document(ks("kernel", "default", RELEASE, "--json"), "kernel default")
    is_part(document["kernel"], "kernel")
    document = is_document(ks("kernel", "remove", RELEASE, "--json"), "kernel remove")
    is_part(document["kernel"], "kernel")
    is_document(ks("kernel", "add", "--build", here, "--json"), "error", "kernel add")


@pytest.mark.kernel
def test_kernel_add(ks, here, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(here.parent / "other"))
    build = need_kernel("6.1").build
    assert build
    document = is_document(ks("kernel", "add", "--build", build, "--json"), "kernel add")
    is_part(document["kernel"], "kernel")


@pytest.mark.parametrize(
    ("topic", "told"),
    [("load", "steps"), ("returns", "returns"), ("commands", "commands"), ("KS204", "entries")],
)
def test_explain(ks, here, topic, told):
    document = is_document(ks("explain", topic, "--json"), "explain")
    assert document[told]
    for part in ("steps", "returns", "commands", "entries"):
        is_part(document[part], f"explain.{part}")


def test_without_a_sandbox(ks, here):
    is_document(ks("list", "--json"), "list")
    is_document(ks("logs", "--json"), "logs")
    assert ks("logs", "-f", "--json").out == ""
    is_document(ks("unload", "x", "--json"), "unload")
    assert set(is_document(ks("sandbox", "status", "--json"), "sandbox status")) >= {"snapshots"}
    is_document(ks("sandbox", "stop", "--json"), "sandbox stop")


def test_ci(ks, here):
    for service in ("github", "gitlab"):
        document = is_document(ks("ci", service, "--json"), "ci", f"ci {service}")
        assert document["text"] and document["path"] is None


def test_doctor(ks, here):
    document = is_document(ks("doctor", "--json"), "doctor")
    is_part(document["findings"], "doctor.findings")
    is_part(document["cache"], "doctor.cache")


def test_cache(ks, here):
    document = is_document(ks("cache", "--json"), "cache")
    is_part(document["entries"], "cache.entries")
    assert document["entries"] and document["old"] == 0
    document = is_document(ks("cache", "prune", "--json"), "cache prune")
    assert document == {**document, "removed": [], "bytes": 0}


@pytest.mark.kernel
def test_build_and_clean(ks, tmp_path, monkeypatch):
    need_program("make", "make")
    assert ks("kernel", "default", need_kernel("6.1").release).status == 0
    monkeypatch.chdir(write(tmp_path, Kbuild="obj-m := hello.o\n", hello__c=HELLO))
    is_part(is_document(ks("build", "--json"), "build")["modules"], "build.modules")
    (tmp_path / "hello.c").write_text("int x = ;\n")
    document = is_document(ks("build", "--json"), "build")
    assert document["complaints"]
    is_part(document["complaints"], "build.complaints")
    for verb in ("load", "reload", "run"):
        document = is_document(ks(verb, "--json"), "load, not built", verb)
        assert set(document["build"]) == keys(DOCUMENTS["build"])
    is_document(ks("clean", "--json"), "clean")


@pytest.mark.sandbox
def test_load_and_its_kin(ks, tmp_path, monkeypatch):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    kos = built(kernel)
    monkeypatch.chdir(tmp_path)
    assert ks("kernel", "default", kernel.release).status == 0
    for words, status in (
        (("load", "hello"), 0),
        (("reload", "hello"), 0),
        (("run", "hello"), 0),
        (("load", "minus"), 1),
        (("run", "minus"), 1),
        (("run", "oopses"), 1),
        (("run", "noexit"), 1),
    ):
        verb, name = words
        ran = ks(verb, kos / f"{name}.ko", "--json")
        assert ran.status == status
        document = is_document(ran, "load", verb)
        for part in ("log", "complaints", "stages", "seconds"):
            is_part(document[part], f"load.{part}")
        assert document["log"] and document["stages"]
        assert document["accelerator"] in ("kvm", "tcg") and document["target"] == "sandbox"
    for words in (["load", kos / "seed.ko", kos / "noexit.ko"], ["run", kos / "hello.ko", "--repeat", "2"]):
        document = is_document(ks(*words, "--json"), "load several", str(words[0]))
        is_part(document["seconds"], "load several.seconds")
        assert all(set(each) == keys(DOCUMENTS["load"]) for each in document["results"])
    document = is_document(ks("sandbox", "status", "--json"), "sandbox status")
    is_part(document["sandboxes"], "sandbox status.sandboxes")
    is_part(document["snapshots"], "sandbox status.snapshots")
    assert document["sandboxes"] and document["snapshots"]
    is_part(is_document(ks("list", "--all", "--json"), "list")["modules"], "list.modules")
    is_part(is_document(ks("logs", "--json"), "logs")["log"], "logs.log")
    document = is_document(ks("exec", "--offline", "--json", "--", "true"), "exec")
    assert document["status"] == 0
    is_document(ks("unload", "seed", "minus", "--json"), "unload several", "unload")
    is_document(ks("sandbox", "stop", "--json"), "sandbox stop")


@pytest.mark.sandbox
@pytest.mark.kernel
def test_run_sanitized(ks, tmp_path, monkeypatch):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    assert ks("kernel", "default", kernel.release).status == 0
    bug = HELLO.replace("#include <linux/module.h>", "#include <linux/module.h>\n#include <linux/slab.h>")
    bug = bug.replace("\treturn 0;", "\tkfree(kmalloc(8, GFP_KERNEL) + 1);\n\treturn 0;", 1)
    monkeypatch.chdir(write(tmp_path / "bug", Kbuild="obj-m := hello.o\n", hello__c=bug))
    ran = ks("run", "--sanitize", "--json")
    document = is_document(ran, "run --sanitize", "run")
    assert ran.status == 1 and document["loaded"] and document["residue"] == []
    assert document["clean"] is False
    part = document["sanitizer"]
    is_part(part, "run --sanitize.sanitizer")
    is_part(part["reports"], "run --sanitize.reports")
    assert [r["kind"] for r in part["reports"]] == ["invalid-free", "memory-leak"]
    is_part(part["reports"][0]["where"], "run --sanitize.where")
    is_part(part["reports"][0]["object"], "run --sanitize.object")
    is_part(part["reports"][0]["sites"], "run --sanitize.sites")
    document = is_document(ks("load", "--sanitize", "--json"), "load --sanitize", "load")
    is_part(document["sanitizer"], "run --sanitize.sanitizer")
    assert [r["kind"] for r in document["sanitizer"]["reports"]] == ["invalid-free"]
    document = is_document(ks("unload", "--json"), "unload, of a copy", "unload")
    assert [r["kind"] for r in document["sanitizer"]["reports"]] == ["memory-leak"]
    (tmp_path / "alone").mkdir()
    (tmp_path / "bug/hello.ko").rename(tmp_path / "alone/hello.ko")
    ran = ks("run", "--sanitize", "--json", "--repeat", "2", tmp_path / "alone/hello.ko")
    document = is_document(ran, "run --sanitize, several", "run")
    is_part(document["sanitizer"]["unseen"], "run --sanitize.unseen")
    assert document["sanitizer"]["unseen"] and ran.status == 1


@pytest.mark.sandbox
def test_run_with_failing_calls(ks, tmp_path, monkeypatch):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    assert ks("kernel", "default", kernel.release).status == 0
    bug = HELLO.replace("#include <linux/module.h>", "#include <linux/module.h>\n#include <linux/slab.h>")
    bug = bug.replace(
        "\treturn 0;",
        "\tif (!kmalloc(8, GFP_KERNEL) || !kmalloc(9, GFP_KERNEL))\n\t\treturn -ENOMEM;\n\treturn 0;",
        1,
    )
    monkeypatch.chdir(write(tmp_path / "bug", Kbuild="obj-m := hello.o\n", hello__c=bug))
    ran = ks("run", "--faults", "--coverage", "--json")
    document = is_document(ran, "run --faults --coverage", "run")
    is_part(document["coverage"], "run --coverage.coverage")
    is_part(document["coverage"]["files"], "run --coverage.files")
    part = document["faults"]
    is_part(part, "run --faults.faults")
    is_part(part["rows"], "run --faults.rows")
    is_part(part["rows"][0]["where"], "run --faults.where")
    assert [row["outcome"] for row in part["rows"]] == ["clean", "leaked"]
    is_part(part["rows"][1]["wrong"], "run --faults.wrong")
    assert ran.status == 1


@pytest.mark.sandbox
def test_explain_load(ks, tmp_path, monkeypatch):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    kos = built(kernel)
    monkeypatch.chdir(tmp_path)
    assert ks("kernel", "default", kernel.release).status == 0
    page = tmp_path / "x.html"
    for words, status in ((["flood.ko", "n=2"], 0), (["minus.ko"], 1)):
        ran = ks("explain", "load", kos / words[0], *words[1:], "--json", "--html", page)
        document = is_document(ran, "explain load", "explain")
        assert ran.status == status and document["kind"] == "module" and document["topic"] == "load"
        is_part(document["steps"], "explain load.steps")
        for step in document["steps"]:
            is_part(step["course"], "explain load.course")
            is_part(step["facts"], "explain load.facts")
        is_part(document["ko"], "explain load.ko")
        for part in ("parameters", "imports", "exports", "sections", "relocations"):
            is_part(document["ko"][part], f"explain load.{part}")
    ran = ks("explain", "load", kos / "hello.ko", kos / "seed.ko", "--json")
    document = is_document(ran, "explain load several", "explain")
    for each in document["results"]:
        assert set(each) == keys(DOCUMENTS["explain load"])


# ---- errors ----


@pytest.mark.parametrize(
    ("words", "command", "status"),
    [
        (["new", "1x"], "new", 2),
        (["update"], "update", 2),
        (["build"], "build", 69),
        (["clean"], "clean", 69),
        (["check"], "check", 69),
        (["info", "no.ko"], "info", 2),
        (["load", "no.ko"], "load", 2),
        (["run", "no.ko"], "run", 2),
        (["reload", "no.ko"], "reload", 2),
        (["exec"], "exec", 2),
        (["exec", "--timeout", "soon"], "exec", 2),
        (["test"], "test", 69),
        (["watch"], "watch", 2),
        (["ci", "github", "--kernel", "six"], "ci github", 2),
        (["load", "--timeout", "soon"], "load", 2),
        (["load", "--nonsense"], "load", 2),
        (["load", "--host", "--kernel", "6.1"], "load", 2),
        (["unload", "--nonsense"], "unload", 2),
        (["list", "--nonsense"], "list", 2),
        (["logs", "-n", "many"], "logs", 2),
        (["explain", "--nonsense", "x"], "explain", 2),
        (["explain", "load", "no.ko"], "explain", 2),
        (["explain", "load", "--html", "/"], "explain", 2),
        (["explain", "EPERM", "--html", "x.html"], "explain", 2),
        (["kernel", "remove", "9.9"], "kernel remove", 2),
        (["kernel", "add", "6.1", "--build", "x"], "kernel add", 2),
        (["kernel", "nonsense"], "kernel nonsense", 2),
        (["sandbox", "shell"], "sandbox shell", 2),
        (["nonsense"], "nonsense", 2),
        ([], "kscaffold", 2),
    ],
)
def test_an_error_is_one_document_too(ks, here, words, command, status):
    ran = ks(*words, "--json")
    document = is_document(ran, "error", command)
    is_part(document["error"], "error")
    assert document["error"]["code"].startswith("KS") and document["error"]["message"]
    assert ran.status == status
    # Said to people as well, and only on stderr.
    assert f"[{document['error']['code']}]" in ran.err
    assert ks(*words).out == ""


# ---- statuses ----


def test_an_answer_ends_with_0(ks, here):
    assert ks("list").status == 0


def test_a_no_ends_with_1(ks, here):
    assert ks("check", write_ko(here, Ko(init=None))).status == 1
    assert ks("explain", "no such thing").status == 1
    assert ks("unload", "x").status == 1


def test_a_wrong_request_ends_with_2(ks, here):
    assert ks("new", "no good name").status == 2


def test_no_answer_ends_with_69(ks, here, monkeypatch):
    write(here, Kbuild="obj-m := hello.o\n", hello__c=HELLO)
    assert ks("check").status == 69
    monkeypatch.setenv("PATH", str(here))
    ran = ks("load", write_ko(here, Ko()), "--json")
    assert ran.status == 69 and "qemu" in ran.json["error"]["fix"]


def test_a_bug_ends_with_70(ks, here, monkeypatch):
    def broken() -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(os, "uname", broken)
    ran = ks("list", "--host", "--json")
    assert ran.status == 70
    assert is_document(ran, "error", "list")["error"]["code"] == "KS009"
    assert "Traceback" not in ran.err
    assert "Traceback" in ks("list", "--host", "-v").err


def test_an_interrupt_ends_with_130(here, tmp_path):
    (tmp_path / "dmesg").write_text(
        "#!/bin/sh\necho '<6>[    1.0] here'\n[ -z \"$2\" ] || exec /bin/sleep 60\n"
    )
    (tmp_path / "dmesg").chmod(0o755)
    command = subprocess.Popen(
        [sys.executable, "-m", "kscaffold", "logs", "--host", "--follow", "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stdout
    first = json.loads(command.stdout.readline())
    assert set(first) == keys(ENVELOPE) | keys(DOCUMENTS["logs -f"]) and first["text"] == "here"
    command.send_signal(signal.SIGINT)
    rest, said = command.communicate(timeout=60)
    assert command.returncode == 130
    (last,) = rest.splitlines()  # JSON Lines to the end
    assert json.loads(last)["error"]["code"] == "KS003" and "Traceback" not in said


def test_no_other_status_is_known():
    import kscaffold.errors as errors

    assert {value for name, value in vars(errors).items() if name.startswith("EXIT_")} == set(STATUSES)


# ---- terminals ----


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb", "NO_COLOR": ""}, {}])
def test_plain_text_where_colour_is_not_wanted(ks, here, monkeypatch, variables):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    ran = ks("check", write_ko(here, Ko(init=None)))
    assert "\033" not in ran.out + ran.err  # a pipe, here


def test_completion(ks):
    is_document(ks("completion", "bash", "--json"), "completion")


def test_explain_list(ks):
    document = is_document(ks("explain", "--list", "--json"), "explain --list", "explain")
    is_part(document["topics"], "explain --list.topics")

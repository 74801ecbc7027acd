"""The ten questions of a teacher, answered from one load."""

import html
import json
import re
from pathlib import Path

import pytest

from kscaffold.diagnosis.verdict import judge
from kscaffold.elf.module_file import ModuleFile
from kscaffold.explain.questions import questions
from kscaffold.explain.walkthrough import LoadWalkthrough, load_walkthrough
from kscaffold.load.report import LoadReport
from kscaffold.module.arguments import NO_PARAMETERS
from kscaffold.targets.host import HostTarget
from tests.support.elf import Ko
from tests.support.evidence import evidence
from tests.support.kernels import need_kernel
from tests.support.modules import built


def answers(told: LoadWalkthrough) -> dict[str, str]:
    return {q.question: q.answer for q in questions(told)}


# A teacher's ten questions of an init that returned -1, and what each answer must say.
TEN = (
    ("Did init run?", "Yes: the load came as far as its last step."),
    ("What did it return?", "-1, which is -EPERM"),
    (
        "What does insmod say, and why those words?",
        "could not insert module minus.ko: Operation not permitted. These are the words of EPERM (1), which "
        "init returned as -1. No permission was missing: the step that asks for it was passed, and init ran "
        "after it. An ordinary user gets the same words: tried in this guest as uid 65534, the load ended at "
        "the stage permission with EPERM, init did not run, and the log has no line of it",
    ),
    ("Does lsmod show minus?", "lsmod prints that list, and is silent about what is not on it"),
    ("Where is what it printed?", "dmesg prints (kscaffold logs), never on the terminal of insmod"),
    ("Which step came first, which last?", "First the stage syscall"),
    ("How do the course's order and the kernel's differ?", "1, 2, 3, 4, 5, 6, 9, 8, 7, 10"),
    ("Where were its arguments copied?", "strndup_user()"),
    ("Who resolves printk, and what is _printk?", "_printk among what it needs, and vmlinux exports it"),
    ("What would return 1 do?", "suspiciously returned 1"),
)


def spoken(text: str) -> str:
    """A page's or a terminal's text without markup and folds."""
    return " ".join(html.unescape(re.sub("<[^>]*>", "", text)).split())


@pytest.mark.sandbox
def test_the_terminal_alone_and_the_page_alone_answer_ten_questions(ks, tmp_path):
    release = need_kernel("6.1").release
    minus = built(need_kernel("6.1")) / "minus.ko"
    page = tmp_path / "page.html"
    done = ks("explain", "load", minus, "-k", release, "--html", page)
    assert done.status == 1
    assert max(len(line) for line in done.out.splitlines() if not line.startswith("  |")) <= 80
    for where in (spoken(done.out), spoken(page.read_text())):
        for question, answer in TEN:
            assert answer in where[where.index(question) :], question
    document = json.loads(ks("explain", "load", minus, "-k", release, "--json").out)
    assert [q["question"] for q in document["questions"]] == [question for question, _ in TEN]
    for asked, (_, answer) in zip(document["questions"], TEN, strict=True):
        assert answer in asked["answer"]
    assert document["ordinary_user"]["stage"] == "permission" and not document["as_user"]


@pytest.mark.sandbox
def test_an_ordinary_user_s_load_is_refused_and_init_does_not_run(ks):
    release = need_kernel("6.1").release
    minus = built(need_kernel("6.1")) / "minus.ko"
    done = ks("run", minus, "-k", release, "--as-user")
    assert done.status == 1
    assert "minus.ko, as an ordinary user: refused by the kernel at stage permission with EPERM" in done.out
    assert "insmod says 'Operation not permitted' for EPERM" in done.out
    assert "init ran" not in done.out
    document = json.loads(ks("run", minus, "-k", release, "--as-user", "--json").out)
    asked = ("verdict", "stage", "errno", "init_ran", "as_user", "code")
    assert [document[key] for key in asked] == ["refused", "permission", "EPERM", False, True, "KS232"]
    both = ks("run", minus, "-k", release, "--as-user", "--sanitize")
    assert both.status == 2 and "KS004" in both.err


def test_each_load_has_ten_answers(tmp_path: Path):
    ko = tmp_path / "hello.ko"
    ko.write_bytes(Ko("hello").bytes())
    told = load_walkthrough(
        LoadReport(
            "hello",
            ModuleFile.open(ko),
            NO_PARAMETERS,
            "host",
            "6.1.0",
            judge(evidence("hello", errno=17, has_init=True, records=())),
            (),
            {"build": 0.0, "start": 0.0, "load": 0.0, "total": 0.0},
            None,
        ),
        HostTarget(lambda text: None),
        None,
    )
    found = answers(told)
    assert len(found) == 10 and all(found.values())
    assert found["Does lsmod show hello?"].startswith("No")
    assert "File exists" in found["What does insmod say, and why those words?"]

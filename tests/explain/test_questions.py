"""The ten questions of a teacher, answered from one load."""

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


@pytest.mark.sandbox
def test_an_init_that_returns_minus_one(ks, tmp_path):
    release = need_kernel("6.1").release
    minus = built(need_kernel("6.1")) / "minus.ko"
    page = tmp_path / "page.html"
    ks("load", minus, "-k", release, "--html", page)
    text = page.read_text()
    for said in (
        "Did init run?",
        "Yes: the load came as far as its last step.",
        "-1, which is -EPERM",
        "could not insert module minus.ko: Operation not permitted",
        "No permission was missing",
        "lsmod prints that list, and is silent about what is not on it",
        "1, 2, 3, 4, 5, 6, 9, 8, 7, 10",
        "strndup_user()",
        "_printk among what it needs, and vmlinux exports it",
        "suspiciously returned 1",
    ):
        assert said in text.replace("<bdi>", "").replace("</bdi>", "").replace("&#39;", "'"), said


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

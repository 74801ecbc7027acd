"""Compilers' complaints of other languages."""

import pytest

from kscaffold.explain.english import in_english
from kscaffold.explain.log import explain_log
from tests.support.evidence import DATA

LOGS = sorted((DATA / "build").glob("*.log"))


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.stem)
def test_what_is_english_stays(log):
    for line in log.read_text().splitlines():
        assert in_english(line) == line


@pytest.mark.parametrize(
    "line",
    [
        "demo.c:3:5: warning: unused variable ‘x’ [-Wunused-variable]",
        "demo.c:3:5: note: previous definition of ‘x’ was here",
        "demo.c:3:5: error: conflicting types for ‘f’; have ‘int(int)’",
        "demo.c:3:5: Fehler: in Konflikt stehende Typen für »f«",
        "demo.c:3: Fehler: keine Spalte",
        "10:42:07:11: Uhr: »x«",
    ],
)
def test_what_can_not_be_known_stays(line):
    assert in_english(line) == line


def test_the_readers_own_line_is_shown():
    words = "Implizite Deklaration der Funktion »del_timer«"
    said = f"demo.c:42:9: Fehler: {words} [-Werror=implicit-function-declaration]"
    (matched,), _ = explain_log(said)
    assert (matched.entry.code, matched.lines) == ("KS119", (said,))

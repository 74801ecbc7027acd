"""KTAP of a kernel's log, read: KUnit's own output, kselftest's sums, and what was cut short."""

import pytest

from kscaffold.testing.ktap import KtapResult, results

# As KUnit of Linux 6.1 prints its example suite (lib/kunit/kunit-example-test.c), with one failure put in.
KUNIT = """\
KTAP version 1
1..2
    KTAP version 1
    # Subtest: example
    1..4
    # example_simple_test: initializing
    ok 1 example_simple_test
    # example_skip_test: initializing
    ok 2 example_skip_test # SKIP this test should be skipped
    # example_fail_test: EXPECTATION FAILED at lib/kunit/kunit-example-test.c:30
    Expected 1 + 1 == 3, but
    not ok 3 example_fail_test
        KTAP version 1
        # Subtest: example_params_test
        ok 1 example value 3
        ok 2 example value 2
    ok 4 example_params_test
# example: pass:2 fail:1 skip:1 total:4
not ok 1 example
ok 2 empty
"""


def read(text: str) -> list[tuple[str, str]]:
    return [(one.name, one.outcome) for one in results(text.splitlines())]


def test_a_suite_of_kunit():
    assert read(KUNIT) == [
        ("example.example_simple_test", "passed"),
        ("example.example_skip_test", "skipped"),
        ("example.example_fail_test", "failed"),
        ("example.example_params_test.example value 3", "passed"),
        ("example.example_params_test.example value 2", "passed"),
        ("empty", "passed"),
    ]
    told = {one.name: one.text for one in results(KUNIT.splitlines())}
    assert told["example.example_skip_test"] == "this test should be skipped"
    assert "EXPECTATION FAILED at lib/kunit/kunit-example-test.c:30" in told["example.example_fail_test"]


def test_before_linux_5_19_and_between_other_lines():
    suite = "    # Subtest: old\n    1..1\nusb 1-1: new device\n    ok 1 - case\nok 1 - old\n"
    text = f"TAP version 14\n1..1\n{suite}"
    assert read(text) == [("old.case", "passed")]


def test_what_was_cut_short_failed():
    (first, last) = results(
        "KTAP version 1\n1..1\n    # Subtest: s\n    1..3\n    ok 1 a\nBUG: oops".splitlines()
    )
    assert (first.name, first.outcome) == ("s.a", "passed")
    assert last == KtapResult("s", "failed", "3 were planned, and 1 came")


def test_a_suite_that_fails_without_a_case():
    suite = "    # Subtest: s\n    1..1\n    ok 1 a\n# s: initialisation failed\nnot ok 1 s\n"
    text = f"KTAP version 1\n1..1\n{suite}"
    assert read(text) == [("s.a", "passed"), ("s", "failed")]


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("test_bitmap: all 6550 tests passed", "passed"),
        ("test_printf: failed 2 out of 388 tests", "failed"),
        ("test_printf: skipped 3 tests", "skipped"),
        ("test_printf: remaining 385 tests passed", "passed"),
    ],
)
def test_the_sum_of_a_kselftest_module(line, outcome):
    assert read(f"{line}\n") == [(line.partition(":")[0], outcome)]


@pytest.mark.parametrize("text", ["", "ok 1 mydriver\n1..4\n", "dev: ok 1 x\nnot ok 2 y\n"])
def test_what_is_no_ktap(text):
    assert read(text) == []


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("ok 1 a", "passed"),
        ("not ok 1 a", "failed"),
        ("not ok 1 a # TODO later", "passed"),
        ("not ok 1 a # SKIP no device", "skipped"),
        ("not ok 1 a # TIMEOUT 45 seconds", "failed"),
        ("ok 1", "passed"),
        ("ok", "passed"),
        ("not ok - a", "failed"),
        ("not ok 1 a # skip: no device", "skipped"),
        ("not ok 1 a #TODO later", "passed"),
        ("not ok 1 - test #3 of a", "failed"),
    ],
)
def test_a_line(line, outcome):
    ((_, found),) = read(f"KTAP version 1\n1..1\n{line}\n")
    assert found == outcome


def test_names_of_odd_lines():
    lines = "ok\nok - b\nok 3 - test #3 of c\nnot ok 4 d # TODO e # f\nok 5 # SKIP\n"
    assert read(f"KTAP version 1\n{lines}") == [
        ("1", "passed"),
        ("b", "passed"),
        ("test #3 of c", "passed"),
        ("d", "passed"),
        ("5", "skipped"),
    ]


@pytest.mark.parametrize("before", ["[    1.5] ", "[   12.345678][  T123] ", "dev: ", "[  1.25] dev: "])
def test_what_printk_and_pr_fmt_put_before_a_line(before):
    text = (
        "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: s\n    1..1\n    not ok 1 a\nnot ok 1 s\n"
    )
    assert read("".join(f"{before}{line}\n" for line in text.splitlines())) == [("s.a", "failed")]


def test_a_plan_that_skips_all_and_a_plan_at_the_end():
    (one,) = results(["KTAP version 1", "1..0 # SKIP no device"])
    assert (one.outcome, one.text) == ("skipped", "no device")
    assert read("KTAP version 1\nok 1 a\nok 2 b\n1..2\n") == [("a", "passed"), ("b", "passed")]


def test_a_suite_that_skips_all_is_told_once():
    text = "KTAP version 1\n1..1\n    # Subtest: s\n    1..0 # SKIP no device\nok 1 s # SKIP no device\n"
    assert read(text) == [("s", "skipped")]


def test_bail_out():
    assert read("KTAP version 1\n1..3\nok 1 a\nBail out! no memory\n") == [
        ("a", "passed"),
        ("Bail out!", "failed"),
    ]

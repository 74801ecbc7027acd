"""Each entry can be read, each pattern matches a real line, none a healthy log, none takes long."""

import re
import time
import tomllib
from re._constants import LITERAL, MAX_REPEAT, MIN_REPEAT  # type: ignore[import-not-found]
from re._parser import parse  # type: ignore[import-not-found]

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kscaffold.diagnosis import catalogue, crash, klog
from kscaffold.diagnosis.stages import ORDER
from tests.support.evidence import DATA, KERNELS, loads

ENTRIES = catalogue.entries()
LOADING = catalogue.entries("23")
PATTERNS = [(e.code, p) for e in ENTRIES.values() for p in e.patterns]
# What is looked for in the lines beside a hit, with names of an unlucky log filled in.
BESIDE = [
    (e.code, re.sub(r"\{[a-z]\w*\}", "aaaa", p))
    for e in ENTRIES.values()
    for p in e.needs + e.after + e.unless
]


def recorded_lines():
    for kernel in KERNELS:
        for load in loads(kernel).values():
            yield from (r.text for r in load.records + load.unload_records)


RECORDED = list(recorded_lines())
BUILT = [line for log in sorted((DATA / "build").glob("*.log")) for line in log.read_text().splitlines()]
# Lines of kernels and tools that the recorded kernels do not print, by code; each from its source.
QUOTED = tomllib.loads((DATA / "quoted-lines.toml").read_text(encoding="utf-8"))
REPORTS = tomllib.loads((DATA / "reports.toml").read_text(encoding="utf-8"))
REPORTED = [r.text for report in REPORTS.values() for r in klog.parse_text(report["log"])]
HEALTHY = [DATA / f"healthy-{kernel}.txt" for kernel in KERNELS]


@pytest.mark.parametrize("code", ENTRIES)
def test_an_entry_says_what_it_must(code):
    entry = ENTRIES[code]
    assert re.fullmatch(r"KS\d{3}", code)
    for text in (entry.title, entry.what, entry.cause, entry.fix):
        assert text, code
    assert entry.stage in (None, "build", *ORDER)
    assert not entry.title.endswith(".")
    # A cause stands after `cause:` on one line.
    assert code not in LOADING or not entry.cause.endswith(".")


def test_codes_stay_in_their_files():
    for digit in "0123456":
        assert all(code.startswith(f"KS{digit}") for code in catalogue.entries(digit))


@pytest.mark.parametrize(("code", "pattern"), PATTERNS)
def test_a_pattern_matches_a_line_of_its_own(code, pattern):
    """A real one of the tests' data: every pattern of every file, none excepted."""
    lines = (
        RECORDED + BUILT + REPORTED + [line for text in QUOTED.get(code, []) for line in text.splitlines()]
    )
    assert any(re.search(pattern, line) for line in lines), f"{code}: nothing in tests/data for {pattern}"


@pytest.mark.parametrize("code", QUOTED)
def test_a_quoted_line_means_its_entry_and_no_other_cause(code):
    """Where the lines beside it decide, with those."""
    for text in QUOTED[code]:
        lines = text.splitlines()
        assert code in {f.entry.code for f in catalogue.match(lines)}, text
        others = {f.entry.code for f in catalogue.match(lines, "23")} - {code}
        assert not others, text


def test_the_names_in_a_text_are_groups_of_the_patterns():
    for entry in LOADING.values():
        groups = {g for p in entry.patterns for g in re.compile(p).groupindex} | {"module"}
        told_elsewhere = {"KS201": {"returned"}, "KS205": {"symbol"}, "KS303": {"count"}}
        wanted = set(re.findall(r"\{([a-z_]+)\}", entry.cause + entry.fix))
        assert wanted <= groups | told_elsewhere.get(entry.code, set()), entry.code


@pytest.mark.parametrize("path", HEALTHY, ids=lambda p: p.stem)
def test_a_healthy_log_means_nothing_but_noise(path):
    records = klog.parse_text(path.read_text(encoding="utf-8"))
    assert len(records) > 200
    findings = [f for f in catalogue.match(records) if not f.entry.noise]
    assert findings == []
    assert crash.complaints(records) == []


@pytest.mark.parametrize("path", sorted((DATA / "build").glob("healthy-*.log")), ids=lambda p: p.stem)
def test_a_healthy_build_means_nothing_but_noise(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [f.entry.code for f in catalogue.match(lines) if not f.entry.noise] == []


@pytest.mark.parametrize("kernel", KERNELS)
def test_loads_that_went_well_mean_nothing_but_noise(kernel):
    for name in ("success", "noversions", "novermagic", "magiconly", "expa", "proprietary", "permanent"):
        load = loads(kernel)[name]
        assert [f.entry.code for f in catalogue.match(load.records) if not f.entry.noise] == [], name


def hostile_lines(pattern):
    """Long lines made of what a pattern itself looks for."""
    letters = "".join(dict.fromkeys(re.sub(r"\\[a-zA-Z]|[\\()\[\]{}?*+|^$]", "", pattern))) or "x"
    literal = re.sub(r"\(\?P<\w+>|\(\?[:!=]|\\[a-zA-Z]|\{\d+,?\d*\}|[\\()\[\]?*+|^$]", "", pattern)
    yield letters * (100_000 // len(letters))
    yield literal * (100_000 // max(1, len(literal)))
    for letter in ("a", "1", " ", "-", ".", "'", "`", ":", "(", "\\", "x "):
        yield letter * 50_000
        yield literal[: len(literal) // 2] + letter * 50_000


def test_what_rules_out_and_what_is_looked_for_beside_a_hit_is_there():
    for entry in ENTRIES.values():
        assert set(entry.rules_out) <= set(ENTRIES) - {entry.code}, entry.code
        groups = {g for p in entry.patterns for g in re.compile(p).groupindex}
        used = {
            name
            for p in entry.needs + entry.after + entry.unless
            for name in re.findall(r"\{([a-z]\w*)\}", p)
        }
        assert used <= groups, entry.code


def test_nobody_rules_out_who_rules_it_out():
    for entry in ENTRIES.values():
        for code in entry.rules_out:
            assert entry.code not in ENTRIES[code].rules_out, (entry.code, code)


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (
            ["make M=/a/b modules", "scripts/Makefile.build:44: /a/b/Makefile: No such file or directory"],
            "KS168",
        ),
        (["make M=/a modules", "scripts/Makefile.build:44: /a/b/Makefile: No such file or directory"], None),
        # A group's text is no pattern of its own.
        (
            ["make M=/aXb modules", "scripts/Makefile.build:44: /a.b/Makefile: No such file or directory"],
            None,
        ),
    ],
)
def test_the_lines_beside_a_hit_decide(lines, code):
    for order in (lines, lines[::-1]):
        assert [f.entry.code for f in catalogue.match(order)] == ([code] if code else [])


@pytest.mark.parametrize(("code", "pattern"), PATTERNS + BESIDE)
def test_a_pattern_is_safe_against_hostile_lines(code, pattern):
    compiled = re.compile(pattern)
    for line in hostile_lines(pattern):
        started = time.process_time()
        compiled.search(line[: catalogue.MAX_LINE])
        # A healthy line takes microseconds; what backtracks without end takes seconds on 2048 letters.
        assert time.process_time() - started < 0.1, (code, line[:60])


@settings(max_examples=150)
@given(st.lists(st.one_of(st.text(max_size=300), st.sampled_from(RECORDED)), max_size=30))
def test_any_lines_can_be_matched(lines):
    for finding in catalogue.match(lines):
        assert finding.entry.code in ENTRIES
        assert 0 <= finding.first < len(lines)
        assert finding.cause and finding.fix


def test_a_flood_is_matched_in_bounded_time():
    flood = [f"hello: line {n % 50}" for n in range(1_000_000)]
    started = time.process_time()
    assert catalogue.match(flood) == []
    assert time.process_time() - started < 10


def test_the_oldest_cause_comes_first():
    log = ["m: disagrees about version of symbol module_layout", "x", "m: Unknown symbol f (err -2)"]
    assert [f.entry.code for f in catalogue.match(log)] == ["KS211", "KS204"]
    assert [f.entry.code for f in catalogue.match(reversed(log))] == ["KS204", "KS211"]


def test_names_of_several_lines_are_gathered():
    (found,) = catalogue.match(["m: Unknown symbol f (err -2)", "m: Unknown symbol g (err -2)"])
    assert found.groups == {"module": "m", "symbol": "f, g"}
    assert len(found.lines) == 2


def test_filled_leaves_nothing_in_braces():
    assert catalogue.filled("{symbol} of {owner}", {"symbol": "f"}) == "f of OWNER"
    assert catalogue.filled("a {b c} d", {}) == "a {b c} d"


def test_entry_of_an_unknown_code():
    assert catalogue.entry("KS899") is None
    assert catalogue.entry("ks204") is not None
    assert catalogue.entry("KS20") is None
    assert catalogue.entry("KS２04") is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"^(?P<module>[\w-]{1,64}): Unknown symbol (?P<symbol>\S{1,255}) \(err -2\)$", ": Unknown symbol "),
        (r"colou?r: rat+le{2,3} x{", "r: rat"),
        (r"a|bcdef", ""),
        (r"(?:a|bcdef)g\.h", "g.h"),
        (r"(?i)loud", ""),
        (r"[]abc]d\d\x27efgh", "efgh"),
        (r"a\u0031bcd", "bcd"),
    ],
)
def test_the_words_of_a_pattern_are_in_each_line_that_it_matches(pattern: str, words: str):
    assert catalogue.words_of(pattern) == words


def test_no_pattern_is_passed_over_for_words_that_it_may_lack():
    """By what the regular expression's own parser says must be there."""
    patterns = [p for e in catalogue.entries("0123456789").values() for p in e.patterns]
    for pattern in patterns:
        runs = [""]
        for kind, what in parse(pattern):
            if kind is LITERAL:
                runs[-1] += chr(what)
            elif (
                kind in (MAX_REPEAT, MIN_REPEAT)
                and what[0]
                and len(what[2]) == 1
                and what[2][0][0] is LITERAL
            ):
                runs[-1:] = [runs[-1] + chr(what[2][0][1]), ""]
            else:
                runs.append("")
        assert any(catalogue.words_of(pattern) in run for run in runs), pattern
    assert sum(not catalogue.words_of(pattern) for pattern in patterns) < len(patterns) / 10

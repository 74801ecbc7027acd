"""`--html FILE`: a page to hand in, as a real browser shows it."""

import itertools
import os
import re
import resource
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.stages import ORDER
from kscaffold.diagnosis.verdict import judge
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.explain import html
from kscaffold.explain.walkthrough import LoadWalkthrough, load_walkthrough
from kscaffold.load.report import LoadReport
from kscaffold.module.arguments import Parameters
from kscaffold.targets.host import HostTarget
from tests.conftest import ROOT, Ran, need_program
from tests.support.browser import Browser, browser
from tests.support.elf import Ko
from tests.support.evidence import evidence
from tests.support.kernels import need_kernel
from tests.support.modules import built
from tests.support.projects import write

HOSTILE = """\
// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>

static char *who = "<img src=x onerror=alert(1)>";
module_param(who, charp, 0444);
MODULE_PARM_DESC(who, "</bdi></table><script>document.title='owned'</script>"
\t" \\"quoted\\" & \\u202e desrever");
static int many[4];
module_param_array(many, int, NULL, 0444);

static int __init hostile_init(void)
{
\tint i;

\tpr_info("<script>document.title='owned'</script>\\n");
\tpr_err("\\x1b[31mred \\x07 %s\\n", who);
\tpr_warn("\\u202e\\u2066 turned around\\n");
\tfor (i = 0; i < 30; i++)
\t\tpr_info("a_long_word_without_any_place_to_break_it_%032d%032d%032d\\n", i, i, i);
\treturn 0;
}

static void __exit hostile_exit(void)
{
}

module_init(hostile_init);
module_exit(hostile_exit);
MODULE_LICENSE("GPL");
MODULE_AUTHOR("\\"><svg onload=\\"document.title='owned'\\">");
MODULE_DESCRIPTION("<script src=\\"http://127.0.0.1:9/x.js\\"></script>"
\t"<link rel=stylesheet href=//127.0.0.1:9/x>");
"""
WHO = "who='><iframe src=//127.0.0.1:9/></script>\x1b[7m\u202eabc"

# What the page looks like from inside. Everything is measured as it is laid out.
ROWS = """[...document.querySelectorAll('.waterfall tbody tr')].map(row => {
  const cell = row.querySelector('.time'), bar = row.querySelector('rect.time');
  const box = bar && bar.getBoundingClientRect(), way = bar && bar.parentNode.getBoundingClientRect();
  return { stage: row.dataset.stage, state: row.querySelector('.state').innerText.trim(),
           time: cell.innerText.trim(), height: row.getBoundingClientRect().height,
           bar: bar && [box.left, box.width, box.height], way: way && [way.left, way.width] };
})"""
OVERFLOWING = """[...document.body.querySelectorAll('*')].filter(e => !e.closest('.away, thead') &&
  e.getClientRects().length && (e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 ||
  e.getBoundingClientRect().left < -1)).map(e => e.outerHTML.slice(0, 200))"""
# A scroll bar at the side takes its part of the window.
BEYOND = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FOREIGN = """[...document.querySelectorAll(
  'script, img, iframe, object, embed, link, base, form, input, audio, video, style ~ style')].length
  + [...document.querySelectorAll('*')].filter(e => [...e.attributes].some(
      a => a.name.startsWith('on') || /^(src|srcset|action|style)$/.test(a.name) ||
      (a.name === 'href' && !a.value.startsWith('#')))).length"""
OPEN = "document.querySelectorAll('details').forEach(d => d.open = true)"
# The contrast of every text with what is behind it (WCAG 2, 1.4.3), the worst first.
CONTRAST = """(() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor; if (!/, 0\\)$/.test(c)) return c; }
    return 'rgb(255, 255, 255)'; };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (walk.nextNode()) { const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || e.closest('svg')) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
    found.push((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)); }
  return [found.length, Math.min(...found)]; })()"""


def look(b: Browser, file: Path, width: int, dark: bool) -> list[dict[str, Any]]:
    """Open a page at a width and look at what holds of every page; its rows."""
    b.open(file, width=width, dark=dark)
    assert b.requests() == [file.as_uri()]
    assert b.ask(FOREIGN) == 0
    rows = b.ask(ROWS)
    assert [row["stage"] for row in rows] == list(ORDER)
    for row in rows:
        assert row["height"] > 10
        assert row["state"].lstrip("✓✗–? ") in ("passed", "failed here", "not reached", "not observable")
        if row["bar"]:
            left, wide, high = row["bar"]
            way_left, way_wide = row["way"]
            assert wide > 0 and high > 5 and row["time"]
            assert way_left - 0.5 <= left and left + wide <= way_left + way_wide + 0.5 <= width
    bars = [row["bar"] for row in rows if row["bar"]]
    assert all(a[0] <= b[0] + 0.5 for a, b in itertools.pairwise(bars))  # each begins after the one above
    for _ in range(2):  # as it comes, and with every list unfolded
        assert b.ask(BEYOND) == 0
        assert b.ask(OVERFLOWING) == []
        b.ask(OPEN)
    texts, worst = b.ask(CONTRAST)
    assert texts > 100 and worst >= 4.5
    assert b.complaints() == []
    return rows


def is_accessible(b: Browser) -> None:
    """Tables are tables for a reader that sees none of it, however they are laid out; bars have words."""
    nodes = [n for n in b.call("Accessibility.getFullAXTree")["nodes"] if not n["ignored"]]
    roles = [n["role"]["value"] for n in nodes]
    names = {n["role"]["value"]: n.get("name", {}).get("value", "") for n in nodes}
    assert roles.count("table") >= 2 and roles.count("row") > 2 * len(ORDER)
    assert roles.count("cell") + roles.count("gridcell") > 5 * len(ORDER)
    assert roles.count("columnheader") >= 9 and "main" in roles and "article" in roles
    pictures = [n["name"]["value"] for n in nodes if n["role"]["value"] in ("image", "img")]
    assert all("after the start" in name for name in pictures)
    assert names["RootWebArea"].endswith("what happened when it was loaded")
    tables = [n["name"]["value"] for n in nodes if n["role"]["value"] == "table"]
    assert all(tables), tables


@pytest.mark.sandbox
def test_pages_of_real_loads_in_a_real_browser(ks, tmp_path, monkeypatch):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    need_program("chromium", "chromium")
    kernel = need_kernel("6.1")
    kos = built(kernel)
    assert ks("kernel", "default", kernel.release).status == 0
    monkeypatch.chdir(write(tmp_path / "own", Kbuild="obj-m := hostile.o\n", hostile__c=HOSTILE))

    def made(name: str, status: int, *words: str | Path) -> tuple[Path, Ran]:
        file = tmp_path / f"{name}.html"
        ran = ks(*words, "--html", file)
        assert ran.status == status, ran.err
        assert f"Wrote {file}" in ran.err
        return file, ran

    hostile, _ = made("hostile", 0, "explain", "load", WHO, "many=1,2")
    minus, _ = made("minus", 1, "explain", "load", kos / "minus.ko")
    oops, _ = made("oops", 1, "load", kos / "oopses.ko")
    lost, _ = made("lost", 1, "explain", "load", kos / "panics.ko")
    with browser() as b:
        for (file, failed), (width, dark) in itertools.product(
            ((hostile, None), (minus, "init"), (oops, "init"), (lost, "init")),
            ((360, False), (1280, True)),
        ):
            rows = look(b, file, width, dark)
            assert all(row["bar"] for row in rows if row["state"].endswith("passed")) == (file != lost)
            for row in rows:
                at = ORDER.index(row["stage"]), ORDER.index(failed) if failed else len(ORDER)
                wanted = "passed" if at[0] < at[1] else "failed here" if at[0] == at[1] else "not reached"
                assert row["state"].endswith(wanted)
            is_accessible(b)
        look(b, hostile, 1280, False)
        nobody_got_in(b)
        look(b, minus, 1280, False)
        text = b.ask("document.body.innerText")
        for part in (
            "-1 (-EPERM)",
            "minus_init() in .init.text",
            "kscaffold explain KS201",
            "init ran",
            "GPL",
        ):
            assert part in text, part
        assert kernel.release in text and str(datetime.now(UTC).year) in text
        prints(b, hostile)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def nobody_got_in(b: Browser) -> None:
    """What the module calls itself, is given and prints is text, all of it."""
    assert (
        b.ask("document.title")
        == f"hostile.ko on {need_kernel('6.1').release}: what happened when it was loaded"
    )
    text = b.ask("document.body.innerText")
    for part in (
        "<script>document.title='owned'</script>",
        '"><svg onload="document.title=\'owned\'">',
        '<script src="http://127.0.0.1:9/x.js"></script>',
        "'><iframe src=//127.0.0.1:9/></script>\\x1b[7m\\u202eabc",
        "\\x1b[31mred \\x07",
        "\\u202e\\u2066 turned around",
        '"quoted" & \\u202e desrever',
    ):
        assert part in text, part
    assert all(c in "\n\t" or c.isprintable() for c in text)
    levels = b.ask("[...new Set([...document.querySelectorAll('.log .level')].map(e => e.innerText))]")
    assert {"info", "err", "warn"} <= set(levels)


def prints(b: Browser, file: Path) -> None:
    """On paper nothing is folded, and it is black on white whatever the screen is."""
    b.open(file, width=794, dark=True, media="print")
    assert b.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert b.ask("document.querySelectorAll('details').length") >= 2
    heights = b.ask("[...document.querySelectorAll('details td')].map(e => e.getBoundingClientRect().height)")
    assert heights and min(heights) > 5
    pdf = b.call("Page.printToPDF", printBackground=False)["data"]
    assert pdf.startswith("JVBERi") and len(pdf) > 20_000


@pytest.mark.sandbox
def test_a_page_of_several_loads(ks, tmp_path):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    kernel = need_kernel("6.1")
    kos, file = built(kernel), tmp_path / "two.html"
    release = kernel.release
    assert ks("load", kos / "hello.ko", kos / "seed.ko", "-k", release, "--html", file).status == 0
    again = ks("load", kos / "hello.ko", "-k", release, "--html", tmp_path / "again.html", "--json")
    assert again.status == 1 and again.json["stage"] == "list"
    assert "is taken" in (tmp_path / "again.html").read_text()
    assert "on the list now" not in (tmp_path / "again.html").read_text()  # that one is the older load's
    with browser() as b:
        b.open(file)
        assert b.ask("[...document.querySelectorAll('article h1')].map(e => e.innerText)") == [
            "hello.ko",
            "seed.ko",
        ]
        assert b.ask("new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size") == b.ask(
            "document.querySelectorAll('[id]').length"
        )


@pytest.mark.sandbox
def test_a_page_of_a_run_with_its_sets_and_unloads(ks, tmp_path):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    need_program("chromium", "chromium")
    kernel, file = need_kernel("6.1"), tmp_path / "run.html"
    source = HOSTILE.split("static void __exit")[0].replace("return 0;", "return many[0];")
    project = write(
        tmp_path / "own",
        Kbuild="obj-m := hostile.o\n",
        hostile__c=f'{source}module_init(hostile_init);\nMODULE_LICENSE("GPL");\n',
    )
    sets = ("-p", "many=0", "-p", "many=-12", "-p", "many=0 who=<b>")
    ran = ks("run", "-C", project, "-k", kernel.release, *sets, "--html", file, "--json")
    assert ran.status == 1, ran.err
    verdicts = [r["verdict"] for r in ran.json["results"]]
    assert verdicts == ["loaded", "init-failed", "loaded"]
    with browser() as b:
        for width, dark in ((360, True), (1280, False)):
            b.open(file, width=width, dark=dark)
            assert (b.requests(), b.ask(FOREIGN)) == ([file.as_uri()], 0)
            assert (b.ask(OVERFLOWING), b.ask(BEYOND)) == ([], 0)
        said = b.ask("[...document.querySelectorAll('nav li')].map(e => e.innerText)")
        assert said == [
            "hostile.ko many=0 hostile: not unloaded (EBUSY)",
            f"hostile.ko many=-12 hostile.ko was not loaded into {kernel.release}: "
            "its init returned -12 (-ENOMEM)",
            "hostile.ko many=0 who=<b> hostile: not unloaded (EBUSY)",
        ]
        assert b.ask("[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.hash))")
        unloads = b.ask(
            "[...document.querySelectorAll('h2')].filter(e => e.innerText == 'The unload').length"
        )
        assert unloads == 2  # what was never loaded is not unloaded
        assert "kscaffold explain KS304" in b.ask("document.body.innerText")
        b.open(file, width=794, media="print")
        assert b.ask("getComputedStyle(document.querySelector('article + article')).breakBefore") == "page"


def test_a_page_of_too_many_tries_is_refused_first(ks, here):
    for words in (("--repeat", "101"), ("--repeat", "51", "-p", "n=1", "-p", "n=2")):
        ran = ks("run", "hello.ko", *words, "--html", "run.html", "--json")
        assert (ran.status, ran.json["error"]["code"]) == (2, "KS004")
    assert [p.name for p in here.iterdir()] == ["hello.ko"]


# ---- where it may be written ----


@pytest.fixture
def told(tmp_path: Path) -> list[LoadWalkthrough]:
    """A load that needed no guest: a file that was written by hand, a log that was made up."""
    (tmp_path / "made").mkdir()
    ko = tmp_path / "made" / "hello<b>.ko"
    ko.write_bytes(Ko("hello", parameters={"n": "int"}, info=[("description", "a & b\u2028<i>")]).bytes())
    records = tuple(Record(f"hello: <i>\x00{i}\udcff", level="info", time=1.0 + i) for i in range(3))
    report = LoadReport(
        module="hello",
        file=ModuleFile.open(ko),
        parameters=Parameters.parse("n=1"),
        target="host",
        kernel="6.1.0-test",
        judgement=judge(evidence("hello", errno=0, has_init=True, records=records)),
        log=records,
        seconds={"load": 0.0},
        accelerator=None,
    )
    return [load_walkthrough(report, HostTarget(lambda text: None), None)]


class Tags(HTMLParser):
    """Whether a page is well nested: html.parser takes anything, so the tags are counted here."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed(told):
    text = html.render_page(told, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    tags = Tags()
    tags.feed(text)
    tags.close()
    assert tags.open == []
    assert "2 January 2026, 03:04:05 UTC" in text
    assert "<i>" not in text and "<b>" not in text
    assert "hello: &lt;i&gt;\\x000\\udcff" in text and "a &amp; b\\u2028&lt;i&gt;" in text
    assert "only a sandbox can tell" in text
    text.encode()  # no lone surrogate is left


def test_a_page_replaces_a_page_and_nothing_else(told, tmp_path):
    file = tmp_path / "load.html"
    html.write_page(file, told)
    first = file.stat()
    html.write_page(file, told)
    assert file.stat().st_ino != first.st_ino  # replaced, never half written
    other = tmp_path / "other"
    other.touch()
    assert file.stat().st_mode == other.stat().st_mode  # as any file of this user
    other.unlink()
    (tmp_path / "link.html").symlink_to(file)
    html.write_page(tmp_path / "link.html", told)
    assert (tmp_path / "link.html").is_symlink() and file.stat().st_ino != first.st_ino
    empty = tmp_path / "empty"
    empty.touch()
    html.write_page(empty, told)
    before = sorted(p.name for p in tmp_path.iterdir())
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "source.c").write_text("int x;\n")
    (tmp_path / "other.html").write_text("<!doctype html><title>mine</title>")
    for name in ("made", "pipe", "source.c", "other.html", "no/such.html", "source.c/x", "/dev/null", "."):
        with pytest.raises(UsageError) as caught:
            html.write_page(tmp_path / name, told)
        assert caught.value.code == "KS063" and caught.value.cause and caught.value.fix
    assert (tmp_path / "source.c").read_text() == "int x;\n"
    left = sorted(p.name for p in tmp_path.iterdir() if p.name not in ("pipe", "source.c", "other.html"))
    assert left == before


def test_no_half_page_where_there_is_no_room(told, tmp_path):
    file = tmp_path / "load.html"
    html.write_page(file, told)
    whole, limits = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(KscaffoldError) as caught:
            html.write_page(file, told)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    error = caught.value
    assert (error.code, error.cause) == ("KS063", "file too large")
    assert str(file) in error.what and ".kscaffold-" not in error.what  # the user's file, not ours beside it
    assert file.read_bytes() == whole
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["load.html"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "hello.ko").write_bytes(Ko().bytes())
    monkeypatch.chdir(tmp_path)
    yield tmp_path


@pytest.mark.parametrize("verb", [("load",), ("explain", "load"), ("run",)])
def test_a_place_that_is_wrong_is_told_before_anything_is_done(ks, here, verb):
    """The commonest slip: --html takes a name, and the next word is the module's."""
    before = (here / "hello.ko").read_bytes()
    for words in (("--html", "hello.ko"), ("hello.ko", "--html", "."), ("hello.ko", "--html", "a/b.html")):
        ran = ks(*verb, *words, "--json")
        assert ran.status == 2 and ran.json["error"]["code"] == "KS063", words
    assert (here / "hello.ko").read_bytes() == before
    assert [p.name for p in here.iterdir()] == ["hello.ko"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é ü 日本", "plain é ü 日本"),
        ("a\tb", "a\tb"),
        ("\x1b[1m\x00\x7f\x9b", "\\x1b[1m\\x00\\x7f\\x9b"),
        ("\u202e\u2066\u200f\u200b\ufeff", "\\u202e\\u2066\\u200f\\u200b\\ufeff"),
        ("\udc80", "\\udc80"),
        ("\n", "\\x0a"),
    ],
)
def test_what_can_not_be_shown_is_named(text, shown):
    assert html.display(text) == shown


def test_the_colours_of_all_pages_are_written_once():
    pages = list((ROOT / "kscaffold").rglob("*.html"))
    assert len(pages) == 2
    for one in pages:
        assert '{% include "explain/colours.css" %}' in one.read_text()
        assert not re.findall(r"#[0-9a-f]{6}\b", one.read_text()), one

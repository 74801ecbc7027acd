"""A compiler's lines in gcc's colours."""

from kscaffold.message_colours import coloured


def marked(line: str) -> str:
    return coloured(line, lambda text, style: f"<{style}>{text}</>")


def test_place_level_quotes_and_carets():
    assert marked("hello.c:12:9: error: 'x' undeclared (first use in this function)") == (
        "<bold>hello.c:12:9:</> <red><bold>error:</></> <bold>'x'</> undeclared (first use in this function)"
    )
    assert marked("a.c:1: warning: unused") == "<bold>a.c:1:</> <magenta><bold>warning:</></> unused"
    assert marked("cc1: note: more").startswith("<bold>cc1:</> <cyan>")
    assert marked("      |         ^~~") == "      |         <green><bold>^~~</></>"


def test_other_lines_stay():
    for line in (
        "   12 |         x = 1;",
        'ERROR: modpost: "x" undefined!',
        "",
        "make: *** [x] Error 2",
        "a: b: c",
    ):
        assert marked(line) == line


def test_a_build_shows_them_where_colour_is_asked_for(ks, monkeypatch):
    from kscaffold import console

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(console, "quiet", False)
    said: list[str] = []
    monkeypatch.setattr(console, "_write", lambda stream, text: said.append(console._harmless(text)))
    console.progress().note("a.c:1:2: error: no\n\x1b[31mred")
    assert said == ["\x1b[1ma.c:1:2:\x1b[0m \x1b[31m\x1b[1merror:\x1b[0m\x1b[0m no\n\\x1b[31mred"]

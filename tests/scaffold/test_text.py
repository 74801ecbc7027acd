"""Free texts arrive as they were typed: in C, in the module, in Markdown; Kbuild's text is exact."""

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kscaffold.errors import UsageError
from kscaffold.scaffold.create import escape, params
from kscaffold.scaffold.kbuild import generate
from tests.conftest import need_program
from tests.support.kdirs import Tree

anything = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
# What means something in C, printf, make, the shell, Jinja, YAML or Markdown, and what is invisible.
nasty = st.lists(
    st.sampled_from(
        [
            *(
                '"',
                "\\",
                "'",
                "\n",
                "\r",
                "\t",
                "\v",
                "\x1b",
                "\x7f",
                "?",
                "??/",
                "??=",
                "%s",
                "%n",
                "*/",
                "/*",
                "//",
            ),
            *(
                "$(x)",
                "$$",
                "`id`",
                "#",
                "{{",
                "}}",
                "{% raw %}",
                "{#",
                "7",
                "0",
                "a",
                "f",
                "\\x41",
                "\\101",
                "\\N",
            ),
            *(
                "é",
                "日本",
                "\u202e",
                "\u2028",
                "\ufeff",
                "\ufffe",
                "\U0001f600",
                "\U000e0001",
                " ",
                "  ",
                "|",
            ),
            *("---", "@AUTHOR@", ";", "#endif"),
        ]
    )
).map("".join)
texts = st.one_of(anything, nasty)

NASTIEST = (
    "\"\\'??/??=\t\n\r\x01\x7f%s%n */ /* // $(shell id) `id` ${x} {{ 7*7 }} {% raw %} {# x #} # é日本"
    "\u202e\u2028\ufeff\U0001f600 \\x41\\1017 @AUTHOR@ |\u00ad 1"
)


@settings(max_examples=20)
@given(st.lists(texts, min_size=100, max_size=100))
def test_c_strings_hold_exactly_the_text(tmp_path, many):
    gcc = need_program("gcc", "gcc")
    lines = [f'\t{{ "{escape.c_string(t)}", sizeof("{escape.c_string(t)}") - 1 }},\n' for t in many]
    (tmp_path / "s.c").write_text(
        "#include <stdio.h>\nstatic const struct { const char *text; unsigned long size; } all[] = {\n"
        + "".join(lines)
        + "};\nint main(void)\n{\n\tfor (unsigned int i = 0; i < sizeof(all) / sizeof(*all); i++) {\n"
        "\t\tfwrite(all[i].text, 1, all[i].size, stdout);\n\t\tputchar(0);\n\t}\n\treturn 0;\n}\n",
        encoding="utf-8",
        newline="\n",
    )
    # -std=c11 reads trigraphs, the GNU dialects of the kernel do not: right in both.
    for standard in ("c11", "gnu11"):
        built = subprocess.run(
            [gcc, f"-std={standard}", "-Wall", "-Wextra", "-Wbidi-chars=any", "-Werror", "s.c", "-o", "s"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert built.returncode == 0, built.stderr
        said = subprocess.run([tmp_path / "s"], stdout=subprocess.PIPE, check=True).stdout
        assert said.split(b"\0")[:-1] == [t.encode() for t in many]


@given(texts)
def test_c_strings_are_one_line_of_visible_characters(text):
    assert escape.c_string(text).isprintable()


def test_c_strings_of_plain_text_are_that_text():
    assert escape.c_string("José (日本) <a@b.c>, 100%? no") == "José (日本) <a@b.c>, 100%? no"
    assert escape.c_string('"\\\n\x017??!') == '\\"\\\\\\n\\0017?\\?!'
    with pytest.raises(UnicodeEncodeError):
        escape.c_string("\udcff")


@given(texts)
def test_markdown_shows_the_words_of_the_text(text):
    from markdown_it import MarkdownIt  # comes with rich, which typer brings

    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(f"{escape.markdown(text)}\n")
    shown = "".join(
        child.content for token in tokens if token.type == "inline" for child in token.children or []
    )
    assert [t.type for t in tokens] in ([], ["paragraph_open", "inline", "paragraph_close"])
    assert shown == "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split())).strip()


@given(texts)
def test_markdown_stays_in_its_cell(text):
    cell = escape.markdown(text)
    assert "\n" not in cell
    assert "|" not in cell.replace("\\\\", "").replace("\\|", "")


def test_kbuild_in_the_course_s_spelling():
    one = generate.ModuleSpec("ownname", ("ret-1",))
    assert generate.kbuild([one], "GPL-2.0-only") == (
        "# SPDX-License-Identifier: GPL-2.0-only\nobj-m := ownname.o\nownname-objs := ret-1.o\n"
    )
    assert (
        generate.kbuild([generate.ModuleSpec("hello")], "X")
        == "# SPDX-License-Identifier: X\nobj-m := hello.o\n"
    )


def test_kbuild_of_two_modules_and_of_many_objects():
    many = tuple(f"object-number-{n}" for n in range(9))
    text = generate.kbuild([generate.ModuleSpec("a"), generate.ModuleSpec("b", many)], "X")
    lines = text.splitlines()
    assert lines[1] == "obj-m := a.o b.o"
    assert all(len(line) <= 80 for line in lines)
    joined = text.replace("\\\n", " ")
    assert joined.splitlines()[2].split() == ["b-objs", ":="] + [f"{o}.o" for o in many]


def test_kbuild_refuses_a_circle():
    with pytest.raises(ValueError, match="own name"):
        generate.kbuild([generate.ModuleSpec("a", ("a", "b"))], "X")


def test_a_makefile_has_tabs_and_curdir_and_no_pwd():
    lines = generate.makefile("X").splitlines()
    assert "KDIR ?= /lib/modules/$(shell uname -r)/build" in lines
    recipes = [line for line in lines if "$(MAKE)" in line]
    assert recipes == [
        "\t$(MAKE) -C $(KDIR) M=$(CURDIR) modules",
        "\t$(MAKE) -C $(KDIR) M=$(CURDIR) clean",
    ]
    assert not [line for line in lines if "PWD" in line and not line.startswith("#")]


@pytest.mark.parametrize(
    ("spec", "parameter"),
    [
        ("n:int", params.TemplateParameter("n", "int")),
        ("n:int=5", params.TemplateParameter("n", "int", 0o444, "5")),
        ("n:int@0644=5:a number", params.TemplateParameter("n", "int", 0o644, "5", "a number")),
        ("n:int@0:a: b=c@d", params.TemplateParameter("n", "int", 0, None, "a: b=c@d")),
        ("n:int:=5", params.TemplateParameter("n", "int", 0o444, None, "=5")),
        ("n:int[4]", params.TemplateParameter("n", "int", count=4)),
        ("n:byte[2]@0=1,0xff:some", params.TemplateParameter("n", "byte", 0, "1,0xff", "some", 2)),
        ("s:charp=", params.TemplateParameter("s", "charp", 0o444, "")),
        ("s:charp=a=b@c", params.TemplateParameter("s", "charp", 0o444, "a=b@c")),
        (r"s:charp=a\:b\\c\d:e\:f", params.TemplateParameter("s", "charp", 0o444, r"a:b\c\d", r"e\:f")),
        ("s:charp=x:", params.TemplateParameter("s", "charp", 0o444, "x")),
    ],
)
def test_parameters_are_read(spec, parameter):
    assert params.parse_parameter(spec) == parameter


@given(texts, texts)
def test_any_default_and_description_can_be_given(default, description):
    quoted = default.replace("\\", "\\\\").replace(":", "\\:")
    assert params.parse_parameter(f"s:charp={quoted}:{description}") == params.TemplateParameter(
        "s", "charp", 0o444, default, description
    )


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [(name, t.least, t.most) for name, t in params.TYPES.items() if t.least is not None],
)
def test_a_type_s_range_is_exact(kind, least, most):
    for value in (least, most, 0):
        assert params.parse_parameter(f"n:{kind}={value}").default == str(value)
    for value in (least - 1, most + 1):
        with pytest.raises(UsageError) as refused:
            params.parse_parameter(f"n:{kind}={value}")
        assert refused.value.code == "KS016"


@given(texts)
def test_any_parameter_text_is_read_or_refused(text):
    try:
        params.parse_parameter(text)
    except UsageError as refused:
        assert refused.code in ("KS015", "KS016", "KS017", "KS018")


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("n:int", "static int n;"),
        ("n:int=0", "static int n;"),
        ("n:int=0x1F", "static int n = 0x1f;"),
        ("n:int=010", "static int n = 8;"),
        ("n:byte=255", "static unsigned char n = 255;"),
        ("n:uint=4294967295", "static unsigned int n = 4294967295U;"),
        ("n:long=-9223372036854775808", "static long n = (-9223372036854775807L - 1);"),
        ("n:ullong=18446744073709551615", "static unsigned long long n = 18446744073709551615ULL;"),
        ("n:bool=n", "static bool n;"),
        ("n:bool=on", "static bool n = true;"),
        ("n:invbool=y", "static bool not_n;"),
        ("n:invbool", "static bool not_n = true;"),
        ("n:charp", 'static char *n = "";'),
        ('n:charp=a "b"', 'static char *n = "a \\"b\\"";'),
    ],
)
def test_declarations(spec, line):
    assert params.parse_parameter(spec).declaration == line


@pytest.mark.kernel
@pytest.mark.parametrize("text", [NASTIEST, "", " ", "\n", "x" * 5000])
def test_the_module_says_exactly_the_text(ks, tmp_path, tree_61: Tree, text):
    modinfo = need_program("modinfo", "kmod")
    quoted = text.replace("\\", "\\\\").replace(":", "\\:")
    ran = ks(
        "new", "mod", "-C", tmp_path, f"--author={text}", f"--description={text}",
        f"--param=p:charp={quoted}:{text}", "--license", "mit",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    built = tree_61.make(tmp_path / "mod", "W=1")
    assert built.returncode == 0, built.stdout
    assert "warning:" not in built.stdout

    def said(field: str) -> bytes:
        ko = tmp_path / "mod/mod.ko"
        return subprocess.run([modinfo, "-0", "-F", field, ko], stdout=subprocess.PIPE, check=True).stdout

    assert said("author") == text.encode() + b"\0"
    assert said("description") == text.encode() + b"\0"
    assert said("parm") == b"p:" + text.encode() + b" (charp)\0"
    assert text.encode() + b"\0" in (tmp_path / "mod/mod.ko").read_bytes()
    assert set(os.listdir(tmp_path)) == {"mod"}
    licence = (tmp_path / "mod/LICENSE").read_text()
    assert f"\nCopyright (c) {escape.plain(text)}\n" in licence


@pytest.mark.kernel
@settings(max_examples=4)
@given(st.lists(nasty, min_size=30, max_size=30))
def test_the_module_says_exactly_any_texts(tmp_path_factory, tree_61: Tree, many):
    from kscaffold.scaffold.create.new import ProjectRequest, new

    modinfo = need_program("modinfo", "kmod")
    parent = tmp_path_factory.mktemp("any")
    given = tuple(params.TemplateParameter(f"p{n}", "charp", 0o444, t, t) for n, t in enumerate(many[2:]))
    new(ProjectRequest("mod", parent, parameters=given, author=many[0], description=many[1]))
    built = tree_61.make(parent / "mod", "W=1")
    assert built.returncode == 0, built.stdout
    assert "warning:" not in built.stdout
    said = subprocess.run(
        [modinfo, "-0", parent / "mod/mod.ko"], stdout=subprocess.PIPE, check=True
    ).stdout.split(b"\0")
    assert b"author=" + many[0].encode() in [s.replace(b"author:         ", b"author=") for s in said]
    assert b"description=" + many[1].encode() in [
        s.replace(b"description:    ", b"description=") for s in said
    ]
    for parameter in given:
        text = parameter.description
        line = f"{parameter.name}:{text} (charp)" if text else f"{parameter.name}:charp"
        assert line.encode() in [s.removeprefix(b"parm:           ") for s in said]

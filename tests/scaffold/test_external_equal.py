"""A template gives the same project as the cookiecutter program itself gives, byte by byte."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.external import KEPT, TOP, Files, cookiecutter, tree, write_template


@dataclass
class Case:
    """A template. `named`: what NAME answers. `answers`: further ones; `words`: options of ours."""

    variables: Any
    files: Files
    named: tuple[str, ...] = ("project_name", "project_slug")
    answers: dict[str, str] = field(default_factory=dict)
    hooks: bool = False
    words: tuple[str, ...] = ()
    inside: str = ""


DERIVED = {
    "project_name": "My Driver",
    "project_slug": "{{ cookiecutter.project_name.lower().replace(' ', '-') }}",
}
KERNEL = {
    **DERIVED,
    "author": "Somebody",
    "license": ["GPL-2.0-only", "MIT", "BSD"],
    "use_sysfs": True,
    "version": 3,
    "ratio": 1.5,
    "nothing": None,
    "params": {"count": {"type": "int", "value": "{{ cookiecutter.version }}"}, "name": {"type": "charp"}},
    "guard": "_{{ cookiecutter.project_slug | upper | replace('-', '_') }}_H",
    "_hidden": "{{ not rendered }}",
    "__shout": "{{ cookiecutter.author | upper }}",
    "__pairs": {"{{ cookiecutter.author }}": ["{{ cookiecutter.version }}", True]},
    "__prompts__": {"author": "Who are you?", "license": {"__prompt__": "Which", "MIT": "the short one"}},
}
SOURCE = """\
/* {{ cookiecutter.project_name }} by {{ cookiecutter.author }} ({{ cookiecutter.__shout }}) */
{% if cookiecutter.license == "MIT" -%}
MIT
{%- else -%}
GPL
{%- endif %}
{% for name, facts in cookiecutter.params.items() | sort -%}
module_param({{ name }}, {{ facts.type }}, 0444); /* {{ facts.value | default("none") }} */
{% endfor %}
{{ cookiecutter.nothing }} {{ cookiecutter.ratio }} {{ cookiecutter.version }} {{ cookiecutter._hidden }}
{{ cookiecutter.__pairs }} {{ cookiecutter | length }} {{ cookiecutter.params | jsonify }}
{% set seen = [] %}{% for c in 'abc' %}{% set _ = seen.append(c) %}{% endfor %}{{ seen | join('-') }}
{{ "Ein Wort" | slugify }} {% now 'utc', '%Y' %} {{ "%s-%d" | format("a", 3) }} {{ "{:>5}".format(7) }}
{% raw %}{{ kept }}{% endraw %}
{%- macro twice(x) %}{{ x }}{{ x }}{% endmacro %}
{{ twice(cookiecutter.guard) }} {{ range(3) | list }} {{ dict(a=1) }} {{ namespace(x=1).x }}
"""

PRE_PROMPT = """\
import json
d = json.load(open("cookiecutter.json"))
d["new"] = "of the hook"
json.dump(d, open("cookiecutter.json", "w"))
"""
EXTENSION = """\
from jinja2.ext import Extension

class Shout(Extension):
    def __init__(self, environment):
        super().__init__(environment)
        environment.filters["shout"] = str.upper
"""

CASES = {
    "one variable": Case(
        {"name": "x"}, {"{{cookiecutter.name}}/Kbuild": "obj-m := {{cookiecutter.name}}.o\n"}, ("name",)
    ),
    "a kernel module": Case(
        KERNEL,
        {
            f"{TOP}/src/{TOP}.c": SOURCE,
            f"{TOP}/Kbuild": f"obj-m := {TOP}.o\n",
            f"{TOP}/{{% if cookiecutter.use_sysfs %}}sysfs.c{{% endif %}}": "yes\n",
            f"{TOP}/{{% if not cookiecutter.use_sysfs %}}procfs.c{{% endif %}}": "no\n",
            f"{TOP}/run.sh": "#!/bin/sh\necho {{ cookiecutter.author }}\n",
            f"{TOP}/windows.txt": b"one {{ cookiecutter.version }}\r\ntwo\r\n",
            f"{TOP}/no-newline": "{{ cookiecutter.license }}",
            f"{TOP}/empty": "",
            f"{TOP}/logo.png": b"\x89PNG\r\n\x1a\n\0\0{{ 1/0 }}\xff\xfe",
            f"{TOP}/ünïcode/{{{{ cookiecutter.author }}}} ü.txt": "ü {{ cookiecutter.author }}\n",
            f"{TOP}/nothing here": None,
            "README.md": "of the template, not of the project {{ broken",
        },
    ),
    "its answers": Case(
        KERNEL,
        {f"{TOP}/{TOP}.c": SOURCE, f"{TOP}/{{{{cookiecutter.license}}}}": "{{ cookiecutter.use_sysfs }}\n"},
        answers={"license": "MIT", "use_sysfs": "no", "author": 'Ann "A" O\'Neill', "version": "4"},
    ),
    "files that are copied": Case(
        {**DERIVED, "_copy_without_render": ["*.raw", "vendor", "*/kept/*"]},
        {
            f"{TOP}/a.raw": "{{ 1/0 }}",
            f"{TOP}/{TOP}.raw": "{% endfor %}",
            f"{TOP}/vendor/deep/{TOP}.c": "{{ nothing }}",
            f"{TOP}/sub/kept/x": "{{ nothing }}",
            f"{TOP}/sub/other": "{{ cookiecutter.project_slug }}",
        },
    ),
    "files that are copied, by pattern": Case(
        {**DERIVED, "_copy_without_render": ["[ab]?.txt", ".hid*", "sub/*", f"{TOP}.raw", "*kept_dir"]},
        {
            f"{TOP}/a1.txt": b"{{ z }}\r\n",
            f"{TOP}/c1.txt": b"{{ cookiecutter.project_slug }}\r\n",
            f"{TOP}/.hidden": "{{ z }}",
            f"{TOP}/sub/deep/er/{TOP}": "{{ z }}",
            f"{TOP}/{TOP}.raw": "{{ z }}",
            f"{TOP}/kept_dir/run.sh": "#!/bin/sh\n{{ z }}\n",
        },
    ),
    "line ends": Case(
        DERIVED,
        {
            f"{TOP}/mixed": b"{{ cookiecutter.project_slug }}\r\na\nb\r\n",
            f"{TOP}/mixed, too": b"{{ cookiecutter.project_slug }}\na\r\nb\n",
            f"{TOP}/old": b"a\rb {{ cookiecutter.project_slug }}\r",
            f"{TOP}/no last": b"{{ cookiecutter.project_slug }}\r\nlast",
            f"{TOP}/blank": b"\r\n\r\n",
            f"{TOP}/bom": b"\xef\xbb\xbf{{ cookiecutter.project_slug }}\n",
            f"{TOP}/binary": bytes(range(256)) * 40,
        },
    ),
    "names": Case(
        {**DERIVED, "blank": "two  words"},
        {
            f"{TOP}/{{{{cookiecutter.blank}}}}/ a {{{{ cookiecutter.blank }}}} .c": "{{cookiecutter.blank}}",
            f"{TOP}/ lead/trail ": "",
            f"{TOP}/-dash": "",
            f"{TOP}/$(x)`y`~'\"#[*]?\\": "",
            f"{TOP}/.github/workflows/ci.yml": "{% raw %}${{ matrix.x }}{% endraw %}\n",
            f"{TOP}/a/b/c": None,
        },
    ),
    "values": Case(
        {
            **DERIVED,
            "many": [1, 2],
            "truth": [True, False],
            "none": [None, "a"],
            "dict": {"a": {"{{cookiecutter.project_slug}}": ["{{cookiecutter.project_slug}}", 1.50, None]}},
            "empty": {},
            "__first": "{{ cookiecutter.project_slug | upper }}",
            "__second": {"k": ["{{ cookiecutter.__first }}", False, 10**20]},
        },
        {
            f"{TOP}/{{{{ cookiecutter.__first }}}}": "{% for k, v in cookiecutter.items() %}"
            "{{ k }} {{ v }} {{ v is number }} {{ v is boolean }}\n{% endfor %}"
        },
    ),
    "statements a line": Case(
        {
            **DERIVED,
            "_jinja2_env_vars": {
                "block_start_string": "<%",
                "block_end_string": "%>",
                "line_statement_prefix": "%%",
                "line_comment_prefix": "##",
                "autoescape": True,
            },
        },
        {f"{TOP}/a": "<% if true %>y<% endif %>\n%% for i in '<a'\n{{i}} ## gone\n%% endfor\n{% stays %}\n"},
    ),
    "other braces": Case(
        {
            **DERIVED,
            "_jinja2_env_vars": {
                "lstrip_blocks": True,
                "trim_blocks": True,
                "comment_start_string": "<#",
                "comment_end_string": "#>",
            },
            "_new_lines": "\r\n",
        },
        {f"{TOP}/a": "x\n  {% if true %}\n  y\n  {% endif %}\nz <# gone #>{# stays #}\n"},
    ),
    "variables with other braces": Case(
        {"name": "x", "_jinja2_env_vars": {"variable_start_string": "[[", "variable_end_string": "]]"}},
        {"[[cookiecutter.name]]/[[cookiecutter.name]].c": "[[cookiecutter.name]] {{ c }}\n"},
        ("name",),
    ),
    "included": Case(
        DERIVED,
        {
            "templates/base.txt": "top\n{% block inner %}{% endblock %}\n{{ cookiecutter.project_name }}\n",
            "templates/macros.j2": "{% macro hi(x) %}hi {{ x }}{% endmacro %}",
            f"{TOP}/a.txt": "{% extends 'base.txt' %}{% block inner %}in{% endblock %}",
            f"{TOP}/b.txt": "{% import 'macros.j2' as m %}{{ m.hi('you') }}\n{% include 'a.txt' %}",
        },
    ),
    "extensions of Jinja": Case(
        {**DERIVED, "_extensions": ["jinja2.ext.do", "jinja2.ext.loopcontrols"]},
        {
            f"{TOP}/a": "{% set l = [] %}{% for i in range(9) %}{% if i > 3 %}{% break %}{% endif %}"
            "{% do l.append(i) %}{% endfor %}{{ l }}"
        },
    ),
    "what cookiecutter adds": Case(
        DERIVED,
        {
            f"{TOP}/a": "{{ cookiecutter._template }} {{ cookiecutter._output_dir }} "
            "{{ cookiecutter._repo_dir }} {{ cookiecutter._checkout }}"
        },
    ),
    "a link to a file": Case(
        DERIVED,
        {
            "shared.txt": "{{ cookiecutter.project_name }}\n",
            f"{TOP}/a.txt": Path("../shared.txt"),
            f"{TOP}/b": Path("a.txt"),
        },
    ),
    "links inside": Case(
        DERIVED,
        {
            f"{TOP}/{TOP}.c": "{{ cookiecutter.project_slug }}\n",
            f"{TOP}/link": Path(f"{TOP}.c"),
            f"{TOP}/sub/up": Path("../link"),
        },
    ),
    "a directory of several variables": Case(
        {"vendor": "acme", "module_name": "drv"},
        {"{{cookiecutter.vendor}}-{{cookiecutter.module_name}}/a": "{{cookiecutter.module_name}}"},
        ("module_name",),
    ),
    "a directory by a private variable": Case(
        {"project_name": "My Driver", "__slug": "{{ cookiecutter.project_name | slugify }}"},
        {"{{cookiecutter.__slug}}/a": "{{cookiecutter.project_name}} {{cookiecutter.__slug}}"},
        ("project_name",),
    ),
    "a directory by a filter": Case(
        {"name": "My Driver"}, {"lib{{ cookiecutter.name|lower }}/a": "{{cookiecutter.name}}"}, ("name",)
    ),
    "nested templates": Case(
        {"templates": {"one": {"path": "./one", "title": "One"}, "two": {"path": "./two", "title": "Two"}}},
        {
            "one/cookiecutter.json": '{"name": "x"}',
            "one/{{cookiecutter.name}}/a": "{{ cookiecutter.name }} {{ cookiecutter._template }}",
            "two/cookiecutter.json": '{"name": "x"}',
            "two/{{cookiecutter.name}}/b": "",
        },
        ("name",),
    ),
    "nested templates of nested ones": Case(
        {"templates": {"b": {"path": "./b", "title": "B"}}},
        {
            "b/cookiecutter.json": '{"templates": {"d": {"path": "c/d", "title": "D"}}}',
            "b/c/d/cookiecutter.json": '{"name": "x", "_copy_without_render": ["*.r"]}',
            "b/c/d/{{cookiecutter.name}}/a.r": "{{ z }}",
        },
        ("name",),
    ),
    "nested templates, as they were": Case(
        {"template": ["First one (first)", "Second (second)"]},
        {
            "first/cookiecutter.json": '{"name": "x"}',
            "first/{{cookiecutter.name}}/a": "{{ cookiecutter.name }}",
        },
        ("name",),
    ),
    "in a sub-directory": Case(
        None,
        {
            "deep/er/cookiecutter.json": '{"name": "x"}',
            "deep/er/{{cookiecutter.name}}/a": "{{cookiecutter._repo_dir}}",
        },
        ("name",),
        words=("--template-dir", "deep/er"),
        inside="deep/er",
    ),
    "hooks": Case(
        {**DERIVED, "docs": ["no", "yes"]},
        {
            "hooks/pre_gen_project.py": "open('early', 'w').write('{{ cookiecutter.project_slug }}')\n",
            "hooks/post_gen_project.sh": "#!/bin/sh\nrm -r docs\necho {{ cookiecutter.docs }} > late\n",
            f"{TOP}/docs/index": "",
            f"{TOP}/a": "a",
        },
        hooks=True,
    ),
    "a hook before all": Case(
        DERIVED,
        {
            "hooks/pre_prompt.py": PRE_PROMPT,
            f"{TOP}/a": "{{ cookiecutter.new }}",
        },
        hooks=True,
    ),
    "an extension of its own": Case(
        {**DERIVED, "_extensions": ["local_extensions.Shout"]},
        {
            "local_extensions.py": EXTENSION,
            f"{TOP}/a": "{{ 'x' | shout }}",
        },
        hooks=True,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_same_as_the_program_makes(ks, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    write_template(tmp_path / "tpl", case.variables, case.files)
    (tmp_path / "out").mkdir()
    extra = {**dict.fromkeys(case.named, "my-mod"), **case.answers}
    words = [f"{key}={value}" for key, value in extra.items()]
    where = ["--directory", case.inside] if case.inside else []
    (tmp_path / "theirs").mkdir()
    real = (
        cookiecutter("./tpl", tmp_path / "out", *words, hooks=case.hooks)
        if not where
        else cookiecutter("./tpl", tmp_path / "out", *words, *where, hooks=case.hooks)
    )
    real = real.rename(tmp_path / "theirs/my-mod")
    answers = [word for key, value in case.answers.items() for word in ("--answer", f"{key}={value}")]
    options = ["--hooks"] if case.hooks else []
    ran = ks(
        "new", "my-mod", "-C", "out", "-t", "./tpl", "--trust", *answers, *options, *case.words, "--json"
    )
    assert ran.status == 0, ran.err
    ours = tree(tmp_path / "out/my-mod")
    files = sorted(name for name in ours if (tmp_path / "out/my-mod" / name).is_file())
    assert set(files) > KEPT and ran.json["files"] == files
    assert {name: file for name, file in ours.items() if name not in KEPT} == tree(real)


def test_all_of_the_cases_say_something():
    """Guards the comparison itself: the same empty directory twice would be equal, too."""
    assert len(CASES) >= 26
    assert all(case.files for case in CASES.values())

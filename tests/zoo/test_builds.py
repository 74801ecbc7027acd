"""What never becomes a module, or one that modpost warns of: built for real, and what must be found."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kscaffold.explain.log import explain_log
from tests.support.projects import write

pytestmark = pytest.mark.kernel

_HEAD = '#include <linux/module.h>\nMODULE_LICENSE("GPL");\nMODULE_DESCRIPTION("of the zoo");\n'
_ENDS = (
    "static int __init zoo_init(void) { return 0; }\nmodule_init(zoo_init);\n"
    "static void __exit zoo_exit(void) { }\nmodule_exit(zoo_exit);\n"
)
_GOOD = _HEAD + _ENDS
_HELPER = "int zoo_help(void);\nint zoo_help(void) { return 1; }\n"
_ONE = "obj-m := hello.o\n"


@dataclass(frozen=True)
class Breakage:
    """One project. `code`: what must be found. `fails`: whether the build does, else it warns.

    `says`: what cause or fix must name. `place`: the project's directory. `elsewhere`: what other series
    find, None for nothing.
    """

    name: str
    files: dict[str, str]
    code: str
    fails: bool = True
    says: str = ""
    place: str = "project"
    elsewhere: dict[str, tuple[str, bool] | None] = field(default_factory=dict)


BREAKAGES = (
    Breakage(
        "6 no licence",
        {"hello__c": _GOOD.replace('MODULE_LICENSE("GPL");', "")},
        "KS112",
        says="GPL",
        elsewhere={"5.10": ("KS112", False)},
    ),
    Breakage(
        "8 GPL-only symbol",
        {
            "hello__c": _GOOD.replace('"GPL"', '"Proprietary"').replace(
                "return 0;", "kobject_put(kobject_create_and_add(KBUILD_MODNAME, NULL)); return 0;"
            )
        },
        "KS113",
        says="kobject_create_and_add",
    ),
    Breakage(
        "9 undefined symbol",
        {"hello__c": "int zoo_nosuch(void);\n" + _GOOD.replace("return 0;", "return zoo_nosuch();")},
        "KS114",
        says="zoo_nosuch",
    ),
    Breakage(
        "57 calls what is gone after init",
        {
            "hello__c": _HEAD + "static int __init __attribute__((noipa)) zoo_setup(void) { return 5; }\n"
            "int zoo_later(void);\nint zoo_later(void) { return zoo_setup(); }\n"
            "EXPORT_SYMBOL_GPL(zoo_later);\n" + _ENDS
        },
        "KS127",
        fails=False,
        says="zoo_setup",
    ),
    Breakage(
        "57 exports what is gone after init",
        {
            "hello__c": _HEAD + "int __init zoo_setup(void);\nint __init zoo_setup(void) { return 5; }\n"
            "EXPORT_SYMBOL_GPL(zoo_setup);\n" + _ENDS
        },
        "KS127",
        fails=False,
        says="zoo_setup",
    ),
    Breakage(
        "60 lists itself",
        {"Kbuild": "obj-m := foo.o\nfoo-y := foo.o x.o\n", "foo__c": _GOOD, "x__c": _HELPER},
        "KS110",
        says="main.o",
    ),
    Breakage("61 a space in the path", {"hello__c": _GOOD}, "KS102", place="my project"),
    Breakage("61 a colon in the path", {"hello__c": _GOOD}, "KS102", place="my:project"),
    Breakage(
        "exports what the kernel does",
        {
            "hello__c": _HEAD + "int zlib_inflate_blob(void);\nint zlib_inflate_blob(void) { return 5; }\n"
            "EXPORT_SYMBOL_GPL(zlib_inflate_blob);\n" + _ENDS
        },
        "KS128",
        says="zlib_inflate_blob",
        elsewhere={"5.10": ("KS128", False)},
    ),
    Breakage(
        "a name of 56 letters", {"Kbuild": f"obj-m := {'n' * 56}.o\n", f"{'n' * 56}__c": _GOOD}, "KS125"
    ),
    Breakage(
        "two of one name",
        {
            "Kbuild": f"{_ONE}obj-m += sub/\n",
            "hello__c": _GOOD,
            "sub_0_Kbuild": _ONE,
            "sub_0_hello__c": _GOOD,
        },
        "KS120",
        # Kbuild looks for that since 5.15.
        elsewhere={"5.10": None},
    ),
    Breakage(
        "a loop of C99",
        {
            "hello__c": _HELPER
            + _GOOD.replace("return 0;", "for (int i = 0; i < 2; i++) zoo_help(); return 0;")
        },
        "KS124",
        # C11 since 5.18.
        elsewhere={"6.1": None, "6.12": None},
    ),
)


@pytest.mark.parametrize("series", ["6.1", "5.10", "6.12"])
@pytest.mark.parametrize("case", BREAKAGES, ids=lambda c: c.name)
def test_a_broken_build(tmp_path: Path, kernel, ks, case: Breakage, series: str):
    expected = case.elsewhere.get(series, (case.code, case.fails))
    project = write(tmp_path / case.place, **{"Kbuild": _ONE, **case.files})
    ran = ks("build", "-C", project, "-k", kernel(series).release, "--json")
    document = ran.json
    if expected is None:
        assert (ran.status, document["code"]) == (0, None), ran.err
        return
    code, fails = expected
    if "error" in document:  # refused before make is asked
        assert (ran.status, document["error"]["code"]) == (69, code)
        return
    assert (ran.status, document["code"]) == ((1, code) if fails else (0, None)), ran.err
    if fails:
        assert case.says in f"{document['cause']} {document['fix']}"
        return
    assert [c["level"] for c in document["complaints"]] == ["warning"]
    (note,) = (text for text in document["notes"] if "kscaffold explain" in text)
    assert f"(kscaffold explain {code})" in note and case.says in note
    log = next((Path.home() / ".local/state/kscaffold/projects").glob("*/make.log")).read_text()
    causes, _ = explain_log(log)
    assert [(t.entry.code, case.says in f"{t.cause} {t.fix}") for t in causes] == [(code, True)]

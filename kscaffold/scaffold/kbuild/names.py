"""The rules for names of modules, objects and parameters, and for the path a project can live at.

Each function returns nothing and raises UsageError: the caller has touched no file yet.
"""

import os
import re
import shlex
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from kscaffold.elf.module_name import normalize_name
from kscaffold.errors import UsageError
from kscaffold.files.atomic_dir import path_exists

# modpost stops at "module name is too long" beyond this (struct module holds 56 bytes on 64-bit kernels).
LONGEST = 55

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

# C11 with the GNU words gcc knows under -std=gnu11 (and gnu89, which kernels before 5.18 use).
# fmt: off
C_KEYWORDS = frozenset((
    "asm", "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else",
    "enum", "extern", "float", "for", "goto", "if", "inline", "int", "long", "register", "restrict",
    "return", "short", "signed", "sizeof", "static", "struct", "switch", "typedef", "typeof", "union",
    "unsigned", "void", "volatile", "while",
))
# fmt: on

# make would make the file Makefile from Makefile.c, by a rule that is built into it.
_OF_MAKE = frozenset(("makefile", "gnumakefile", "kbuild"))

# Kbuild takes NAME-y and NAME-m for the objects of NAME.o, and these are its own (scripts/Makefile.lib): dtb-
# is a variable of 6.1 that would read itself.
_OF_KBUILD = frozenset(("obj", "dtb"))

# make splits at blanks; the shell and make read the others; gcc's -Wp,-MMD,FILE splits at a comma, and
# NAME=VALUE on make's command line at an equals sign. Kbuild itself names `:` and `%` (since 6.1).
_BREAKS_KBUILD = frozenset(" :%,=#$'\"`*?[];&|()<>\\")


@cache
def reserved_names(kind: Literal["words", "stems"]) -> frozenset[str]:
    """Names the kernel's headers have already; taken.toml says which."""
    text = Path(__file__).with_name("reserved_names.toml").read_text(encoding="utf-8")
    return frozenset(tomllib.loads(text)[kind].split())


def identifier(stem: str) -> str:
    """The C name of a module or object, which its functions begin with: `ret-1` is `ret_1`, and `time`
    is `time_mod`, for there is a time_init() in the kernel's headers."""
    name = normalize_name(stem)
    return f"{name}_mod" if name in reserved_names("stems") else name


def check_name(name: str, kind: str = "module") -> None:
    """The rule for the name of a module or an object (without `.c`, `.o`)."""
    code = "KS010" if kind == "module" else "KS014"
    if not _NAME.fullmatch(name):
        raise UsageError(
            code,
            f"{_quoted(name)} can't be the name of {_a(kind)}",
            cause="a name starts with a letter and goes on with letters, digits, `_` and `-`",
            fix=_suggestion(name),
        )
    if len(name) > LONGEST:
        raise UsageError(
            code,
            f"the name of {_a(kind)} can't be longer than {LONGEST} characters; this one has {len(name)}",
            fix=f"choose a shorter one, such as {name[:20].rstrip('-_')}",
        )
    if name.lower() in _OF_MAKE:
        raise UsageError(
            code,
            f"{name} can't be the name of {_a(kind)}",
            cause=f"make reads the file {name} of a project, and would make it from {name}.c",
            fix=f"choose another, such as my-{name.lower()}",
        )
    if kind == "module" and name in _OF_KBUILD:
        raise UsageError(
            code,
            f"{name} can't be the name of {_a(kind)}",
            cause=f"Kbuild would look for its objects in {name}-y and {name}-m, which are lists of its own",
            fix=f"choose another, such as my-{name}",
        )
    if name in C_KEYWORDS:
        raise UsageError(
            "KS011",
            f"{name} is a word of the C language",
            cause=f"the {kind}'s functions and files are named after it",
            fix=f"choose another, such as my-{name}",
        )


def check_objects(module: str, objects: Sequence[str]) -> None:
    """The rules for the objects a module is linked from: `module` itself was checked before."""
    seen: dict[str, str] = {}
    for name in objects:
        check_name(name, "object")
        if normalize_name(name) == normalize_name(module):
            raise UsageError(
                "KS012",
                f"the object {name} is named like its module",
                cause=f"{module}.o is what the objects are linked into; make drops the circle and never "
                f"compiles {name}.c",
                fix=f"name the object otherwise, such as {module}-main",
            )
        mapped = identifier(name)
        if mapped in seen:
            same = seen[mapped]
            raise UsageError(
                "KS013",
                f"the object {name} is given twice"
                if same == name
                else f"the objects {same} and {name} have one name in C: {mapped}",
                fix="name each object once",
            )
        seen[mapped] = name


def check_place(target: Path) -> None:
    """Whether Kbuild can build at this path, and nothing is there yet.

    `target` is absolute and without links: what make and the compiler will see.
    """
    bad = sorted({c for c in str(target) if c in _BREAKS_KBUILD or not c.isprintable()})
    if bad:
        shown = " ".join("space" if c == " " else _quoted(c) for c in bad)
        raise UsageError(
            "KS019",
            f"Kbuild can't build at {_quoted(str(target))}",
            cause=f"make, the shell or the compiler takes the path apart at: {shown}",
            fix="choose a place without them: --directory DIR",
        )
    if os.path.lexists(target):
        raise path_exists(target)
    if not target.parent.is_dir():
        parent = str(target.parent)
        if os.path.lexists(parent):
            what, fix = f"{parent} is not a directory", "choose another with --directory DIR"
        else:
            what, fix = f"there is no directory {parent}", f"mkdir -p {shlex.quote(parent)}"
        raise UsageError("KS021", what, fix=fix)


def _suggestion(name: str) -> str | None:
    stem = re.sub(r"\.(ko|c|o|h)$", "", name)
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")[:LONGEST]
    if stem and not stem[0].isalpha():
        stem = f"m{stem}"[:LONGEST]
    if _NAME.fullmatch(stem) and stem not in C_KEYWORDS:
        return f"call it {stem}"
    return None


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _quoted(text: str) -> str:
    """The text between quotes, with what a terminal can't show spelled out."""
    return "'" + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text) + "'"

"""What module sources say without a Kbuild: which have init and exit, and what links them. Pure text.

This is reading, not compiling: macros and #ifdef are not expanded, so what is found is a proposal.
"""

import re
from pathlib import Path

from kscaffold.records import dataclass

# include/linux/init.h and module.h, and the macros of buses that make both (module_pci_driver and so on).
_CALLED = re.compile(r"(?:^|[;}])[ \t]*+(\w++)\s*+\(", re.M)
_INIT = re.compile(r"module_(?:init|driver|misc_device|\w+_driver\w*)|\w+_initcall(?:_sync)?")
_EXIT = re.compile(r"module_(?:exit|driver|misc_device|\w+_driver\w*)")
_LONGEST_NAME = 200  # characters; of a longer one no question is asked
_OLD_INIT = re.compile(r"\bint\s+(?:__init\s+)?init_module\s*\(\s*void\s*\)\s*\{")
_OLD_EXIT = re.compile(r"\bvoid\s+(?:__exit\s+)?cleanup_module\s*\(\s*void\s*\)\s*\{")
_LICENSE = re.compile(r"(?:^|[;}])[ \t]*+MODULE_LICENSE\s*+\(", re.M)
_EXPORT = re.compile(r"(?<![\w#])(?:EXPORT_SYMBOL|EXPORT_PER_CPU_SYMBOL)\w*\s*\(\s*(\w+)")
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.M)
_OF_LIBC = re.compile(
    r"^[ \t]*#[ \t]*include[ \t]*<(?:stdio|stdlib|unistd|pthread|sys/\w+|iostream)(?:\.h)?>", re.M
)
_MAIN = re.compile(r"^[ \t]*+(?:(?:int|void)\s++)?main\s*+\(", re.M)
_SPDX = re.compile(r"SPDX-License-Identifier:([^\n]*)")
_EXPRESSION = re.compile(r"[\w.+() -]+")
_NOISE = re.compile(
    r"/\*.*?(?:\*/|\Z)|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|^[ \t]*#(?:[^\n]*\\\n)*[^\n]*",
    re.S | re.M,
)
_HEAD = 1000  # characters: a declaration has fewer
_NOT_A_NAME = frozenset(("if", "for", "while", "switch", "return", "sizeof", "defined"))


@dataclass(frozen=True, slots=True)
class CSource:
    """One .c file. `defines`: names it gives to others; `uses`: every name it mentions; `exports`: for other
    modules; `includes`: as written between quotes; `program`: it is one for user space."""

    path: Path
    init: bool
    exit: bool
    license: bool
    program: bool
    defines: frozenset[str]
    uses: frozenset[str]
    exports: frozenset[str]
    includes: tuple[str, ...]
    spdx: str | None


def read_source(path: Path, text: str) -> CSource:
    """The facts that the text of a source shows."""
    code = _NOISE.sub(" ", text)
    called = {name for name in _CALLED.findall(code) if len(name) <= _LONGEST_NAME}
    return CSource(
        path=path,
        init=any(map(_INIT.fullmatch, called)) or bool(_OLD_INIT.search(code)),
        exit=any(map(_EXIT.fullmatch, called)) or bool(_OLD_EXIT.search(code)),
        license=bool(_LICENSE.search(code)),
        program=bool(_MAIN.search(code) or _OF_LIBC.search(text)),
        defines=frozenset(_defined(code)),
        uses=frozenset(re.findall(r"\b[A-Za-z_]\w*\b", code)),
        exports=frozenset(_EXPORT.findall(code)),
        includes=tuple(_INCLUDE.findall(re.sub(r"/\*.*?(?:\*/|\Z)", " ", text, flags=re.S))),
        spdx=_licence(text),
    )


def _licence(text: str) -> str | None:
    """The first SPDX expression, without what ends its comment."""
    for rest in _SPDX.findall(text):
        expression = str(rest).strip().removesuffix("*/").rstrip()
        if _EXPRESSION.fullmatch(expression):
            return expression
    return None


def _defined(code: str) -> set[str]:
    """The names a file gives to the linker: functions and variables that are not static."""
    names = set()
    for head, ends in _heads(code):
        if re.search(r"\b(?:static|typedef|extern)\b", head):
            continue
        before = head.partition("=")[0]
        called = [n for n in re.findall(r"\b([A-Za-z_]\w*)\s*\(", before) if not n.startswith("__")]
        if ends == "{" and "=" not in head:
            # `struct x {` has no parenthesis; a macro that takes code has no type before it.
            named = re.search(r"[\w*]\s+\**([A-Za-z_]\w*)\s*\(", before)
            if named and called and named[1] not in _NOT_A_NAME:
                names.add(named[1] if not named[1].startswith("__") else called[0])
        elif not called:
            variable = re.search(r"[\w*]\s+\**([A-Za-z_]\w*)\s*(?:\[[^\[\]]{0,200}\]\s*)*$", before)
            if variable and not re.fullmatch(r"\s*(?:struct|union|enum)\s+\w+\s*", before):
                names.add(variable[1])
    return names


def _heads(code: str) -> list[tuple[str, str]]:
    """The end of the file-scope text before each `{` or `;`, and which of the two it was."""
    heads: list[tuple[str, str]] = []
    depth = 0
    head: list[str] = []
    for part in re.split(r"([{};])", code):
        if part == "{":
            if depth == 0:
                heads.append(("".join(head)[-_HEAD:], "{"))
                head = []
            depth += 1
        elif part == "}":
            depth = max(0, depth - 1)
        elif depth == 0 and part == ";":
            heads.append(("".join(head)[-_HEAD:], ";"))
            head = []
        elif depth == 0:
            head.append(part)
    return heads

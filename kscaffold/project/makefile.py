"""What a project's own Makefile does before and around Kbuild, read as text; nothing of it is run."""

import re
from pathlib import Path

from kscaffold.files import reader
from kscaffold.records import dataclass

# Variables on the recipe's command line that say where and how to build, and not what.
_PLACES = re.compile(
    r"M|SUBDIRS|O|PWD|ARCH|SRCARCH|CROSS_COMPILE|CC|LD|LLVM|V|W|C|CF|src|obj|KERNELRELEASE|KBUILD_EXTMOD|"
    r"KBUILD_VERBOSE|KBUILD_OUTPUT|INSTALL_\w+|DEPMOD|K\w*(?:DIR|SRC|VER|VERSION|RELEASE|PATH)|MAKEFLAGS|TOPDIR"
)
_HERE = re.compile(
    r"\.|\./?|[\"']?(?:\$[({](?:PWD|CURDIR|shell pwd|src|M)[)}]|\$\$PWD|`pwd`|\$\$\(pwd\))/?[\"']?"
)
_CALL = re.compile(r"\b(?:M|SUBDIRS|KBUILD_EXTMOD)=(\"[^\"]*\"|\$\([^)]*\)\S*|`[^`]*`|\S+)")
_NOT_BUILDING = re.compile(r"\b(?:clean|distclean|mrproper|modules_install|install|help|uninstall|remove)\b")
_ASSIGNED = re.compile(r"(?<![\w$({.-])([A-Za-z_]\w*)=(?!=)")
_SET = re.compile(r"^[ ]*(?:export\s+|override\s+)*([A-Za-z_]\w*)\s*(?:[:?+]|::)?=[ \t]*(.*)$", re.M)
_EXPORT = re.compile(r"^\s*export\s+([A-Za-z_]\w*)\s*[:?+]*=")
# A recipe's line that makes a file, by what it says.
_WRITES = re.compile(
    r"(?:^|[^&\d>])>{1,2}\s*(?!/dev/|&)\S|(?:^|[;&|(\s@-])(?:cp|ln|mv|install|sed\s+-i|tee|touch|patch|unzip|tar|xxd|"
    r"python3?|perl|(?:ba)?sh\s+\S|\./\S|awk|m4|git\s+submodule|autoreconf|openssl|objcopy)\b"
)
_TREE = re.compile(r"(?:/lib/modules/\S*|/usr/src/\S+?)/(?:build|source)/?|/usr/src/linux\S*")


@dataclass(frozen=True, slots=True)
class OwnMakefile:
    """`reason`: why Kbuild alone is not what this Makefile's make does, None where it is the same as far as
    can be read. `reaches`: whether a recipe calls Kbuild.
    `below`: directories with a Makefile that recipes go on in."""

    reason: str | None
    reaches: bool
    below: tuple[str, ...] = ()


@dataclass(slots=True)
class _Rule:
    targets: tuple[str, ...]
    needs: tuple[str, ...]
    recipe: list[str]


def read_makefile(directory: Path) -> OwnMakefile:
    """What the Makefile in `directory` does beyond Kbuild."""
    file = next((f for n in ("GNUmakefile", "makefile", "Makefile") if (f := directory / n).is_file()), None)
    if file is None:
        return OwnMakefile(None, False)
    text = reader.read_text(file)
    lines = re.sub(r"\\\n[ \t]*", " ", text).splitlines()
    rules = _rules(lines)
    values = _values(lines)
    calls = [(r, line) for r in rules for line in r.recipe if _calls_kbuild(line, values)]
    below = tuple(dict.fromkeys(n for r in rules for line in r.recipe for n in _led_below(line, directory)))
    default = _of_default_goal(rules)
    # What plain make runs decides; where that comes to no call, what any goal does.
    for rule, line in [c for c in calls if any(c[0] is r for r in default)] or calls:
        if reason := _of_call(line, values) or _before(rule, line, rules):
            return OwnMakefile(reason, True, below)
    return OwnMakefile(_exported(lines, text) if calls else None, bool(calls), below)


def _of_default_goal(rules: list[_Rule]) -> list[_Rule]:
    """The first rule and those of all that it needs, by prerequisites or $(MAKE) GOAL."""
    first = next((r for r in rules if not r.targets[0].startswith(".")), None)
    found: list[_Rule] = []
    waiting = [first] if first else []
    while waiting:
        rule = waiting.pop()
        if any(rule is r for r in found):
            continue
        found.append(rule)
        words = " ".join(line for line in rule.recipe if "make" in line.lower()).split()
        names = {*rule.needs, *words, *rule.targets}
        waiting += [r for r in rules if names & set(r.targets)]
    return found


def leads_to_kbuild(directory: Path, depth: int = 3) -> bool:
    """Whether the make of the Makefile in `directory` comes to Kbuild, through Makefiles below perhaps."""
    own = read_makefile(directory)
    below = own.below if depth else ()
    return own.reaches or any(leads_to_kbuild(directory / name, depth - 1) for name in below)


def kernel_variables(directory: Path) -> tuple[str, ...]:
    """The variables by which the Makefiles there find the kernel's tree (KDIR, KERNELDIR, ...)."""
    found: dict[str, None] = {}
    for pattern in ("Makefile", "*.mk", "*/Makefile", "*/*.mk"):
        for file in sorted(directory.glob(pattern)):
            for name, value in _SET.findall(reader.read_text(file)):
                plain = re.sub(r"\s#.*", "", value).strip().strip("\"'")
                plain = re.sub(r"\$\(shell uname -r\)|\$[({]\w+[)}]|`uname -r`", "V", plain)
                if _TREE.fullmatch(plain) and not re.match(r"KBUILD_|srctree|objtree|O$", name):
                    found[name] = None
    return tuple(found)


def _rules(lines: list[str]) -> list[_Rule]:
    rules: list[_Rule] = []
    current: _Rule | None = None
    for line in lines:
        if line.startswith("\t"):
            if current:
                current.recipe.append(line.strip())
            continue
        head = re.match(
            r"(?P<targets>[^\s#:=][^#:=]*?)\s*::?(?!=)\s*(?P<needs>[^#;=]*)(?:;(?P<recipe>.*))?", line
        )
        if head and not re.match(r"(?:ifn?eq|ifn?def|else|endif|-?include|export|\.PHONY)\b", line):
            current = _Rule(tuple(head["targets"].split()), tuple(head["needs"].split()), [])
            if head["recipe"]:
                current.recipe.append(head["recipe"].strip())
            rules.append(current)
        elif line.strip() and not re.match(r"\s*(?:#|(?:ifn?eq|ifn?def|else|endif)\b)", line):
            current = None
    return rules


def _values(lines: list[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for line in lines:
        if not line.startswith("\t") and (m := _SET.match(line)):
            values[m[1]] = f"{values.get(m[1], '')} {m[2]}".strip()
    return values


def _expanded(line: str, values: dict[str, str]) -> str:
    """The line with the variables that the Makefile sets put in, twice deep."""
    for _ in range(3):
        line = re.sub(
            r"\$[({](\w+)[)}]",
            lambda m: m[0] if m[1] in ("PWD", "CURDIR", "MAKE") else values.get(m[1], m[0]),
            line,
        )
    return line


def _calls_kbuild(line: str, values: dict[str, str]) -> bool:
    expanded = _expanded(line, values)
    return bool(
        re.search(r"\bmake\b|\$[({]MAKE[)}]|\$[({]KBUILD\w*[)}]", expanded)
        and _CALL.search(expanded)
        and not _NOT_BUILDING.search(re.sub(r"\$\([^)]{0,400}\)|(?<![^\s)])[^\s=]*=\S*", "", line))
    )


def _of_call(line: str, values: dict[str, str]) -> str | None:
    """Why a call of Kbuild is no plain one: it gives variables, or another place than here. None: it is."""
    expanded = _expanded(line, values)
    command = re.sub(r"\$\((?:[^()]|\([^()]*\))*\)", lambda m: m[0].replace("=", ":"), expanded)
    names = [n for n in _ASSIGNED.findall(command) if not _PLACES.fullmatch(n)]
    if names:
        return f"its Makefile gives Kbuild {', '.join(dict.fromkeys(names))}"
    there = _CALL.search(expanded)
    if there and not _HERE.fullmatch(there[1]) and not re.fullmatch(r"\$[({]\w+[)}]", there[1]):
        inside = re.sub(r"^\$[({](?:PWD|CURDIR|shell pwd)[)}]/|`pwd`/|\"", "", there[1])
        return f"its Makefile builds in {inside}" if re.fullmatch(r"[\w./-]+", inside) else None
    return None


def _before(rule: _Rule, call: str, rules: list[_Rule]) -> str | None:
    """What is made before a call: by earlier lines of its recipe, or by what its rule needs."""
    for line in rule.recipe[: rule.recipe.index(call)]:
        if _WRITES.search(line):
            return f"its Makefile first runs: {line.lstrip('@-+ ')[:60]}"
    seen: set[str] = set()
    needs = list(rule.needs)
    # What the default goal makes before it comes to the call's rule.
    first = next((r for r in rules if not r.targets[0].startswith(".")), rule)
    for need in first.needs if first is not rule else ():
        if need in rule.targets:
            break
        needs.append(need)
    while needs:
        need = needs.pop(0)
        if need in seen or re.search(r"clean|install|load|test|check", need):
            continue
        seen.add(need)
        for other in (r for r in rules if need in r.targets):
            needs += other.needs
            is_file = "." in need.rpartition("/")[2] and other.recipe
            if call not in other.recipe and (is_file or any(map(_WRITES.search, other.recipe))):
                return f"a rule of its Makefile makes {need} first"
    return None


def _exported(lines: list[str], text: str) -> str | None:
    """A variable that is exported where Kbuild does not come by, and that the part it reads looks at."""
    conditions: list[bool | None] = []  # whether Kbuild, which sets KERNELRELEASE, reads it; None: may be
    for line in lines:
        word = line.strip()
        if m := re.match(r"(ifn?eq|ifn?def)\b\s*(.*)", word):
            known = re.fullmatch(r"\(\s*\$[({]KERNELRELEASE[)}]\s*,\s*\)|KERNELRELEASE", m[2].strip())
            conditions.append(m[1] in ("ifneq", "ifdef") if known else None)
        elif re.match(r"else\b", word) and conditions:
            conditions[-1] = None if conditions[-1] is None else not conditions[-1]
        elif re.match(r"endif\b", word) and conditions:
            conditions.pop()
        elif False in conditions and (exported := _EXPORT.match(line)):
            name = exported[1]
            used = re.search(rf"\$[({{]{name}[)}}]|ifn?def\s+{name}\b", text)
            if used or name.startswith("CONFIG_"):
                return f"its Makefile exports {name} to Kbuild"
    return None


def _led_below(line: str, directory: Path) -> list[str]:
    """The directories below that a line goes on in and that have a Makefile."""
    named = re.findall(r"(?:\bmake\b|\$[({]MAKE[)}]).*?\s-C\s*[\"']?([\w./-]+)|\bcd\s+([\w./-]+)", line)
    places = [one or other for one, other in named]
    return [
        p
        for p in places
        if not p.startswith(("/", "..", "./..")) and p not in (".", "./")
        if any((directory / p / n).is_file() for n in ("Makefile", "Kbuild"))
    ]

"""What a project's own Makefile does before and around Kbuild, read as text; nothing of it is run."""

import contextlib
import re
from pathlib import Path

from kscaffold.files import reader
from kscaffold.project.include import included_names
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
    r"python3?|perl|(?:ba)?sh\s+\S+|\./\S+|awk|m4|git\s+submodule|autoreconf|openssl|objcopy)\b"
)
_TREE = re.compile(
    r"(?:(?:/lib/modules/\S*|/usr/src/\S+?)/(?:build|source)|/usr/src/linux[^/\s]*)(?P<inside>/\S*)?"
)

# The source tree beside a build tree of whatever name: $(subst /build,/source,$(KDIR)).
_TO_SOURCE = re.compile(r"\$[({](?:pat)?subst\s+[^,]{0,40}build,[^,]{0,40}source,")

# A variable or a function of make's, others inside of it, or a shell's.
_REFERENCE = re.compile(r"\$[({](?:[^(){}]|[({](?:[^(){}]|[({][^(){}]*[)}])*[)}])*[)}]|`uname -r`")

# What is looked for before it is taken: $(wildcard /lib/modules/$(KVER)/build).
_WILDCARD = re.compile(r"\$[({]wildcard\s+(.*)[)}]")

# A loop's variable, a target's name, what a shell puts in.
_UNKNOWN = re.compile(r"\$\$[({]?\w+[)}]?|\$[@*<^]|\$[({][@*<^]?[DF]?[)}]?|`[^`]*`")
_CALLED = re.compile(r"\$[({]call\s+(\w+)")

_SAYS = re.compile(r"[@+-]*(?:\$[({]\w+[)}])?\s*(?:echo|printf)\b")
_GOALS = ("all", "modules", "module", "build", "default", "driver", "drivers", "kmod", "ko")

_MOST_BELOW = 64  # names that are tried for the directory that a recipe's variable names


@dataclass(frozen=True, slots=True)
class OwnMakefile:
    """`reason`: why Kbuild alone is not what this Makefile's make does, None where it is the same as far as
    can be read. `reaches`: whether a recipe calls Kbuild.
    `below`: directories with a Makefile that recipes go on in; `also`: those of them that plain make goes to.
    `goal`: what is to be asked of make where plain make runs no other make, as where it prints a help.
    """

    reason: str | None
    reaches: bool
    below: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    goal: str | None = None


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
    includes = "\n".join(_expanded(line, values) for line in lines if re.match(r" *include\b", line))
    # By a computed name, too: $(wildcard $(src)/common.mk).
    included = [
        *included_names(includes.replace("\n ", "\n")),
        *re.findall(r"(?<![\w.-])[\w.-]{1,200}\.mk\b", includes),
    ]
    values = _values([*_lines_of(directory, included), *lines])
    calls = [(r, line) for r in rules for line in r.recipe if _calls_kbuild(line, values)]
    default = _of_default_goal(rules)
    below = _all_below(rules, values, directory)
    also = _all_below(default, values, directory)
    goal = _goal(rules, default, [rule for rule, _ in calls])
    # What plain make runs decides; where that comes to no call, what any goal does.
    for rule, line in [c for c in calls if any(c[0] is r for r in default)] or calls:
        if reason := _of_call(line, values) or _before(rule, line, rules):
            return OwnMakefile(reason, True, below, also, goal)
    reason = _exported(lines, text) or _of_includes(rules, included) if calls else None
    return OwnMakefile(reason, bool(calls), below, also, goal)


def _lines_of(directory: Path, names: list[str]) -> list[str]:
    """The lines of the files there that a Makefile includes, where they are there."""
    files = [f for name in names if (f := directory / name).is_file()]
    return [line for f in files for line in re.sub(r"\\\n[ \t]*", " ", reader.read_text(f)).splitlines()]


def _of_includes(rules: list[_Rule], included: list[str]) -> str | None:
    """A file that is included and made by a rule, which Kbuild would run without the kernel of our choice."""
    made = {re.sub(r"^\$[({]\w+[)}]/", "", target) for r in rules if r.recipe for target in r.targets}
    found = next((name for name in included if name in made and "depend" not in name), None)
    return f"a rule of its Makefile makes {found}, which it includes" if found else None


def _of_default_goal(rules: list[_Rule]) -> list[_Rule]:
    """The first rule and those of all that it needs."""
    first = next((r for r in rules if not r.targets[0].startswith(".")), None)
    return _with_needs(first, rules) if first else []


def _with_needs(first: _Rule, rules: list[_Rule]) -> list[_Rule]:
    """A rule and those of all that it needs, by prerequisites or $(MAKE) GOAL."""
    found: list[_Rule] = []
    waiting = [first]
    while waiting:
        rule = waiting.pop()
        if any(rule is r for r in found):
            continue
        found.append(rule)
        makes = [line for line in rule.recipe if "make" in line.lower() and not _SAYS.match(line)]
        words = " ".join(makes).split()
        names = {*rule.needs, *words, *rule.targets}
        waiting += [r for r in rules if names & set(r.targets)]
    return found


def _goal(rules: list[_Rule], default: list[_Rule], calling: list[_Rule]) -> str | None:
    """The goal that comes to Kbuild, where the default one tells something and runs no make; else None."""
    lines = [line for r in default for line in r.recipe if not _SAYS.match(line)]
    # Without a word of its own it may need, by variables, what is not read here.
    if len(lines) == sum(len(r.recipe) for r in default):
        return None
    if any(re.search(r"\bmake\b|\bMAKE\b|\$[({]call\b", line) for line in lines):
        return None
    named = ((name, next((r for r in rules if name in r.targets), None)) for name in _GOALS)
    reached = ((name, _with_needs(rule, rules)) for name, rule in named if rule)
    return next((name for name, needed in reached if any(r is c for r in needed for c in calling)), None)


def leads_to_kbuild(directory: Path, depth: int = 3) -> bool:
    """Whether the make of the Makefile in `directory` comes to Kbuild, through Makefiles below perhaps."""
    own = read_makefile(directory)
    below = own.below if depth else ()
    return own.reaches or any(leads_to_kbuild(directory / name, depth - 1) for name in below)


def more_modules(directory: Path, makefile: OwnMakefile) -> str | None:
    """Why a Makefile that calls Kbuild for its own directory builds more than that: plain make goes on in
    another directory that comes to Kbuild. None where it does not."""
    also = makefile.also if makefile.reaches else ()
    found = next((name for name in also if leads_to_kbuild(directory / name)), None)
    return f"its Makefile builds in {found}, too" if found else None


def kernel_variables(directory: Path, build: Path | str, source: Path | str) -> dict[str, str]:
    """The variables by which the Makefiles there find the kernel's tree (KDIR, KERNELDIR, ...), each with its
    value for a kernel with these directories. In a list of places, where a Makefile looks for the first that
    exists, the source tree stands for itself.
    """
    found: dict[str, str] = {}
    for pattern in ("Makefile", "*.mk", "*/Makefile", "*/*.mk"):
        for file in sorted(directory.glob(pattern)):
            found |= _kernel_variables(reader.read_text(file), str(build), str(source))
    return found


def _kernel_variables(text: str, build: str, source: str) -> dict[str, str]:
    """Those of one Makefile's text."""
    found: dict[str, str] = {}
    parts: dict[str, str] = {}  # what is no tree, but may lead to one: BASE = /lib/modules/$(KVER)
    for name, value in _SET.findall(re.sub(r"\\\n[ \t]*", " ", text)):
        plain = re.sub(r"\s#.*", "", value).strip().strip("\"'")
        if looked := _WILDCARD.fullmatch(plain):
            plain = looked[1]
        plain = re.sub(r"\$[({](\w+)[)}]", lambda m: parts.get(m[1], m[0]), plain)
        if _TO_SOURCE.match(plain):
            found[name] = source
            continue
        plain = _REFERENCE.sub("V", plain)
        meant = _tree_meant(plain, build, source)
        if meant is None and re.fullmatch(r"/lib/modules/[^/\s]+/?", plain):
            parts[name] = plain.rstrip("/")
        if meant and not re.match(r"KBUILD_|srctree|objtree|O$", name):
            found[name] = meant
    return found


def _tree_meant(value: str, build: str, source: str) -> str | None:
    """The value of a variable that names a kernel's tree, a directory in it, or where to look for one."""
    if tree := _TREE.fullmatch(value):
        return build + (tree["inside"] or "").rstrip("/")
    words = value.split()
    if len(words) < 2 or not all(word.startswith(("/lib/modules/", "/usr/src/")) for word in words):
        return None
    ends = [word.rstrip("/").rpartition("/")[2] for word in words]
    found = [source if end == "source" else build for end in ends if end in ("source", "build")]
    return " ".join(dict.fromkeys(found)) or None


def _rules(lines: list[str]) -> list[_Rule]:
    rules: list[_Rule] = []
    current: _Rule | None = None
    for line in lines:
        if line.startswith("\t"):
            if current:
                current.recipe.append(line.strip())
            continue
        line = line.lstrip(" ")
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
    """The line with the variables and functions that the Makefile sets put in, three deep."""
    for _ in range(3):
        line = re.sub(
            r"\$[({](\w+)[)}]",
            lambda m: m[0] if m[1] in ("PWD", "CURDIR", "MAKE") else values.get(m[1], m[0]),
            _called(line, values),
        )
    return line


def _called(line: str, values: dict[str, str]) -> str:
    """The line with each `$(call NAME,...)` as what the Makefile makes NAME; its arguments may hold more."""
    parts: list[str] = []
    at = 0
    for call in _CALLED.finditer(line):
        if call.start() >= at and call[1] in values:
            parts += [line[at : call.start()], values[call[1]]]
            at = _end(line, call.start() + 1)
    return "".join([*parts, line[at:]])


def _end(line: str, start: int) -> int:
    """The place behind the bracket that closes the one at `start`."""
    depth = 0
    for i in range(start, len(line)):
        depth += (line[i] in "({") - (line[i] in ")}")
        if depth == 0:
            return i + 1
    return len(line)


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


def _all_below(rules: list[_Rule], values: dict[str, str], directory: Path) -> tuple[str, ...]:
    found = (n for r in rules for line in r.recipe for n in _led_below(line, values, directory))
    return tuple(dict.fromkeys(found))


def _led_below(line: str, values: dict[str, str], directory: Path) -> list[str]:
    """The directories below that a line goes on in and that have a Makefile."""
    named = re.findall(
        r"(?:\bmake\b|\$[({]MAKE[)}]).*?\s-C\s*[\"']?([\w./$@{()}-]+)|\bcd\s+[\"']?([\w./$@{()}-]+)", line
    )
    places: list[str] = []
    for place in (one or other for one, other in named):
        # What only make could say (a loop's variable, a target's name, a program's answer) may be any.
        pattern = _UNKNOWN.sub("*", re.sub(_REFERENCE, "*", _expanded(place, values)))
        pattern = re.sub(r"\*+", "*", pattern)  # `**` would be every directory below
        if "*" not in pattern:
            places.append(pattern)
        elif not _CALL.search(line) and not pattern.startswith(("/", "..", "*/..")):
            with contextlib.suppress(OSError, ValueError):
                below = (d.relative_to(directory).as_posix() for d in directory.glob(pattern))
                places += sorted(d for d in below if not d.startswith("."))[:_MOST_BELOW]
    return [
        p
        for p in places
        if not p.startswith(("/", "..", "./..")) and p not in (".", "./")
        if any((directory / p / n).is_file() for n in ("Makefile", "Kbuild"))
    ]

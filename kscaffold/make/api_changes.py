"""What changed in the kernel's interface, between which releases, and how a complaint is about it."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import takewhile
from typing import Any

from kscaffold.files import reader
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.records import dataclass, replace

# How a change reads: what became of the name in the release that follows.
_HAPPENED = {
    "renamed": "{name} has another name since",
    "moved": "{name} has another place since",
    "removed": "{name} is gone since",
    "signature": "{name} has other arguments since",
    "return type": "{name} returns another type since",
    "type": "{name} is declared otherwise since",
    "new": "{name} is there since",
}


@dataclass(frozen=True, slots=True)
class ApiChange:
    """A change of the kernel's interface, a row of `drift.toml`, whose head explains the fields.

    Versions are (6, 4). `seen`: what the compiler's own words say, whether this kernel has the change;
    None where they say nothing.
    """

    name: str
    kind: str
    since: tuple[int, int]
    use: str | None
    before: str | None
    headers: tuple[str, ...]
    new: str | None
    old: str | None
    also: tuple[tuple[int, int], ...] = ()
    came: tuple[int, int] = (0, 0)
    seen: bool | None = None

    def is_in(self, version: tuple[int, ...], headers: BuildTree | None = None) -> bool:
        """Whether a kernel has the change. `headers`, its build tree, is asked first, since distributions
        backport changes; the version only where its headers are not there."""
        if self.seen is not None:
            return self.seen
        if headers is not None and (shown := self.shown_by(headers)) is not None:
            return shown
        # Which release of a series the change came to is unknown: then the failed build decides.
        if version[:2] in self.also:
            return self.kind != "new"
        return version[:2] >= self.since

    def shown_by(self, headers: BuildTree) -> bool | None:
        """Whether the headers of a build tree have the change. None where they do not tell: the tree has no
        headers, or those of the row went whole, or are of another architecture."""
        if not (headers.source / "include/linux/kernel.h").is_file():
            return None
        texts = [text for name in self.headers if (text := _flat(headers, name)) is not None]
        pattern = self.new or self.old
        if pattern and not texts:
            return None
        found = any(re.search(pattern or "", text) for text in texts)
        return found if self.new is not None else not found

    def advice(self, version: tuple[int, ...], headers: BuildTree | None = None) -> str | None:
        """What a source has to write for a kernel, None where the change does not touch that kernel. An
        empty version is an unknown one: then both ways are named.
        """
        if not version and headers is None and self.seen is None and self.use and self.before:
            return f"{self.use} (since {self.release}), {self.before} (until then)"
        if not version and headers is None and self.seen is None:
            return self.use or self.before
        if version and version[:2] < self.came:
            return self.before
        if self.is_in(version, headers):
            return self.use
        return None if self.came > (0, 0) else self.before

    def _is_backported(self, version: tuple[int, ...], headers: BuildTree | None) -> bool:
        return bool(version) and self.came <= version[:2] < self.since and self.is_in(version, headers)

    @property
    def subject(self) -> str:
        """The name in a source that the change is about. Where a name changed twice, `name` of its second
        row has a word in brackets, too.
        """
        return self.name.partition(" ")[0]

    @property
    def release(self) -> str:
        """The first release with the change, `6.4`."""
        return f"{self.since[0]}.{self.since[1]}"

    def cause(self, version: tuple[int, ...], release: str, headers: BuildTree | None = None) -> str:
        """Why a source fails on the kernel `release`, which may be empty where nobody knows it."""
        happened = f"{_HAPPENED[self.kind].format(name=self.subject)} Linux {self.release}"
        if self.came > (0, 0):
            happened += f", and there since {self.came[0]}.{self.came[1]}"
        if not release:
            return happened
        if self._is_backported(version, headers):
            return f"{happened}, and {release} has that change, too"
        return f"{happened}, and this is {release}"

    def fix(self, version: tuple[int, ...], headers: BuildTree | None = None) -> str:
        """What to write, and how to write it for kernels on both sides of the change."""
        advice = self.advice(version, headers) or self.use or self.before or ""
        verb = f"write #include <{advice}>" if re.fullmatch(r"[\w/-]+\.h", advice) else f"write {advice}"
        if self._is_backported(version, headers):
            return f"{verb}; a check of the version does not tell: this kernel has the change backported"
        code = f"KERNEL_VERSION({self.since[0]}, {self.since[1]}, 0)"
        return f"{verb}; for both: #if LINUX_VERSION_CODE >= {code}"


@cache
def api_changes() -> dict[str, ApiChange]:
    """Every change we know, by name (`api_changes.toml`)."""
    table = tomllib.loads(files("kscaffold.make").joinpath("api_changes.toml").read_text(encoding="utf-8"))
    return {name: _row(name, entry) for name, entry in table.items()}


def _row(name: str, entry: dict[str, Any]) -> ApiChange:
    header = entry["header"]
    return ApiChange(
        name,
        entry["kind"],
        _pair(entry["since"]),
        entry.get("use"),
        entry.get("before"),
        (header,) if isinstance(header, str) else tuple(header),
        entry.get("new"),
        entry.get("old"),
        tuple(_pair(series) for series in entry.get("also", ())),
        _pair(entry.get("came", "0.0")),
    )


def _pair(release: str) -> tuple[int, int]:
    major, minor = release.split(".")
    return int(major), int(minor)


@cache
def _flat(tree: BuildTree, header: str) -> str | None:
    """A header without comments, every space and continued line one space; None where it is not there."""
    include, arch = tree.source / "include", f"arch/{tree.srcarch}/include"
    if header == "Module.symvers":
        places = [tree.directory / header]
    elif header.startswith("asm/"):
        generic = include / "asm-generic" / header.removeprefix("asm/")
        places = [tree.source / arch / header, tree.directory / arch / "generated" / header, generic]
    else:
        places = [include / header, tree.directory / "include" / header, include / "uapi" / header]
    for place in places:
        if place.is_file():
            text = re.sub(r"/\*.*?\*/|//[^\n]*", "", reader.read_text(place), flags=re.S)
            return re.sub(r"\\?\s+", " ", text)
    return None


_GONE = ("renamed", "moved", "removed", "new")
_OTHERWISE = ("signature", "return type", "type")
# What compilers, modpost and the loader say of a name, and which kinds of change that may come of.
_SAYS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"implicit (?:declaration of function|function declaration) {1,4}{q}(?P<name>\w+)", _GONE),
    (r"call to undeclared function {q}(?P<name>\w+)", _GONE),
    (r"{q}(?P<name>\w+){q} undeclared", _GONE),
    (r"undeclared identifier {q}(?P<name>\w+)", _GONE),
    (r"unknown type name {q}(?P<name>\w+)", _GONE),
    (r"(?:has|to|definition of|undefined|incomplete) type {q}(?:const )?struct (?P<name>\w+)", _GONE),
    (r"(?:field|variable|storage size of) {q}(?P<variable>\w+){q} (?:has|isn)", _GONE),
    (r"{q}(?:const )?struct (?P<struct>\w+){q} has no member named {q}(?P<name>\w+)", _GONE),
    (r"no member named {q}(?P<name>\w+){q} in {q}(?:const )?struct (?P<struct>\w+)", _GONE),
    (r"designator {q}(?P<name>\w+){q} does not .* type {q}(?:const )?struct (?P<struct>\w+)", _GONE),
    (r"fatal error: {q}?(?P<name>[\w/-]+\.h){q}?(?:: No such file| file not found)", _GONE),
    (r"ERROR: (?:modpost: )?{q}(?P<name>\w+){q} \[\S+\] undefined", _GONE),
    (r"Unknown symbol (?P<name>\w+) \(err", _GONE),
    (r"(?:assignment to|initialization of) {q}struct (?P<name>\w+) \*{q} from incompatible", _GONE),
    (r"too (?:many|few) arguments to function {q}(?P<name>\w+)", _OTHERWISE),
    (r"passing argument \d+ of {q}(?P<name>\w+)", _OTHERWISE),
    (r"incompatible type for argument \d+ of {q}(?P<name>\w+)", _OTHERWISE),
    (r"macro {q}(?P<name>\w+){q} (?:requires|passed)", _OTHERWISE),
    (r"assignment of read-only (?:member|location) {q}(?:\S*(?:->|\.))?(?P<member>\w+)", _OTHERWISE),
)  # fmt: skip
_QUOTE = "['‘’\"`]"
# A callback of another type: gcc's words, then clang's, which names a function's type without the (*).
_POINTERS = re.compile(
    r"(?:initialization of|assignment to) .(?P<wanted>[^'‘’]*\(\*\)\([^'‘’]*).(?: \{aka .*?\})?"
    r" from incompatible pointer type .(?P<given>[^'‘’]*)"
)
# gcc's note on an argument of another type.
_ARGUMENT = re.compile(
    r"note: expected .([^'‘’]{1,400}).(?: \{aka [^}]{0,400}\})? but argument is of type .([^'‘’]+)"
)
# The member, as the source line or gcc's note has it.
_MEMBER = re.compile(r"near initialization for [^\n]{0,200}?\.(\w+)['’]|(?:\.|->)(\w+)\s*=[^=]")
_CLANG_POINTERS = re.compile(
    r"incompatible function pointer types (?:initializing|assigning to) '(?P<wanted>[^']*)'"
    r"(?: \(aka '[^']*'\))? (?:with an expression of type|from) '(?P<given>[^']*)'"
)


def changes_for(
    text: str, version: tuple[int, ...], headers: BuildTree | None = None
) -> tuple[ApiChange, ...]:
    """The changes that a name, or a text with the words of compiler, modpost or loader, is about and that
    touch a kernel: those whose `advice` is not None. In the text's order.

    `version`: (6, 16), or () where it is unknown. `headers`: the kernel's build tree, where it is at hand.
    """
    known = api_changes()
    if re.fullmatch(r"\S+", text):
        found = [change for change in known.values() if change.subject == text]
    else:
        lines = text.splitlines()
        found = [c for i, line in enumerate(lines) for c in _said(line, _context(lines[i + 1 : i + 25]))]
    return tuple(c for c in dict.fromkeys(found) if c.advice(version, headers))


def _context(lines: list[str]) -> str:
    """What a compiler shows below a complaint: its source line and notes, up to the next complaint."""
    own = takewhile(lambda line: not re.search(r": (?:fatal )?(?:error|warning): ", line), lines)
    return "\n".join(own)


def _said(line: str, context: str) -> Iterator[ApiChange]:
    """The changes that one line of a compiler's or modpost's may be about."""
    if (types := _POINTERS.search(line) or _CLANG_POINTERS.search(line)) is not None:
        given = types["given"] if "(*)" in types["given"] else types["given"].replace("(", "(*)(", 1)
        shown = _MEMBER.search(context)
        yield from _of_callback(types["wanted"], given, shown[1] or shown[2] if shown else None)
    for pattern, kinds in _patterns():
        match = pattern.search(line)
        if match is None:
            continue
        groups = match.groupdict()
        member, name = groups.get("member"), groups.get("name")
        if variable := groups.get("variable"):
            declared = re.search(rf"\bstruct (\w+)\b[^;\n]*\b{variable}\b", context)
            name = declared[1] if declared else None
        if groups.get("struct"):
            name = f"{groups['struct']}.{name}"
        for change in api_changes().values():
            is_it = change.subject.endswith(f".{member}") if member else change.subject == name
            if is_it and change.kind in kinds and _is_about(change, context):
                yield change


def _is_about(change: ApiChange, context: str) -> bool:
    """Whether the argument that a compiler's note shows is one that the change concerns: its row names the
    wanted type or the given one. Without a note nothing speaks against it."""
    note = _ARGUMENT.search(context)
    row = f"{change.new} {change.old} {change.use} {change.before}"
    return note is None or any(re.search(rf"\b{_base(kind)}\b", row) for kind in note.groups())


def _base(kind: str) -> str:
    """The last word of a type: `proc_ops` of `const struct proc_ops *`."""
    words = re.findall(r"\w+", kind)
    return words[-1] if words else kind


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
    return tuple((re.compile(pattern.replace("{q}", _QUOTE)), kinds) for pattern, kinds in _SAYS)


def _of_callback(wanted: str, given: str, name: str | None) -> Iterator[ApiChange]:
    """The changes between the type of a callback that a kernel wants and the one that a source gives.

    `name`: the member that is set, where the compiler shows it.
    """
    for change in api_changes().values():
        member = re.match(r"\w+\.(\w+)", change.name)
        if member is None or change.kind not in _OTHERWISE or name not in (None, member[1]):
            continue
        fits = [
            re.search(change.new or change.old or "", _declaration(kind, member[1])) is not None
            for kind in (wanted, given)
        ]
        if fits[0] != fits[1]:
            yield replace(change, seen=fits[0] == (change.new is not None))


def _declaration(kind: str, member: str) -> str:
    """The type of a callback, as a compiler prints it, in the way a header declares the member."""
    return re.sub(r"\s+", " ", kind).replace("* (", "*(").replace("(*)", f"(*{member})", 1)

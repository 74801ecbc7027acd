"""Two texts that came of one, put together again; what both changed stands between markers, as git does it.

The merging is done by diff3, which every Debian has (diffutils) and whose answers are known to be good.
"""

import difflib
import re

from kscaffold import process
from kscaffold.files.temporary import temporary_directory
from kscaffold.records import dataclass

_BASE = "base"
_OURS = "yours"
_THEIRS = "template"
_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Merged:
    """The text, and in how many places both sides stand in it."""

    content: bytes
    conflicts: int


def is_text(content: bytes) -> bool:
    """Whether lines can be merged. Any encoding will do that has ASCII in it."""
    return b"\0" not in content


def diff3(base: bytes, ours: bytes, theirs: bytes) -> Merged:
    """Merge what both sides changed since `base`. The line ends are ours, where all of ours are alike."""
    windows = _is_windows(ours)
    if _ends_are_ours(ours, base, theirs):
        base, ours, theirs = _unix(base), _unix(ours), _unix(theirs)
    ends = [not content or content.endswith(b"\n") for content in (base, ours, theirs)]
    # Each byte a character: diff3's answer comes back through UTF-8, and what is there may be anything. Each
    # line ended: diff3 would put a marker behind one that is not.
    with temporary_directory() as directory:
        for name, content, ended in zip((_BASE, _OURS, _THEIRS), (base, ours, theirs), ends, strict=True):
            text = content.decode("latin-1") + ("" if ended else "\n")
            (directory / name).write_bytes(text.encode())
        # -E: what both changed alike is no conflict.
        asked = process.run(
            ["diff3", "-m", "-E", "-a", _OURS, _BASE, _THEIRS], cwd=directory, timeout=_SECONDS
        )
    if asked.returncode > 1:
        raise OSError(0, f"diff3: {asked.stderr.strip()}")
    merged = asked.stdout.encode("latin-1")
    conflicts = merged.count(_marker("<", _OURS)) - ours.count(_marker("<", _OURS)) if asked.returncode else 0
    if not asked.returncode and not (ends[2] if ends[0] == ends[1] else ends[1]):
        merged = merged.removesuffix(b"\n")
    return Merged(_with_returns(merged) if windows else merged, max(conflicts, asked.returncode))


def diff2(ours: bytes, theirs: bytes) -> Merged:
    """Merge two texts whose common base is not known: all that differs stands between markers."""
    windows = _is_windows(ours)
    if _ends_are_ours(ours, theirs):
        ours, theirs = _unix(ours), _unix(theirs)
    mine, other = _lines(ours), _lines(theirs)
    out: list[bytes] = []
    conflicts = 0
    for tag, a, b, c, d in difflib.SequenceMatcher(None, mine, other, autojunk=False).get_opcodes():
        if tag == "equal":
            out += mine[a:b]
            continue
        conflicts += 1
        out += [_marker("<", _OURS), *_ended(mine[a:b]), b"=======\n"]
        out += [*_ended(other[c:d]), _marker(">", _THEIRS)]
    merged = b"".join(out)
    return Merged(_with_returns(merged) if windows else merged, conflicts)


def is_same(ours: bytes, base: bytes) -> bool:
    """Whether a text is still the one it was, but perhaps for its line ends."""
    return ours == base or (_ends_are_ours(ours, base) and _unix(ours) == _unix(base))


def is_marked(content: bytes) -> bool:
    """Whether both sides of a conflict are still in a text."""
    return all(
        re.search(rb"^%b\r?$" % _marker(sign, label).rstrip(), content, re.MULTILINE)
        for sign, label in (("<", _OURS), (">", _THEIRS))
    )


def _marker(sign: str, label: str) -> bytes:
    return f"{sign * 7} {label}\n".encode()


def _lines(content: bytes) -> list[bytes]:
    return re.findall(rb"[^\n]*\n|[^\n]+", content)


def _ended(lines: list[bytes]) -> list[bytes]:
    """The lines with the last one ended, so that a marker has a line of its own."""
    return [line if line.endswith(b"\n") else line + b"\n" for line in lines]


def _is_windows(content: bytes) -> bool:
    return 0 < content.count(b"\n") == content.count(b"\r\n")


def _ends_are_ours(ours: bytes, *others: bytes) -> bool:
    """Whether lines are the same whatever ends them, and all get our end: each text, or ours at least with
    carriage returns, has one kind throughout."""
    return _is_windows(ours) or (
        b"\n" in ours and all(b"\r\n" not in text or _is_windows(text) for text in (ours, *others))
    )


def _unix(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n")


def _with_returns(content: bytes) -> bytes:
    return content.replace(b"\n", b"\r\n")

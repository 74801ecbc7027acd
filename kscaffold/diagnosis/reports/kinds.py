"""The kinds of reports, in the words of KASAN, UBSAN and lockdep: a table."""

from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of report. `code`: its catalogue entry. `head`: the line it begins with; `{where}` is the place
    in code, `{source}` the place in the source, `{count}` and `{size}` of what leaked.
    """

    code: str
    head: str


def _memory(code: str, kind: str) -> tuple[str, Kind]:
    return kind, Kind(code, f"BUG: KASAN: {kind} in {{where}}")


def _undefined(code: str, kind: str) -> tuple[str, Kind]:
    return kind, Kind(code, f"UBSAN: {kind} in {{source}}")


KINDS: dict[str, Kind] = dict((
    _memory("KS701", "slab-out-of-bounds"),
    _memory("KS702", "vmalloc-out-of-bounds"),
    _memory("KS703", "page-out-of-bounds"),
    _memory("KS704", "global-out-of-bounds"),
    _memory("KS705", "use-after-free"),
    _memory("KS706", "double-free"),
    _memory("KS707", "invalid-free"),
    _memory("KS708", "alloc-dealloc-mismatch"),
    ("memory-leak", Kind("KS709", "BUG: memory leak: {count} of {size} bytes, never freed")),
    _undefined("KS710", "array-index-out-of-bounds"),
    _undefined("KS711", "shift-out-of-bounds"),
    _undefined("KS712", "division-overflow"),
    _undefined("KS713", "invalid-load"),
    _undefined("KS714", "misaligned-access"),
    _undefined("KS715", "unreachable"),
    _undefined("KS716", "vla-bound-not-positive"),
    ("out-of-bounds", Kind("KS717", "BUG: KASAN: out-of-bounds in {where}")),
    (
        "sleeping-while-atomic",
        Kind("KS720", "BUG: sleeping function called from invalid context at {source}"),
    ),
    ("recursive-locking", Kind("KS721", "WARNING: possible recursive locking detected")),
    ("circular-locking", Kind("KS722", "WARNING: possible circular locking dependency detected")),
    ("inconsistent-lock-state", Kind("KS723", "WARNING: inconsistent lock state")),
    ("unlock-by-another", Kind("KS724", "WARNING: lock released by a task that does not hold it")),
    ("bad-unlock-balance", Kind("KS725", "WARNING: bad unlock balance detected")),
    ("lock-held-on-return", Kind("KS726", "WARNING: lock held when returning")),
    ("held-lock-freed", Kind("KS727", "WARNING: held lock freed")),
    ("lock-held-at-unload", Kind("KS728", "WARNING: lock still held when its module was unloaded")),
    ("lock-not-initialized", Kind("KS729", "BUG: lock used without being initialized")),
))  # fmt: skip

"""A build error of a pasted log whose name is one that changed inside the kernel."""

from collections.abc import Sequence

from kscaffold.explain import release as releases
from kscaffold.make.api_changes import ApiChange, changes_for
from kscaffold.records import dataclass, replace

# What compiler and modpost say of a name that they do not find, and of one that they find otherwise.
_MISSING = frozenset({"KS114", "KS116", "KS118", "KS140", "KS141", "KS142", "KS153"})
CODES = _MISSING | {"KS107", "KS119", "KS143", "KS145"}
# An error's line with what the compiler shows below it.
_BLOCK = 8


@dataclass(frozen=True, slots=True)
class Advice:
    """What to say of a change: `cause` and `fix` for KS119."""

    cause: str
    fix: str


def advice(code: str, lines: Sequence[str], first: int, release: str | None) -> Advice | None:
    """What is known of the change that the error at `lines[first]` is about; None: nothing.

    `release`: the release of the kernel that the log names, if it names one. Distributions backport
    changes: where the compiler does not find a name that was removed after that release, the compiler is
    right.
    """
    block = "\n".join(lines[first : first + _BLOCK])
    version = releases.series(release) if release else ()
    found = changes_for(block, version)
    if not found and code in _MISSING and version:
        gone = (c for c in changes_for(block, ()) if c.use and c.kind != "new" and not c.is_in(version))
        found = tuple(replace(c, seen=True) for c in gone)
    return _of(found[0], version, release or "") if found else None


def _of(change: ApiChange, version: tuple[int, ...], release: str) -> Advice:
    return Advice(change.cause(version, release), change.fix(version))

"""Which kernel a pasted log is of, from the paths and words that name a release."""

import re
from collections.abc import Iterable

_RELEASE = r"(?P<release>[2-9]\.\d{1,2}(?:\.\d{1,3})?(?:[-.+_~][\w.+~-]{0,60})?)"
# From what says it surest to what says it least.
_NAMED = tuple(
    re.compile(pattern)
    for pattern in (
        rf"/lib/modules/{_RELEASE}/",
        rf"(?:for|on) kernel:? {_RELEASE}(?=[\s.,:;)]|$)",
        rf"/usr/src/(?:linux-headers-|linux-|kernels/)(?:linux-)?{_RELEASE}(?=[/'\s:\]]|$)",
        rf"^Linux (?:version )?(?:\S{{1,64}} )?{_RELEASE} ",
        rf"^vermagic:\s{{1,20}}{_RELEASE} ",
        rf"(?:Not tainted|Tainted: [A-Z ]{{1,30}}?) ?{_RELEASE} #",
        rf"(?:failed for|headers of|kernel version):? {_RELEASE}(?=[\s.,:;)]|$)",
        rf"\blinux-{_RELEASE}/",
    )
)
_MAX_LINES = 5000


def release_of_log(lines: Iterable[str]) -> str | None:
    """The release (`6.16.0-3-MANJARO`) that the log names, or None where it names none."""
    known = [line[:400] for line, _ in zip(lines, range(_MAX_LINES), strict=False)]
    for pattern in _NAMED:
        for line in known:
            if found := pattern.search(line):
                return found["release"].rstrip(".-")
    return None


def series(release: str) -> tuple[int, int]:
    """`6.16.0-3-MANJARO` as (6, 16)."""
    major, minor = re.findall(r"\d+", release)[:2]
    return int(major), int(minor)

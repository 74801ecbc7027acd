"""Which line above has the reason, where the last words of make, or of the kernel for a probe, have none."""

import re
from collections.abc import Mapping, Sequence

from kscaffold.diagnosis import errnos

# How far above make's words the reason is looked for; a compiler's error shows its source below itself.
_REACH = 400
_MAKE_LOG = re.compile(r"/[\w./+~-]{1,300}/make\.log\b")
# And how far above the kernel's words for a probe what the driver said of the device.
_NEAR = 30
# From what surely is a reason to what may be one.
_REASONS = (
    re.compile(
        r"(?<![\w-])(?:[Ee]rror|ERROR|fatal)(?::| -| \d{1,5}:) ?\S|\bundefined reference\b"
        r"|^error(?:\[E\d+\])?:"
    ),
    re.compile(r"\*\*\* (?!\[|Waiting for unfinished|Deleting )\S"),
    re.compile(
        r": (?:command )?not found$|No such file or directory$|Permission denied|[Cc]annot |[Cc]an't |"
        r"[Ff]ailed\b|Argument list too long$|[Uu]nknown |[Ii]nvalid |[Kk]illed$|"
        r"Segmentation fault|(?<!Error) \d{1,3}: .{1,40} not "
    ),
)


def before(lines: Sequence[str], index: int) -> str | None:
    """The nearest line above `index` that tells a reason, else one below; None where none does."""
    above = lines[max(0, index - _REACH) : index]
    below = lines[index + 1 : index + 40]
    for pattern in _REASONS:
        for line in (*reversed(above), *below):
            if pattern.search(line[:1024]) and not re.match(r"make(?:\[\d+\])?: \*\*\* \[", line):
                return line.strip()
    return None


def make_log(lines: Sequence[str], index: int) -> str | None:
    """The make.log that dkms names near its own complaint; None where it names none."""
    near = lines[max(0, index - _NEAR) : index + _NEAR]
    return next((hit[0] for line in near if (hit := _MAKE_LOG.search(line[:1024]))), None)


def of_probe(lines: Sequence[str], index: int, groups: Mapping[str, str]) -> str:
    """What to say of a probe that failed, behind the number it returned: the errno's name, and the nearest
    line above `index` in which the driver speaks of the device. Empty where the log has several probes.
    """
    device, driver = groups.get("device", ""), groups.get("driver", "")
    name = errnos.name(int(number)) if (number := groups.get("errno", "").lstrip("-")).isdecimal() else None
    if ", " in device + driver or not device:
        return ""
    said = f" ({name})" if name else ""
    about = re.compile(rf"(?:^|[\s(]){re.escape(device)}: |^{re.escape(driver)}(?:[ :]|\[)")
    for line in reversed(lines[max(0, index - _NEAR) : index]):
        if about.search(line[:1024]) and not re.search(r"taint|verification failed", line):
            return f"{said}; before that: {line.strip()[:200]}"
    return said

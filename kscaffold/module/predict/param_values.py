"""Values of module parameters, taken or refused as the kernel does (kernel/params.c, lib/kstrtox.c)."""

import re

from kscaffold.elf.model import ModuleParameter
from kscaffold.module.predict.finding import UNSURE

RANGES = {
    "byte": (0, 2**8 - 1),
    "short": (-(2**15), 2**15 - 1),
    "ushort": (0, 2**16 - 1),
    "int": (-(2**31), 2**31 - 1),
    "uint": (0, 2**32 - 1),
    "hexint": (0, 2**32 - 1),
    "long": (-(2**63), 2**63 - 1),
    "ulong": (0, 2**64 - 1),
    "ullong": (0, 2**64 - 1),
}
"""Type as parmtype says it → smallest and largest value."""
_DIGITS = {8: r"[0-7]+", 10: r"[0-9]+", 16: r"[0-9a-fA-F]+"}
_LONGEST_CHARP = 1024


Version = tuple[int, int] | None


def refusal(parameter: ModuleParameter, value: str | None, bits: int, version: Version = None) -> str | None:
    """The errno's name for a value that the kernel refuses; None where it takes it; UNSURE where the
    module's own code decides. `value` None: the name stood alone. `bits`: of a `long`. `version` of the
    kernel, None where it is not known.
    """
    kind = parameter.type
    if kind is None:
        return UNSURE
    if value is None:
        # Those with KERNEL_PARAM_OPS_FL_NOARG.
        return None if kind in ("bool", "bool_enable_only", "bint") else "EINVAL"
    if kind.startswith("array of "):
        return _array(parameter, kind.removeprefix("array of "), value, (bits, version))
    if kind == "string":
        if parameter.limit is None:
            return UNSURE
        return "ENOSPC" if len(value.encode()) + 1 > parameter.limit else None
    return _single(kind, value, bits, version)


def _array(parameter: ModuleParameter, kind: str, value: str, kernel: tuple[int, Version]) -> str | None:
    for number, element in enumerate(value.split(",")):
        if parameter.limit is not None and number >= parameter.limit:
            return "EINVAL"
        refused = _single(kind, element, *kernel)
        if refused is not None:
            return refused
    return None if parameter.limit is not None else UNSURE


def _single(kind: str, value: str, bits: int, version: Version) -> str | None:
    if kind in RANGES:
        least, most = RANGES[kind]
        if kind in ("long", "ulong") and bits == 32:
            least, most = (-(2**31), 2**31 - 1) if kind == "long" else (0, 2**32 - 1)
        return _number(value, least, most)
    if kind in ("bool", "invbool", "bint"):
        return _truth(value, version)
    if kind == "charp":
        return "ENOSPC" if len(value.encode()) > _LONGEST_CHARP else None
    return UNSURE


def _number(value: str, least: int, most: int) -> str | None:
    """kstrtoll() and kstrtoull() with base 0: overflow is reported before trailing rubbish."""
    negative = least < 0 and value.startswith("-")
    text = value[1:] if negative or value.startswith("+") else value
    base = 10
    if text.startswith("0"):
        base = 16 if re.match(r"0[xX][0-9a-fA-F]", text) else 8
    if base == 16:
        text = text[2:]
    digits = re.match(_DIGITS[base], text)
    if digits is None:
        return "EINVAL"
    # Python would refuse to read thousands of digits.
    number = int(digits[0].lstrip("0")[:65] or "0", base)
    if number >= 2**64:
        return "ERANGE"
    if text[digits.end() :] not in ("", "\n"):
        return "EINVAL"
    number = -number if negative else number
    return None if least <= number <= most else "ERANGE"


def _truth(value: str, version: Version) -> str | None:
    """kstrtobool(): the first letter decides, of `on` and `off` the second."""
    first = value[:1].lower()
    if first and first in "yn10":
        return None
    if first == "o":
        return None if value[1:2].lower() in ("n", "f") else "EINVAL"
    if first and first in "tf" and version is not None:
        return None if version >= (5, 19) else "EINVAL"  # true, false
    if first and first in "ed" and version is not None and version <= (6, 12):
        return "EINVAL"  # enable, disable: of the newest only
    return UNSURE if first and first in "tfed" else "EINVAL"

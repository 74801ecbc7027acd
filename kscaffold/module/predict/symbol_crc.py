"""CRCs of symbols (MODVERSIONS): was the module built against the interface that the kernel has?

Source: check_version() in kernel/module/version.c.
"""

from typing import Literal

from kscaffold.kernel.symvers import Exported
from kscaffold.module.predict.question import Question

CrcMismatch = Literal["unversioned", "other-version"]


def crc_mismatch(question: Question, symbol: str, exported: Exported) -> CrcMismatch | None:
    """How the module's CRC of a symbol differs from the kernel's; None where both agree, or where the kernel or
    the module has no CRCs at all and so none is compared.
    """
    versions = question.ko.versions
    if question.kernel.has("MODVERSIONS") is False or versions is None:
        return None
    crc = versions.get(symbol)
    if crc == exported.crc:
        return None
    return "unversioned" if crc is None else "other-version"

"""Where make looked for the target `modules` in vain: in a kernel's build tree, or in another directory."""

import re
from collections.abc import Sequence

from kscaffold import lazy

_REACH = 40  # lines above make's complaint
_ENTERED = lazy.pattern(
    r"^make(?:\[\d{1,3}\])?: Entering directory ['`‘]([^'’\n]{1,300})['’]"
    r"|^\$? ?(?:sudo )?make .{0,200}?-C ?(\S{1,300})"
)
_KERNELS = lazy.pattern(r"/lib/modules/|linux-(?:headers|kbuild|obj)|/usr/src/(?:linux|kernels)|/build/?$")
_CALL = "make -C /lib/modules/$(uname -r)/build M=$PWD modules, in the module's directory"


def of_target(lines: Sequence[str], index: int) -> tuple[str, str] | None:
    """Cause and fix of "No rule to make target 'modules'" in line `index`; None where make was sent to a
    kernel's tree.
    """
    if "target" not in lines[index]:
        return None
    hits = (_ENTERED.search(line[:600]) for line in reversed(lines[max(0, index - _REACH) : index]))
    hit = next((h for h in hits if h), None)
    if hit:
        place = hit[1] or hit[2]
        if _KERNELS.search(place):
            return None
        return f"make looked in {place}, and the kernel's Makefile is not there", _CALL
    if not re.match(r"make: ", lines[index]):
        return None
    cause = (
        "make was called in the module's own directory, whose Makefile has no target modules; or it was sent"
        " (-C) to a build tree that is empty"
    )
    return cause, f"{_CALL}; where that is what was called, install the headers package of the kernel"

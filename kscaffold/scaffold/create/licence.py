"""The licences a project can have: SPDX expression, what MODULE_LICENSE says, the texts."""

from kscaffold.errors import UsageError
from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class Licence:
    """`spdx`: the expression on a file's first line. `module`: the word the kernel knows
    (include/linux/module.h lists them). `texts`: files of templates/licences, joined into LICENSE."""

    spdx: str
    module: str
    texts: tuple[str, ...]


# Each lets the module use symbols that are exported for GPL modules only.
LICENCES = (
    Licence("GPL-2.0-only", "GPL", ("GPL-2.0",)),
    Licence("GPL-2.0-or-later", "GPL", ("GPL-2.0",)),
    Licence("GPL-2.0-only OR MIT", "Dual MIT/GPL", ("MIT", "GPL-2.0")),
    Licence("GPL-2.0-only OR BSD-2-Clause", "Dual BSD/GPL", ("BSD-2-Clause", "GPL-2.0")),
    Licence("GPL-2.0-only OR BSD-3-Clause", "Dual BSD/GPL", ("BSD-3-Clause", "GPL-2.0")),
)

# Other spellings that people give: MODULE_LICENSE's words, SPDX's old identifiers, short names.
_ALSO = {
    "gpl": "GPL-2.0-only",
    "gpl v2": "GPL-2.0-only",
    "gpl-2.0": "GPL-2.0-only",
    "gpl-2.0+": "GPL-2.0-or-later",
    "mit": "GPL-2.0-only OR MIT",
    "dual mit/gpl": "GPL-2.0-only OR MIT",
    "bsd": "GPL-2.0-only OR BSD-3-Clause",
    "bsd-2-clause": "GPL-2.0-only OR BSD-2-Clause",
    "bsd-3-clause": "GPL-2.0-only OR BSD-3-Clause",
    "dual bsd/gpl": "GPL-2.0-only OR BSD-3-Clause",
}


def find_licence(name: str) -> Licence:
    """The licence of that name, in any case. Raises UsageError that lists them."""
    asked = " ".join(name.split()).lower()
    wanted = _ALSO.get(asked, asked).lower()
    for licence in LICENCES:
        if licence.spdx.lower() == wanted:
            return licence
    raise UsageError(
        "KS023",
        f"{name!a} is not a licence kscaffold knows",
        cause="the kernel keeps most of its symbols for modules with a licence that goes with the GPL",
        fix="--license " + " | ".join(f'"{x.spdx}"' if " " in x.spdx else x.spdx for x in LICENCES),
    )

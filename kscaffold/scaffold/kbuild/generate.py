"""The text of Kbuild and Makefile. Pure: the one generator of both, for every project."""

from collections.abc import Sequence

from kscaffold.records import dataclass

_WIDTH = 80

_MAKEFILE = """\
# SPDX-License-Identifier: {spdx}
#
# What is built is said in the file Kbuild. This one is for people: it hands
# the work to the kernel's own make.

# The kernel to build for; another one with: make KDIR=/path/to/its/build
KDIR ?= /lib/modules/$(shell uname -r)/build

# CURDIR, not PWD: sudo drops PWD, and with an empty M= make would turn to the
# kernel itself.
all:
\t$(MAKE) -C $(KDIR) M=$(CURDIR) modules

clean:
\t$(MAKE) -C $(KDIR) M=$(CURDIR) clean

.PHONY: all clean
"""


@dataclass(frozen=True, slots=True)
class ModuleSpec:
    """A module and what it is linked from: stems without `.o`. No objects: its one source is NAME.c."""

    name: str
    objects: tuple[str, ...] = ()


def kbuild(modules: Sequence[ModuleSpec], spdx: str) -> str:
    """The Kbuild of a project.

    Raises ValueError where Kbuild would build something else than what is asked: a composite that
    lists itself is never compiled (make drops the circle).
    """
    for module in modules:
        if module.name in module.objects:
            raise ValueError(f"{module.name} can't be linked from an object of its own name")
    lines = [f"# SPDX-License-Identifier: {spdx}", _assignment("obj-m", [m.name for m in modules])]
    lines += [_assignment(f"{m.name}-objs", m.objects) for m in modules if m.objects]
    return "\n".join(lines) + "\n"


def makefile(spdx: str) -> str:
    """The Makefile of a project: `all` and `clean`, for any KDIR, also under `sudo make`."""
    return _MAKEFILE.format(spdx=spdx)


def _assignment(variable: str, stems: Sequence[str]) -> str:
    """`variable := a.o b.o`, continued on further lines where it gets long."""
    lines = [f"{variable} :="]
    for stem in stems:
        word = f" {stem}.o"
        if len(lines[-1]) + len(word) + 2 > _WIDTH and lines[-1].strip():
            lines.append("\t" + word.strip())
        else:
            lines[-1] += word
    return " \\\n".join(lines)

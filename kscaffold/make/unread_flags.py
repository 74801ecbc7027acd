"""Options for the compiler that a project gives by EXTRA_CFLAGS, which newer kernels do not look at."""

import re

from kscaffold.files import reader
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.make.report import BuildExplanation
from kscaffold.project.project import Project

_GIVEN = re.compile(r"^[ \t]*+(?:(?:export|override)[ \t]++)*+EXTRA_CFLAGS[ \t]*+[:+?]*+=([^\n]*)", re.M)


def knows_extra_cflags(tree: BuildTree) -> bool:
    """Whether a kernel's Kbuild looks at EXTRA_CFLAGS (until Linux 6.14), asked of its scripts."""
    try:
        return "EXTRA_CFLAGS" in reader.read_text(tree.source / "scripts/Makefile.lib")
    except OSError:
        return True


def unread_flag(block: list[str], project: Project, tree: BuildTree) -> BuildExplanation | None:
    """The explanation of an error that an option in EXTRA_CFLAGS was to prevent: a warning that it switches
    off, or a macro that it defines. `block`: the first error and what belongs to it. None where it is another
    one, or the kernel looks at EXTRA_CFLAGS.
    """
    seen = set(re.findall(r"\[-W(?:error=)?([\w+-]+?)=?\]|['‘](\w+)['’] undeclared", "".join(block[:1])))
    words = {word for pair in seen for word in pair if word}
    if not words or knows_extra_cflags(tree):
        return None
    for file in project.read:
        given = (
            " ".join(_GIVEN.findall(reader.read_text(file).replace("\\\n", " "))) if file.is_file() else ""
        )
        for option, word in re.findall(r"(-Wno-(?:error=)?([\w+-]+)|-D *['\"]?\w+)", given):
            if (word or re.sub(r"\W", "", option.removeprefix("-D"))) in words:
                what = f"{option} of EXTRA_CFLAGS is not given to the compiler"
                cause = f"EXTRA_CFLAGS is no longer read since Linux 6.15, and this is {tree.name}"
                fix = f"write ccflags-y instead of EXTRA_CFLAGS in {file.name}"
                return BuildExplanation("KS107", what, cause, fix)
    return None

"""What a look at a module found, and what it means for loading it."""

from typing import Literal

from kscaffold.arch import table
from kscaffold.records import dataclass

UNSURE = "unsure"
# The fix for a file that no build of today's sources would make.
REBUILD = "kscaffold clean && kscaffold build"

Level = Literal["error", "warn", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to tell about a module.

    `code`: a catalogue entry. `stage`: the stage of the load where it shows, None where it shows at none.
    `errno`: what the kernel refuses the module with at that stage; None where the kernel would not refuse
    it, UNSURE where nobody can tell from outside.
    """

    code: str
    level: Level
    stage: str | None
    message: str
    fix: str | None = None
    errno: str | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """Whether a kernel will take a module: `loads` None where that can't be known.

    "Loads" means up to its init, whose return value nobody can predict. `stage` and `errno`: where the
    kernel would refuse the module, and with what.
    """

    loads: bool | None
    stage: str | None = None
    errno: str | None = None
    findings: tuple[Finding, ...] = ()


UNKNOWN = Prediction(None)


def foreign_fix(machine: str) -> str:
    """What mends a load of a module of another machine, as `uname -m` says it."""
    known = table.by_uname(machine)
    here = "build it for the kernel that shall load it"
    return f"--arch {known.debian} is a kernel of its machine; or {here}" if known else here

"""What a look at a module found, and what it means for loading it."""

from dataclasses import dataclass
from typing import Literal

UNSURE = "unsure"

Level = Literal["error", "warn", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to tell about a module.

    `code`: a catalogue entry. `stage`: where in the load it shows, None where it does not. `errno`: what
    the kernel refuses the module with there; None where it would not refuse it, UNSURE where nobody can
    tell from outside.
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

    "Loads" means up to its init, whose return value nobody can predict. `stage` and `errno`: where it
    would be refused, and with what.
    """

    loads: bool | None
    stage: str | None = None
    errno: str | None = None
    findings: tuple[Finding, ...] = ()


UNKNOWN = Prediction(None)

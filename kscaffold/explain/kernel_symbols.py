"""Symbols that no module could export: functions and variables of the kernel proper.

Whoever meets `Unknown symbol` for one of them can't load another module first: the kernel that runs does not
export it, because it never did, does no more, or was built with a list of the exports that it keeps.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from kscaffold.records import dataclass

_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Advice:
    """Cause and fix for KS204."""

    cause: str
    fix: str


@cache
def _known() -> Mapping[str, str]:
    text = Path(__file__).with_name("kernel_symbols.toml").read_text(encoding="utf-8")
    groups = tomllib.loads(text)
    return {name: group["note"] for group in groups.values() for name in group["names"].split()}


def advice(groups: Mapping[str, str]) -> Advice | None:
    """What to say where a log misses symbols of the kernel proper; None where it misses none."""
    names = [n for n in groups.get("symbol", "").split(", ") if n]
    own = [n for n in names if n in _known()]
    if not own:
        return None
    shown = ", ".join(own[:_SHOWN]) + (f" and {len(own) - _SHOWN} more" if len(own) > _SHOWN else "")
    one = len(own) == 1
    notes = "; ".join(dict.fromkeys(_known()[n] for n in own if _known()[n]))
    cause = f"{shown} {'is' if one else 'are'} of the kernel proper, and this kernel does not export "
    cause += "it to modules" if one else "them to modules"
    cause += f" ({notes})" if notes else ""
    it = "it" if one else "them"
    fix = f"no module that could be loaded first exports {it}; do without {it}, or take another kernel"
    fix += " (some are for GPL-compatible modules only: see MODULE_LICENSE)"
    if rest := [n for n in names if n not in own]:
        cause += f"; besides, nothing that is loaded exports {', '.join(rest[:_SHOWN])}"
    return Advice(cause, fix)

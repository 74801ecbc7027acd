"""The kernel's functions that can fail, from helpers/faults/calls.toml, and what the helper is built with."""

import functools
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

from kscaffold.diagnosis import errnos
from kscaffold.files import reader
from kscaffold.records import dataclass

PREFIX = "kf_"
"""An entry's name is the kernel function's with this before it."""
_TABLE = Path(__file__).parent / "helpers/faults/calls.toml"


@dataclass(frozen=True, slots=True)
class Failure:
    """How a function fails. `returns`: a C expression, or `argument N`. `gfp`: the number of its argument
    with the gfp flags, -1 for none. `begin`: the helper's function that does what is done before the failure.
    """

    returns: str
    gfp: int = -1
    begin: str = "NULL"

    @property
    def errno(self) -> int | None:
        """The errno that the caller learns, positive; None where the failure has none."""
        return errnos.number(self.returns[1:]) if self.returns.startswith("-E") else None


@functools.cache
def failures() -> Mapping[str, Failure]:
    """How each function fails, by the name that the kernel exports."""
    table = tomllib.loads(reader.read_text(_TABLE))
    found: dict[str, Failure] = {}
    for group in table["failure"]:
        failure = Failure(group["returns"], group.get("gfp", -1), group.get("begin", "NULL"))
        found.update(dict.fromkeys(group["names"].split(), failure))
    return MappingProxyType(found)


@functools.cache
def _source_names() -> Mapping[str, str]:
    table = tomllib.loads(reader.read_text(_TABLE))["source"]
    return {name: source for source, names in table.items() for name in names.split()}


def source_name(function: str) -> str:
    """What a source calls a function of the kernel's: `kmalloc` for `__kmalloc`."""
    return _source_names().get(function) or function.removesuffix("_noprof")


def calls_header(exports: Collection[str]) -> str:
    """The text of calls.h: an entry for each of these functions that the kernel exports."""
    lines = [f"KS_CALL({n}, {_values(f)})\n" for n, f in sorted(failures().items()) if n in exports]
    return "".join(lines)


def _values(failure: Failure) -> str:
    word, _, number = failure.returns.partition(" ")
    if word == "argument":
        return f"0, {number}, {failure.gfp}, {failure.begin}"
    return f"{failure.returns}, -1, {failure.gfp}, {failure.begin}"

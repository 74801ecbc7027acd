"""Recorded loads: what real kernels wrote when real modules were loaded (tests/data/loads-*.txt).

Recorded in QEMU guests of Debian's cloud kernels. Each load is `== NAME key=value…`, the records of
/dev/kmsg, then `-- trace` with ftrace's lines and `-- unload status=N` with the records of its unload.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kscaffold.diagnosis import klog, trace
from kscaffold.diagnosis.attempt import Attempt, Facts
from kscaffold.diagnosis.evidence import Evidence
from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.trace import Event

DATA = Path(__file__).resolve().parent.parent / "data"
KERNELS = ("5.10", "6.1", "6.12")


def attempt_and_facts(known: dict[str, Any]) -> tuple[Attempt, Facts]:
    """Takes what belongs to the attempt and to the kernel's facts out of `known`, by the fields' names."""
    if "records" in known:
        known["records"] = tuple(known["records"])
    attempt, facts = (
        {name: known.pop(name) for name in kind.__slots__ if name in known} for kind in (Attempt, Facts)
    )
    return Attempt(**attempt), Facts(**facts)


def evidence(module: str, **known: Any) -> Evidence:
    """Evidence of a load from one flat list of what is known."""
    attempt, facts = attempt_and_facts(known)
    return Evidence(module, attempt, facts, **known)


@dataclass(frozen=True)
class Load:
    """One recorded load."""

    kernel: str
    name: str
    facts: dict[str, str]
    records: list[Record]
    events: list[Event] | None
    unload_status: str | None
    unload_records: list[Record]

    @property
    def module(self) -> str:
        return self.facts["module"]

    def evidence(self, *, traced: bool = True) -> Evidence:
        """As a sandbox would gather it: with the trace, or with no more than whether init was started."""
        errno = self.facts["errno"]
        answered = errno != "-"
        state = self.facts["state"]
        timeline = trace.timeline(self.events) if self.events is not None else None
        return evidence(
            self.module,
            errno=int(errno) if answered else None,
            answered=answered,
            late=self.facts["late"] == "1",
            killed_by=int(self.facts["killed"]) or None,
            records=self.records,
            timeline=timeline if traced else None,
            init_started=None if traced and timeline else self.name in INIT_RAN,
            has_init=True,
            loaded_before=self.name == "again",
            state_before="Loading" if self.name == "oops-again" else None,
            state_after=None if state == "-" else state,
            capable=self.name != "nocap",
            modules_disabled=False,
            signed=self.name == "tampered",
        )


# What the agent in the guest would say of the loads that have no trace here.
INIT_RAN = frozenset(
    [
        "success",
        "init-minus-one",
        "init-enomem",
        "init-positive",
        "init-eexist",
        "param-unknown",
        "noversions",
        "novermagic",
        "magiconly",
        "expa",
        "proprietary",
        "permanent",
        "kobjdup",
        "procleak",
        "procleak-again",
        "cacheleak",
        "fakebug",
        "warn",
        "warnfmt",
        "atomic",
        "preempt",
        "irqoff",
        "refcount",
        "uaf",
        "list",
        "bug",
        "divide",
        "gpf",
        "nx",
        "exitoops",
        "hung-task",
        "soft-lockup",
        "oops",
    ]
)


@cache
def loads(kernel: str) -> dict[str, Load]:
    text = (DATA / f"loads-{kernel}.txt").read_text(encoding="utf-8")
    found: dict[str, Load] = {}
    for part in re.split(r"^== ", text, flags=re.MULTILINE)[1:]:
        head, _, rest = part.partition("\n")
        name, *pairs = head.split()
        sections = re.split(r"^-- (.*)\n", rest, flags=re.MULTILINE)
        extra = dict(zip(sections[1::2], sections[2::2], strict=True))
        unload = next((k for k in extra if k.startswith("unload")), None)
        load = Load(
            kernel,
            name,
            dict(pair.split("=", 1) for pair in pairs),
            klog.parse_kmsg(sections[0]),
            trace.parse_trace(extra["trace"]) if "trace" in extra else None,
            unload.partition("status=")[2] if unload else None,
            klog.parse_kmsg(extra[unload]) if unload else [],
        )
        assert name not in found or found[name].facts == load.facts, name
        found[name] = load
    return found

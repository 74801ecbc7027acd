"""Whether the guests of a test are clean at its end, and what the report of a failed test tells of them."""

import itertools
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from kscaffold.diagnosis.crash import Complaint
from kscaffold.load.flaws import Flaw
from kscaffold.testing.guest import Guest
from kscaffold.testing.ktap import results

EXAMINATION = Path(__file__).with_name("examination.py")
"""The tests of a project that has none."""


def judge(guests: Sequence[Guest], wanted: Sequence[str]) -> str | None:
    """Why a test fails at its end although nothing in it failed; None for no reason. `wanted`: the complaints
    that its markers name, each a kind or a regular expression.

    This is the one place that says what a clean guest is.
    """
    flaws = [flaw for guest in guests for flaw in guest.flaws()]
    seen: list[Complaint | Flaw] = [*(one for guest in guests for one in guest.complaints()), *flaws]
    missing = [which for which in wanted if not any(_is(one, which) for one in seen)]
    lines = unwanted_complaints(guests, wanted, "")
    lines += [
        f"not clean: {one.text} ({one.code})" + (f", {one.where}" if one.where else "")
        for one in flaws
        if not any(_is(one, which) for which in wanted)
    ]
    lines += [
        f"{one.name}: not ok{f' ({one.text.splitlines()[-1]})' if one.text else ''}"
        for guest in guests
        for one in results(record.text for record in guest.evidence.records)
        if one.outcome == "failed"
    ]
    lines += [f"the kernel was to complain of {which!r}, and did not" for which in missing]
    if not lines and any(guest.evidence.lost for guest in guests) and not wanted:
        lines = ["the guest was lost: its kernel crashed, or hangs"]
    return "\n".join(lines) or None


def unwanted_complaints(guests: Sequence[Guest], wanted: Sequence[str], text: str) -> list[str]:
    """A sentence for each complaint of the kernels that no marker names. `wanted` as for judge(). `text`:
    the failure's, and what it has of them is not repeated.
    """
    found = [complaint for guest in guests for complaint in guest.complaints()]
    return [
        f"the kernel complained: {one.summary}" + (f" ({one.where})" if one.where else "")
        for one in found
        if not any(_is(one, which) for which in wanted) and not (text and one.summary in text)
    ]


def _is(one: Complaint | Flaw, which: str) -> bool:
    """Whether a marker names it: by its kind, its code, or words of it."""
    return which in (one.kind, getattr(one, "code", None)) or re.search(which, one.text) is not None


def sections(guests: Sequence[Guest], most: int, *, sanitized: bool) -> list[tuple[str, str]]:
    """The sections that the report of a failed test gets, each a title and a text. `most`: lines of a log;
    `sanitized`: the test's modules were copies that the sanitizer looks into.
    """
    parts = []
    for number, guest in enumerate(guests, 1):
        which = f" {number}" if len(guests) > 1 else ""
        seen = guest.evidence
        if seen.place:
            mark = [f"{'>' if n == seen.place.line else ' '} {n:>4} | {text}" for n, text in seen.place.lines]
            head = f"{seen.place}, {seen.place.function}()"
            parts.append((f"source line{which}", "\n".join((head, *mark))))
        lines = guest.log()
        if len(lines) > most:
            half = most // 2
            lines = [*lines[:half], f"… ({len(lines) - most} lines)", *lines[-half:]]
        if lines:
            parts.append((f"kernel log{which} ({guest.kernel.name})", "\n".join(lines)))
        if seen.stack:
            parts.append((f"kernel stack{which}", seen.stack.rstrip()))
        if seen.trace:
            parts.append((f"stages of the last load{which}", seen.trace))
        if seen.commands:
            parts.append((f"by hand{which}", _by_hand(guest, sanitized=sanitized)))
    return parts


def source_of(guests: Sequence[Guest], project: Path) -> str | None:
    """FILE:LINE of the first complaint, from the project's directory; None where no line is known."""
    for guest in guests:
        place = guest.evidence.place
        if place and (found := _in_project(str(place), guest, project)):
            return found
    return None


def guess_of(guests: Sequence[Guest], project: Path) -> str | None:
    """FILE:LINE of the call that probably made what the first flaw tells of; None where there is none."""
    for guest in guests:
        for flaw in guest.evidence.flaws:
            if flaw.where and (found := _in_project(flaw.where, guest, project)):
                return found
    return None


def _in_project(where: str, guest: Guest, project: Path) -> str | None:
    """A line beside one of the guest's modules, as the project names it."""
    name, _, line = where.rpartition(":")
    for ko in guest.evidence.modules.values() if line.isdigit() else ():
        if (ko.parent / name).is_file():
            # A build apart from the checkout has links to its sources.
            return f"{os.path.relpath((ko.parent / name).resolve(), project)}:{line}"
    return None


def again(test: str, file: Path, release: str, *, sanitized: bool) -> str:
    """The command that runs one test again. `test`: its node's name in `file`."""
    words = ["kscaffold", "test", "--kernel", release, *(["--sanitize"] if sanitized else [])]
    name = test.partition("[")[0]
    if file == EXAMINATION:
        return shlex.join([*words, "-k", name])
    return shlex.join([*words, f"{os.path.relpath(file)}::{name}"])


def _by_hand(guest: Guest, *, sanitized: bool) -> str:
    """The commands that do what the test did, in a new sandbox."""
    release = guest.kernel.release
    devices = "".join(f" --device {shlex.quote(word)}" for word in guest.devices)
    lines = ["kscaffold sandbox stop"]
    for command, _ in itertools.groupby(guest.evidence.commands):  # what waits asks again and again
        verb = command.split(" ", 2)[1]
        rest = command[len("kscaffold ") + len(verb) :]
        looks = " --sanitize" if sanitized and verb == "load" else ""
        words = f"kscaffold {verb} --kernel {release}{devices}{looks}{rest}"
        lines.append(words if verb != "unload" else command)
    return "\n".join(lines)

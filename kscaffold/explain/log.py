"""A pasted log of a kernel or a build: which entries of the catalogue its lines mean, oldest cause first."""

import re
from collections.abc import Sequence

from kscaffold.diagnosis import catalogue, crash, klog
from kscaffold.diagnosis.catalogue import CatalogueMatch, Entry
from kscaffold.diagnosis.crash import Complaint
from kscaffold.diagnosis.klog import Record
from kscaffold.explain import last_words, unwrap
from kscaffold.explain.english import in_english
from kscaffold.explain.release import release_of_log, series
from kscaffold.records import dataclass, replace


@dataclass(frozen=True, slots=True)
class MatchedEntry:
    """An entry with its cause and fix for this log. `lines`: the log's, empty where there is none.

    `where`: `function+offset [module]` of a crash. `more`: what else to paste, empty where nothing.
    """

    entry: Entry
    cause: str
    fix: str
    lines: tuple[str, ...] = ()
    where: str | None = None
    more: str = ""


def plain(entry: Entry) -> MatchedEntry:
    """The entry as it stands in the catalogue."""
    return MatchedEntry(entry, catalogue.filled(entry.cause, {}), catalogue.filled(entry.fix, {}))


def explain_log(text: str) -> tuple[tuple[MatchedEntry, ...], tuple[MatchedEntry, ...]]:
    """The entries that a log's lines mean, and those of them that are harmless, each oldest first.

    A kernel log may stand between lines of make or insmod: every line is looked at in both ways.
    """
    own = [line for line in unwrap.unwrap_log(text) if line.strip()]
    lines = [in_english(line) for line in own]
    records = klog.parse_text("\n".join(lines))
    findings = catalogue.match(records)
    whole = _unwrapped(lines, records, findings)
    if whole != records:
        records = whole
        findings = catalogue.match(records)
    texts = [r.text for r in records]
    release = release_of_log(lines)
    placed = [(f.first, _of_finding(f, texts, release)) for f in findings]
    placed += _of_complaints(crash.complaints(records, _module_in(findings), cut_off=True))
    placed = _merged(sorted(placed, key=lambda pair: pair[0]))
    shown = {one: line for one, line in zip(lines, own, strict=True) if one != line}
    placed = [(i, replace(t, lines=tuple(shown.get(x, x) for x in t.lines))) for i, t in placed]
    folded = tuple(t for _, t in placed if t.entry.noise)
    causes = [t for _, t in placed if not t.entry.noise]
    return tuple(_with_more(t) for t in _exact(_first_of_a_line(causes))), folded


def _with_more(matched: MatchedEntry) -> MatchedEntry:
    """The fix with what else to paste behind it."""
    return (
        replace(matched, fix=f"{matched.fix}. To be sure, paste also: {matched.more}")
        if matched.more
        else matched
    )


def _merged(placed: Sequence[tuple[int, MatchedEntry]]) -> list[tuple[int, MatchedEntry]]:
    """Each code once, and none that another rules out, be it found by its words or by its shape."""
    out = {code for _, t in placed for code in t.entry.rules_out}
    remaining: dict[str, tuple[int, MatchedEntry]] = {}
    for index, one in placed:
        code = one.entry.code
        if code in out:
            continue
        if code in remaining:
            first, known = remaining[code]
            remaining[code] = (first, _both(known, one))
            continue
        remaining[code] = (index, one)
    return list(remaining.values())


def _both(first: MatchedEntry, second: MatchedEntry) -> MatchedEntry:
    """One answer of two of one code: what the words of a report tell has names, its shape has the place."""
    plain_cause = catalogue.filled(first.entry.cause, {})
    named, shaped = (second, first) if first.cause.startswith(plain_cause) else (first, second)
    tail = shaped.cause.removeprefix(plain_cause) if shaped.cause.startswith(plain_cause) else ""
    cause = named.cause if shaped.where and shaped.where in named.cause else named.cause + tail
    return replace(
        named,
        cause=cause,
        lines=tuple(dict.fromkeys((*first.lines, *second.lines))),
        where=first.where or second.where,
        more=first.more if first.more == second.more else "",
    )


# FILE:LINE at the start of a compiler's complaint.
_PLACE = re.compile(r"^(?P<place>[^\s:]{1,300}:\d{1,6}):")


def _first_of_a_line(causes: Sequence[MatchedEntry]) -> list[MatchedEntry]:
    """The causes, of each line of source only the one that the compiler complained of first."""
    seen: set[str] = set()
    remaining = []
    for cause in causes:
        if cause.entry.vague:
            remaining.append(cause)
            continue
        places = [p["place"] for line in cause.lines if (p := _PLACE.match(line))]
        if places and len(places) == len(cause.lines) and set(places) <= seen:
            continue
        seen |= set(places)
        remaining.append(cause)
    return remaining


def _exact(causes: Sequence[MatchedEntry]) -> tuple[MatchedEntry, ...]:
    """The causes, without those that say less than another one: insmod's words beside the kernel's, make's
    beside the compiler's.

    Building and loading are compared each for itself: a build's warning does not say why insmod failed.
    """
    said: set[bool] = {t.entry.stage == "build" for t in causes if not t.entry.vague}
    quoted = {line.strip() for t in causes if t.entry.code != "KS157" for line in t.lines}
    remaining = []
    for cause in causes:
        build = cause.entry.stage == "build"
        if cause.entry.vague and build in said:
            continue
        if cause.entry.code == "KS157" and cause.lines[0] in quoted:
            continue  # make passes on what another answer explains
        remaining.append(cause)
        if build:
            said.add(build)  # of several vague ones the first: make's last words come after
    return tuple(remaining)


def _unwrapped(lines: list[str], records: list[Record], findings: list[CatalogueMatch]) -> list[Record]:
    """The records, with two lines as one where only that means something."""
    if len(records) != len(lines):
        return records
    known = {line for finding in findings for line in finding.lines}
    whole = list(records)
    for index in unwrap.rejoin_wrapped(lines):
        first, second = whole[index], whole[index + 1]
        text = f"{first.text} {second.text.strip()}"
        if not {first.text, second.text} & known and catalogue.match([text]):
            whole[index] = replace(first, text=text)
            whole[index + 1] = replace(second, text="")
    return whole


# Kbuild has no EXTRA_CFLAGS since v6.15; distributions keep that as it is.
_UNREAD = ", or its directory is given to the compiler in EXTRA_CFLAGS, which Linux does not read since 6.15"
_INSTEAD = "where the Makefile has EXTRA_CFLAGS, write ccflags-y for it; "

# A build that failed: of something else than a warning.
_FAILED = re.compile(r"^make(?:\[\d{1,3}\])?: \*\*\* |\b[Ee]rror: ")


def _of_finding(finding: CatalogueMatch, lines: Sequence[str], release: str | None) -> MatchedEntry:
    # start-up time: most logs are of loads
    from kscaffold.explain import api_change, kernel_symbols, make_directory
    from kscaffold.make.generated import of_modpost

    matched = MatchedEntry(finding.entry, finding.cause, finding.fix, finding.lines, more=finding.entry.more)
    code = finding.entry.code
    if code in api_change.CODES and (known := api_change.advice(code, lines, finding.first, release)):
        changed = catalogue.entry("KS119")
        assert changed is not None
        return replace(matched, entry=changed, cause=known.cause, fix=known.fix)
    if code in ("KS204", "KS114") and (symbols := kernel_symbols.advice(finding.groups)):
        return replace(matched, cause=symbols.cause, fix=symbols.fix)
    if code == "KS111" and (made := of_modpost(finding.groups["stem"])):
        return replace(matched, cause=made[0], fix=made[1])
    if code == "KS137" and (place := make_directory.of_target(lines, finding.first)):
        return replace(matched, cause=place[0], fix=place[1])
    if code == "KS520" and (place := make_directory.of_dkms(lines, finding.first)):
        return replace(matched, cause=place[0], fix=place[1])
    if code == "KS520" and (command := make_directory.headers_command(release or "")):
        _, _, others = finding.fix.partition(", or ")
        return replace(matched, fix=f"{command}, or {others}")
    if code == "KS118" and release and series(release) >= (6, 15):
        return replace(matched, cause=f"{matched.cause}{_UNREAD}", fix=f"{_INSTEAD}{matched.fix}")
    if code == "KS150" and (log := last_words.make_log(lines, finding.first)):
        return replace(matched, fix=f"kscaffold explain {log}", more="that file")
    if code == "KS283" and any(re.search(r"^\s*SecureBoot enabled", line) for line in lines):
        secure = plain(catalogue.entries("2")["KS229"])
        return replace(secure, cause=f"Secure Boot is on: {secure.cause}", lines=finding.lines)
    if code == "KS148" and not any(re.search(r"error: objtool", line) for line in finding.lines):
        failed = any(_FAILED.search(line[:400]) for line in lines)
        warned = f"a warning, and the module is built all the same: {matched.cause}"
        return replace(matched, entry=replace(finding.entry, noise=failed), cause=warned)
    if code == "KS321":
        return replace(
            matched, cause=matched.cause + last_words.of_probe(lines, finding.first, finding.groups)
        )
    if code == "KS157" and (line := last_words.before(lines, finding.first)):
        return replace(
            matched, cause=f"the program said: {line}", fix=finding.entry.fix, lines=(line, *matched.lines)
        )
    return matched


def _of_complaints(found: Sequence[Complaint]) -> list[tuple[int, MatchedEntry]]:
    by_code: dict[str, tuple[int, MatchedEntry]] = {}
    lines: dict[str, list[str]] = {}
    first_crash = next((c for c in found if c.fatal and not c.follows_crash), None)
    for complaint in found:
        if first_crash and complaint.follows_crash and complaint.index > first_crash.index:
            continue  # the first report has the cause
        is_first = complaint is first_crash
        if first_crash and not is_first and complaint.kind == "panic" and "Fatal exception" in complaint.text:
            continue  # an oops that nobody could be killed for
        entry = catalogue.entry_of_complaint(complaint.meaning)
        if entry is None:
            continue
        if entry.code in by_code:
            lines[entry.code].append(complaint.text)
            continue
        by_code[entry.code] = (complaint.index, _of_complaint(entry, complaint))
        lines[entry.code] = [complaint.text]
    return [(index, replace(known, lines=tuple(lines[code]))) for code, (index, known) in by_code.items()]


def _of_complaint(entry: Entry, complaint: Complaint) -> MatchedEntry:
    has_own = complaint.cause and entry.code in ("KS250", "KS266", "KS320", "KS365", "KS381")
    cause = complaint.cause if has_own else catalogue.filled(entry.cause, {})
    if complaint.where and complaint.meaning != "follow-up":
        cause += f"; it was in {complaint.where}"
    # A path that begins with / is of a module built outside the kernel's tree: the reader's own.
    if complaint.source and complaint.source.startswith("/"):
        cause += f", {complaint.source}"
    if complaint.task and complaint.meaning != "follow-up":
        cause += f", run by {complaint.task}"
    if complaint.words:
        cause += f" ({complaint.words})"
    fix = entry.fix
    if entry.code == "KS262" and "NULL pointer" in complaint.text:
        cause = cause.replace(
            catalogue.filled(entry.cause, {}), "a function pointer that is NULL was called", 1
        )
        fix = "set the pointer before it is called, or check it: a structure of callbacks that lacks one"
    more = ""
    if not complaint.whole:
        more = "the lines after this one, to its call trace: they name the function and the module"
    elif complaint.follows_crash:
        cause += "; the kernel had crashed before" if complaint.meaning != "follow-up" else ""
        more = "the first report since the boot, the one with [#1]: what comes after may only follow from it"
    return MatchedEntry(entry, cause, fix, (complaint.text,), complaint.where, more)


def _module_in(findings: list[CatalogueMatch]) -> str | None:
    """The module a log is about, where its lines agree on one."""
    names = {f.groups["module"] for f in findings if "module" in f.groups}
    return names.pop() if len(names) == 1 else None

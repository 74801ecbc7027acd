"""explain: what happens when a module is loaded, what a code or an errno means, what a log says."""

import os
import re
from typing import Literal

from kscaffold.diagnosis import catalogue, errnos, stages
from kscaffold.diagnosis.catalogue import Entry
from kscaffold.diagnosis.course import COURSE
from kscaffold.diagnosis.stages import Stage
from kscaffold.explain import subjects, tables
from kscaffold.explain.log import MatchedEntry, explain_log, plain
from kscaffold.explain.tables import CommandRow, ReturnRow
from kscaffold.records import dataclass, replace

Kind = Literal[
    "course", "load", "return", "commands", "stage", "errno", "code", "word", "subject", "log", "unknown"
]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What there is to say on a topic: nothing where `kind` is `unknown`.

    `text`: a paragraph; of what is unknown: a topic of almost that name, or what to do next. `folded`:
    codes of lines in a log that look bad and are harmless.
    """

    topic: str
    kind: Kind
    title: str
    text: str = ""
    steps: tuple[Stage, ...] = ()
    returns: tuple[ReturnRow, ...] = ()
    commands: tuple[CommandRow, ...] = ()
    entries: tuple[MatchedEntry, ...] = ()
    folded: tuple[MatchedEntry, ...] = ()

    @property
    def known(self) -> bool:
        """Whether anything was found."""
        return self.kind != "unknown"


def explain(topic: str | None = None, *, log: str | None = None) -> Explanation:
    """What is known of a topic, or of a pasted log.

    `topic`: None for the whole course, `load`, `return`, `commands`, a stage id, a step of the course, a
    function of the kernel's loader, an errno's name or number, a code, a word of the field, or a line of
    a log. Never a guess: what matches nothing is `unknown`.
    """
    if log is not None:
        return _of_log("-", log)
    if topic is None or not topic.strip():
        return Explanation(
            "load",
            "course",
            "What happens when a module is loaded",
            tables.LOAD_NOTE,
            stages.STAGES,
            tables.RETURNS,
            tables.COMMANDS,
        )
    word = " ".join(topic.split())
    low = word.lower()
    if found := _named(word):
        return found
    of_log = _of_log(word, topic)
    return of_log if of_log.known else replace(of_log, text=_near(low) or _next_step(word))


def _named(word: str) -> Explanation | None:
    """The explanation of the topic that a word names, None for a word that names none."""
    low = word.lower()
    found = _whole_topic(low) or _step(low) or _stage(low) or _code(word) or _errno(word) or _command(low)
    return found or _subject(word) or _word(low) or _other_name(word)


def _other_name(word: str) -> Explanation | None:
    """A name of the course's for what has another here, or a name in the plural or with an article."""
    bare = re.sub(r"^(?:the|an?|linux) ", "", word.lower().rstrip("?.:"))
    for name in (bare, bare.removesuffix("s")):
        if known := tables.COURSE_NAMES.get(name):
            return _named(known)
    plain = re.sub(r"s(?=\b)", "", bare) if " " in bare else bare.removesuffix("s")
    for name in (bare, plain):
        if name != word.lower() and len(name) > 2 and (found := _named(name)):
            return found
    return None


# One of the course's commands at a prompt, with whatever it was given.
_TYPED = re.compile(
    r"(?:[$#] |\S{1,60}[$#] )?(?:sudo )?"
    r"(?P<command>insmod|rmmod|lsmod|dmesg|modinfo|make clean|make)(?=$|[ |])[^\n]{0,200}$"
)

# What a compiler says, from its kind of message on or from its words.
_OF_COMPILER = re.compile(
    r"(?:(?:fatal )?error: |warning: |(?=implicit declaration of|too (?:few|many) arguments to"
    r"|call to undeclared|passing argument \d|initialization of|assignment to|unknown type name"
    r"|storage size of|conflicting types for|incompatible (?:types?|pointer)|redefinition of"
    r"|['‘]\S{1,100}['’] (?:undeclared|has no member)))"
)

# Where a line tells of a failure, its neighbours tell the reason.
_OF_FAILURE = re.compile(
    r"(?i)error|fail|cannot|can't|denied|refused|invalid|unknown|not found|warning|bug|oops|: "
)


def _next_step(text: str) -> str:
    """The advice what to do with a text of which nothing is known."""
    if _OF_FAILURE.search(text[:2000]):
        return (
            "paste what stands around it, too: dmesg | kscaffold explain - for a load, LC_ALL=C make 2>&1 | "
            "kscaffold explain - for a build; kscaffold load and kscaffold build see all of it"
        )
    return "kscaffold explain lists the topics; a log is read with: dmesg | kscaffold explain -"


def _near(low: str) -> str:
    """A topic of almost this name, as a question; empty where there is none."""
    import difflib  # only where a topic is not found

    if not re.fullmatch(r"[a-z][\w .()-]{1,60}", low):
        return ""
    words = ["load", "return", "commands", *tables.ALIASES]
    words += [name for stage in stages.STAGES for name in sorted(_names_of(stage))]
    words += [kind for e in catalogue.entries("23").values() for kind in e.complaints]
    words += [row.plain.split()[0] for row in tables.COMMANDS]
    words += [word for subject in subjects.subjects() for word in subject.words]
    shown = {word: word for word in words} | {name.lower(): name for name in errnos.names()}
    near = difflib.get_close_matches(low, shown, n=1, cutoff=0.77)
    return f"did you mean {shown[near[0]]}?" if near else ""


def _whole_topic(low: str) -> Explanation | None:
    if low in ("load", "loading", "insmod()"):
        return Explanation(
            "load", "load", "What happens when a module is loaded", tables.LOAD_NOTE, stages.STAGES
        )
    if low in (
        "return",
        "returns",
        "return value",
        "return values",
        "0",
        "return 0",
        "return 1",
        "negative value",
        "status",
    ):
        return Explanation(
            "return", "return", "What init returns", tables.RETURNS_NOTE, returns=tables.RETURNS
        )
    if low in ("commands", "command"):
        return Explanation(
            "commands",
            "commands",
            "The commands you know, and ours",
            tables.COMMANDS_NOTE,
            commands=tables.COMMANDS,
        )
    return None


def _step(low: str) -> Explanation | None:
    """A step of the course by its bare number; an errno has its minus or its name."""
    if not low.isdecimal() or int(low) not in COURSE:
        return None
    found = _stage(f"step {int(low)}")
    name = errnos.name(int(low))
    return (
        replace(
            found,
            topic=low,
            text=f"Step {low} of the course. The errno {low} is {name}: kscaffold explain {name}.",
        )
        if found
        else None
    )


def _stage(low: str) -> Explanation | None:
    known = tuple(s for s in stages.STAGES if low.removesuffix("()") in _names_of(s))
    if not known:
        return None
    title = known[0].title if len(known) == 1 else f"Stages that answer to {low}"
    ids = {s.id for s in known}
    causes = [e for e in catalogue.entries("2").values() if e.stage in ids and not e.noise]
    return Explanation(low, "stage", title, steps=known, entries=tuple(plain(e) for e in causes))


def _names_of(stage: Stage) -> set[str]:
    """The names that stand for a stage: its id, its functions, the course's steps by number and by name."""
    names = {stage.id} | {function.removesuffix("()") for function in stage.functions}
    for number in stage.course:
        names |= {f"step {number}", f"step{number}", COURSE[number].lower()}
        names |= {part.strip().removesuffix("()").lower() for part in COURSE[number].split(",")}
    return names


def _code(word: str) -> Explanation | None:
    if not re.fullmatch(r"[Kk][Ss]\d{3}", word):
        return None
    entry = catalogue.entry(word)
    if entry is None:
        return None
    return Explanation(entry.code, "code", entry.title, entries=(plain(entry),))


def _errno(word: str) -> Explanation | None:
    """An errno by name (`EPERM`, `-eperm`), number (`-1`, `1`) or words (`File exists`)."""
    bare = errnos.of_words(word) or word.removeprefix("-")
    number = int(bare) if re.fullmatch(r"[0-9]{1,4}", bare) else errnos.number(bare.upper())
    name = errnos.name(number) if number else None
    if not number or name is None:
        return None
    words = os.strerror(number) if number < 512 else "known inside the kernel only"
    insmod = tables.INSMOD_SAYS.get(name, words)
    text = (
        f"Number {number}. insmod shows it as '{insmod}'. When a load or an unload ends with it, one of "
        "these is the cause. kscaffold load tells which; of another program's: dmesg | tail -20 right after "
        "it, together with the program's own line, into kscaffold explain -."
    )
    loading = catalogue.entries("2")
    # Any errno can be init's own.
    causes = [loading["KS201"]] + [e for e in loading.values() if name in e.errno and not e.vague]
    unload = [e for e in catalogue.entries("3").values() if name in e.errno]
    return Explanation(
        name, "errno", f"{name}: {words}", text, entries=tuple(plain(e) for e in causes + unload)
    )


def _command(low: str) -> Explanation | None:
    rows = tuple(
        row
        for row in tables.COMMANDS
        if low in (row.plain, row.plain.split()[0], row.wrapped, row.wrapped.split()[-1])
    )
    if not rows:
        return None
    does = subjects.find_subject(f"what {rows[0].plain.split()[0]} does")
    note = "" if rows[0].plain.startswith("make") else tables.COMMANDS_NOTE
    text = f"{does.text} {note}".rstrip() if does else note
    return Explanation(low, "commands", f"{low}, and ours", text, commands=rows)


def _word(low: str) -> Explanation | None:
    dashed = low.replace(" ", "-")
    code = tables.ALIASES.get(low)
    entry: Entry | None = catalogue.entry(code) if code else catalogue.entry_of_complaint(dashed)
    return Explanation(low, "word", entry.title, entries=(plain(entry),)) if entry else None


def _subject(word: str) -> Explanation | None:
    subject = subjects.find_subject(word)
    return _of_subject(word, subject) if subject else None


def _of_subject(topic: str, subject: subjects.Subject) -> Explanation:
    more = "; ".join(f"kscaffold explain {topic}" for topic in subject.more)
    return Explanation(
        topic, "subject", subject.title, f"{subject.text} More: {more}." if more else subject.text
    )


def _of_log(topic: str, text: str) -> Explanation:
    entries, folded = explain_log(text)
    bare = text.strip()
    if not entries and not folded and "\n" not in bare and (kind := _OF_COMPILER.match(bare)):
        # Pasted without the place in front of it.
        entries, folded = explain_log(f"SOURCE.c:1:1: error: {bare[kind.end() :]}")
        entries = tuple(replace(e, lines=(bare,)) for e in entries)
    if not entries and not folded:
        if subject := subjects.find_subject_of_line(text):
            return _of_subject(topic, subject)
        if typed := _TYPED.match(bare):
            return _command(" ".join(typed["command"].split())) or Explanation(topic, "unknown", "")
        words = " ".join(text.split())
        if topic == "-" and words and len(words) < 80 and (named := _named(words.rstrip("."))):
            return named
        return Explanation(topic, "unknown", "nothing known here", _next_step(text))
    title = "What this log says" if entries else "Only lines that are harmless"
    return Explanation(topic, "log", title, entries=entries, folded=folded)

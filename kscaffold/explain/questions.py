"""The questions a teacher asks about one load, each with the answer that this load gives."""

import os

from kscaffold.diagnosis import errnos
from kscaffold.explain import tables
from kscaffold.explain.walkthrough import LoadWalkthrough
from kscaffold.load.report import LoadReport
from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class Answered:
    """A question and its answer."""

    question: str
    answer: str


def questions(seen: LoadWalkthrough) -> tuple[Answered, ...]:
    """Ten questions, in the order of a first lesson."""
    name = seen.report.module
    return (
        Answered("Did init run?", _ran(seen)),
        Answered("What did it return?", _returned(seen)),
        Answered("What does insmod say, and why those words?", _insmod(seen)),
        Answered(f"Does lsmod show {name}?", _lsmod(seen)),
        Answered("Where is what it printed?", _messages(seen)),
        Answered("Which step came first, which last?", _order(seen)),
        Answered("How do the course's order and the kernel's differ?", _DIFFERENT),
        Answered("Where were its arguments copied?", _arguments(seen)),
        Answered("Who resolves printk, and what is _printk?", _printk(seen)),
        Answered("What would return 1 do?", _ONE),
    )


_DIFFERENT = (
    "By the course's numbers the kernel's order is 1, 2, 3, 4, 5, 6, 9, 8, 7, 10: the module is put on the "
    "list (9) before its symbols are resolved (8), so that a second load of the same name is stopped early, "
    "and its arguments (7) are copied last before init (10)."
)
_ONE = (
    "A positive value is no error to the kernel: the module stays loaded, insmod prints nothing, and the log "
    "gets a warning that init suspiciously returned 1, with a dump of the stack. Only a negative value takes "
    "the module out again."
)


def _ran(seen: LoadWalkthrough) -> str:
    j = seen.report.judgement
    if j.init_ran is None:
        return "It is not known: nothing that was seen tells."
    if j.init_ran:
        return "Yes: the load came as far as its last step."
    if j.verdict == "loaded":
        return "No: the module has no init, and is loaded all the same."
    return f"No: the load ended at the stage {j.stage}, before init's turn."


def _returned(seen: LoadWalkthrough) -> str:
    j = seen.report.judgement
    if j.returned is None:
        return (
            "Nothing: it did not run, or did not come back."
            if not seen.report.ok
            else "Nothing is to be seen."
        )
    if j.returned == 0:
        return "0: success, the module stays."
    if j.returned > 0:
        return f"{j.returned}: the module stays, with a warning in the log."
    name = errnos.name(j.returned)
    return (
        f"{j.returned}" + (f", which is -{name}" if name else "") + ": the kernel took the module out again."
    )


def _insmod(seen: LoadWalkthrough) -> str:
    j = seen.report.judgement
    if seen.report.ok:
        return "Nothing, and its exit status is 0: that is how insmod tells of success."
    number = errnos.number(j.errno) if j.errno else None
    if not j.errno or not number:
        return "Nothing that can be seen: the load did not come back with an errno."
    words = tables.INSMOD_SAYS.get(j.errno, os.strerror(number))
    file = seen.report.path.name
    said = f"could not insert module {file}: {words}. These are the words of {j.errno} ({number})"
    if j.verdict == "init-failed" and j.errno == "EPERM":
        return (
            f"{said}, which init returned as -1. No permission was missing: the step that asks for it was "
            f"passed, and init ran after it. An ordinary user gets the same words{_beside(seen)}"
        )
    if j.verdict == "init-failed":
        return f"{said}, which init returned; insmod can't tell that from an errno of the kernel's own."
    return f"{said}, with which the kernel refused at the stage {j.stage}."


def _beside(seen: LoadWalkthrough) -> str:
    """What happened when an ordinary user tried the same load in the same guest: the end of a sentence."""
    if seen.ordinary_user is None:
        return ", but then init does not run."
    j = seen.ordinary_user.judgement
    ran = "ran, all the same" if j.init_ran else "did not run"
    lines = len(_own_lines(seen.ordinary_user))
    log = f"has {lines} lines of its own" if lines else "has no line of it"
    return (
        f": tried in this guest as uid 65534, the load ended at the stage {j.stage} with {j.errno}, init "
        f"{ran}, and the log {log} (kscaffold run --as-user)."
    )


def _lsmod(seen: LoadWalkthrough) -> str:
    j = seen.report.judgement
    if seen.report.ok:
        gone = " until it was unloaded" if seen.unload and seen.unload.ok else ""
        return f"Yes{gone}: lsmod prints the kernel's list of modules, and it is on it."
    if j.verdict == "init-failed":
        return (
            "No. It was on the kernel's list while init ran, and was taken off when init failed; "
            "lsmod prints that list, and is silent about what is not on it."
        )
    if j.verdict in ("crashed", "hung"):
        return "It may: a load that did not come back leaves its module on the list, as Loading."
    return "No: a module that is refused is not on the kernel's list, or not for long."


def _messages(seen: LoadWalkthrough) -> str:
    where = "In the kernel's log, which dmesg prints (kscaffold logs), never on the terminal of insmod"
    own = _own_lines(seen.report)
    last = (
        f". The last line of its own is: {own[-1]}"
        if own
        else ". This load has no line that begins with its name"
    )
    return f"{where}{last}"


def _own_lines(report: LoadReport) -> list[str]:
    """The lines of a load's log that the module itself printed, as far as its name tells."""
    own = [r.text for r in report.log if r.text.startswith(f"{report.module}: ")]
    kernel_s = ("loading out-of-tree", "module verification failed")
    return [text for text in own if not any(words in text for words in kernel_s)]


def _order(seen: LoadWalkthrough) -> str:
    done = [s for s in seen.steps if s.status in ("passed", "failed")]
    if not done:
        return "Nothing was seen of the steps."
    first, last = done[0].stage, done[-1].stage
    return f"First the stage {first.id} ({first.title}), last the stage {last.id} ({last.title})."


def _arguments(seen: LoadWalkthrough) -> str:
    text = seen.report.parameters.text
    given = f"'{text}'" if text else "the empty text (none were given)"
    return (
        f"The kernel copies {given} from insmod's memory into its own at the stage arguments "
        "(strndup_user()), and sets the variables from it at the stage parameters, just before init."
    )


def _printk(seen: LoadWalkthrough) -> str:
    names = {i.symbol: i.provider for i in seen.anatomy.imports} if seen.anatomy else {}
    used = next((n for n in ("_printk", "printk") if n in names), None)
    here = (
        f" This module has {used} among what it needs, and {names[used] or 'nobody known here'} exports it."
        if used
        else " This module does not use it."
    )
    return (
        "The kernel, when it loads the module: at the stage symbols it looks each name up that the .ko "
        "leaves open, and writes the addresses in. Since 5.15 printk() is a macro around the function "
        "_printk(), so that is the name in the .ko." + here
    )

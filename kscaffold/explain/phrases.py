"""The sentences and figures that a terminal and a page share."""

import os

from kscaffold.diagnosis import errnos
from kscaffold.diagnosis.trace import Status
from kscaffold.explain import tables
from kscaffold.load.report import LoadReport
from kscaffold.load.unload import UnloadReport


def headline(report: LoadReport) -> str:
    """What became of a load, in one line."""
    j = report.judgement
    name, kernel = report.path.name, report.kernel_name
    errno = f" with {j.errno}" if j.errno else ""
    returned = f"returned {j.returned}" if j.returned is not None else ""
    number = f" (-{j.errno})" if j.errno and j.errno.startswith("E") else ""
    probably = "" if j.certain else "probably "
    if report.crashed_by:
        return f"nobody knows whether {kernel} would have taken {name}: it crashed meanwhile"
    if j.verdict == "loaded":
        how = (
            f"; init {returned}"
            if j.init_ran and returned
            else "; it has no init to run"
            if j.init_ran is False
            else ""
        )
        return f"{name} was loaded into {kernel}{how}"
    predicates = {
        "refused": f"was {probably}refused by {kernel} at stage {j.stage}{errno}",
        "init-failed": f"was not loaded into {kernel}: its init {probably}{returned or 'failed'}{number}",
        "crashed": f"{'ended' if j.code == 'KS619' else 'crashed'} {kernel}"
        + (f" at stage {j.stage}" if j.stage else ""),
        "hung": f"hung in {kernel}" + (f" at stage {j.stage}" if j.stage else ""),
        "lost": f"was given to {kernel}, and nothing is known of how that ended",
    }
    return f"{name} {predicates[j.verdict]}"


_UNLOADED = {
    "unloaded": "unloaded",
    "refused": "not unloaded",
    "crashed": "the kernel crashed while its exit ran",
    "hung": "its exit did not end in time",
    "lost": "nothing is known of how the unload ended",
}


def unloaded(report: UnloadReport) -> str:
    """What became of an unload, in a few words."""
    judgement = report.judgement
    if report.crashed_by:
        return "the kernel crashed meanwhile"
    if judgement.code == "KS617" and judgement.verdict != "unloaded":
        return f"{judgement.verdict} the kernel after it was unloaded"
    if judgement.code == "KS619":
        return f"its kernel was ended {judgement.when}"
    if judgement.code == "KS268" and judgement.when != "while its exit ran":
        return f"its kernel was reset {judgement.when}"
    if judgement.verdict == "crashed" and not report.begun:
        return "the kernel crashed before its exit ran"
    return _UNLOADED[judgement.verdict]


def gone(report: UnloadReport) -> str:
    """What became of an unload, in one line."""
    j = report.judgement
    return f"{report.module}: {unloaded(report)}{f' ({j.errno})' if j.errno else ''}"


def untimed(report: LoadReport) -> str:
    """Why a load has no times."""
    if report.target == "host":
        return "this load was not traced: only a sandbox can tell its stages' times"
    return "no times are known: the trace was lost with the kernel"


def lasted(report: LoadReport, status: Status, microseconds: int) -> str:
    """A stage's time. The time of a stage that never ended goes to the last event of that stage."""
    endless = status == "failed" and report.judgement.verdict in ("crashed", "hung")
    return f"> {time(microseconds)}" if endless else time(microseconds)


def time(microseconds: int) -> str:
    """`439 µs`, `4.99 ms`, `1.20 s`."""
    if microseconds >= 1_000_000:
        return f"{microseconds / 1e6:.2f} s"
    return f"{microseconds / 1000:.2f} ms" if microseconds >= 1000 else f"{microseconds} µs"


def said_by_insmod(errno: str) -> str:
    """What insmod of kmod prints for an errno's name."""
    number = errnos.number(errno)
    words = tables.INSMOD_SAYS.get(errno) or (os.strerror(number) if number else errno)
    return f"insmod says '{words}' for {errno}"

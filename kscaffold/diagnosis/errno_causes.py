"""Why the kernel refused a load without a line in its log: by errno, the trace and the target's facts."""

from collections.abc import Callable, Mapping

from kscaffold.diagnosis import catalogue, cmdline
from kscaffold.diagnosis.evidence import Evidence
from kscaffold.diagnosis.stages import ORDER
from kscaffold.records import dataclass, field


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a load was refused. `stage`, `cause` and `fix` are the catalogue entry's where None."""

    code: str
    stage: str | None = None
    certain: bool = True
    groups: Mapping[str, str] = field(default_factory=dict)
    cause: str | None = None
    fix: str | None = None


def reason(e: Evidence, errno: str) -> Reason | None:
    """The reason for a silent refusal with this errno (a name), or None where nothing speaks for one.

    To be asked when init is not known to have run and no line of the log fits.
    """
    found = _BY_ERRNO[errno](e) if errno in _BY_ERRNO else None
    return found or _of_trace(e, errno)


def of_foreign(machine: str) -> Reason:
    """The reason of a refusal of a .ko that is for another machine, as --arch takes it."""
    return Reason(
        "KS215",
        "elf",
        cause=f"it was built for {machine}, and this kernel is of another machine",
        fix=f"load it into a kernel of its own machine: --arch {machine}; or build it for this kernel",
    )


def _stage(e: Evidence) -> str | None:
    """The stage the trace shows the load to have ended in."""
    return (e.timeline.failed or e.timeline.reached) if e.timeline else None


def _not_past(e: Evidence, stage: str) -> bool:
    """Whether the load may have ended in this stage or before it, for all the trace says."""
    now = _stage(e)
    return now is None or ORDER.index(now) <= ORDER.index(stage)


# Anchors of a load that was let in.
_READ = frozenset({"kernel_read_file", "kernel_read_file_from_fd", "load_module"})


def _eperm(e: Evidence) -> Reason | None:
    # In the kernel's order: the check that the kernel makes first gives the reason.
    if e.timeline is not None and e.timeline.init_ran is False and "module_load" in e.timeline.seen:
        return Reason("KS231", "init")
    if e.facts.modules_disabled and not (e.timeline and _READ & e.timeline.seen):
        return Reason("KS233")  # asked right after the capability, which has an anchor and says yes
    if _not_past(e, "permission"):
        if e.facts.capable is False:
            return Reason("KS232")
        if e.facts.seccomp:
            return Reason("KS235", certain=False)
        if e.timeline is not None and e.timeline.failed == "permission":
            return Reason("KS232")
    if e.facts.lockdown and e.signed is not True and _not_past(e, "signature"):
        return Reason("KS229")  # the kernel's line is rate-limited
    blacklists = cmdline.values(e.cmdline, "module_blacklist")
    if blacklists and e.module in blacklists[-1].split(",") and _not_past(e, "version"):
        # The kernel's log has no line of it before Linux kernel commit 14721add58ef "module: Add more error
        # message for failed kernel module loading" (in v5.10).
        return Reason("KS230")
    if (
        e.timeline is None
        and e.facts.capable is None
        and e.init_started is None
        and e.facts.modules_disabled is None
    ):
        return Reason("KS232", certain=False)
    return None


def _eexist(e: Evidence) -> Reason | None:
    if e.loaded_before:
        return Reason("KS203")
    if e.timeline is not None and e.timeline.init_ran is False and _not_past(e, "list"):
        return Reason("KS203")
    if e.timeline is None and e.loaded_before is None:
        return Reason("KS203", certain=False)
    return None


def _ebusy(e: Evidence) -> Reason | None:
    if e.state_before in ("Loading", "Unloading"):
        return Reason("KS241")
    if e.timeline is not None and e.timeline.init_ran is False and _not_past(e, "list"):
        return Reason("KS241")
    return None


def _enoexec(e: Evidence) -> Reason | None:
    if e.foreign and _not_past(e, "elf"):
        return of_foreign(e.foreign)
    # A refusal without a word: no checksums or no vermagic where that is not allowed, or an old kernel.
    if e.timeline is None:
        return Reason("KS212", certain=False) if e.init_started is False else None
    if e.layout_version is False and _not_past(e, "version"):
        return Reason("KS212")
    if _stage(e) in ("signature", "elf"):
        return Reason(
            "KS213", "elf", certain=False, groups={"fault": "the kernel took it for no valid module"}
        )
    return None


def _einval(e: Evidence) -> Reason | None:
    if e.facts.builtin:
        return Reason("KS225")
    if e.timeline is not None and _stage(e) in ("syscall", "copy"):
        return Reason("KS236")
    if e.timeline is None and e.init_started is False:
        return Reason("KS236", certain=False)  # every other source of EINVAL says a line
    return None


def _ekeyrejected(e: Evidence) -> Reason | None:
    if e.signed:
        return Reason("KS227", certain=not e.facts.sig_enforce)
    if e.facts.sig_enforce or e.signed is False:
        return Reason("KS226", certain=bool(e.facts.sig_enforce))
    # Where signatures are enforced and there is none, the kernel says a line.
    return Reason("KS227", certain=False)


def _enomem(e: Evidence) -> Reason | None:
    return Reason("KS220", certain=False) if e.timeline is None and e.init_started is False else None


def _always(code: str, *, certain: bool = True) -> Callable[[Evidence], Reason | None]:
    """A judge of an errno that only one place in the loader returns, and an init hardly ever."""

    def judge(e: Evidence) -> Reason | None:
        proven = certain and (e.init_started is False or e.timeline is not None)
        entry = catalogue.entry(code)
        return Reason(code, certain=proven) if entry and _not_past(e, entry.stage or "live") else None

    return judge


_BY_ERRNO: Mapping[str, Callable[[Evidence], Reason | None]] = {
    "EPERM": _eperm,
    "EEXIST": _eexist,
    "EBUSY": _ebusy,
    "EINTR": _always("KS241", certain=False),
    "ENOEXEC": _enoexec,
    "EINVAL": _einval,
    "ENOMEM": _enomem,
    "EKEYREJECTED": _ekeyrejected,
    "ENOKEY": _always("KS226"),
    "EBADMSG": _always("KS228"),
    "ENOPKG": _always("KS228"),
    "ELIBBAD": _always("KS228"),
    "EKEYEXPIRED": _always("KS228"),
    "ETXTBSY": _always("KS237"),
    "EFBIG": _always("KS236"),
    "EACCES": _always("KS234", certain=False),
    "ENOSYS": _always("KS235", certain=False),
    "EOPNOTSUPP": _always("KS238"),
}

# What a silent refusal in a stage is, first the entries that ask for a certain errno.
_BY_STAGE: Mapping[str, tuple[str, ...]] = {
    "permission": ("KS232",),
    "copy": ("KS234", "KS236", "KS237"),
    "signature": ("KS227", "KS228"),
    "elf": ("KS213",),
    "version": ("KS212",),
    "layout": ("KS220",),
    "list": ("KS203", "KS241"),
    "symbols": ("KS204",),
    "relocate": ("KS239",),
    "formation": ("KS244",),
    "parameters": ("KS221", "KS222", "KS224"),
    "sysfs": ("KS225", "KS249"),
}


def _of_trace(e: Evidence, errno: str) -> Reason | None:
    stage = _stage(e)
    if stage is None or e.timeline is None:
        return None
    certain = e.timeline.failed is not None
    for code in _BY_STAGE.get(stage, ()):
        entry = catalogue.entry(code)
        if code == "KS225" and e.facts.builtin is False:
            continue
        if entry and (not entry.errno or errno in entry.errno):
            return Reason(code, stage, certain=certain)
    return Reason("KS245", stage, certain=False)

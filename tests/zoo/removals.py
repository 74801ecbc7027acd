"""Unloads that are refused or go wrong, and what must be found."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Gone:
    """What must be found of one unload."""

    verdict: str
    errno: str | None = None
    code: str | None = None


@dataclass(frozen=True)
class Removal:
    """One unload in a pristine guest.

    `before`: what happens first, in this order: NAME is loaded (also where its init fails), `-NAME` is
    unloaded, `=FILE=TEXT` is written in the guest. `elsewhere`: what other series find, `on`: what other
    machines do. `says`: what the cause must name. `gone`: whether the name is off the list afterwards; None:
    nobody can be asked.
    """

    name: str
    module: str
    found: Gone
    before: tuple[str, ...] = ()
    elsewhere: dict[str, Gone] = field(default_factory=dict)
    on: dict[str, Gone] = field(default_factory=dict)
    says: str = ""
    gone: bool | None = False
    seconds: float = 20.0


def refused(errno: str, code: str) -> Gone:
    """The kernel said no."""
    return Gone("refused", errno, code)


REMOVALS = (
    Removal("unloads", "hello", Gone("unloaded"), ("hello",), gone=True),
    Removal("by its file's name", "my-mod.ko", Gone("unloaded"), ("my-mod",), gone=True),
    Removal("not loaded", "hello", refused("ENOENT", "KS301"), says="hello", gone=True),
    Removal("init failed before", "minus", refused("ENOENT", "KS301"), ("minus",), gone=True),
    Removal("part of the kernel", "kernel", refused("ENOENT", "KS311"), says="kernel", gone=True),
    Removal("46 an open file", "busy", refused("EAGAIN", "KS303"), ("busy", "opener"), says="1 user"),
    Removal("46 closed again", "busy", Gone("unloaded"), ("busy", "opener", "-opener"), gone=True),
    Removal("46 a dependant", "giver", refused("EAGAIN", "KS302"), ("giver", "taker"), says="taker"),
    Removal(
        "46 two of them", "giver", refused("EAGAIN", "KS302"), ("giver", "taker", "spaced"), says="spaced"
    ),
    Removal(
        "46 its own reference",
        "own-user",
        refused("EAGAIN", "KS303"),
        ("own-user",),
        says="holds a reference to itself: it calls try_module_get()",
    ),
    Removal("47 no exit", "noexit", refused("EBUSY", "KS304"), ("noexit",), says="module_exit"),
    Removal("48 no init", "noinit", Gone("unloaded"), ("noinit",), gone=True),
    Removal("49 after an oops in init", "oops", refused("EBUSY", "KS305"), ("oops",), says="still loading"),
    Removal("49 after a BUG() in init", "bug", refused("EBUSY", "KS305"), ("bug",), says="still loading"),
    Removal("after an oops in exit", "exit-oops", refused("EBUSY", "KS306"), ("exit-oops", "-exit-oops")),
    Removal(
        "oops in exit", "exit-oops", Gone("crashed", None, "KS308"), ("exit-oops",), says="exit_oops_leave"
    ),
    # A BUG() that keeps the list of modules locked: who asks for it waits for ever.
    Removal(
        "a reference too few",
        "giver-back",
        Gone("crashed", None, "KS308"),
        ("giver-back",),
        says="kernel BUG at ",
        gone=None,
    ),
    Removal(
        "panic in exit",
        "exit-panic",
        Gone("crashed", None, "KS308"),
        ("exit-panic",),
        says="purpose",
        gone=None,
    ),
    Removal(
        "WARN in exit", "exit-warn", Gone("unloaded", None, "KS252"), ("exit-warn",), says="WARN", gone=True
    ),
    Removal(
        "endless exit", "exit-endless", Gone("hung", None, "KS309"), ("exit-endless",), gone=None, seconds=1.5
    ),
    Removal(
        "leaves a cache behind",
        "exit-leak",
        Gone("unloaded", None, "KS312"),
        ("exit-leak",),
        says="zoo_leak",
        gone=True,
    ),
    Removal(
        "43 modules_disabled",
        "hello",
        refused("EPERM", "KS307"),
        ("hello", "=/proc/sys/kernel/modules_disabled=1"),
        says="kernel.modules_disabled is 1, and stays",
    ),
    Removal(
        "44 no capability", "hello", refused("EPERM", "KS307"), ("hello", "nocap"), says="CAP_SYS_MODULE"
    ),
)

"""Whether a kernel's command line makes it want signatures. Imports nothing: every load asks."""

_ON = frozenset(("1", "y", "Y", "on", "true", "yes"))


def enforced(cmdline: str) -> bool:
    """module.sig_enforce is on. A kernel that was told so once can't be told otherwise again."""
    for word in cmdline.split():
        name, equals, value = word.partition("=")
        if name.replace("-", "_") == "module.sig_enforce" and (not equals or value in _ON):
            return True
    return False


def locked_down(cmdline: str) -> bool:
    """Lockdown is asked for, which refuses unsigned modules too."""
    words = cmdline.split()
    return "lockdown=integrity" in words or "lockdown=confidentiality" in words

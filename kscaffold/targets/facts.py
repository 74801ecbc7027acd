"""What a running kernel's own files say about loading modules. Each file may be missing: not known then."""

from collections.abc import Callable

from kscaffold.diagnosis.attempt import Facts
from kscaffold.errors import KscaffoldError

_CAP_SYS_MODULE = 1 << 16
_FIRST_NAMESPACE = ["0", "0", "4294967295"]  # uid_map of the machine's first user namespace


class KernelFiles:
    """The files of a running kernel, until that kernel does not answer: each unanswered question takes as
    long as its deadline. `read`: a target's. `is_silent`: the kernel did not answer.
    """

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self.is_silent = False
        self._read = read

    def text(self, path: str) -> str | None:
        """A file's text without its last newline; None where the file can't be read."""
        if self.is_silent:
            return None
        try:
            raw = self._read(path)
        except OSError:
            return None
        except KscaffoldError:
            self.is_silent = True
            return None
        return raw.decode("utf-8", "backslashreplace").removesuffix("\n")

    def is_directory(self, path: str) -> bool:
        """Whether a directory is there."""
        if self.is_silent:
            return False
        try:
            self._read(f"{path}/.")  # nothing but a directory can be opened by that name
        except IsADirectoryError:
            return True
        except OSError:
            return False
        except KscaffoldError:
            self.is_silent = True
            return False
        return True


def read_facts(name: str, files: KernelFiles, *, capabilities: str = "CapEff") -> Facts:
    """What the kernel of `files` says of itself to the task that reads them, for the module `name`.

    `capabilities`: the line of /proc/self/status that counts, `CapEff` where that task loads modules itself,
    `CapBnd` where it can become root first.
    """
    status = files.text("/proc/self/status") or ""
    own = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    held, seccomp = own.get(capabilities, "").strip(), own.get("Seccomp", "").strip()
    # Nothing gives back what another user namespace lacks. A kernel that has none has no such file.
    namespace = (files.text("/proc/self/uid_map") or " ".join(_FIRST_NAMESPACE)).split()
    disabled = files.text("/proc/sys/kernel/modules_disabled")
    lockdown = files.text("/sys/kernel/security/lockdown")
    enforce = files.text("/sys/module/module/parameters/sig_enforce")
    capable = bool(int(held, 16) & _CAP_SYS_MODULE) and namespace == _FIRST_NAMESPACE if held else None
    return Facts(
        capable=capable,
        modules_disabled=disabled.strip() == "1" if disabled else None,
        seccomp=seccomp != "0" if seccomp else None,
        lockdown="[none]" not in lockdown if lockdown else None,
        sig_enforce=enforce.strip() == "Y" if enforce else None,
        # Those that were loaded have a state there.
        builtin=files.is_directory(f"/sys/module/{name}")
        and files.text(f"/sys/module/{name}/initstate") is None,
    )

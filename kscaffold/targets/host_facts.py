"""What the running kernel's files say about loading modules. Each may be missing: not known then."""

from pathlib import Path

from kscaffold.targets.target import Facts

_CAP_SYS_MODULE = 1 << 16
_WHOLE = ["0", "0", "4294967295"]  # uid_map of the machine's first user namespace


def text(file: Path) -> str:
    """A file's text without the white space around it, empty where it can't be read."""
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""


def states(root: Path) -> dict[str, tuple[str, str]]:
    """State (Live, Loading, Unloading) and taints of each module in /proc/modules."""
    fields = [line.split() for line in text(root / "proc/modules").splitlines()]
    return {f[0]: (f[4], f[6].strip("()") if len(f) > 6 else "") for f in fields if len(f) > 5}


def facts(name: str, root: Path, *, through_sudo: bool) -> Facts:
    """What can be known of this machine, asked after a load of the module `name` failed."""
    own = dict(line.split(":", 1) for line in text(root / "proc/self/status").splitlines() if ":" in line)
    # sudo gives back what the bounding set allows; nothing gives back what another namespace lacks.
    capabilities = own.get("CapBnd" if through_sudo else "CapEff", "").strip()
    whole = text(root / "proc/self/uid_map").split()
    capable = None
    if capabilities and whole:
        capable = bool(int(capabilities, 16) & _CAP_SYS_MODULE) and whole == _WHOLE
    seccomp = own.get("Seccomp", "").strip()
    disabled = text(root / "proc/sys/kernel/modules_disabled")
    lockdown = text(root / "sys/kernel/security/lockdown")
    own_name = root / "sys/module" / name
    enforce = text(root / "sys/module/module/parameters/sig_enforce")
    return Facts(
        capable=capable,
        modules_disabled=disabled == "1" if disabled else None,
        seccomp=seccomp != "0" if seccomp else None,
        lockdown="[none]" not in lockdown if lockdown else None,
        sig_enforce=enforce == "Y" if enforce else None,
        # Loadable ones have a state there.
        builtin=own_name.is_dir() and not (own_name / "initstate").exists(),
    )

"""Which kernel a command is for. On the path of every command: nothing heavy is imported but to fetch.

A kernel is named by its release or the beginning of one, with the architecture before it where that is not
this machine's: `6.1`, `s390x:6.1`, `s390x:` (any of that machine).
"""

import os
import re
import shlex
import shutil
from collections.abc import Sequence

from kscaffold.arch import table
from kscaffold.arch.architecture import Architecture
from kscaffold.errors import KscaffoldError, ToolMissingError, UsageError
from kscaffold.kernel import store
from kscaffold.kernel.buildable import build_problem, compiler_problem
from kscaffold.kernel.kernel import Kernel
from kscaffold.progress import SILENT, Progress

# The kernel's own programs that a build runs (objtool) need the library.
TO_BUILD = (("make", "make"), ("gcc", "gcc"), ("libelf.so.1", "libelf1"))


def choose(
    spec: str | None, *, offline: bool, progress: Progress = SILENT, programs: Sequence[tuple[str, str]] = ()
) -> Kernel:
    """The kernel to use: as `find`, else the distribution's own, fetched now.

    `programs`: what the caller will do with it needs these programs and libraries, each with its Debian
    package; everything that is missing is reported before anything is fetched (KS001). Raises UsageError
    KS530 for a `spec` that means no kernel or several, KscaffoldError KS531 when one would have to be fetched
    offline, and what `fetch` raises.
    """
    kernel = find_kernel(spec)
    if kernel:
        return kernel
    if offline:
        raise KscaffoldError(
            "KS531",
            "there is no kernel here yet, and --offline forbids to fetch one",
            fix="kscaffold kernel add",
        )
    _need(programs)
    from kscaffold.kernel.fetch import fetch  # start-up time

    machine = split_spec(spec)[0]
    whose = f"{machine.title} kernel" if machine else "kernel"
    progress.step("Fetching", f"a {whose} of the distribution, once: there is none here yet")
    added = fetch(None, None, progress, machine=machine)
    progress.step("Added", added.text)
    return added.kernel


def spec_of(release: str | None, arch: str | None) -> str | None:
    """The name of a kernel from what --kernel and --arch say. Raises UsageError KS533 for what is no
    architecture.
    """
    if arch is None:
        return release
    wanted = table.by_word(arch)
    if wanted is None:
        raise _no_architecture(arch)
    machine, rest = split_spec(release)
    if machine not in (None, wanted):
        raise UsageError("KS004", f"--kernel {release} and --arch {arch} name two architectures")
    return f"{wanted.debian}:{rest or ''}"


def options_of(spec: str | None) -> str:
    """The options that name a kernel as `spec` does: `--arch s390x --kernel 6.1`."""
    machine, release = split_spec(spec)
    words = ["--arch", machine.debian] if machine else []
    return shlex.join([*words, *(["--kernel", release] if release else [])])


def fits(release: str, arch: str, spec: str | None) -> bool:
    """Whether a kernel of this release and machine (as `uname -m` says it) is one that `spec` may mean."""
    machine, wanted = split_spec(spec)
    return (machine is None or arch in machine.uname) and release.startswith(wanted or "")


def split_spec(spec: str | None) -> tuple[Architecture | None, str | None]:
    """The architecture that a kernel's name begins with, and the rest; None for each that is not said.

    Raises UsageError KS533 for what is no architecture.
    """
    word, colon, release = (spec or "").partition(":")
    if not colon or "/" in word:
        return None, spec
    machine = table.by_word(word)
    if machine is None:
        raise _no_architecture(word)
    return machine, release or None


def _no_architecture(word: str) -> UsageError:
    known = ", ".join(a.debian for a in table.every() if a.flavours)
    return UsageError("KS533", f"{word!r} is no architecture", fix=f"--arch with one of {known}")


def to_load() -> tuple[tuple[str, str], ...]:
    """The programs a load needs, each with its package: most loads build a module, each starts a guest."""
    machine = table.host()
    return (*TO_BUILD, (machine.qemu, machine.qemu_package)) if machine else TO_BUILD


def _need(programs: Sequence[tuple[str, str]]) -> None:
    """Raise ToolMissingError KS001 that names all that is not here, with one command for all."""
    from kscaffold import process  # start-up time: only where a kernel is to be fetched

    missing = [(name, package) for name, package in programs if not _is_here(name)]
    if missing:
        names = ", ".join(name for name, _ in missing)
        fix = process.apt_install(*dict.fromkeys(package for _, package in missing))
        verb = "is" if len(missing) == 1 else "are"
        raise ToolMissingError("KS001", f"{names} {verb} not installed", fix=fix)


def _is_here(name: str) -> bool:
    if ".so" not in name:
        return shutil.which(name) is not None
    import ctypes  # start-up time: only where a kernel is to be fetched

    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def find_kernel(spec: str | None) -> Kernel | None:
    """The kernel that is here to use: `spec`, else `kernel default`, else the newest fetched one, one given
    by path, the running one if its tree and image can be read; None where there is none of these.

    Raises UsageError KS530 for a `spec` that means no kernel or several.
    """
    kernels = store.known()
    machine, release = split_spec(spec)
    if release is not None:
        return match(release, kernels, machine=machine)
    chosen = store.default()
    if chosen:
        found = _default(chosen, kernels)
        if machine is None or table.by_uname(found.arch) is machine:
            return found
    kernels = of_machine(kernels, machine)
    stored = [k for k in kernels if k.source != "running"]
    running = [k for k in kernels if k.source == "running" and k.image and build_problem(k) is None]
    # One that can be built for, if there is one: a newer suite's may need a newer C library or compiler.
    usable = (k for k in stored if build_problem(k) is None and compiler_problem(k) is None)
    return next(usable, None) or next(iter(stored + running), None)


def of_machine(kernels: list[Kernel], machine: Architecture | None) -> list[Kernel]:
    """The kernels of this architecture; None: of this machine's."""
    wanted = machine.uname if machine else (os.uname().machine,)
    return [k for k in kernels if k.arch in wanted]


def match(
    spec: str, kernels: list[Kernel], *, wanted: bool = True, machine: Architecture | None = None
) -> Kernel:
    """The one kernel that a whole release, or the unique beginning of one of `machine` (None: this machine),
    means. Raises UsageError KS530.

    `wanted`: one that is not here could be added.
    """
    for kernel in kernels:
        if kernel.release == spec and (machine is None or kernel.arch in machine.uname):
            return kernel
    everywhere, kernels = kernels, of_machine(kernels, machine)
    # 6.1 means 6.1.0-56 rather than 6.12.95, though both begin so.
    begins = [k for k in kernels if k.release.startswith(spec)]
    whole = [k for k in begins if not re.match(r"\d", k.release[len(spec) :]) or not spec[-1:].isdigit()]
    found = whole or begins
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(k.release for k in found)
        fix = f"write more of it, or all: {found[0].release}"
        raise UsageError("KS530", f"{spec!r} could be several kernels", cause=f"there are {listed}", fix=fix)
    there = ", ".join(k.release for k in kernels) or "none"
    fix = _to_fetch(spec, machine)
    if machine is None and (other := next((k for k in everywhere if k.release.startswith(spec)), None)):
        named = table.by_uname(other.arch)
        fix = f"--arch {named.debian if named else other.arch} for {other.release}, or {fix}"
    raise UsageError(
        "KS530",
        f"there is no kernel {spec!r} here",
        cause=f"there are {there}" if kernels else "no kernel is here yet",
        fix=fix if wanted else "kscaffold kernel list",
    )


# Series that a suite of Debian's is known to have; other versions only the mirror can tell.
_RELEASED = ("5.10", "6.1", "6.12")


def _to_fetch(spec: str, machine: Architecture | None) -> str:
    """What adds a kernel that is not here: only what the mirror is known to have is promised."""
    is_path = "/" in spec  # a release has no slash
    if not is_path and not spec[:1].isdigit():
        return "kscaffold kernel list shows those that are here"
    words = ["kscaffold", "kernel", "add", *(["--build"] if is_path else []), spec]
    command = shlex.join([*words, *(["--arch", machine.debian] if machine else [])])
    if is_path or any(re.match(rf"{re.escape(s)}(?!\d)", spec) for s in _RELEASED):
        return command
    return f"kscaffold kernel list shows those that are here; {command} fetches it where the suite has it"


def _default(chosen: str, kernels: list[Kernel]) -> Kernel:
    for kernel in kernels:
        if kernel.release == chosen:
            return kernel
    raise KscaffoldError(
        "KS532",
        f"the default kernel {chosen} is not here any more",
        fix="kscaffold kernel default --clear, or, where the suite still has it: "
        f"kscaffold kernel add {chosen}",
    )

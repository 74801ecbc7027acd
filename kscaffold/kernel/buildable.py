"""Can this kernel be built for? Asked of its build tree before make is."""

import os
import re
from pathlib import Path

from kscaffold import process
from kscaffold.arch import table
from kscaffold.errors import KscaffoldError
from kscaffold.files import reader
from kscaffold.kernel.buildtree import programs_beside
from kscaffold.kernel.kernel import Kernel
from kscaffold.kernel.store import release_of_tree

# What make needs of a prepared tree before it compiles the first file.
_NEEDED = (
    "include/generated/autoconf.h",
    "include/config/auto.conf",
    "scripts/basic/fixdep",
    "scripts/mod/modpost",
)


def build_problem(kernel: Kernel) -> KscaffoldError | None:
    """Why nothing can be built for this kernel, or None. Costs less than a millisecond."""
    if kernel.build is None:
        return _absent(kernel, "it has none")
    try:
        return _problem_of(kernel, kernel.build)
    except PermissionError as error:
        return _absent(kernel, f"{error.filename} can't be read by this user")


def _problem_of(kernel: Kernel, build: Path) -> KscaffoldError | None:
    if not build.is_dir():
        gone = f"points at {build.readlink()}, which is gone" if build.is_symlink() else "is gone"
        return _absent(kernel, f"{build} {gone}")
    if not (build / "Makefile").exists():
        return _absent(kernel, f"{build} is there but has no Makefile")
    if re.search(r"[\s:%]", str(build)):
        return KscaffoldError(
            "KS523",
            f"make can't build with the tree in {build}",
            cause="its path has a space, ':' or '%'",
            fix="move it to a plain path, or reach it through a link that has one",
        )
    return (
        _unprepared(build)
        or _moved(kernel, build)
        or _other_release(kernel, build)
        or _foreign(kernel, build)
    )


def compiler_problem(kernel: Kernel) -> KscaffoldError | None:
    """Why the compilers here may be too old for this kernel's flags, or None. Looks at names only."""
    try:
        text = reader.read_text(kernel.build / ".kernelvariables") if kernel.build else ""
    except OSError:
        return None  # only Debian's headers name their compiler
    pinned = re.search(r"\bgcc-(\d+)\s*$", text, re.MULTILINE)
    if not pinned or (kernel.build and programs_beside(kernel.build)):
        return None
    wanted = int(pinned[1])
    machine = table.by_uname(kernel.arch)
    prefix = table.cross_prefix(machine)
    # A newer one knows the flags of an older one, so any of these will do.
    if any(process.which(f"{prefix}gcc-{version}") for version in range(wanted, wanted + 12)):
        return None
    package = machine.compiler_package(wanted) if prefix and machine else f"gcc-{wanted}"
    return KscaffoldError(
        "KS526",
        f"kernel {kernel.release} was compiled by gcc-{wanted}, and no {prefix}gcc here is as new",
        cause="an older compiler may not know the flags that this kernel's modules are compiled with",
        fix=(_is_of_other_suite(kernel) and _fetched_again(kernel))
        or f"sudo apt-get install --no-install-recommends {package}",
    )


def missing_packages(kernel: Kernel) -> list[str]:
    """Debian's packages that a kernel of another machine needs here to be built for and booted, and that
    are not installed; none for a kernel of this machine's kind.
    """
    machine = table.by_uname(kernel.arch)
    prefix = table.cross_prefix(machine)
    if machine is None or not prefix:
        return []
    packages = [] if process.which(machine.qemu) else [machine.qemu_package]
    beside = kernel.build is not None and programs_beside(kernel.build) is not None
    return packages if beside or _has_compiler(prefix) else [*packages, machine.compiler_package()]


def _has_compiler(prefix: str) -> bool:
    return any(process.which(f"{prefix}gcc{v}") for v in ("", *(f"-{n}" for n in range(20, 9, -1))))


def _absent(kernel: Kernel, cause: str) -> KscaffoldError:
    headers = f"sudo apt-get install --no-install-recommends linux-headers-{kernel.release}"
    fix = {
        "running": f"{headers}, or a kernel of the cache's own: kscaffold kernel add",
        "fetched": f"kscaffold kernel remove {kernel.release} && kscaffold kernel add {kernel.release}",
        "path": f"kscaffold kernel add --build DIR --image {kernel.image or 'FILE'}",
    }[kernel.source]
    return KscaffoldError("KS520", f"kernel {kernel.release} has no build tree", cause=cause, fix=fix)


def _unprepared(build: Path) -> KscaffoldError | None:
    missing = [name for name in _NEEDED if not (build / name).exists()]
    if not missing:
        return None
    config = "" if (build / ".config").exists() else "olddefconfig "
    return KscaffoldError(
        "KS521",
        f"the kernel tree {build} is not prepared for building modules",
        cause=f"it lacks {', '.join(missing)}",
        fix=f"make -C {build} {config}modules_prepare (and `make modules` once, for Module.symvers)",
    )


def _moved(kernel: Kernel, build: Path) -> KscaffoldError | None:
    """A header package's Makefile is one include; it dangles when the cache was moved."""
    makefile = build / "Makefile"
    if makefile.stat().st_size > 4096:
        return None
    for target in re.findall(r"^include\s+(/\S+)$", reader.read_text(makefile), re.MULTILINE):
        if not Path(target).exists():
            return _absent(kernel, f"its Makefile includes {target}, which is gone")
    return None


def _other_release(kernel: Kernel, build: Path) -> KscaffoldError | None:
    release = release_of_tree(build)
    if release in (None, kernel.release):
        return None
    return KscaffoldError(
        "KS524",
        f"the tree {build} is not for kernel {kernel.release}",
        cause=f"it is for {release}",
        fix="reboot if the kernel was upgraded, or install the headers of the right release",
    )


def _foreign(kernel: Kernel, build: Path) -> KscaffoldError | None:
    """Host programs of another architecture, or of a newer C library than this machine's."""
    for name in ("scripts/basic/fixdep", "scripts/mod/modpost", "scripts/mod/modpost.real-lsb-64"):
        program = reader.read_bytes(build / name) if (build / name).is_file() else b""
        if not program.startswith(b"\x7fELF"):
            continue  # a script stands in for it: Debian's, which starts the one for the object's machine
        host = table.host()
        if host is not None and table.of_elf(program) is not host:
            return KscaffoldError(
                "KS522",
                f"the programs of the kernel tree {build} don't run on this machine",
                cause=f"{name} is for another architecture",
                fix=f"make -C {build} modules_prepare on this machine",
            )
        if needed := missing_libc(program):
            return KscaffoldError(
                "KS522",
                f"the programs of the kernel tree {build} don't run on this machine",
                cause=f"{name} needs the C library {needed}, which is newer than the one here",
                fix=_fetched_again(kernel) or f"make -C {build} modules_prepare on this machine",
            )
    return None


def _is_of_other_suite(kernel: Kernel) -> bool:
    """Whether a kernel was fetched from a release of the distribution that is not this machine's."""
    import platform  # start-up time: asked only for a problem

    try:
        own = platform.freedesktop_os_release().get("VERSION_CODENAME")
    except OSError:
        return False
    return bool(own and kernel.origin) and not str(kernel.origin).startswith(str(own))


def _fetched_again(kernel: Kernel) -> str | None:
    """The commands that fetch a kernel again; its suite's compiler comes with it then."""
    if kernel.source != "fetched":
        return None
    suite = f" --suite {kernel.origin}" if kernel.origin else ""
    return f"kscaffold kernel remove {kernel.release} && kscaffold kernel add {kernel.release}{suite}"


def missing_libc(program: bytes) -> str | None:
    """The version of the C library that an ELF program needs and this machine is too old for, or None."""
    needed = max((_version(v) for v in re.findall(rb"GLIBC_(2\.\d+)", program)), default=(0,))
    here = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else None
    if here and needed > _version(here.split()[-1].encode()):
        return ".".join(map(str, needed))
    return None


def _version(text: bytes) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(b"."))

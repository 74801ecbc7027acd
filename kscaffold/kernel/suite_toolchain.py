"""The compiler of a kernel's own suite, for a machine that is older: unpacked beside the kernel.

Its programs need a newer C library than this machine's, so that library's own loader starts each of them
(ld.so(8), --library-path): by a script in the program's place. The programs that came with the kernel's
headers (modpost, objtool) are started in the same way. Nothing is installed.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from kscaffold.arch import table
from kscaffold.errors import KscaffoldError
from kscaffold.files import reader
from kscaffold.kernel.buildable import compiler_problem
from kscaffold.kernel.buildtree import TOOLCHAIN, BuildTree, read_tree
from kscaffold.kernel.host_programs import is_too_new, kbuild_programs, replace_too_new
from kscaffold.kernel.kernel import Kernel
from kscaffold.packages.apt import Archive, Package, open_archive, unpack
from kscaffold.progress import SILENT, Progress

# What a compiler depends on and modules do not need.
_NOT_NEEDED = re.compile(
    r"libcc1|libgomp|libitm|libatomic|libh?w?asan|liblsan|libtsan|libubsan|libquadmath|libgprofng|libc-gconv|"
    r"pahole|openssl|linux-libc-dev|libc6-dev"
)
# Of all that is unpacked, what a build runs, and what reads the counters of --coverage.
_PROGRAM = re.compile(
    r"(?:[\w]+-)*(?:gcc-\d+|gcov-\d+|cc1|collect2|as|ld|ld\.bfd|ar|nm|objcopy|objdump|readelf|strip)"
)
_INTERPRETER = re.compile(rb"/lib\d*/(?:[\w-]+/)?(ld[\w.-]{0,60}\.so\.\d+)\0")
_ASIDE = ".elf"
_LARGEST = 256 << 20  # bytes of a program: a compiler has 35 million


def make_buildable(
    archive: Archive, made: Path, release: str, arch: str, place: Path, progress: Progress
) -> None:
    """Have modules be built on this machine for the kernel that is being made in `made`: by programs of this
    machine's own suites, else by those of the kernel's. `place`: a directory for apt. Where neither can be
    had the kernel stays as it is, and `build_problem` tells.
    """
    replace_too_new(made, release, place / "programs", progress)
    build = made / "usr/src" / f"linux-headers-{release}"
    kernel = Kernel(release, "fetched", build, None, None, None, archive.origin, arch)
    programs = [p for p in kbuild_programs(made) if is_too_new(p)]
    compiler = _package(read_tree(build, arch), arch)
    if compiler is None or not (programs or _is_out_of_reach(compiler, kernel, place, progress)):
        return
    try:
        _unpack(archive, made, compiler, place / "suite", progress)
    except KscaffoldError as error:
        progress.step("Note", f"{compiler} of {archive.origin} can't be had: {error.what}")
        return
    for program in (*programs, *filter(is_too_new, _programs(made / TOOLCHAIN))):
        start_by_own_loader(program, made)


def _package(tree: BuildTree, arch: str) -> str | None:
    """Debian's package of the gcc that a tree names, as it runs on this machine."""
    named = re.search(r"gcc-(\d+)$", tree.compiler or "")
    if named is None or tree.clang:
        return None
    machine = table.by_uname(arch)
    if machine is None or machine is table.host():
        return named[0]
    return machine.compiler_package(int(named[1]))


def _is_out_of_reach(compiler: str, kernel: Kernel, place: Path, progress: Progress) -> bool:
    """Whether neither this machine nor its own suites have a compiler as new as the kernel's."""
    if compiler_problem(kernel) is None:
        return False
    try:
        return not open_archive(None, place / "own", progress).names(compiler)
    except KscaffoldError:
        return True


def _unpack(archive: Archive, made: Path, compiler: str, place: Path, progress: Progress) -> None:
    """The compiler and the libraries that it and the kernel's programs need, thinned to what a build runs."""
    kbuild = next(iter(sorted((made / "usr/lib").glob("linux-kbuild-*"))), None)
    wanted = [compiler]
    if kbuild:
        wanted += archive.show([archive.runs_here(kbuild.name)])[0].depends
    base = _base_of(archive, place.with_name("base"), progress)
    packages = _closure(base, wanted)
    size = sum(package.size for package in packages) / 1e6
    progress.step("Fetching", f"{compiler} of {base.origin} and its libraries ({size:.0f} MB)")
    debs = base.download(packages, SILENT)
    for deb in debs:
        unpack(deb, place)
        deb.unlink()
    progress.step("Unpacking", f"{compiler} beside the kernel: nothing is installed")
    for useless in ("usr/share", "usr/include", "etc"):
        shutil.rmtree(place / useless, ignore_errors=True)
    for file in [f for d in ("usr/bin", "usr/libexec") for f in (place / d).rglob("*") if not f.is_dir()]:
        if not _PROGRAM.fullmatch(file.name) and ".so" not in file.name:
            file.unlink()
    place.rename(made / TOOLCHAIN)


def _base_of(archive: Archive, place: Path, progress: Progress) -> Archive:
    """The suite that has the compilers: backports are built with that of the release they are for."""
    suite = archive.origin.partition("-backports")[0]
    if suite == archive.origin:
        return archive
    return open_archive(suite, place, progress, archive.distribution.architecture)


def _closure(archive: Archive, names: list[str]) -> list[Package]:
    """The packages of these names that run on this machine, and what they depend on, without what modules do
    not need.
    """
    found: dict[str, Package] = {}
    todo = list(names)
    while todo:
        todo = [name for name in dict.fromkeys(todo) if name not in found and not _NOT_NEEDED.match(name)]
        packages = archive.show([archive.runs_here(name) for name in todo])
        found.update(zip(todo, packages, strict=True))
        todo = [needed for package in packages for needed in package.depends]
    return list(found.values())


def _programs(toolchain: Path) -> Iterator[Path]:
    for directory in ("usr/bin", "usr/libexec", "usr/lib/gcc", "usr/lib/gcc-cross"):
        for file in sorted((toolchain / directory).rglob("*")):
            if _PROGRAM.fullmatch(file.name):
                yield file


def start_by_own_loader(program: Path, made: Path) -> None:
    """Put a script in the place of a program, which is the file of that name in a directory beside it. The
    script finds all by its own place: the cache may move.
    """
    named = _INTERPRETER.search(reader.read_bytes(program, _LARGEST))
    loaders = (made / TOOLCHAIN).rglob(named[1].decode()) if named else iter(())
    loader = next((p for p in sorted(loaders) if not p.is_symlink()), None)
    if loader is None:
        return
    real = program.parent / _ASIDE / program.name
    real.parent.mkdir(exist_ok=True)
    program.rename(real)
    up = "/".join([".."] * len(program.parent.relative_to(made).parts))
    # gcc looks for `as` in places of its own first.
    options = ' -B"$d/"' if re.search(r"gcc-\d+$", program.name) else ""
    program.write_text(
        "#!/bin/sh\n"
        "d=${0%/*}\n"
        f'l="$d/{up}/{loader.relative_to(made)}"\n'
        f'exec "$l" --library-path "${{l%/*}}" --argv0 "$0" "$d/{_ASIDE}/{program.name}"{options} "$@"\n'
    )
    program.chmod(0o755)

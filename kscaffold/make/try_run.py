"""What Kbuild asks the compiler at the beginning of each build, answered from earlier builds.

The kernel's Makefiles try some thirty options (`cc-option`, `as-instr`, …: all of them are `try-run` in
scripts/Makefile.compiler), each with a shell, a compiler and an assembler: of a build of one small module
that is half of the processor time. The answer depends on nothing but the command, which is the question's
text, and the programs that it runs.

Linux kept answers itself for a while: commit 3298b690b21c "kbuild: Add a cache for generated variables" (in
v4.15), taken back by e08d6de4e532 "kbuild: remove kbuild cache" (in v4.18), as paths that the compiler had
printed were wrong after its upgrade. Here only a yes is kept, and for other programs there is another file.
"""

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from kscaffold import process
from kscaffold.errors import KscaffoldError
from kscaffold.files import paths, reader
from kscaffold.files.atomic import write_whole
from kscaffold.kernel.buildtree import BuildTree
from kscaffold.kernel.compiler import Toolchain
from kscaffold.records import dataclass

DIRECTORY = "try-run"
"""Where the answers are, in the user's cache."""
_LOGIC = Path(__file__).with_name("try_run.mk")
_MOST = 2 << 20  # bytes of a kernel's answers: some 60 KB
_ANSWER = re.compile(r"override kscaffold-yes-[^\s:=#$]{1,16000} := y")
# What can't stand in MAKEFILES, or is a variable's beginning for make.
_UNUSABLE = re.compile(r"[\s$#%:]")
# With these, the words of the question are not the whole of it.
_DECIDES = frozenset(("GCC_EXEC_PREFIX", "COMPILER_PATH", "CROSS_COMPILE", "CCC_OVERRIDE_OPTIONS"))
_PROGRAMS = frozenset(("CC", "LD", "AS", "LLVM", "LLVM_IAS", "CROSS_COMPILE", "ARCH", "HOSTCC"))


@dataclass(frozen=True, slots=True)
class TryRun:
    """The answers for one kernel and its compiler. `file`: what make reads. `asked`: where make writes what
    it had to ask.
    """

    file: Path
    asked: Path

    @property
    def environment(self) -> dict[str, str]:
        """For a make in the kernel's tree."""
        return {"MAKEFILES": str(self.file), "KSCAFFOLD_TRY_RUN": str(self.asked)}

    def keep(self) -> None:
        """After a build that succeeded: its new answers are known to the next one. Never raises OSError."""
        with contextlib.suppress(OSError, KscaffoldError):
            asked = reader.read_text(self.asked, _MOST).splitlines()
            old = reader.read_text(self.file, _MOST)
            new = [f"{line}\n" for line in dict.fromkeys(asked) if _ANSWER.fullmatch(line)]
            added = "".join(line for line in new if f"\n{line}" not in old)
            if added:
                write_whole(self.file, old + added if len(old + added) <= _MOST else _logic(), 0o600)
            self.asked.unlink()


def open_try_run(
    tree: BuildTree, tools: Toolchain, state: Path, variables: tuple[str, ...] = ()
) -> TryRun | None:
    """The answers for a build in the tree at hand; None where they are not to be used: with a compiler of the
    user's own choice, one that is a script, or a place that make can't name.

    `state`: the project's. `variables`: the user's, for make's command line.
    """
    given = {word.partition("=")[0] for word in variables}
    if given & _PROGRAMS or _DECIDES & os.environ.keys():
        return None
    programs = _programs(tree, tools)
    if programs is None:
        return None
    try:
        directory = paths.cache() / DIRECTORY
        what = repr((_logic(), programs)).encode(errors="surrogateescape")
        file = directory / f"{tree.release}-{hashlib.blake2b(what, digest_size=8).hexdigest()}.mk"
        asked = state / "try-run"
        if _UNUSABLE.search(str(file)) or _UNUSABLE.search(str(asked)):
            return None
        if not _is_ours(file):
            paths.make_own(directory)
            write_whole(file, _logic(), 0o600)
        asked.unlink(missing_ok=True)
    except (OSError, KscaffoldError):
        return None
    return TryRun(file, asked)


def _programs(tree: BuildTree, tools: Toolchain) -> list[tuple[str, int, int]] | None:
    """What decides the answers, as files: the compiler, and what it runs."""
    words = dict(word.partition("=")[::2] for word in tools.variables)
    named = words.get("CC") or tree.compiler or "gcc"
    compiler = process.which(named if "/" in named or named.startswith(tree.cross) else tree.cross + named)
    if tree.clang or compiler is None or not _is_program(compiler, tree):
        return None
    others = [words.get(name) or f"{tree.cross}{name.lower()}" for name in ("AS", "LD")]
    found = [compiler, *(path for name in others if (path := process.which(name)))]
    return [(real, *_facts(real)) for path in found if (real := os.path.realpath(path))]


def _facts(path: str) -> tuple[int, int]:
    facts = Path(path).stat()
    return facts.st_size, facts.st_mtime_ns


def _is_program(path: str, tree: BuildTree) -> bool:
    """Whether a compiler is one itself: a script that calls another does not change with it. Those that were
    unpacked beside a kernel never do.
    """
    if tree.programs is not None and Path(path).is_relative_to(tree.programs):
        return True
    try:
        with Path(path).open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def _is_ours(file: Path) -> bool:
    """Whether the answers are there to be read: anything else at their name is made anew."""
    try:
        facts = file.lstat()
    except OSError:
        return False
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > _MOST:
        with contextlib.suppress(OSError):
            file.unlink()
        return False
    return True


def _logic() -> str:
    return reader.read_text(_LOGIC)


def with_answers(environment: Mapping[str, str], answers: TryRun | None) -> dict[str, str]:
    """An environment for make, with the answers where there are any."""
    return {**environment, **(answers.environment if answers else {})}

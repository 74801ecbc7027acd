"""What is to be loaded and where, before anything is built or started for it."""

from collections.abc import Sequence
from pathlib import Path

from kscaffold.elf.quick import existing, foreign_machine
from kscaffold.errors import UsageError
from kscaffold.module.arguments import NO_PARAMETERS, Parameters
from kscaffold.project.meant import meant
from kscaffold.records import dataclass, replace


@dataclass(frozen=True, slots=True)
class Instruments:
    """The instruments that look for bugs while modules run. `sanitize`: bugs of memory and locks, undefined
    behaviour. `faults`: each call that can fail is made to fail once, with `init` those of init, with `all`
    those after it, too. `coverage`: which lines ran.
    """

    sanitize: bool = False
    faults: str = ""
    coverage: bool = False

    @classmethod
    def of(cls, *, sanitize: bool = False, faults: str = "", coverage: bool = False) -> "Instruments":
        """These instruments. Raises UsageError KS004 for a word that --faults does not know."""
        if faults not in ("", "init", "all"):
            raise UsageError(
                "KS004", f"--faults={faults} is not known", fix="--faults (those of init), or --faults=all"
            )
        return cls(sanitize, faults, coverage)

    @classmethod
    def named(cls, words: Sequence[str]) -> "Instruments":
        """The instruments by a script's words: sanitize, faults, faults=all, coverage. Raises UsageError
        KS004.
        """
        for word in words:
            if word not in ("sanitize", "faults", "faults=all", "coverage"):
                fix = "sanitize, faults, faults=all, coverage"
                raise UsageError("KS004", f"{word!r} is no instrument", fix=fix)
        faults = "all" if "faults=all" in words else "init" if "faults" in words else ""
        return cls("sanitize" in words, faults, "coverage" in words)

    @property
    def words(self) -> tuple[str, ...]:
        """The instruments as the words that `named` takes."""
        faults = {"init": ("faults",), "all": ("faults=all",)}.get(self.faults, ())
        return (
            *(["sanitize"] if self.sanitize else []),
            *faults,
            *(["coverage"] if self.coverage else []),
        )

    def __bool__(self) -> bool:
        return bool(self.sanitize or self.faults or self.coverage)


NO_INSTRUMENTS = Instruments()
SLOWER = 4
"""How many times longer instrumented code may take: a call for each access."""


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What is to be loaded. `kos`: the .ko files that were named, none where the project's modules are meant.

    `module`: the one module of the project that is meant. `build`: build first. `dependencies`: load what
    the modules need before them. `allow`: codes of complaints that a run accepts, beside those that the
    project's kscaffold.toml has. `instruments`: load copies that look for bugs in the place of the modules.
    `as_user`: an ordinary user of the guest loads them, not root. `firmware`: FILE or FILE:NAME, for the
    guest. `repeat`: how many times a run loads with each of its parameters.
    """

    directory: Path
    kos: tuple[Path, ...] = ()
    parameters: Parameters = NO_PARAMETERS
    module: str | None = None
    build: bool = True
    dependencies: bool = True
    allow: tuple[str, ...] = ()
    instruments: Instruments = NO_INSTRUMENTS
    as_user: bool = False
    firmware: tuple[str, ...] = ()
    repeat: int = 1

    def __post_init__(self) -> None:
        if self.instruments and self.as_user:
            what = (
                "an ordinary user's load is refused before a module runs: no instrument would find anything"
            )
            raise UsageError("KS004", what, fix="leave out --as-user, or --sanitize, --faults and --coverage")

    @classmethod
    def from_words(
        cls,
        words: Sequence[str],
        directory: Path,
        module: str | None,
        *,
        build: bool,
        dependencies: bool,
    ) -> "LoadRequest":
        """The request of words as they were typed: .ko files, or one project's directory or one module's
        name (no `=`), and `NAME=VALUE` parameters.

        Raises UsageError for a .ko that is not there, and for a parameter the kernel can't be given.
        """
        named = [word for word in words if "=" not in word]
        parameters = Parameters.from_arguments([word for word in words if "=" in word])
        m = meant(named, directory, module)
        kos = tuple(existing(file) for file in m.files)
        return cls(m.directory, kos, parameters, m.module, build, dependencies)

    def with_sanitizer(self, where: "TargetRequest") -> "LoadRequest":
        """The same with the sanitizer. Raises UsageError KS004 on the host."""
        if where.host:
            fix = "kscaffold load --sanitize, in a sandbox"
            raise UsageError("KS004", "--sanitize is for a sandbox: no helper is loaded on a host", fix=fix)
        return replace(self, instruments=Instruments(sanitize=True))

    def with_firmware(self, firmware: Sequence[str], where: "TargetRequest") -> "LoadRequest":
        """The same with files for the guest. Raises UsageError KS004 for any on the host."""
        if firmware and where.host:
            fix = f"sudo cp {firmware[0].partition(':')[0]} /lib/firmware"
            raise UsageError("KS004", "--firmware is for a sandbox: /lib/firmware is this machine's", fix=fix)
        return replace(self, firmware=tuple(firmware))


@dataclass(frozen=True, slots=True)
class TargetRequest:
    """Where to load. `host`: into this machine's own kernel, else into a sandbox.

    `kernel`: a release or the beginning of one, None for the default. `cmdline`: what is added to the guest
    kernel's command line. `certs`: files of the certificates that its kernel trusts, "none" for none of the
    user's; None for those of keys that signed here, where the kernel wants signatures. `offline`: fetch no
    kernel. `devices`: further devices of the sandbox's machine, as QEMU's -device takes them.

    Raises UsageError KS004 for a kernel or certificates on the host.
    """

    host: bool = False
    kernel: str | None = None
    cmdline: str = ""
    certs: Sequence[str] | None = None
    offline: bool = False
    devices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.host and self.kernel:
            raise UsageError(
                "KS004",
                "--host is this machine's running kernel: neither --kernel nor --arch can be given too",
                fix="leave out --host, for the sandbox; or --kernel and --arch",
            )
        if self.host and self.certs:
            raise UsageError(
                "KS004",
                "--cert is for a sandbox: which keys this machine's kernel trusts, its firmware decides",
                fix="kscaffold explain KS448",
            )

    def for_modules(self, kos: Sequence[Path]) -> "TargetRequest":
        """This target; where it names no kernel, with a kernel of the machine that the .ko files are for."""
        machine = foreign_machine(kos[0]) if kos and not (self.kernel or self.host) else None
        return replace(self, kernel=f"{machine.debian}:") if machine else self

"""Packages of the distribution without root and without a trace on the host: apt in a directory of its own.

Signatures and hashes are checked by apt itself, against the distribution's keyring.
"""

import contextlib
import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kscaffold import process
from kscaffold.arch import table
from kscaffold.arch.architecture import Architecture
from kscaffold.errors import DeadlineError, KscaffoldError
from kscaffold.packages import sources
from kscaffold.packages.sources import AptSource
from kscaffold.progress import Progress, Work
from kscaffold.records import dataclass

_UPDATE_TIMEOUT = 300.0
_DOWNLOAD_TIMEOUT = 1800.0
_QUERY_TIMEOUT = 60.0
_UNPACK_TIMEOUT = 300.0


@dataclass(frozen=True, slots=True)
class Distribution:
    """What differs between distributions that have an apt archive with kernels we know.

    `architecture`: that of the packages. `host`: Debian's name of this machine's, whose programs run here.
    """

    keyrings: tuple[Path, ...]
    architecture: Architecture
    host: str


# The archive keyrings of each distribution, by its ID in /etc/os-release.
_KEYRINGS = {
    "debian": (
        Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
        Path("/usr/share/keyrings/debian-archive-keyring.pgp"),  # Debian 13
    ),
}


def _distribution(system: Mapping[str, str], machine: Architecture | None) -> Distribution | None:
    """The distribution of this machine, as /etc/os-release and `uname -m` tell, for packages of `machine`
    (None: of this machine). None where its archive has no kernel that a sandbox is made for.
    """
    keyrings, host = _KEYRINGS.get(system.get("ID", "")), table.host()
    if keyrings is None or host is None or not (machine or host).flavours:
        return None
    return Distribution(keyrings, machine or host, host.debian)


@dataclass(frozen=True, slots=True)
class Package:
    """One version of one package. `size`: of the .deb, `installed`: unpacked, both in bytes. `arch`: Debian's
    name of its architecture, or "all".
    """

    name: str
    version: str
    size: int
    installed: int
    depends: tuple[str, ...]
    arch: str

    @property
    def megabytes(self) -> str:
        """The download's size for people."""
        return f"{self.size / 1e6:.1f} MB"


@dataclass(frozen=True, slots=True)
class Archive:
    """The distribution's packages as apt sees them in a directory of ours, made by `open_archive`."""

    directory: Path
    distribution: Distribution
    origin: str

    @property
    def options(self) -> tuple[str, ...]:
        """The options that make apt work in our directory and nowhere else."""
        return ("-c", str(self.directory / "apt.conf"))

    def names(self, prefix: str) -> list[str]:
        """Names of packages that begin so."""
        return self._ask("apt-cache", "pkgnames", prefix).split()

    def show(self, names: Sequence[str]) -> list[Package]:
        """The candidate version of each package, in the order asked. Raises KscaffoldError KS502."""
        parsed = self._show(names)
        # apt shows another architecture's package where the wanted one has none of that name.
        own = (self.distribution.architecture.debian, "all")
        found = {p.name: p for p in parsed if p.arch in own} | {f"{p.name}:{p.arch}": p for p in parsed}
        # One of all architectures apt has under this name alone, whatever machine it is to run on.
        plain = [name.partition(":")[0] for name in names if name not in found]
        host = self.distribution.host
        found |= {f"{p.name}:{host}": p for p in self._show(plain) if p.arch == "all"}
        for name in names:
            if name not in found:
                raise _absent(name, self.origin)
        return [found[name] for name in names]

    def _show(self, names: Sequence[str]) -> list[Package]:
        text = self._ask("apt-cache", "show", "--no-all-versions", *names) if names else ""
        return _parse_packages(text)

    def download(self, packages: Sequence[Package], progress: Progress) -> list[Path]:
        """Fetch and verify the .debs of some packages, and return where they are."""
        into = self.directory / "debs"
        into.mkdir(exist_ok=True)
        sizes = {p.name: p for p in packages}
        output: list[str] = []

        def on_line(line: str) -> None:
            output.append(line)
            words = line.split()
            if line.startswith("Get:") and len(words) > 4 and words[4] in sizes:
                progress.detail(f"{words[4]} ({sizes[words[4]].megabytes})")

        names = [f"{self._qualified(p)}={p.version}" for p in packages]
        argv = ["apt-get", "download", *self.options, *names]
        total = sum(p.size for p in packages)
        what = packages[0].name if len(packages) == 1 else f"{len(packages)} packages of {self.origin}"
        what += f" ({total / 1e6:.1f} MB)"
        with progress.work(Work("Fetching", what, lambda: _bytes_in(into), total)):
            status = process.stream(
                argv, on_line, timeout=_DOWNLOAD_TIMEOUT, cwd=into, env=self.environment()
            )
        debs = [next(into.glob(f"{p.name}_*.deb"), None) for p in packages]
        if status != 0 or None in debs:
            raise _failure("the packages can't be fetched", output, self.directory)
        return [deb for deb in debs if deb]

    def runs_here(self, name: str) -> str:
        """The name of a package whose programs are to run on this machine, whatever the archive's is."""
        if self.distribution.host == self.distribution.architecture.debian:
            return name
        return f"{name}:{self.distribution.host}"

    def _qualified(self, package: Package) -> str:
        own = (self.distribution.architecture.debian, "all")
        return package.name if package.arch in own else f"{package.name}:{package.arch}"

    def _ask(self, program: str, *words: str) -> str:
        argv = [program, words[0], *self.options, *words[1:]]
        return process.run(argv, timeout=_QUERY_TIMEOUT, env=self.environment()).stdout

    def environment(self) -> dict[str, str]:
        """That of apt. What its methods keep for a moment, and leave when they are killed, is in here."""
        return process.environment({"TMPDIR": str(self.directory)})


def _bytes_in(directory: Path) -> int:
    """The bytes of the files in a directory to which another process adds."""
    with contextlib.suppress(OSError):  # a file was renamed meanwhile
        return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    return 0


def configuration(here: Path, architectures: Sequence[str]) -> str:
    """The apt.conf that is read after the host's own (proxy, credentials) and keeps apt in `here`. Pure.
    `architectures`: Debian's names, first that of packages which are named without one.
    """
    settings = {
        # dpkg need not know the architecture: nothing is installed.
        "APT::Architecture": architectures[0],
        "Dir::State": here / "state",
        "Dir::State::lists": here / "lists",
        "Dir::Cache": here / "cache",
        # Debian's container images switch these two off; without them every question takes a second.
        "Dir::Cache::pkgcache": "pkgcache.bin",
        "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
        # What is installed or pinned on the host has no say in what we fetch.
        "Dir::State::status": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Default-Release": "",
        "Dir::Etc::sourcelist": here / "list.sources",
        "Dir::Etc::sourceparts": "/dev/null",
        # A host that waives signatures does not waive ours.
        "Acquire::AllowInsecureRepositories": "false",
        "Acquire::AllowDowngradeToInsecureRepositories": "false",
        "APT::Get::AllowUnauthenticated": "false",
        # As root apt would switch to a user that can't write here.
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::PDiffs": "false",
        "quiet": "1",
    }
    # The hooks of a host are for its own package lists.
    hooks = ("APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success")
    lines = [f'{name} "{value}";' for name, value in settings.items()]
    lines += [f'APT::Architectures:: "{name}";' for name in architectures]
    cleared = (*hooks, "APT::Architectures")
    return "\n".join([*(f"#clear {name};" for name in cleared), *lines, ""])


def fetch(
    names: Sequence[str],
    suite: str | None,
    into: Path,
    scratch: Path,
    progress: Progress,
    machine: Architecture | None = None,
) -> list[Package]:
    """Fetch some packages (of `machine`; None: of this one) and unpack them into a directory. `scratch`: an
    empty directory for apt.
    """
    archive = open_archive(suite, scratch, progress, machine)
    packages = archive.show(names)
    for deb in archive.download(packages, progress):
        unpack(deb, into)
    return packages


def unpack(deb: Path, into: Path, on_start: Callable[[int], None] = lambda pid: None) -> None:
    """The files of a package, anywhere, without root and without its scripts. `on_start` gets the number of
    the process that reads it.
    """
    said: list[str] = []
    argv = ["dpkg-deb", "-x", str(deb), str(into)]
    if process.stream(argv, said.append, timeout=_UNPACK_TIMEOUT, on_start=on_start) != 0:
        raise _failure(f"{deb.name} can't be unpacked", said, into)


def why_not(machine: Architecture | None = None) -> KscaffoldError | None:
    """Why packages (of `machine`; None: of this machine) can't be fetched here, or None where they can."""
    system = _os_release()
    fix = "give a kernel by path: kscaffold kernel add --build DIR --image FILE"
    name = system.get("PRETTY_NAME", "this system")
    if _distribution(system, machine) is None:
        cause = f"this is {name} on {os.uname().machine}; kernels are fetched from Debian's archive"
        if machine is not None and not machine.flavours:
            cause = f"Debian has no kernel for {machine.name}"
        return KscaffoldError("KS501", "kernels can't be fetched on this system", cause=cause, fix=fix)
    for program in ("apt-get", "dpkg-deb"):
        if process.which(program) is None:
            cause = f"{program} is not on PATH"
            return KscaffoldError("KS501", "kernels can't be fetched on this system", cause=cause, fix=fix)
    return None


def open_archive(
    suite: str | None, scratch: Path, progress: Progress, machine: Architecture | None = None
) -> Archive:
    """Fetch the package lists of a suite, or of the host's own suites, into an empty directory: those of
    `machine` (None: of this machine), with those of this machine beside them.

    Mirrors, proxies and credentials are the host's. Raises KscaffoldError KS501, KS503, KS504, KS505.
    """
    system = _os_release()
    distribution = _distribution(system, machine)
    if problem := why_not(machine):
        raise problem
    assert distribution is not None  # why_not() saw it
    if suite is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", suite):
        raise KscaffoldError(
            "KS503",
            f"{suite!r} can't be the name of a suite",
            fix="--suite bookworm, or another of the mirror",
        )
    keyring = next((k for k in distribution.keyrings if k.exists()), None)
    wanted = sources.wanted(sources.configured(), suite, system.get("VERSION_CODENAME", "sid"), keyring)
    if not wanted:
        raise KscaffoldError(
            "KS503",
            "apt on this machine knows no mirror of its distribution",
            fix="add your distribution's mirror to /etc/apt/sources.list: "
            f"deb URL {system.get('VERSION_CODENAME', 'stable')} main",
        )
    for name in ("lists/partial", "cache/archives/partial", "state"):
        (scratch / name).mkdir(parents=True)
    architectures = list(dict.fromkeys((distribution.architecture.debian, distribution.host)))
    (scratch / "apt.conf").write_text(configuration(scratch, architectures))
    (scratch / "list.sources").write_text(sources.stanzas(wanted, architectures))
    archive = Archive(scratch, distribution, suite or system.get("VERSION_CODENAME", "sid"))
    _update(archive, wanted, progress)
    return archive


def _update(archive: Archive, wanted: list[AptSource], progress: Progress) -> None:
    what = f"package lists of {', '.join(dict.fromkeys(s.suite for s in wanted))}"
    output: list[str] = []
    try:
        with progress.work(Work("Updating", what)):
            process.stream(
                ["apt-get", "update", *archive.options],
                output.append,
                timeout=_UPDATE_TIMEOUT,
                env=archive.environment(),
            )
    except DeadlineError:
        output.append(f"E: the mirror did not answer within {_UPDATE_TIMEOUT:g} s")
    # apt-get's exit status is 100 when one of many is missing, and 0 when the network is down: ask what came.
    argv = ["apt-get", "indextargets", *archive.options, "--format", "$(RELEASE)", "Created-By: Packages"]
    came = set(process.run(argv, timeout=_QUERY_TIMEOUT, env=archive.environment()).stdout.split())
    if not came:
        raise _failure(f"the package lists of {archive.origin} can't be fetched", output, archive.directory)
    for suite in dict.fromkeys(s.suite for s in wanted if s.suite not in came):
        if not suite.endswith(("-updates", "-security")) or suite == archive.origin:
            progress.step("Skipping", f"{suite}: {_reason(output, suite)}")


def _parse_packages(text: str) -> list[Package]:
    found = []
    for stanza in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): ?(.*)$", stanza, re.MULTILINE))
        if "Package" in fields:
            # Alternatives: the first is what the package is made for.
            depends = [re.split(r"[ (|:]", d.strip())[0] for d in fields.get("Depends", "").split(",")]
            found.append(
                Package(
                    fields["Package"],
                    fields.get("Version", ""),
                    int(fields.get("Size", 0)),
                    int(fields.get("Installed-Size", 0)) * 1024,
                    tuple(d for d in depends if d),
                    fields.get("Architecture", ""),
                )
            )
    return found


def _absent(name: str, suite: str) -> KscaffoldError:
    return KscaffoldError(
        "KS502",
        f"there is no package {name} in {suite}",
        fix="name a suite that has it: kscaffold kernel add VERSION --suite SUITE",
    )


def _reason(output: list[str], suite: str) -> str:
    lines = [line[3:] for line in output if line[:3] in ("E: ", "W: ") and suite in line]
    return lines[0].rstrip(".") if lines else "not on this mirror"


# What apt and dpkg print, to the code and the fix.
_FAILURES = (
    (
        r"No space left|enough free space|Disk quota|File too large|write error",
        "KS505",
        "free some space where the cache is, or set XDG_CACHE_HOME to a larger disk",
    ),
    (
        r"NO_PUBKEY|not signed|EXPKEYSIG|REVKEYSIG|BADSIG|signatures were invalid|could not be authenticated"
        r"|is expired|not valid yet|Hash Sum mismatch|verification failed",
        "KS504",
        "sudo apt-get update && sudo apt-get install --only-upgrade debian-archive-keyring (and see `date`)",
    ),
    (
        r"does not have a Release file|404",
        "KS503",
        "name a suite that the mirror has: kscaffold kernel add --suite SUITE",
    ),
)


def _failure(what: str, output: Sequence[str], where: Path) -> KscaffoldError:
    """The error of apt or dpkg, by what they printed and by the disk they wrote to."""
    errors = [line for line in output if re.match(r"(E|W|dpkg-deb|tar)\b", line)]
    code, fix = "KS503", "see that the mirror can be reached: sudo apt-get update"
    if _is_full(where):  # apt does not always say so
        output = [*output, f"E: No space left on device: {where}"]
    for pattern, its_code, its_fix in _FAILURES:
        hits = [line for line in output if re.search(pattern, line)]
        if hits:
            code, fix = its_code, its_fix
            errors = [line for line in hits if line in errors] or hits
            break
    line = next(iter(errors or output[-1:]), "")
    cause = re.sub(r"^(E|W|dpkg-deb): (error: )?", "", line.strip()).rstrip(".")
    return KscaffoldError(code, what, cause=cause or None, fix=fix)


def _is_full(where: Path) -> bool:
    disk = os.statvfs(where)
    return disk.f_bavail * disk.f_frsize < 1 << 20 or (disk.f_files > 0 and disk.f_favail == 0)


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {"PRETTY_NAME": os.uname().sysname}

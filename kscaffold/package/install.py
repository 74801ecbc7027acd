"""`package install`: a .ko where modprobe finds it, shown by asking modprobe."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from kscaffold import process
from kscaffold.elf import content
from kscaffold.elf.module_name import KO_SUFFIXES, ko_stem
from kscaffold.elf.quick import module_name
from kscaffold.errors import KscaffoldError
from kscaffold.files import paths, reader
from kscaffold.files.atomic import sweep_beside, write_whole
from kscaffold.records import dataclass

_DEADLINE = 120.0  # seconds; depmod reads every module of the kernel
# As depmod reads them: a file hides one of the same name in a later directory (depmod.d(5)).
_CONFIGS = ("etc", "run", "usr/local/lib", "usr/lib", "lib")
# Where modules_install puts modules: updates since 6.2, extra before. depmod knows only the first by itself.
_USUAL = ("updates", "extra")


@dataclass(frozen=True, slots=True)
class Installed:
    """One module that was installed. `name`: the kernel's; `path`: the file; `found`: what modprobe loads.

    `others`: files of that name elsewhere below lib/modules/RELEASE.
    """

    name: str
    path: Path
    found: Path | None
    others: tuple[Path, ...]

    @property
    def ok(self) -> bool:
        """Whether modprobe loads this file."""
        return self.found == self.path


@dataclass(frozen=True, slots=True)
class InstallReport:
    """What was installed. `said`: the warnings of depmod and modprobe."""

    release: str
    directory: Path
    modules: tuple[Installed, ...]
    said: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether modprobe finds them all."""
        return all(m.ok for m in self.modules)


def install(kos: Sequence[Path], release: str, root: Path = Path("/")) -> InstallReport:
    """Copy .ko files to `root`/lib/modules/RELEASE/updates, or where the depmod.d of that root says modules
    that come first are; run depmod; ask modprobe.

    Raises KscaffoldError: KS046 no such place, or not ours to write to; KS047 depmod failed;
    ToolMissingError without depmod or modprobe.
    """
    depmod, modprobe = process.need("depmod"), process.need("modprobe")
    root = root.resolve()
    base = _base(root, release)
    directory = base / _subdirectory(root)
    _inside(root, directory)
    if not _writable(directory):
        raise _closed(directory, root, release)
    directory.mkdir(parents=True, exist_ok=True)
    placed = [_place(ko, directory) for ko in kos]
    where = [] if root == Path("/") else ["-b", str(root), *_config_arguments(root)]
    ran = process.run([depmod, *where, release], timeout=_DEADLINE)
    said = [line for line in ran.stderr.splitlines() if line.strip()]
    if ran.returncode != 0:
        cause = said[0] if said else f"it ended with {ran.returncode}"
        raise KscaffoldError("KS047", f"depmod failed for {base}", cause=cause, fix=process.display(ran.argv))
    modules = []
    for path in placed:
        name = module_name(path)
        asked = process.run(
            [modprobe, "-d", str(root), "-S", release, "--show-depends", name], timeout=_DEADLINE
        )
        said += [line for line in asked.stderr.splitlines() if line.strip()]
        modules.append(Installed(name, path, _found(asked.stdout, base), _others(base, path)))
    return InstallReport(release, directory, tuple(modules), tuple(said))


def _base(root: Path, release: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+~-]*", release):
        raise KscaffoldError("KS046", f"{release!r} is no kernel release")
    if not root.is_dir():
        raise KscaffoldError("KS046", f"{root} is not a directory", fix=f"mkdir -p {root}")
    base = root / "lib/modules" / release
    if root == Path("/") and not base.is_dir():
        raise KscaffoldError(
            "KS046",
            f"kernel {release} is not installed on this machine",
            cause=f"there is no {base}",
            fix="kscaffold package install --root DIR, or --kernel $(uname -r)",
        )
    return base


def _inside(root: Path, directory: Path) -> None:
    """Refuse a root whose links lead out of it: /lib -> /usr/lib there would mean this machine's own."""
    real = Path(os.path.realpath(directory))
    if not real.is_relative_to(root):
        raise KscaffoldError(
            "KS046",
            f"{directory} is not inside {root}",
            cause=f"a link leads to {real}",
            fix="make the link of that root relative",
        )


def _writable(directory: Path) -> bool:
    return os.access(_there(directory), os.W_OK | os.X_OK)


def _there(directory: Path) -> Path:
    return next(d for d in (directory, *directory.parents) if d.is_dir())


def _closed(directory: Path, root: Path, release: str) -> KscaffoldError:
    what, there = f"{directory} can't be written to", _there(directory)
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        cause = f"the file system of {there} is mounted read-only"
        return KscaffoldError("KS046", what, cause=cause, fix="name another root: --root DIR")
    # Root's own choice of a kernel, and its own root, would be others.
    program = process.which("kscaffold") or "kscaffold"
    again = ["sudo", "env", f"XDG_CACHE_HOME={paths.cache().parent}", program, "package", "install"]
    again += ["--no-build", "--kernel", release]
    cause = "modules of a machine belong to root"
    if root != Path("/"):
        again += ["--root", str(root)]
        cause = f"{there} is not yours"
    return KscaffoldError("KS046", what, cause=cause, fix=process.display(again))


def config_files(root: Path) -> list[Path]:
    """The files depmod would read in this root, in the order of their names."""
    files: dict[str, Path] = {}
    for place in _CONFIGS:
        for file in sorted((root / place / "depmod.d").glob("*.conf")):
            files.setdefault(file.name, file)
    return [files[name] for name in sorted(files)]


def _config_arguments(root: Path) -> list[str]:
    # Without -C depmod would take this machine's configuration for the other root.
    files = config_files(root) or [Path("/dev/null")]
    return [word for file in files for word in ("-C", str(file))]


def _subdirectory(root: Path) -> str:
    """The directory whose modules win over the kernel's own of the same name, the usual ones preferred."""
    first: list[str] = []
    for file in config_files(root):
        text = reader.read_text(file).replace("\\\n", " ")
        for line in text.splitlines():
            words = line.split()
            if words[:1] == ["search"]:
                first += words[1 : words.index("built-in")] if "built-in" in words else words[1:]
    plain = [
        w for w in first if re.fullmatch(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)*", w) and w != "external"
    ]
    return next((w for w in _USUAL if w in plain), plain[0] if plain else _USUAL[0])


def _place(ko: Path, directory: Path) -> Path:
    """Copy a .ko so that it appears whole, also over one that is there."""
    target = directory / ko.name
    sweep_beside(target)
    write_whole(target, reader.read_bytes(ko, content.LIMIT), 0o644, sync=True)
    return target


def _found(shown: str, base: Path) -> Path | None:
    """The file of modprobe's last `insmod FILE [PARAMETERS]`: what it needs comes before it."""
    # modprobe quotes nothing, and a root can have blanks in its name.
    found = re.findall(rf"^insmod ({re.escape(str(base))}/\S+|\S+)", shown, re.M)
    return Path(found[-1]) if found else None


def _others(base: Path, path: Path) -> tuple[Path, ...]:
    stem = ko_stem(path.name)
    names = {
        f"{s}{suffix}"
        for s in (stem.replace("-", "_"), stem.replace("_", "-"), stem)
        for suffix in KO_SUFFIXES
    }
    return tuple(
        sorted(
            Path(where, n)
            for where, _, inside in os.walk(base)
            for n in inside
            if n in names and Path(where, n) != path
        )
    )

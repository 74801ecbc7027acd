"""Which of the loaded modules are the user's."""

from collections.abc import Collection, Sequence
from pathlib import Path

from kscaffold.diagnosis.attempt import Listed
from kscaffold.elf.module_name import module_name_of
from kscaffold.load.open_target import OpenTarget, running_target
from kscaffold.load.plan import HELPERS, module_names_of
from kscaffold.progress import SILENT, Progress
from kscaffold.project.find import home
from kscaffold.project.meant import meant
from kscaffold.records import dataclass
from kscaffold.sandbox.agent import guest_root
from kscaffold.targets.target import Kind


@dataclass(frozen=True, slots=True)
class LoadedModules:
    """The modules of a target. `kernel`, `arch`: its release, and its machine as `uname -m` says it; empty
    where no sandbox runs. `is_there`: False then.
    """

    modules: tuple[Listed, ...]
    kind: Kind
    is_there: bool
    kernel: str
    arch: str


def modules_meant(words: Sequence[str], directory: Path) -> tuple[Path, set[str]]:
    """The directory whose sandbox words of a command line mean, and the kernel's names of the modules that
    they name: by name or by file. No names where a project's directory is meant, or nothing is said.
    """
    found = meant(words, directory, None)
    named = (found.module,) if found.module else found.files
    return home(found.directory), {module_name_of(str(word)) for word in named}


def loaded_modules(
    at: Path,
    names: Collection[str] = (),
    *,
    host: bool = False,
    everything: bool = False,
    progress: Progress = SILENT,
) -> LoadedModules:
    """The loaded modules of the project in `at`, with `everything` all of them, with `names` those of these
    names, whosever they are. No sandbox is started.
    """
    with running_target(at, host=host, progress=progress) as opened:
        target = opened.target
        if everything or names:
            listed = [m for m in target.modules() if m.name in names or not names]
        else:
            listed = own_modules(opened, module_names_of(at))
        return LoadedModules(tuple(listed), opened.kind, opened.is_there, target.release, target.arch)


def own_modules(opened: OpenTarget, names: set[str]) -> list[Listed]:
    """The loaded modules that are the user's: of the project; outside of one, all that a sandbox did not
    begin with, and on the host those that did not come with its kernel.

    `names`: the kernel's names of what the project builds; empty outside a project.
    """
    if names:
        return [m for m in opened.target.modules() if m.name in names]
    if opened.kind == "host":
        return [m for m in opened.target.modules() if "O" in m.taints]
    begun_with = guest_root.own_modules() | HELPERS
    return [m for m in opened.target.modules() if m.name not in begun_with]


def unload_order(at: Path, module: str | None, opened: OpenTarget, progress: Progress = SILENT) -> list[str]:
    """The loaded modules of the project in `at`, in the order of unloading; where none is, all its modules.

    `module`: only this one.
    """
    if module:
        return [module]
    names = module_names_of(at)
    listed = [m.name for m in own_modules(opened, names)]
    if not opened.is_there:
        return sorted(names) or [at.name]
    return listed or sorted(names) or [at.name]

"""Which of the loaded modules are the user's."""

from pathlib import Path

from kscaffold.diagnosis.attempt import Listed
from kscaffold.load.open_target import OpenTarget, running_target
from kscaffold.load.plan import module_names_of
from kscaffold.progress import SILENT, Progress
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


def loaded_modules(
    at: Path, *, host: bool = False, everything: bool = False, progress: Progress = SILENT
) -> LoadedModules:
    """The loaded modules of the project in `at`, with `everything` all of them. No sandbox is started."""
    with running_target(at, host=host, progress=progress) as opened:
        target = opened.target
        listed = target.modules() if everything else own_modules(opened, module_names_of(at))
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
    begun_with = guest_root.own_modules()
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

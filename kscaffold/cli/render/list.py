"""What `list` prints: the loaded modules, as lsmod does."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from kscaffold import console
from kscaffold.arch.table import kernel_name
from kscaffold.cli.documents import load as documents
from kscaffold.errors import EXIT_YES

if TYPE_CHECKING:
    from kscaffold.load.loaded_modules import LoadedModules


def listed(found: "LoadedModules", named: Collection[str] = ()) -> int:
    """The list of modules, as lsmod's. `named`: those that were asked for."""
    modules, name = found.modules, kernel_name(found.kernel, found.arch)
    console.emit("list", True, documents.listed(found))
    if not found.is_there:
        console.note("no sandbox runs for this project: kscaffold load starts one")
    elif not modules:
        where = f" in {name}" if name != found.kernel else ""
        what = " or ".join(sorted(named)) + " is not" if named else "none of this project's modules is"
        console.note(f"{what} loaded{where}")
    elif not console.json_mode:
        # As lsmod's, for this machine's own kernels.
        if name != found.kernel:
            console.note(f"loaded in {name}:")
        console.out(f"{'Module':<24} {'Size':>8}  Used by")
        for m in modules:
            state = "" if m.state == "Live" else f"  ({m.state.lower()})"
            users = ",".join((*m.used_by, *(["[permanent]"] if m.permanent else [])))
            console.out(f"{m.name:<24} {m.size:>8}  {m.refcount} {users}{state}".rstrip())
    return EXIT_YES

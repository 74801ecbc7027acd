"""A kernel that is named and perhaps not here yet: found, or fetched from the first suite that has it."""

from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.kernel import store
from kscaffold.kernel.choose import choose, of_machine, split_spec
from kscaffold.kernel.kernel import Kernel
from kscaffold.progress import SILENT, Progress

# Debian's, beside the running release's own (None): its kernels run with the programs of another release.
_SUITES = (None, "bookworm-backports", "trixie", "bookworm", "bullseye")
_NOT_HERE, _NOT_IN_SUITE = "KS530", "KS502"


def obtain(spec: str | None, *, offline: bool, progress: Progress = SILENT) -> Kernel:
    """As `choose`, and a release that is not here is fetched: which needs the network, and minutes.

    Raises UsageError KS530 where `spec` means several kernels that are here, or with `offline` none, and what
    `fetch` raises where no suite has it.
    """
    try:
        return choose(spec, offline=offline, progress=progress)
    except UsageError as error:
        if error.code != _NOT_HERE or offline or not spec or "/" in spec or _is_here(spec):
            raise
    return _fetched(spec, progress)


def _is_here(spec: str) -> bool:
    machine, release = split_spec(spec)
    return any(k.release.startswith(release or "") for k in of_machine(store.known(), machine))


def _fetched(spec: str, progress: Progress) -> Kernel:
    from kscaffold.kernel.fetch import fetch  # start-up time: most kernels are here

    machine, release = split_spec(spec)
    refused: KscaffoldError | None = None
    for suite in _SUITES:
        try:
            return fetch(release, suite, progress, machine=machine).kernel
        except KscaffoldError as error:
            refused = refused or error
            if error.code != _NOT_IN_SUITE and suite is None:
                raise
    assert refused is not None
    raise refused

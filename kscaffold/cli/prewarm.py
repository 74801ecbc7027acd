"""A guest that restores while Python imports the rest and the project is looked at: half of a run's time.

So this file imports little.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kscaffold import console
from kscaffold.elf.quick import existing
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.choose import choose
from kscaffold.kernel.kernel import Kernel
from kscaffold.make.fingerprint.compare import fresh_targets
from kscaffold.module.arguments import kernel_string
from kscaffold.module.predict.sig_enforce import enforced, locked_down
from kscaffold.project.find import home
from kscaffold.sandbox.live import registry
from kscaffold.sandbox.vm import guest as session
from kscaffold.sandbox.vm import snapshot

# Bytes of certificates that every kernel we know has room for: 5.10 has 2995.
_ROOM = 2816


@dataclass(frozen=True, slots=True)
class Prewarmed:
    """The kernel chosen, the guest planned for it, and its restore begun (None: it will have to boot)."""

    kernel: Kernel
    plan: session.Plan
    restoring: session.Restoring | None


@contextlib.contextmanager
def prewarm_guest(
    words: Sequence[str],
    directory: Path,
    kernel: str | None,
    cmdline: str,
    certs: Sequence[str] | None,
    *,
    offline: bool,
) -> Iterator[Prewarmed]:
    """Choose the kernel and begin to restore a guest of it; closed at the end unless it was finished.

    Raises UsageError before that for words that can't be loaded.
    """
    check_words(words, directory)
    found = chosen_kernel(kernel, offline=offline)
    plan = plan_guest(found, cmdline, trusted_certificates(found, cmdline, certs))
    restoring = session.head_start(plan)
    try:
        yield Prewarmed(found, plan, restoring)
    finally:
        if restoring is not None and not restoring.finished:
            restoring.close()


def chosen_kernel(kernel: str | None, *, offline: bool) -> Kernel:
    """The kernel that a command means, fetched where there is none."""
    return choose(kernel, offline=offline, say=console.step)


def check_words(words: Sequence[str], directory: Path) -> None:
    """Raise UsageError for a .ko that is not there, and for a parameter the kernel can't be given."""
    for word in words:
        if "=" not in word:
            existing(directory / word)
    kernel_string([word for word in words if "=" in word])


def trusted_certificates(kernel: Kernel, cmdline: str, certs: Sequence[str] | None) -> tuple[bytes, ...]:
    """The certificates (DER) that the guest's kernel is to know besides its own: those of the files in
    `certs` ("none": no certificate), else, where it wants signatures, those that were signed with here.

    Raises UsageError KS082 for a file without a certificate, and KscaffoldError KS540 where the kernel can't
    be given one that was asked for.
    """
    if certs is None and not (enforced(cmdline) or locked_down(cmdline) or _forces(kernel)):
        return ()
    from kscaffold.kernel import trusted_image  # start-up time: few are signed
    from kscaffold.pkcs7 import keyring

    if certs is not None:
        found = tuple(sorted({keyring.read_keyring(Path(c)).raw for c in certs if c != "none"}))
        trusted_image.trusted_image(kernel, found)
        return found
    found = keyring.recent(_ROOM)
    try:
        trusted_image.trusted_image(kernel, found)
    except KscaffoldError as error:
        if error.code != "KS540":
            raise
        console.note(f"{error.what}, so it does not know what was signed here: {error.cause}")
        return ()
    return found


def _forces(kernel: Kernel) -> bool:
    """Whether a kernel of the user's own wants signatures always; no distribution's does."""
    if kernel.source != "path" or kernel.build is None:
        return False
    try:
        return b"\nCONFIG_MODULE_SIG_FORCE=y\n" in (kernel.build / ".config").read_bytes()
    except OSError:
        return False


def prewarm_sandbox(
    words: Sequence[str], directory: Path, kernel: Kernel, cmdline: str, trusted: tuple[bytes, ...]
) -> None:
    """Begin to start the live sandbox that a load will need. Not where something must be built first, for
    that may fail, nor where a boot would have to be told of.
    """
    with contextlib.suppress(KscaffoldError):  # whatever it is, the load says it
        at = home(directory)
        if all("=" in word for word in words) and fresh_targets(at, kernel) is None:
            return
        plan = session.plan(kernel, cmdline, trusted)
        if not plan.probed and (snapshot.snapshots_dir() / plan.key).exists():
            registry.begin_sandbox(at, plan)


def plan_guest(kernel: Kernel, cmdline: str, trusted: tuple[bytes, ...]) -> session.Plan:
    """The guest for a kernel; says once why it is not accelerated."""
    plan = session.plan(kernel, cmdline, trusted)
    if plan.probed and plan.why_no_kvm:
        console.note(f"running without KVM: {plan.why_no_kvm}")
    elif plan.why_no_kvm:
        console.detail(f"running without KVM: {plan.why_no_kvm}")
    return plan

"""Which certificates a guest's kernel is to know besides its own."""

from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold.errors import KscaffoldError
from kscaffold.kernel.config import read_config
from kscaffold.kernel.kernel import Kernel
from kscaffold.load.request import TargetRequest
from kscaffold.module.predict.sig_enforce import enforced, locked_down
from kscaffold.progress import SILENT, Progress

if TYPE_CHECKING:
    from kscaffold.module.check import Trust

# Bytes of certificates that every kernel we know has room for: 5.10 has 2995.
_ROOM = 2816


def trusted_certificates(
    kernel: Kernel, where: TargetRequest, progress: Progress = SILENT
) -> tuple[bytes, ...]:
    """The certificates (DER) that the guest's kernel is to know besides its own: those of the files in
    `where.certs` ("none": no certificate), else, where it wants signatures, those that were signed with here.

    Raises UsageError KS082 for a file without a certificate, and KscaffoldError KS540 where the kernel can't
    be given one that was asked for.
    """
    cmdline, certs = where.cmdline, where.certs
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
        progress.note(f"{error.what}, so it does not know what was signed here: {error.cause}")
        return ()
    return found


def predicted_trust(kernel: Kernel | None, where: TargetRequest, progress: Progress = SILENT) -> "Trust":
    """What a sandbox would trust, for a prediction. Where its kernel can't be given a certificate,
    `progress` is told so: that is no error.
    """
    from kscaffold.module.check import NO_TRUST, Trust  # start-up time: a load has no use for it

    if not where.cmdline and where.certs is None:
        return NO_TRUST
    from kscaffold.pkcs7 import keyring  # start-up time: few are signed

    given = tuple(keyring.read_keyring(Path(c)) for c in where.certs or () if c != "none")
    trusted: tuple[bytes, ...] = ()
    if kernel and kernel.source != "running":
        try:
            trusted = trusted_certificates(kernel, where, progress)
        except KscaffoldError as error:  # no image, or one that can't be given a certificate
            progress.note(f"{error.what}: {error.cause}" if error.cause else error.what)
    return Trust(where.cmdline, trusted, given)


def _forces(kernel: Kernel) -> bool:
    """Whether a kernel of the user's own wants signatures always; no distribution's does."""
    if kernel.source != "path" or kernel.build is None:
        return False
    return read_config(kernel.build).has("MODULE_SIG_FORCE") is True

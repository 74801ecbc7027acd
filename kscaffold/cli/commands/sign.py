"""`sign`: signatures as a kernel checks them."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from kscaffold import console
from kscaffold.cli import options
from kscaffold.cli import typer_later as typer
from kscaffold.cli.documents import check as documents
from kscaffold.errors import EXIT_YES, KscaffoldError, UsageError
from kscaffold.records import replace

if TYPE_CHECKING:
    from kscaffold.kernel.kernel import Kernel
    from kscaffold.signing.key import Key
    from kscaffold.signing.sign import SignReport

Kos = Annotated[list[str] | None, typer.Argument(metavar="[KO]...", help="Modules; else this project's.")]
KeyFile = Annotated[
    str | None, typer.Option("--key", metavar="FILE", help="Private key; else one made on its first use.")
]
CertFile = Annotated[Path | None, typer.Option("--cert", metavar="FILE", help="Its certificate, PEM or DER.")]
Hash = Annotated[str, typer.Option("--hash", metavar="NAME", help="sha256, sha384, sha512 …")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write there; the module stays as it is.")
]


def sign(
    kos: Kos = None,
    key: KeyFile = None,
    cert: CertFile = None,
    hash: Hash = "sha256",
    out: Out = None,
    kernel: options.KernelName = None,
    arch: options.Arch = None,
    module: options.Module = None,
    no_build: options.NoBuild = False,
    offline: options.Offline = False,
    directory: options.Directory = None,
    verbose: options.Verbose = False,
    json: options.Json = False,
) -> int:
    """Sign this project's modules, or a .ko. With your key, or one made here; builds first when needed."""
    kernel = options.spec_of(kernel, arch)
    from kscaffold.kernel.choose import options_of  # start-up time
    from kscaffold.signing import key as keys
    from kscaffold.signing.sign import HASHES

    if hash not in HASHES:
        raise UsageError("KS086", f"no kernel knows the hash {hash}", fix=f"--hash {' or '.join(HASHES[:3])}")
    if cert is not None and key is None:
        raise UsageError("KS081", "--cert comes without its key", fix=f"--key FILE --cert {cert}")
    here = directory or Path.cwd()
    given = keys.given(Path(key), cert) if key is not None else None
    files, chosen, failed = _to_sign(kos or [], here, kernel, module, no_build, offline)
    if failed is not None:
        return failed
    if out is not None and len(files) != 1:
        what = f"--out is one file, and there are {len(files)} modules"
        raise UsageError("KS004", what, fix="--module NAME")
    used = given or keys.own(console.progress())
    if used.readable_by_others:
        console.warn(f"others can read the key {used.file}", fix=f"chmod 600 {used.file}")
    same = [*(["-C", shlex.quote(str(directory))] if directory else []), *options_of(kernel).split()]
    reports = [_signed(file, used, hash, out) for file in files]
    _report(reports, used, chosen, directory or Path() if kos or out else None, same)
    return EXIT_YES


def _to_sign(
    words: list[str], here: Path, spec: str | None, module: str | None, no_build: bool, offline: bool
) -> "tuple[list[Path], Kernel | None, int | None]":
    """The files to sign, the kernel they are for, and the exit status of a build that failed."""
    from kscaffold.cli.render.build import failed_build  # start-up time
    from kscaffold.kernel.choose import choose, find_kernel
    from kscaffold.load.plan import plan_loads
    from kscaffold.load.request import LoadRequest
    from kscaffold.module.check import modules_in
    from kscaffold.project.meant import files_meant, meant

    m = meant(words, here, module)
    if files := modules_in(files_meant(words, m)):
        # Nothing is fetched for a file that is there; what its kernel is, is only told.
        return files, find_kernel(spec), None
    chosen = choose(spec, offline=offline, progress=console.progress())
    request = LoadRequest(m.directory, module=m.module, build=not no_build, dependencies=False)
    plan = plan_loads(request, chosen, console.progress())
    if plan.failed:
        return [], chosen, failed_build("sign", plan.failed)
    return [ko.path for ko in plan.kos], chosen, None


def _signed(file: Path, key: "Key", hash: str, out: Path | None) -> "SignReport":
    from kscaffold.make.fingerprint import record  # start-up time
    from kscaffold.project.mirror import publish
    from kscaffold.signing.sign import sign_module

    before = record.recorded_facts(file)
    try:
        report = sign_module(file, key, hash=hash, out=out)
    except OSError as error:
        where = error.filename or file
        raise KscaffoldError(
            "KS006", f"{(error.strerror or str(error)).lower()}: {where}", fix="make that place writable"
        ) from None
    if out is None:
        record.retake(file, before)
        if (beside := publish(file)) != file:  # built beside the checkout: signed in both places
            report = replace(report, path=beside, out=beside)
    return report


def _short(path: Path, here: Path) -> Path:
    """The path from here, where it is below."""
    return path.relative_to(here) if path.is_relative_to(here) else path


def _report(
    reports: "list[SignReport]", key: "Key", kernel: "Kernel | None", named: Path | None, same: list[str]
) -> None:
    """Say what was done. `named`: where, if the files were named. `same`: options to go on with."""
    name = key.certificate.name or key.certificate.key_id
    for report in reports:
        again = "; the signature it had is replaced" if report.replaced else ""
        signed = f"{_short(report.out, Path.cwd())} by {name!r} ({report.hash}){again}"
        console.step("Signed", console.printable(signed))
    lacks = _missing(key, reports[0].hash, kernel) if reports and kernel else None
    if lacks:
        console.warn(lacks[0], fix=lacks[2])
    elif reports:
        files = [_short(report.out.absolute(), named.absolute()) for report in reports] if named else []
        words = [shlex.quote(str(file)) for file in files]
        if kernel is None or _takes_certificates(kernel):
            same = [*same, "--cmdline module.sig_enforce=1"]
        else:
            console.note(f"{kernel.name} can't be given your certificate, and loads it as an unsigned one")
        console.step("Next", " ".join(["kscaffold run", *words, *same]))
    console.emit("sign", True, documents.sign(reports, key))


def _takes_certificates(kernel: "Kernel") -> bool:
    from kscaffold.arch import table  # start-up time

    machine = table.by_uname(kernel.arch)
    return machine is not None and machine.takes_certificates


def _missing(key: "Key", hash: str, kernel: "Kernel") -> tuple[str, bool, str] | None:
    from kscaffold.kernel.facts import read_facts  # start-up time
    from kscaffold.module.predict.signature import missing_crypto

    facts = read_facts(kernel)
    if facts.has("MODULE_SIG") is False:
        return (f"{kernel.name} checks no signatures", True, "kscaffold kernel list shows other kernels")
    return missing_crypto(key.certificate.key, key.certificate.curve, hash, facts)

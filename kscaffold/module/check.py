"""Check .ko files: what each says, what is wrong with it, and whether a kernel would take it."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from kscaffold import termination
from kscaffold.elf import kofile
from kscaffold.elf.model import DamagedModule, KoFile
from kscaffold.elf.modinfo import gpl_compatible
from kscaffold.elf.module_name import KO_SUFFIXES, module_name_of, normalize_name
from kscaffold.errors import KscaffoldError, UsageError
from kscaffold.files.near import is_of_make, missing_module_fix
from kscaffold.kernel.facts import KernelFacts, read_facts
from kscaffold.kernel.kernel import Kernel
from kscaffold.kernel.signature_check import SignatureCheck, check_signature
from kscaffold.kernel.symvers import beside
from kscaffold.module import compression
from kscaffold.module.predict.finding import REBUILD, UNKNOWN, Finding, Level, Prediction, foreign_fix
from kscaffold.module.predict.predict import predict, predict_damaged
from kscaffold.pkcs7.certificate import Certificate
from kscaffold.records import dataclass, replace

# Below it a second process costs more than it saves.
_WORTH_PROCESSES = 48
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trust:
    """The kernel's command line, the certificates (DER) it gets besides its own, and those we know besides
    the remembered ones. Not `thorough`: signatures of the kernel's own modules are not computed, which
    takes 10 ms each.
    """

    cmdline: str = ""
    trusted: tuple[bytes, ...] = ()
    given: tuple[Certificate, ...] = ()
    thorough: bool = True


NO_TRUST = Trust()


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found. `ko` is None where the file is damaged; `kernel` the release it was held against,
    `arch` that kernel's machine as `uname -m` says it; None where there was none. `signature`: the check of
    its signature, None without one.
    """

    path: Path
    ko: KoFile | None
    kernel: str | None
    arch: str | None
    prediction: Prediction
    findings: tuple[Finding, ...]
    signature: SignatureCheck | None = None

    @property
    def ok(self) -> bool:
        """No finding is an error."""
        return all(f.level != "error" for f in self.findings)


def check_module(
    path: Path,
    *,
    expected_name: str | None = None,
    kernel: Kernel | None = None,
    arguments: Sequence[str] = (),
    trust: Trust = NO_TRUST,
) -> CheckReport:
    """Check one .ko. Nothing is built, no program is run.

    `expected_name`: what the project calls it (`my-mod`); without, the file's name is compared, but a
    difference is no error. `arguments`: words in the kernel's syntax. `trust`: how the kernel is started,
    and the keys that it and we know besides its own. Raises UsageError where there is no
    such file and KscaffoldError where it can't be read; a damaged file is a report.
    """
    release, machine = (kernel.release, kernel.arch) if kernel else (None, None)
    facts = replace(read_facts(kernel), cmdline=trust.cmdline) if kernel else None
    try:
        ko = kofile.read_ko(path)
    except DamagedModule as flaw:
        prediction = predict_damaged(flaw, facts)
        return CheckReport(path, None, release, machine, prediction, prediction.findings)
    verify = trust.thorough or not ko.info("intree")
    signature = check_signature(ko, kernel, trust.trusted, trust.given, verify)
    prediction = predict(ko, facts, arguments, beside(path), signature) if facts else UNKNOWN
    own = (
        *_own_findings(ko, expected_name, kernel, signature),
        *compression.findings(ko, facts),
        *_kunit(ko, facts),
    )
    findings = (*own, *prediction.findings)
    return CheckReport(path, ko, release, machine, prediction, findings, signature)


def modules_in(paths: Sequence[Path]) -> list[Path]:
    """The .ko files meant: files as they are, directories with all that is in them, each sorted.

    Raises UsageError (KS401) for what isn't there, (KS419) for a directory without any, and OSError for one
    that can't be read.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            if not os.path.lexists(path):
                raise UsageError("KS401", f"there is no {path}", fix=missing_module_fix(path))
            files.append(path)
            continue
        os.scandir(path).close()  # os.walk() takes what can't be read for empty
        inside = sorted(
            Path(where, name)
            for where, _, names in os.walk(path)
            for name in names
            if name.endswith(KO_SUFFIXES)
        )
        if not inside:
            fix = "kscaffold build" if is_of_make(path) else "name a .ko, or a directory that has one"
            raise UsageError("KS419", f"there is no .ko in {path}", fix=fix)
        files += inside
    return files


def check_many(
    paths: Sequence[Path],
    kernel: Kernel | None,
    convert: Callable[[CheckReport], T],
    arguments: Sequence[str] = (),
    trust: Trust = NO_TRUST,
) -> Iterator[T]:
    """Check .ko files and yield what `convert` makes of each report, in order. Where there are several, one
    that can't be read is a report with that finding, no exception: the others shall have their answer.

    `convert` runs where the report is made, in one of several processes: it is a function of a module.
    """
    if len(paths) == 1:
        yield convert(check_module(paths[0], kernel=kernel, arguments=arguments, trust=trust))
        return
    if len(paths) >= _WORTH_PROCESSES:
        trust = replace(trust, thorough=False)
    one = partial(_check_one, kernel=kernel, convert=convert, arguments=tuple(arguments), trust=trust)
    cores = os.cpu_count() or 1
    if len(paths) < _WORTH_PROCESSES or cores == 1:
        yield from map(one, paths)
        return
    import multiprocessing  # start-up time

    if kernel is not None:
        one(paths[0])  # the kernel's facts are read once, here, and shared with all by fork
    with termination.Held():
        workers = multiprocessing.get_context("fork").Pool(cores, termination.as_usual)
    with workers as pool:
        yield from pool.imap(one, paths, chunksize=16)


def _check_one(
    path: Path,
    *,
    kernel: Kernel | None,
    convert: Callable[[CheckReport], T],
    arguments: tuple[str, ...],
    trust: Trust,
) -> T:
    try:
        return convert(check_module(path, kernel=kernel, arguments=arguments, trust=trust))
    except KscaffoldError as error:
        return convert(unreadable(path, kernel, error))


def unreadable(path: Path, kernel: Kernel | None, error: KscaffoldError) -> CheckReport:
    """The report of a .ko that can't be read, where others were asked about with it."""
    return CheckReport(
        path, None, None, None, UNKNOWN, (Finding(error.code, "error", None, _sentence(error), error.fix),)
    )


def _sentence(flaw: KscaffoldError) -> str:
    return f"{flaw.what}: {flaw.cause}" if flaw.cause else flaw.what


def _own_findings(
    ko: KoFile, expected: str | None, kernel: Kernel | None, signature: SignatureCheck | None
) -> list[Finding]:
    """What is wrong with the module itself, whatever the kernel's configuration."""
    found = [f for f in (_name(ko, expected), _init(ko), _exit(ko), _license(ko)) if f]
    if kernel is not None:
        return found  # the prediction tells of the rest, by the kernel's own rules
    if ko.arch != os.uname().machine:
        message = f"it is for {ko.arch}, this machine is {os.uname().machine}"
        found.append(Finding("KS407", "error", "elf", message, foreign_fix(ko.arch)))
    if ko.signature is not None and ko.signature.flaw:
        message = f"its signature can't be read: {ko.signature.flaw}"
        level: Level = "warn" if ko.signature.errno == "ENOPKG" else "error"
        found.append(Finding("KS417", level, "signature", message, "kscaffold sign, or build it again"))
    if signature is not None and signature.valid is False:
        message = "it was changed after it was signed"
        found.append(Finding("KS447", "error", "signature", message, "kscaffold sign"))
    return found


def _name(ko: KoFile, expected: str | None) -> Finding | None:
    wanted = normalize_name(expected) if expected is not None else module_name_of(ko.path.name)
    if not ko.name:
        return Finding("KS412", "error", None, "it has no name", "kscaffold build")
    if ko.name == wanted:
        return None
    if expected is not None:
        message = f"it is called {ko.name}, the project should produce {wanted}"
        return Finding("KS412", "error", None, message, REBUILD)
    message = f"the kernel will call it {ko.name}, whatever the file is called"
    return Finding("KS412", "warn", None, message, f"rmmod {ko.name} is what will unload it")


def _kunit(ko: KoFile, facts: KernelFacts | None) -> list[Finding]:
    tests = any(s.name.startswith(".kunit_test_suites") for s in ko.sections)
    if not tests or facts is None or facts.has("KUNIT") is not False:
        return []
    message = f"{facts.name} is built without CONFIG_KUNIT: no KUnit test of the module can run there"
    return [Finding("KS452", "warn", None, message, "kscaffold test")]


def _init(ko: KoFile) -> Finding | None:
    if ko.info("intree"):
        return None  # the kernel's own have their reasons
    if ko.init is None:
        message = "it has no init function: loading it runs nothing"
        if ko.exports:  # a library is there for its symbols
            return Finding("KS413", "info", "init", message)
        return Finding("KS413", "error", "init", message, "name one with module_init(your_function);")
    if ko.init.section is not None and ko.init.section != ".init.text":
        message = f"its init function {ko.init.symbol} is in {ko.init.section}, so its memory is never freed"
        return Finding("KS415", "info", "init", message, f"write static int __init {ko.init.symbol}(void)")
    return None


def _exit(ko: KoFile) -> Finding | None:
    if ko.init is None or ko.exit is not None or ko.info("intree"):
        return None
    message = "it has no exit function: once loaded it can't be unloaded"
    return Finding("KS414", "warn", None, message, "name one with module_exit(your_function);")


def _license(ko: KoFile) -> Finding | None:
    if gpl_compatible(ko.license):
        return None
    shown = f"its licence {ko.license!r} is" if ko.license is not None else "it has no licence, which is"
    message = f"{shown} not GPL-compatible: it taints the kernel and gets no GPL-only symbol"
    return Finding("KS416", "warn", "version", message, 'MODULE_LICENSE("GPL");')

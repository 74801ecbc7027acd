"""What the kernel will say of a module, before it is asked."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from kscaffold.kernel.kernel import Kernel
from kscaffold.module.arguments import split
from kscaffold.module.findings import Prediction


def forecast(
    ko: Path,
    parameters: str,
    kernel: Kernel,
    *,
    cmdline: str = "",
    loaded: Collection[str] | None = None,
) -> Prediction:
    """Whether `kernel` will take `ko` up to its init, and where it would refuse it.

    `parameters` in the kernel's syntax; `loaded`: the modules that are in, by the kernel's names, None
    where what it needs will be loaded before it. Raises KscaffoldError where the file can't be read.
    """
    # start-up time: an ELF reader takes 60 ms to import, and many a load needs none
    from kscaffold.module import kofile
    from kscaffold.module.facts import DamagedModule
    from kscaffold.module.findings import Finding
    from kscaffold.module.predict import predict
    from kscaffold.module.symvers import beside
    from kscaffold.module.target import read_facts

    try:
        file = kofile.read(ko)
    except DamagedModule as flaw:
        message = f"{flaw.what}: {flaw.cause}" if flaw.cause else flaw.what
        found = Finding(flaw.code, "error", flaw.stage, message, flaw.fix, flaw.errno)
        return Prediction(False if flaw.stage else None, flaw.stage, flaw.errno, (found,))
    known = None if loaded is None else frozenset(loaded)
    facts = replace(read_facts(kernel), cmdline=cmdline, loaded=known)
    return predict(file, facts, split(parameters), beside(ko))

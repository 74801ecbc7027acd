"""Will this kernel take this module? The loader's questions, in its order, answered before it asks.

Source: load_module() in kernel/module/main.c (6.1), with what other versions do otherwise. What can't be
told from outside (init itself, memory, notifiers, overflowing relocations) is not guessed at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from kscaffold.elf.model import DamagedModule, KoFile
from kscaffold.kernel.facts import KernelFacts
from kscaffold.kernel.signature_check import SignatureCheck
from kscaffold.kernel.symvers import Symvers
from kscaffold.module.predict import (
    elf,
    formation,
    init,
    layout,
    parameters,
    permission,
    relocate,
    signature,
    symbols,
    sysfs,
    version,
)
from kscaffold.module.predict import list as module_list
from kscaffold.module.predict.finding import UNSURE, Finding, Prediction
from kscaffold.module.predict.question import Question

# The stages whose answer can be predicted, by their ids (diagnosis/stages.py), in the kernel's order.
STAGES: Mapping[str, Callable[[Question], list[Finding]]] = {
    "permission": permission.findings,
    "signature": signature.findings,
    "elf": elf.findings,
    "version": version.findings,
    "layout": layout.findings,
    "list": module_list.findings,
    "symbols": symbols.findings,
    "relocate": relocate.findings,
    "formation": formation.findings,
    "parameters": parameters.findings,
    "sysfs": sysfs.findings,
    "init": init.findings,
}
# What may take the kernel down instead of being refused.
_CORRUPT = frozenset({"KS406", "KS460"})
# Findings that repeat for each symbol what another one says of the whole module.
_REPEATS = {"KS427": "KS422"}


def order(kernel: KernelFacts) -> tuple[str, ...]:
    """The ids of STAGES in the order of this kernel.

    From 6.4 on a kernel looks for a module of the same name before it lays this one out: Linux kernel commit
    064f4536d139 "module: avoid allocation if module is already present and ready" (in v6.4).
    """
    swapped = {"layout": "list", "list": "layout"} if kernel.since_6_4 else {}
    return tuple(swapped.get(stage, stage) for stage in STAGES)


def predict(
    ko: KoFile,
    kernel: KernelFacts,
    arguments: Sequence[str] = (),
    project: Symvers | None = None,
    signature: SignatureCheck | None = None,
) -> Prediction:
    """Whether `kernel` will take `ko` up to its init, and where it would refuse it.

    `arguments`, `project` and `signature`: as of Question.
    """
    question = Question(ko, kernel, tuple(arguments), project, signature)
    return _prediction([*_without_repeats(STAGES[stage](question) for stage in order(kernel))])


def _without_repeats(answers: Iterator[list[Finding]]) -> Iterator[list[Finding]]:
    said: set[str] = set()
    for answer in answers:
        yield [f for f in answer if _REPEATS.get(f.code) not in said]
        said |= {f.code for f in answer}


def _prediction(answers: Sequence[Sequence[Finding]]) -> Prediction:
    """The first stage with a refusal decides; of several refusals in it the last, as in the kernel."""
    findings = tuple(finding for answer in answers for finding in answer)
    for answer in answers:
        errors = [f for f in answer if f.errno is not None and f.errno != UNSURE]
        if errors:
            return Prediction(False, errors[-1].stage, errors[-1].errno, findings)
        if any(f.errno == UNSURE and f.code in _CORRUPT for f in answer):
            return Prediction(None, None, None, findings)  # it need not come as far as the next stage
    return Prediction(None if any(f.errno == UNSURE for f in findings) else True, None, None, findings)


def predict_damaged(flaw: DamagedModule, kernel: KernelFacts | None) -> Prediction:
    """The prediction for a file that is no module: what every kernel checks, and what only some do."""
    message = f"{flaw.what}: {flaw.cause}" if flaw.cause else flaw.what
    known = flaw.stage is not None
    if flaw.words and kernel is not None and kernel.says(flaw.words) is False:
        known = False
    stage, errno = (flaw.stage, flaw.errno) if known else (None, None)
    finding = Finding(flaw.code, "error", stage, message, flaw.fix, errno)
    return Prediction(False if known else None, stage, errno, (finding,))

"""Predict what the kernel will say of a module, and compare the prediction with the kernel's own answer."""

import contextlib
import threading
from collections.abc import Callable, Collection, Sequence

from kscaffold.diagnosis.verdict import Judgement
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.kernel.kernel import Kernel
from kscaffold.load import prediction_cache
from kscaffold.module.arguments import NO_PARAMETERS, Parameters
from kscaffold.module.predict.finding import Prediction
from kscaffold.records import replace
from kscaffold.targets.target import Target


class Predictor:
    """The predictions of one command for one kernel.

    A prediction takes 60 ms (an ELF reader is imported, the kernel's exports are read), so the predictions
    for `kos` are made while a guest restores. `trusted`: certificates (DER) that the kernel was given besides
    its own.
    """

    def __init__(
        self,
        kos: Sequence[ModuleFile],
        kernel: Kernel,
        warn: Callable[[str], None],
        trusted: tuple[bytes, ...] = (),
    ) -> None:
        self.kernel = kernel
        self._warn = warn
        self._trusted = trusted
        self._warned: set[str] = set()
        self._lock = threading.Lock()  # the tries of a run come from several threads
        for ko in kos:
            with contextlib.suppress(KscaffoldError):  # whoever asks gets the error
                predict_load(ko, NO_PARAMETERS, kernel, trusted=trusted)

    def before(self, ko: ModuleFile, parameters: Parameters, target: Target) -> Prediction | None:
        """The prediction for the load that comes next. Warns of each refusal once. None where nothing can be
        predicted: the kernel itself is asked next.
        """
        try:
            listed = target.modules()
            loaded = [m.name for m in listed]
            found = predict_load(
                ko,
                parameters,
                self.kernel,
                cmdline=target.cmdline,
                loaded=loaded,
                trusted=self._trusted,
            )
        except KscaffoldError:
            return None
        lacks_exporter = found.loads is False and any(f.code == "KS425" and f.errno for f in found.findings)
        if lacks_exporter and found.stage == "symbols" and any("O" in m.taints for m in listed):
            # One of the modules that are in, and did not come with the kernel, may export it.
            found = replace(found, loads=None)
        # That it is loaded already, the kernel says in the same words at once.
        if found.loads is False and found.stage != "list":
            with self._lock:
                text = _refusal(ko, found, self.kernel)
                if text not in self._warned:
                    self._warned.add(text)
                    self._warn(text)
        return found


def prediction_mismatch(predicted: Prediction | None, judgement: Judgement) -> str | None:
    """How the kernel's answer differs from the prediction, None where it does not.

    A prediction goes as far as the call of init. How init ends contradicts no prediction, and nor does an
    answer that a crash or the loss of the guest hides.
    """
    if predicted is None or predicted.loads is None or judgement.verdict in ("lost", "crashed"):
        return None
    expected = f"{predicted.errno} at stage {predicted.stage}"
    if judgement.verdict != "refused":
        hung_before = judgement.verdict == "hung" and judgement.stage != "init"
        return None if predicted.loads or hung_before else f"{expected} was expected, and the kernel took it"
    if predicted.loads:
        return "it was expected to load: kscaffold check sees nothing against it"
    same = (judgement.stage, judgement.errno) == (predicted.stage, predicted.errno)
    return None if same else f"{expected} was expected"


def _refusal(ko: ModuleFile, found: Prediction, kernel: Kernel) -> str:
    why = [f.message for f in found.findings if f.stage == found.stage and f.errno]
    return f"{kernel.name} will refuse {ko.name}: {'; '.join(why)} ({found.errno} at stage {found.stage})"


def predict_load(
    ko: ModuleFile,
    parameters: Parameters,
    kernel: Kernel,
    *,
    cmdline: str = "",
    loaded: Collection[str] | None = None,
    trusted: tuple[bytes, ...] = (),
) -> Prediction:
    """Whether `kernel` will take `ko` up to its init, and where it would refuse it.

    `loaded`: the modules that are in, by the kernel's names, None where what `ko` needs will be loaded
    before it. `trusted`: as of Predictor. Raises KscaffoldError where the kernel's files can't be read.
    """
    key = prediction_cache.prediction_key(ko, parameters.text, kernel, cmdline, loaded, trusted)
    found = prediction_cache.recall_prediction(key)
    if found is None:
        found = _predict(ko, parameters, kernel, cmdline, loaded, trusted)
        prediction_cache.remember_prediction(key, found)
    return found


def _predict(
    ko: ModuleFile,
    parameters: Parameters,
    kernel: Kernel,
    cmdline: str,
    loaded: Collection[str] | None,
    trusted: tuple[bytes, ...],
) -> Prediction:
    # start-up time: importing an ELF reader takes 40 ms
    from kscaffold.elf.model import DamagedModule
    from kscaffold.kernel.facts import read_facts
    from kscaffold.kernel.signature_check import check_signature
    from kscaffold.kernel.symvers import beside
    from kscaffold.module.predict.predict import predict, predict_damaged

    known = None if loaded is None else frozenset(loaded)
    facts = replace(read_facts(kernel), cmdline=cmdline, loaded=known)
    try:
        file = ko.kofile()
    except DamagedModule as flaw:
        return predict_damaged(flaw, facts)
    return predict(file, facts, parameters.words, beside(ko.path), check_signature(file, kernel, trusted))

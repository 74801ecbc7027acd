"""Load one module into a target and say what happened, from the evidence."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from kscaffold import timing
from kscaffold.diagnosis.verdict import judge
from kscaffold.elf.module_name import ko_stem
from kscaffold.elf.quick import COMPRESSED, module_name
from kscaffold.errors import KscaffoldError
from kscaffold.load.addr2line import locate_complaints, with_source_line
from kscaffold.load.gather import gather
from kscaffold.load.prediction import Predictor, prediction_mismatch
from kscaffold.load.report import LoadReport
from kscaffold.targets.target import Target

_NO_LOG = "this user may not read the kernel's log; kscaffold logs --host asks for the right"


def load(
    ko: Path,
    parameters: str,
    target: Target,
    *,
    timeout: float,
    seconds: dict[str, float] | None = None,
    outlook: Predictor | None = None,
) -> LoadReport:
    """Load `ko` once; `parameters` in the kernel's syntax, `timeout` in seconds.

    `outlook`: warns of what the kernel will refuse, and is held against its answer; its kernel's files
    help to explain a failure.
    Raises KscaffoldError when the target can't be asked or the file can't be read.
    """
    began = time.monotonic()
    if not ko.is_file():
        raise KscaffoldError("KS281", f"{ko} is not there", fix="kscaffold build")
    name = module_name(ko)
    predicted = outlook.before(ko, parameters, target) if outlook else None
    timing.reached("the target is asked what is loaded")
    with _plain(ko, target) as image:
        attempt = target.load(image, parameters, timeout)
    timing.reached(f"{name} is loaded")
    evidence = gather(name, ko, attempt, target, outlook.kernel if outlook else None)
    spent = {"build": 0.0, "start": 0.0, **(seconds or {}), "load": attempt.seconds}
    spent["total"] = spent["build"] + spent["start"] + time.monotonic() - began
    judgement = judge(evidence)
    complaints, place = locate_complaints(judgement.complaints, name, ko, evidence.records)
    cause = with_source_line(judgement.cause, judgement.complaints, complaints)
    timing.reached("the evidence is judged")
    note = attempt.note or (None if attempt.records is not None else _NO_LOG)
    if judgement.verdict == "lost" and attempt.note:
        cause, note = attempt.note, None  # the target knows more than that nothing came back
    judgement = replace(judgement, complaints=complaints, cause=cause)
    return LoadReport(
        module=name,
        path=ko,
        parameters=parameters,
        target=target.kind,
        kernel=target.release,
        judgement=judgement,
        log=attempt.records or (),
        seconds=spent,
        accelerator=target.accelerator,
        note=note,
        stack=attempt.stack,
        place=place,
        surprise=prediction_mismatch(predicted, judgement),
        timeline=evidence.timeline,
    )


@contextlib.contextmanager
def _plain(ko: Path, target: Target) -> Iterator[Path]:
    """The .ko as a guest's kernel takes it: unpacked. On the host that is insmod's own work."""
    with ko.open("rb") as file:
        head = file.read(6)
    if target.kind == "host" or not head.startswith(COMPRESSED):
        yield ko
        return
    import tempfile  # start-up time: few are compressed

    from kscaffold.elf import content

    with tempfile.TemporaryDirectory(prefix="kscaffold-") as place:
        plain = Path(place) / f"{ko_stem(ko.name)}.ko"
        plain.write_bytes(content.read_content(ko)[0])
        yield plain

"""The line of a module's source that ended its kernel: a call of what a shutdown calls, or of what resets the
machine.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from kscaffold.diagnosis import power
from kscaffold.diagnosis.attempt import Attempt
from kscaffold.diagnosis.klog import Record
from kscaffold.diagnosis.residue.source import lines_of_call
from kscaffold.elf import quick
from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.addr2line import SourceLine, read_line
from kscaffold.load.source_files import sources_of

_MOST = 3  # lines that a sentence names


def with_ending_call(
    cause: str | None, attempt: Attempt, ko: ModuleFile, resets: str | None
) -> tuple[str | None, SourceLine | None]:
    """The cause of an end of the kernel with the lines that have the call, and the only such line, where
    there is one. `resets`: the call by which the module may have reset the machine.
    """
    ended = power.told_to_end(attempt)
    call = ended["call"] if ended else resets if attempt.reset else None
    if not call or cause is None:
        return cause, None
    where, place = call_at(call, [ko])
    for said in (f"{call} was called", f"calls {call}"):
        cause = cause.replace(said, f"{said}{where}", 1)
    return cause, place


def call_at(call: str, kos: Sequence[ModuleFile]) -> tuple[str, SourceLine | None]:
    """Where these modules call a function, as a part of a sentence, and the line where there is but one;
    `call`: as the diagnosis writes it. Nothing where their source does not have the call, or too often.
    """
    function = call.partition("(")[0]
    found = lines_of_call(function, sources_of(kos))
    if not 0 < len(found) <= _MOST:
        return "", None
    where = " at " + " or ".join(f"{file}:{line}" for file, line in found)
    if len(found) > 1:
        return where, None
    return where, read_line(Path(found[0][0]), found[0][1], function, kos[0].home)


def how_ended(
    records: Sequence[Record], kos: Iterable[ModuleFile]
) -> tuple[str, SourceLine | None, str] | None:
    """How a kernel ended that did not crash: a clause, the line of these modules' source that did it, where
    it is known, and the code. None where its last words do not tell. `records`: of a kernel that has ended.
    """
    if said := power.last_words(records):
        where, place = call_at(said["call"], list(kos))
        text = f"its kernel {said['how']}: {said['call']} was called{where} ('{said['line']}')"
        return text, place, "KS619"
    if not records or records[-1].text != power.RESET:
        return None
    modules = list(kos)
    calls = (power.resets(quick.imports(ko)) for ko in modules)
    if call := next(filter(None, calls), None):
        where, place = call_at(call, modules)
        text = power.likely_reset(call).replace(f"calls {call}", f"calls {call}{where}")
        return f"its machine reset itself{text}", place, "KS268"
    return "its machine reset itself, and its kernel said nothing", None, "KS268"

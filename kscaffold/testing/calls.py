"""The calls of a module's functions that a test makes, and what each returned: by the kernel's kretprobes."""

import re
from collections import Counter
from collections.abc import Sequence

from kscaffold import lazy
from kscaffold.diagnosis import errnos
from kscaffold.elf import quick
from kscaffold.elf.module_file import ModuleFile
from kscaffold.errors import KscaffoldError
from kscaffold.load.addr2line import SourceLine, place_of_function
from kscaffold.load.sandbox import Sandbox
from kscaffold.records import dataclass

_TRACING = "/sys/kernel/tracing"
_GROUP = "ks_calls"
_MOST = 200  # functions; a probe takes a guest without KVM some ms
_MOST_VALUES = 6  # that a function returned, in a row of the report
_LINE = lazy.pattern(
    r"(?m)^ *(?P<task>\S.*)-\d+ .*\[\d+\] (?P<flags>\S{1,9}) +[\d.]+: ks_call_(?P<number>\d{1,9}):"
    r" \(.*\) ret=0x(?P<value>[0-9a-f]+)$"
)
# Those that run when the kernel likes, not because a program of the test's called; and the flags of a hard or
# soft interrupt, which runs in whatever task there is (trace_print_lat_fmt() in kernel/trace/trace_output.c).
_INTERRUPT = frozenset("hHs")
_KERNELS_TASKS = re.compile(r"<idle>|kworker/|ksoftirqd/|rcu|irq/|migration/|swapper/")


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of one function. `place`: the line of its name, None where no source tells.
    `returned`: the values of the register, each with how often it came, in the order of the first time.
    `is_last`: the last call that a program made is one of these, and returned `last`.
    """

    module: str
    function: str
    place: SourceLine | None
    returned: tuple[tuple[int, int], ...]
    is_last: bool = False
    last: int = 0

    @property
    def row(self) -> str:
        """A row of the report."""
        returned = "" if _is_void(self.function, self.place) else f" returned {_values(self.returned)}"
        count = sum(times for _, times in self.returned)
        times = f"  {count} calls" if count != 1 else "  1 call"
        return f"{self.place or self.module}  {self.function}(){times}{',' if returned else ''}{returned}"

    @property
    def end(self) -> str:
        """The last call, as a part of a sentence."""
        returned = "" if _is_void(self.function, self.place) else f", returned {value_text(self.last)}"
        return f"{self.function}() at {self.place or self.module}{returned}"


class CallTrace:
    """The calls into the modules of one guest, from the end of each load on. A kernel without kretprobes has
    none.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._probed: list[tuple[ModuleFile, str]] = []
        self._seen: list[tuple[int, int, bool]] = []

    def begin(self, ko: ModuleFile) -> None:
        """To be called when a module is loaded: its functions have probes from now on."""
        known = {one.module for one, _ in self._probed}
        for name in quick.functions(ko)[:_MOST] if ko.module not in known else ():
            number = len(self._probed)
            probe = f"r:{_GROUP}/ks_call_{number} {ko.module}:{name} ret=$retval"
            if self._write("kprobe_events", probe):
                self._probed.append((ko, name))
        if self._probed and self._write(f"events/{_GROUP}/enable", "1"):
            self._write("tracing_on", "1")

    def take(self) -> None:
        """Keep what the kernel has: the next load clears it."""
        if not self._probed:
            return
        try:
            text = self._sandbox.read(f"{_TRACING}/trace").decode(errors="replace")
        except (OSError, KscaffoldError):
            return
        # A module can write such a line, too.
        self._seen += [one for one in returns_in(text) if one[0] < len(self._probed)]

    def calls(self) -> tuple[Calls, ...]:
        """The calls so far: a row a function, in the order of the source."""
        returned: dict[int, Counter[int]] = {}
        for number, value, _ in self._seen:
            returned.setdefault(number, Counter())[value] += 1
        last = next(((n, value) for n, value, by_program in reversed(self._seen) if by_program), None)
        found = []
        for number, values in returned.items():
            ko, name = self._probed[number]
            is_last = last is not None and last[0] == number
            place = place_of_function(name, ko)
            value = last[1] if last and is_last else 0
            found.append(Calls(ko.module, name, place, tuple(values.items()), is_last, value))
        return tuple(sorted(found, key=_in_source))

    def _write(self, file: str, text: str) -> bool:
        try:
            self._sandbox.write(f"{_TRACING}/{file}", text.encode())
        except (OSError, KscaffoldError):
            return False
        return True


def returns_in(text: str) -> list[tuple[int, int, bool]]:
    """The returns that a trace has: the function's number, the value, and whether a program of the test's had
    called.
    """
    return [
        (
            int(line["number"]),
            int(line["value"], 16),
            not _KERNELS_TASKS.match(line["task"]) and not _INTERRUPT & set(line["flags"]),
        )
        for line in _LINE.finditer(text)
    ]


def _in_source(one: Calls) -> tuple[str, str, int]:
    return one.module, one.place.file if one.place else "", one.place.line if one.place else 0


def value_text(value: int) -> str:
    """The meaning of a returned register: an error with its name, else a number."""
    # An int is in the lower half, whatever the upper one has.
    for bits in (64, 32):
        if 0 < (1 << bits) - value <= 4095:
            number = (1 << bits) - value
            name = errnos.name(number)
            return f"-{number} ({name})" if name else f"-{number}"
    return hex(value) if value >> 32 else str(value)


def _values(returned: Sequence[tuple[int, int]]) -> str:
    shown = [
        value_text(value) + (f" ({times} times)" if times > 1 else "")
        for value, times in returned[:_MOST_VALUES]
    ]
    return ", ".join([*shown, *(["…"] if len(returned) > _MOST_VALUES else [])])


def _is_void(function: str, place: SourceLine | None) -> bool:
    """Whether the source says that the function returns nothing: the register is no answer then."""
    if place is None:
        return False
    before = "\n".join(text for number, text in place.lines if number <= place.line)
    return re.search(rf"\bvoid\s+(?:\w+\s+){{0,20}}{re.escape(function)}\s*\(", before) is not None

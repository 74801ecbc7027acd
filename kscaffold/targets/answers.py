"""What a guest's answers say: an attempt, and the records that belong to a request."""

import re
from typing import TYPE_CHECKING

from kscaffold.diagnosis.attempt import Attempt
from kscaffold.diagnosis.klog import Record, parse_kmsg, parse_text
from kscaffold.sandbox.agent import protocol
from kscaffold.sandbox.agent.channel import require_running
from kscaffold.sandbox.agent.protocol import ChannelClosed, ChannelTimeout

if TYPE_CHECKING:
    from kscaffold.sandbox.vm.guest import Guest

ANY = "[0-9a-f]{16}"
"""The nonce of any request, as a regular expression."""


def of_outcome(seen: protocol.Outcome) -> Attempt:
    """The attempt that the agent's answer to a load or an unload tells of."""
    records = parse_kmsg(b"\n".join(seen.records))
    note = None
    if seen.cut or seen.lost:
        left_out = f"{seen.cut} bytes of it" if seen.cut else "a part of it"
        note = f"the log was too long; {left_out} left out in the middle"
    stack = seen.stack
    if stack:
        from kscaffold.diagnosis.stacks import telling_stack  # start-up time: few calls do not come back

        stack = telling_stack(stack).text
    return Attempt(
        errno=None if seen.result is None else max(0, -seen.result),
        records=tuple(records),
        # A child that was killed or did not come back is the agent's own answer too, but no errno.
        answered=seen.result is not None,
        late=seen.running,
        killed_by=seen.signal or None,
        trace=seen.trace or None,
        note=note,
        stack=stack,
        seconds=(seen.end_ns - seen.start_ns) / 1e9,
    )


def of_console(text: str, nonce: str) -> tuple[Record, ...]:
    """The kernel's last words of this request. A panic prints the whole log again where the kernel can
    (5.18 and later): then what follows the agent's mark is the request's own, module's lines included.
    """
    return since_mark(parse_text(text), nonce)


def since_mark(records: list[Record], nonce: str) -> tuple[Record, ...]:
    """The records after the last mark of that request; where the guest had not come to it, after the last
    mark of any; all of them where there is none.
    """
    for wanted in (nonce, ANY):
        mark = re.compile(f"kscaffold: request {wanted}")
        for index in range(len(records) - 1, -1, -1):
            if mark.fullmatch(records[index].text[:100]):
                return tuple(records[index + 1 :])
    return tuple(records)


def unanswered(error: ChannelTimeout | ChannelClosed, nonce: str, guest: "Guest | None") -> Attempt:
    """The attempt at a guest that did not answer, or has gone. `nonce`: the request whose records are looked
    for, as a regular expression. `guest`: where it is this process's own; it is ended then, and its kernel's
    last words tell where it was. Raises KscaffoldError KS620 where a signal keeps it from running: nobody
    knows what it would do.
    """
    require_running(error)
    closed, late = isinstance(error, ChannelClosed), isinstance(error, ChannelTimeout)
    if late and guest:
        guest.interrogate()
    reset = isinstance(error, ChannelClosed) and (error.reset or (guest is not None and guest.was_reset()))
    records, stack = of_console(error.console or (guest.console() if guest else ""), nonce), ""
    if late:
        from kscaffold.diagnosis.nmi import stack_at_nmi  # start-up time: few guests do not answer

        records, stack = stack_at_nmi(records)
    return Attempt(
        None,
        records,
        answered=False,
        heard=False,
        alive=not closed,
        reset=reset,
        late=late,
        stack=stack,
    )

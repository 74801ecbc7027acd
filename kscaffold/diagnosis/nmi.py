"""Where a kernel was that did not answer: the panic that a non-maskable interrupt of ours made of it."""

from collections.abc import Sequence

from kscaffold import lazy
from kscaffold.diagnosis.klog import Record

# pci_serr_error(), io_check_error() and unknown_nmi_error() in the kernel: which of them answers is the
# machine's matter.
_HEAD = lazy.pattern(r"NMI: (?:PCI system error \(SERR\)|IOCK error)|Uhhuh\. NMI received for unknown reason")
_AT = lazy.pattern(r"RIP: (?P<segment>\w{4}):(?P<frame>\S+\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[[\w.-]+\])?)")
_CALLER = lazy.pattern(r"\s*(?P<frame>[\w.]+\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[[\w.-]+\])?)$")
_END = "Kernel Offset"  # dump_kernel_offset(), the last line of a panic
_USER = ("0033", "0023")  # the segments of a program


def stack_at_nmi(records: Sequence[Record]) -> tuple[tuple[Record, ...], str]:
    """What the kernel had said before the interrupt, and what it was at then, as /proc/PID/stack has it: the
    innermost call first, which is the interrupt's own. All records, and no stack, where there was none.
    """
    texts = [record.text for record in records]
    head = next((i for i, text in enumerate(texts) if _HEAD.match(text)), None)
    if head is None:
        return tuple(records), ""
    frames: list[str] = []
    entry = ""
    for text in texts[head:]:
        if at := _AT.match(text):
            if at["segment"] in _USER:
                break
            # Another one is where an earlier interrupt came: that of a timer's function, say.
            if at["frame"] not in frames:
                frames += [entry, at["frame"]] if entry else [at["frame"]]
            entry = ""
        elif frames and text.startswith(_END):
            break
        elif caller := _CALLER.match(text):
            if frames:
                frames.append(caller["frame"])
            else:
                entry = caller["frame"]
    return tuple(records[:head]), "".join(f"[<0>] {frame}\n" for frame in frames)


def without_nmi(records: Sequence[Record]) -> list[Record]:
    """The records without the panic that an interrupt of ours made."""
    kept, inside = [], False
    for record in records:
        inside = inside or _HEAD.match(record.text) is not None
        if not inside:
            kept.append(record)
        inside = inside and not record.text.startswith(_END)
    return kept

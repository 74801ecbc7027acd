"""The template chardev with a bug of each kind in each of its handlers, one at a time.

All bugs are compiled in, and a number in the module's data says which one is there: a .ko for each is the
same file with another number.
"""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from kscaffold.kernel.kernel import Kernel
from kscaffold.make.build_project import build_project
from kscaffold.scaffold.create.new import ProjectRequest, new

_NUMBER = 0x6B736361  # found once in a .ko
MARK = "test_my_chardev.py"
"""The file that a failed assertion is in."""

# What each kind does, but for a wrong result, which is each handler's own.
_KINDS = {
    "leak": "bug_leaked = kmalloc(64, GFP_KERNEL)",
    "sleep": "spin_lock(&bug_lock), msleep(1), spin_unlock(&bug_lock)",
    "overflow": "bug_row[bug << 24] = 1",
}
# The line of each handler before which it happens, and a wrong result.
_HANDLERS = {
    "open": ("return stream_open(", "return -EBUSY"),
    "read": ("return copied;", "copied--"),
    "write": ("return copied;", "copied--"),
    "poll": ("return ready;", "ready &= ~EPOLLOUT"),
    "ioctl": ("return put_user(", "length++"),
}
# No program calls these. Of what one load keeps, a few bytes are not seen: `--sanitize` sees them.
_ENDS = {"init": 'pr_info("see', "exit": 'pr_info("goodbye'}
_HEAD = f"""
#include <linux/delay.h>
#include <linux/slab.h>

static volatile int bug = {_NUMBER:#x};
static void *volatile bug_leaked;
static volatile char bug_row[8];
static DEFINE_SPINLOCK(bug_lock);
"""


@dataclass(frozen=True)
class Bug:
    """`test`: the test of the template that has to fail. `in_the_kernel`: the kernel itself complains, of the
    bug's own line.
    """

    number: int
    handler: str
    kind: str
    test: str

    @property
    def in_the_kernel(self) -> bool:
        return self.kind in ("sleep", "overflow")


def _test_of(handler: str, kind: str) -> str:
    if handler in _ENDS:
        return "test_comes_and_goes"
    if kind == "leak":
        return "test_gives_all_memory_back"
    return {
        "poll": "test_poll_says_what_would_not_wait",
        "ioctl": "test_ioctl_tells_the_length_and_clears",
    }.get(handler, "test_what_is_written_is_read")


BUGS = tuple(
    Bug(number, handler, kind, _test_of(handler, kind))
    for number, (handler, kind) in enumerate(
        (
            *((h, k) for h in _HANDLERS for k in (*_KINDS, "result")),
            *((end, kind) for end in _ENDS for kind in ("sleep", "overflow")),
        ),
        1,
    )
)


@dataclass(frozen=True)
class Lines:
    """Lines of the source with all bugs: of each bug by its number, and of each handler by its name."""

    bugs: dict[int, int]
    handlers: dict[str, int]

    def of(self, bug: Bug) -> int:
        """The line that is told: of a wrong result the handler's that gave it."""
        return self.handlers[bug.handler] if bug.kind == "result" else self.bugs[bug.number]


def chardev_with_bugs(place: Path, kernel: Kernel) -> Lines:
    """Make the project in `place`, with bugs/N/my-chardev.ko for each bug."""
    project = new(ProjectRequest("my-chardev", place, "chardev")).path
    source = project / "my-chardev.c"
    source.write_text(_with_bugs(source.read_text()))
    report = build_project(project, kernel)
    assert report.ok, report.complaints
    ko = report.modules[0].ko.read_bytes()
    before = struct.pack("<I", _NUMBER)
    assert ko.count(before) == 1
    for bug in BUGS:
        copy = project / "bugs" / str(bug.number) / "my-chardev.ko"
        copy.parent.mkdir(parents=True)
        copy.write_bytes(ko.replace(before, struct.pack("<I", bug.number)))
    lines = list(enumerate(source.read_text().splitlines(), 1))
    handler = r"static \w+ mailbox_(open|read|write|poll|ioctl)\("
    return Lines(
        {int(found[1]): n for n, line in lines if (found := re.match(r"if \(bug == (\d+)\)", line))},
        {found[1]: n for n, line in lines if (found := re.match(handler, line))},
    )


def _with_bugs(text: str) -> str:
    ends = {handler: (line, "") for handler, line in _ENDS.items()}
    for handler, (line, wrong) in (_HANDLERS | ends).items():
        begin = text.index(f"_{handler}(void)" if handler in ends else f"mailbox_{handler}(struct")
        at = text.rindex("\n", 0, text.index(line, begin)) + 1
        bugs = [b for b in BUGS if b.handler == handler]
        added = [f"if (bug == {b.number}) {_KINDS.get(b.kind, wrong)};\n" for b in bugs]
        text = text[:at] + "".join(added) + text[at:]
    end = text.index("\n", text.rindex("#include")) + 1
    return text[:end] + _HEAD + text[end:]

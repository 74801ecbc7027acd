"""Small harmless inputs that the fuzzer begins with: what the other tests have, cut to a few kilobytes."""

import gzip
import lzma
from collections.abc import Iterator
from pathlib import Path

from kscaffold.sandbox.agent import protocol
from kscaffold.sandbox.agent.protocol import Kind
from tests.support import elf

DATA = Path(__file__).resolve().parent.parent / "data"
_MOST = 6000  # bytes of a seed: a mutation hits something that counts

_TOML = (
    'schema = 1\nkscaffold = "0.1.0"\nbase = "none"\n[template]\nname = "hello" # mine\n'
    '[answers]\nauthor = "A"\n',
    'schema = 1\nkscaffold = "0"\n[template]\nsource = "/x"\n'
    '[answers]\nn = 1.5\nd = {a = [1, "\\u0007"]}\n[[answers.p]]\na = true\n[[answers.p]]\n',
    '[run]\nallow = ["KS252"]\n',
    'schema = 1\nkscaffold = "1"\n[template]\nd = 1979-05-27T07:32:00Z\n[answers]\nx = inf\ny = nan\n',
)
_KBUILD = (
    "obj-m := a.o\na-objs := b.o c.o # two\nccflags-y += -DX\n",
    "ifneq ($(KERNELRELEASE),)\nobj-m += a.o \\\n\tb.o\nelse\nKDIR ?= /lib/modules/$(shell uname -r)/build\n"
    "all:\n\t$(MAKE) -C $(KDIR) M=$(PWD) modules\nendif\n",
    "NAME = a\nobj-$(CONFIG_A) += $(NAME).o\nobj-m += $(NAME).o\n$(NAME)-y = x.o\ndefine f\nx\nendef\n",
)


def seeds(target: str) -> Iterator[bytes]:
    """The seeds of one target."""
    if target in ("check", "info"):
        yield from _modules()
    elif target in ("explain-log", "log"):
        yield from _logs()
    elif target == "explain-topic":
        yield from (b"load", b"-EPERM", b"KS201", b"insmod", b"step 3", b"Unknown symbol", b"sudo rmmod x")
    elif target == "wire":
        yield from _frames()
    else:
        yield from (text.encode() for text in (_TOML if target == "toml" else _KBUILD))


def _modules() -> Iterator[bytes]:
    plain = elf.of("x86_64", parameters={"n": "int"}, exports={"f": "gpl"}, depends="a,b").bytes()
    yield plain
    yield elf.of("arm").bytes()
    yield elf.of("s390x", license=None).bytes()
    yield gzip.compress(plain, mtime=0)
    yield lzma.compress(plain)
    yield plain + b"~Module signature appended~\n"


def _logs() -> Iterator[bytes]:
    for file in sorted((*DATA.glob("*.txt"), *(DATA / "build").glob("KS1*.log"))):
        text = file.read_bytes()
        yield text[:_MOST]
        if len(text) > 3 * _MOST:
            yield text[len(text) // 2 : len(text) // 2 + _MOST]


def _frames() -> Iterator[bytes]:
    records = b"6,1,2,-;kscaffold: request 0\0004,2,3,-;m: hello\0"
    outcome = protocol.OUTCOME.pack(0, 1, 0, 0, 1, 2, len(records), 0, 0, 3, 0, 0) + records + b"abc"
    yield outcome
    yield protocol.frame(Kind.ACK, 7) + protocol.frame(Kind.END, 7, 0, outcome)
    yield (
        protocol.frame(Kind.OUTPUT, 7, 1, b"text") + protocol.frame(Kind.END, 6) + protocol.frame(Kind.END, 7)
    )
    yield protocol.frame(Kind.LOST, 7, protocol.RESET, b"[    1.0] Kernel panic")

"""The calls of a module's functions, read from a trace into which the module may write, too."""

from pathlib import Path

from kscaffold.elf.module_file import ModuleFile
from kscaffold.testing.calls import CallTrace
from tests.support.elf import Ko

TRACE = """# tracer: nop
     m-prog-101     [000] d....  12.345678: ks_call_0: (f+0x1/0x2 <- g) ret=0xfffffffffffffff4
     m-prog-101     [000] d....  12.345679: ks_call_7: (f+0x1/0x2 <- g) ret=0x1
     m-prog-101     [000] d....  12.345679: ks_call_99999999999999999999: (f) ret=0x1
"""


class Traced:
    """A guest of which this is the trace: what is written to it, it takes."""

    def read(self, path: str) -> bytes:
        return TRACE.encode()

    def write(self, path: str, data: bytes) -> None:
        pass


def test_a_line_that_the_module_wrote_is_no_call(tmp_path: Path):
    (tmp_path / "m.ko").write_bytes(Ko("m").bytes())
    calls = CallTrace(Traced())
    calls.begin(ModuleFile.open(tmp_path / "m.ko"))
    calls.take()
    found = calls.calls()
    assert len(found) == 1 and found[0].returned == ((0xFFFFFFFFFFFFFFF4, 1),)

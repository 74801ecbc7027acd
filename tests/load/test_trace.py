"""`load --trace`: a line a stage, in the kernel's order."""

from pathlib import Path

import pytest

from kscaffold.diagnosis.stages import ORDER
from tests.conftest import need_program
from tests.support.kernels import need_kernel
from tests.support.projects import HELLO, write


@pytest.mark.sandbox
@pytest.mark.parametrize("series", ["5.10", "6.1", "6.12"])
def test_the_waterfall(ks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, series: str):
    need_program("qemu-system-x86_64", "qemu-system-x86")
    assert ks("kernel", "default", need_kernel(series).release).status == 0
    monkeypatch.chdir(write(tmp_path, Kbuild="obj-m := hello.o\n", hello__c=HELLO))

    def stages(out: str) -> dict[str, str]:
        rows = [line.split(maxsplit=3) for line in out.splitlines()]
        return {row[1]: row[3] for row in rows if len(row) == 4 and row[1] in ORDER}

    assert "syscall" not in ks("load").out
    good = ks("reload", "--trace")
    assert good.status == 0 and tuple(stages(good.out)) == ORDER
    two = ks("run", "--repeat", "2", "--trace")
    assert two.status == 0 and sum("init" in line.split() for line in two.out.splitlines()) == 2
    assert ks("sandbox", "stop").status == 0
    good_load = ks("load", "--trace")
    shown = stages(good_load.out)
    assert tuple(shown) == ORDER
    assert all(state.startswith("passed") for state in shown.values())
    assert "µs" in shown["init"] or "ms" in shown["init"]
    # 5.10's compiler inlined what shows where these begin: they are told as part of the stage before.
    assert ("(signature)" in shown["elf"]) == (series == "5.10") == ("nothing showed" in good_load.err)
    again = ks("load", "--trace")
    assert again.status == 1
    states = {stage: state.split("  ")[0] for stage, state in stages(again.out).items()}
    assert states["list"] == "failed here"
    # 6.4 and later look for the name before they reserve memory.
    spared = {"layout"} if series == "6.12" else set()
    assert {s for s, state in states.items() if state == "not reached"} == spared | set(
        ORDER[ORDER.index("list") + 1 :]
    )
    # With --json the stages are in the document anyway, and nothing else is printed.
    document = ks("load", "--trace", "--json").json
    assert [s["id"] for s in document["stages"]] == list(ORDER)

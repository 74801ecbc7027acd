"""Which of several modules gets which parameter."""

from pathlib import Path

import pytest

from kscaffold.elf.module_file import ModuleFile
from kscaffold.load.assignment import assign
from kscaffold.module.arguments import Parameters
from tests.support.elf import Ko


@pytest.mark.parametrize(
    ("given", "sensor", "valve"),
    [
        ("verbose=1", "verbose=1", ""),
        ("verbos=1", "verbos=1", ""),  # of a near name only one is asked
        ("width=1 verbose=2", "verbose=2", "width=1"),
        ("valve.verbose=1", "", "verbose=1"),
        ("valve.verbose=1 verbose=2", "verbose=2", "verbose=1"),
        ("strange=1", "strange=1", "strange=1"),
        ("dyndbg=+p", "dyndbg=+p", "dyndbg=+p"),
    ],
)
def test_each_module_gets_what_it_has(tmp_path: Path, given: str, sensor: str, valve: str):
    kos = []
    for name, parameters in (("sensor", {"verbose": "int"}), ("valve", {"width": "int"})):
        (tmp_path / f"{name}.ko").write_bytes(Ko(name, parameters=parameters).bytes())
        kos.append(ModuleFile.open(tmp_path / f"{name}.ko"))
    got = assign(Parameters.parse(given), kos)
    assert {name: str(parameters) for name, parameters in got.items()} == {"sensor": sensor, "valve": valve}

"""What the fuzzer found is tried again, and its seeds: each target takes them, and in time."""

import time
from pathlib import Path

import pytest

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

FOUND = Path(__file__).parent / "found"


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_takes_what_others_may_send(target):
    found = sorted((FOUND / target).glob("*"))
    inputs = [*seeds(target), *(file.read_bytes() for file in found)]
    assert len(inputs) > len(found)
    for data in inputs:
        began = time.process_time()
        TARGETS[target](data)
        assert time.process_time() - began < 2, data[:200]

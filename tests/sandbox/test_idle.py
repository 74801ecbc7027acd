"""How long idle guests stay."""

from pathlib import Path

import pytest

from kscaffold.sandbox.live.idle import Memory, guests_beside, idle_time, memory_now

PLENTY = Memory(0.8, 0.0)


@pytest.mark.parametrize(
    ("guests", "memory", "seconds"),
    [
        (1, PLENTY, 1800.0),
        (14, PLENTY, 1800.0 / 14),  # together they stay no longer than one
        (60, PLENTY, 60.0),
        (1, Memory(0.125, 0.0), 900.0),
        (1, Memory(0.0, 0.0), 60.0),
        (1, Memory(0.5, 12.0), 60.0),  # somebody waits for memory
    ],
)
def test_many_guests_and_little_memory_make_it_short(guests: int, memory: Memory, seconds: float):
    assert idle_time(1800.0, guests, memory) == seconds


def test_what_was_asked_for_is_never_made_longer():
    assert idle_time(2.0, 14, Memory(0.0, 50.0)) == 2.0


def test_the_memory_is_read(tmp_path: Path):
    (tmp_path / "pressure").mkdir()
    (tmp_path / "meminfo").write_text("MemTotal:  1000 kB\nMemFree:  10 kB\nMemAvailable:   250 kB\n")
    (tmp_path / "pressure/memory").write_text(
        "some avg10=0.00 avg60=12.50 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    )
    assert memory_now(tmp_path) == Memory(0.25, 12.5)
    assert memory_now(tmp_path / "nothing") == Memory(1.0, 0.0)
    assert 0 < memory_now().available <= 1


def test_guests_are_counted_by_their_cards(tmp_path: Path):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "a/card.json").touch()
    (tmp_path / "b/card.json").touch()
    assert guests_beside(tmp_path / "a") == 2

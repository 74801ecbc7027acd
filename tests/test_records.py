"""kscaffold.records: what dataclasses do, without their start-up time."""

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
from typing import Any, ClassVar

import pytest

from kscaffold import records

_SOURCE = '''
@made(frozen=True, slots=True)
class Point:
    """A docstring stays."""

    x: int
    y: str = "b"
    z: list[int] = field(default_factory=list)
    kind: ClassVar[str] = "point"

    @property
    def twice(self) -> int:
        return 2 * self.x

@made(frozen=True, slots=True)
class Named(Point):
    name: str = field(default="n", repr=False)

@made(slots=True)
class Count:
    n: int
    seen: int = field(default=7, init=False)

    def __post_init__(self) -> None:
        self.n += 1
'''


def _classes(made: Any, field: Any) -> dict[str, Any]:
    space = {"made": made, "field": field, "ClassVar": ClassVar, "__name__": __name__}
    exec(_SOURCE, space)
    return space


OURS = _classes(records.dataclass, records.field)
THEIRS = _classes(dataclasses.dataclass, dataclasses.field)
Point, Named, Count = OURS["Point"], OURS["Named"], OURS["Count"]


@pytest.mark.parametrize(
    "expression",
    [
        "Point(1)",
        "Point(1, 'c', [2])",
        "Point(x=1, z=[3])",
        "Point(1) == Point(1), Point(1) == Point(2), Point(1) == Named(1), Point(1) == 1",
        "hash(Point(1, 'b', ())) == hash(Point(1, 'b', ()))",
        "Named(1, name='m'), Named(1, name='m').name, Named.__match_args__",
        "Point(1).twice, Point.kind, Point.__doc__, Point.__slots__, Named.__slots__, Point.__qualname__",
        "Count(1), Count(1).n, Count.__hash__",
        "replace(Named(1), x=2), replace(Count(1), n=5)",
        "asdict(Named(1)), [(f.name, f.default, f.repr, f.init, f.type) for f in fields(Count)]",
        "[f.name for f in fields(Named(1))], is_dataclass(Point)",
        "signature(Point), signature(Named), signature(Count), Named.__dataclass_params__.frozen",
    ],
)
def test_a_record_is_what_a_dataclass_is(expression: str):
    tools = {name: getattr(dataclasses, name) for name in ("replace", "asdict", "fields", "is_dataclass")}
    tools["signature"] = inspect.signature
    expected = repr(eval(expression, {**THEIRS, **tools}))
    assert repr(eval(expression, {**OURS, **tools})) == expected
    assert repr(eval(expression, {**OURS, **tools, "replace": records.replace})) == expected


@pytest.mark.parametrize(
    "wrong", ["Point()", "Point(y='c')", "Point(1, 'c', [], 4)", "Point(1, w=3)", "Point(1, x=2)", "Count()"]
)
def test_what_a_dataclass_refuses(wrong: str):
    for classes in (OURS, THEIRS):
        with pytest.raises(TypeError):
            eval(wrong, classes)


def test_a_frozen_record_stays_as_it_is():
    one = Point(1)
    for change in ("one.x = 2", "del one.x", "one.other = 3"):
        with pytest.raises(AttributeError):
            exec(change, {"one": one})
    assert one == Point(1) and not hasattr(one, "__dict__")


def test_a_record_travels():
    globals().update(Point=Point, Count=Count)
    Point.__module__ = Count.__module__ = __name__
    for one in (Point(1, z=[2]), Count(3)):
        assert repr(pickle.loads(pickle.dumps(one))) == repr(one)
        assert repr(copy.deepcopy(one)) == repr(one)
    assert copy.deepcopy(Point(1, z=[2])).z == [2]


def test_its_import_brings_no_dataclasses():
    done = subprocess.run(
        [sys.executable, "-c", "import kscaffold.records, sys; print('dataclasses' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"

"""Frozen records at a ninth of the start-up time that dataclasses take.

`dataclasses` writes and compiles up to eight methods for each class: half a millisecond of every command for
each class that it imports; and it imports `inspect`. The classes here share the code of their methods. To a
type checker they are dataclasses, and to `dataclasses.fields`, `asdict` and `replace` as well.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

_MISSING: Any = object()  # the default of a field without one


class _Factory:
    """A default that is made for each record."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


class _Field:
    """The declaration of one field of a class."""

    __slots__ = ("default", "in_init", "in_repr")

    def __init__(self, default: Any, in_init: bool = True, in_repr: bool = True) -> None:
        self.default, self.in_init, self.in_repr = default, in_init, in_repr


class _OfTwin:
    """An attribute that dataclasses gives to a class: made, when asked for, with a dataclass alike."""

    def __init__(self, attribute: str) -> None:
        self._attribute = attribute

    def __get__(self, record: Any, cls: Any) -> Any:
        # start-up time: few commands ask
        import dataclasses
        import inspect

        shape = []
        for name, one in cls.__record_fields__.items():
            words = {"init": one.in_init, "repr": one.in_repr}
            if isinstance(one.default, _Factory):
                words["default_factory"] = one.default.make
            elif one.default is not _MISSING:
                words["default"] = one.default
            shape.append((name, cls.__record_types__[name], dataclasses.field(**words)))
        frozen = cls.__setattr__ is _refuse
        twin: Any = dataclasses.make_dataclass(cls.__name__, shape, frozen=frozen)
        cls.__dataclass_fields__ = twin.__dataclass_fields__
        cls.__dataclass_params__ = twin.__dataclass_params__
        cls.__signature__ = inspect.signature(twin)
        return getattr(cls, self._attribute)


def _dataclass(*, frozen: bool = False, slots: bool) -> Callable[[Any], Any]:
    """As dataclasses.dataclass(frozen=frozen, slots=True): the class again, with a slot for each field."""
    assert slots

    def decorate(cls: Any) -> Any:
        fields: dict[str, _Field] = {}
        types: dict[str, Any] = {}
        for base in reversed(cls.__mro__[1:]):
            fields.update(base.__dict__.get("__record_fields__", {}))
            types.update(base.__dict__.get("__record_types__", {}))
        inherited = set(fields)
        body = {k: v for k, v in cls.__dict__.items() if k not in ("__dict__", "__weakref__")}
        for name, kind in body.get("__annotations__", {}).items():
            if "ClassVar" in (kind if isinstance(kind, str) else repr(kind)):
                continue
            default = body.pop(name, _MISSING)
            fields[name] = default if isinstance(default, _Field) else _Field(default)
            types[name] = kind
        body["__slots__"] = tuple(name for name in fields if name not in inherited)
        body["__match_args__"] = tuple(name for name, one in fields.items() if one.in_init)
        body |= {"__record_fields__": fields, "__record_types__": types}
        body |= {n: _OfTwin(n) for n in ("__dataclass_fields__", "__dataclass_params__", "__signature__")}
        body.setdefault("__repr__", _repr)
        if "__eq__" not in body:
            body["__eq__"] = _equal
            body["__hash__"] = _hash if frozen else None
        if frozen:
            body |= {"__setattr__": _refuse, "__delattr__": _refuse}
            body |= {"__getstate__": _values, "__setstate__": _restore}
        made = type(cls)(cls.__name__, cls.__bases__, body)
        made.__init__ = _init_of(made, fields)
        return made

    return decorate


def _init_of(cls: Any, fields: dict[str, _Field]) -> Callable[..., None]:
    """`__init__`, which puts values straight into the slots: a frozen record refuses any other way."""
    puts = {name: getattr(cls, name).__set__ for name in fields}
    names = [name for name, one in fields.items() if one.in_init]
    positional = [puts[name] for name in names]
    count = len(names)
    others = [(puts[name], one.default) for name, one in fields.items() if not one.in_init]
    after = getattr(cls, "__post_init__", None)

    def put_named(record: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        if len(given) > count:
            raise TypeError(f"{cls.__name__} takes {count} values, not {len(given)}")
        for put, value in zip(positional, given, strict=False):
            put(record, value)
        for name in names[len(given) :]:
            value = named.pop(name, _MISSING)
            puts[name](record, _default(fields[name].default) if value is _MISSING else value)
        if named:
            raise TypeError(f"{cls.__name__} takes no {', '.join(named)}, or has it already")

    def __init__(self: Any, *given: Any, **named: Any) -> None:
        if len(given) == count and not named:
            for put, value in zip(positional, given, strict=True):
                put(self, value)
        else:
            try:
                put_named(self, given, named)
            except LookupError:
                missing = [n for n in names if not hasattr(self, n)]
                raise TypeError(f"{cls.__name__} lacks {', '.join(missing)}") from None
        for put, default in others:
            if default is not _MISSING:
                put(self, _default(default))
        if after is not None:
            after(self)

    return __init__


def _default(default: Any) -> Any:
    if default is _MISSING:
        raise LookupError
    return default.make() if isinstance(default, _Factory) else default


def _values(record: Any) -> tuple[Any, ...]:
    return tuple([getattr(record, name) for name in record.__record_fields__])


def _restore(record: Any, values: tuple[Any, ...]) -> None:
    for name, value in zip(record.__record_fields__, values, strict=True):
        object.__setattr__(record, name, value)


def _equal(record: Any, other: Any) -> Any:
    if other.__class__ is not record.__class__:
        return NotImplemented
    return _values(record) == _values(other)


def _hash(record: Any) -> int:
    return hash(_values(record))


def _repr(record: Any) -> str:
    shown = [name for name, one in record.__record_fields__.items() if one.in_repr]
    return f"{type(record).__qualname__}({', '.join(f'{n}={getattr(record, n)!r}' for n in shown)})"


def _refuse(record: Any, name: str, value: Any = None) -> NoReturn:
    from dataclasses import FrozenInstanceError  # start-up time: a programming error

    raise FrozenInstanceError(f"cannot assign to field {name!r}, nor delete it")


def _field(
    *,
    default: Any = _MISSING,
    default_factory: Callable[[], Any] | None = None,
    init: bool = True,
    repr: bool = True,
) -> Any:
    """As dataclasses.field, for what is used here."""
    return _Field(default if default_factory is None else _Factory(default_factory), init, repr)


def _replace(record: Any, /, **changes: Any) -> Any:
    """As dataclasses.replace: a record with some of its values changed."""
    for name in record.__match_args__:
        if name not in changes:
            changes[name] = getattr(record, name)
    return type(record)(**changes)


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import replace as replace
else:
    dataclass, field, replace = _dataclass, _field, _replace

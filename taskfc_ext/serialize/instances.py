"""Reducers for instances that `pickle` would not restore correctly.

`pickle` makes an instance by its class's own methods. It calls `__new__` with the content of the instance, not with the
original arguments. It adds items by the class's own `__setitem__` or `append`, and calls `__getattr__` before any
attribute is set. So a number that `__new__` has converted would be converted again, and a set whose `__init__` takes a
name would be empty. Classes with their own pickling methods are left alone.
"""

from __future__ import annotations

import copyreg
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType
from typing import Any

from taskfc_ext.serialize import scope
from taskfc_ext.serialize.out_of_band import reduce_array

Plain = Callable[[Any], Any]
Fill = Callable[[Any, Any], object]

_newobj: Any = copyreg.__newobj__  # type: ignore[attr-defined]  # makes instances in protocol 2 and later

PLAIN_PARTS: Mapping[type, Plain] = {
    int: int.__index__,
    str: str.__str__,
    float: float.__float__,
    complex: complex.__pos__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    tuple: lambda value: tuple(tuple.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
}
"""By immutable type: the function that returns the content of an instance, without the class's own methods."""


def _fill_ordered(made: Any, items: list[tuple[Any, Any]]) -> None:
    for key, value in items:
        OrderedDict.__setitem__(made, key, value)


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    return list(dict.items(value))


_maxlen: Any = deque.maxlen

_CONTAINERS: Mapping[type, tuple[Plain, Fill]] = {
    list: (lambda value: list(list.__iter__(value)), list.extend),
    set: (lambda value: list(set.__iter__(value)), set.update),
    dict: (_pairs, dict.update),
    Counter: (_pairs, dict.update),
    OrderedDict: (lambda value: list(OrderedDict.items(value)), _fill_ordered),
    defaultdict: (
        lambda value: (value.default_factory, _pairs(value)),
        lambda made, content: defaultdict.__init__(made, *content),
    ),
    deque: (
        lambda value: (list(deque.__iter__(value)), _maxlen.__get__(value)),
        lambda made, content: deque.__init__(made, *content),
    ),
}
"""By mutable type: the functions that return the content of an instance, and that fill an instance with it."""

_PICKLING = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs_ex__")
_MAKING = ("__new__", "__getattr__", "__getattribute__")
_FILLING = ("__init__", "__setitem__", "__iter__", "items", "append", "extend")

state_of: Plain = object.__getstate__  # from Python 3.11 on

HEAP_TYPE = 1 << 9
"""`Py_TPFLAGS_HEAPTYPE`: set for every class made by a `class` statement."""


def reducer_of(kind: type) -> Callable[[Any], Any] | None:
    """Return the reducer for instances of `kind`; `None` if `pickle` restores them correctly."""
    if not kind.__flags__ & HEAP_TYPE:
        return None
    built_in = built_in_of(kind)
    own = kind.__mro__[: kind.__mro__.index(built_in)]
    if kind in copyreg.dispatch_table or _defines(own, _PICKLING) or _gives_arguments(own):
        return None
    if built_in in _CONTAINERS:
        return _reduce_container if _defines(own, _MAKING + _FILLING) else None
    if built_in in PLAIN_PARTS:
        return _reduce_plain if built_in is frozenset or _defines(own, _MAKING) else None
    if built_in is not object:
        return _reduce_array if kind.__dictoffset__ and not kind.__module__.startswith("numpy") else None
    return _reduce_object if _defines(own, _MAKING) or (_defines(own, ("__setattr__",)) and _slots(kind)) else None


def built_in_of(kind: type) -> type:
    """Return the base of `kind` that defines the content of an instance besides its attributes."""
    array = getattr(sys.modules.get("numpy"), "ndarray", None)
    return next((each for each in kind.__mro__ if each in PLAIN_PARTS or each in _CONTAINERS or each is array), object)


def _defines(classes: tuple[type, ...], names: tuple[str, ...]) -> bool:
    return any(name in vars(each) for each in classes for name in names)


def _gives_arguments(classes: tuple[type, ...]) -> bool:
    """Return whether a class defines the arguments of its `__new__`. A named tuple's are for its own `__new__`."""
    for each in classes:
        if "__getnewargs__" in vars(each):
            return True
        if "__new__" in vars(each):
            return False
    return False


def _slots(kind: type) -> list[str]:
    return copyreg._slotnames(kind)  # type: ignore[attr-defined,no-any-return]  # used by `pickle` itself


# pickling


def _reduce_object(value: Any) -> Any:
    reduced = value.__reduce_ex__(4)  # raises if the instance holds more than attributes
    return _make, reduced[1], (reduced[2], None), None, None, _fill


def _reduce_plain(value: Any) -> Any:
    cls = type(value)
    part = PLAIN_PARTS[built_in_of(cls)](value)
    arguments = (part,) if isinstance(value, frozenset) else value.__getnewargs__()
    return _make_plain, (cls, arguments, part), (state_of(value), None), None, None, _fill


def _reduce_container(value: Any) -> Any:
    cls = type(value)
    take, _ = _CONTAINERS[built_in_of(cls)]
    return _make, (cls,), (state_of(value), take(value)), None, None, _fill


def _reduce_array(value: Any) -> Any:
    make, arguments, *state = reduce_array(value)
    return make, arguments, (state, dict(vars(value))), None, None, _fill_array


def bare_instance(value: Any) -> Any:
    """Reduce an instance of a class that is not complete yet, without a call of the class's own `__new__`."""
    reduced = value.__reduce_ex__(4)
    if isinstance(reduced, tuple) and reduced[0] is _newobj:
        return _make, *reduced[1:]
    return reduced


# loading


def _make(cls: Any, *arguments: Any) -> Any:
    if scope.is_complete(cls):  # the class is known here: its `__new__` may return a singleton
        try:
            return cls.__new__(cls, *arguments)
        except TypeError:  # it needs the original arguments
            return bare(cls, *arguments)
    return bare(cls, *arguments)


def _make_plain(cls: Any, arguments: tuple[Any, ...], part: Any) -> Any:
    plain = PLAIN_PARTS[built_in_of(cls)]
    try:
        made = _make(cls, *arguments)
        if type(made) is cls and plain(made) == part:
            return made
    except Exception:  # noqa: BLE001  raised by the class's own `__new__`, which expects other arguments
        pass
    return bare(cls, part)


def bare(cls: Any, *arguments: Any) -> Any:
    """Return an instance made by C code only."""
    maker = maker_of(cls)
    return object.__new__(cls) if maker is object else maker.__new__(cls, *arguments)


def maker_of(cls: Any) -> Any:
    """Return the class whose `__new__` is the C code that lays out instances of `cls`."""
    while not isinstance(vars(cls).get("__new__"), BuiltinFunctionType):
        cls = cls.__base__  # not the next in `__mro__`: of two built-in bases, one defines the layout
    return cls


def set_state(made: Any, attributes: Mapping[str, Any] | None, slots: Mapping[str, Any] | None) -> None:
    """Set attributes and slots without a call of the class's own `__setattr__`."""
    if attributes:
        object.__getattribute__(made, "__dict__").update(attributes)
    for name, value in (slots or {}).items():
        object.__setattr__(made, name, value)


def _fill(made: Any, content: tuple[Any, Any]) -> None:
    state, items = content
    set_state(made, *(state if type(state) is tuple else (state, None)))
    if items is not None:
        _, fill = _CONTAINERS[built_in_of(type(made))]
        fill(made, items)


def _fill_array(made: Any, content: tuple[list[Any], dict[str, Any]]) -> None:
    state, attributes = content
    for each in state:  # none, if it is complete
        made.__setstate__(each)
    vars(made).update(attributes)

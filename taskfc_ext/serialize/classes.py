"""Pickling of classes by value: made once in each attempt, without running the code of their definition again.

A class is first an empty shell, made by the C code beneath its metaclass, and then gets its members one by one. So no
`__init_subclass__`, `__set_name__`, metaclass or `Enum.__new__` runs a second time: their effects are in the members
already. A class that is known at the loading end stays as it is there.
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable, Iterable, Mapping
from types import BuiltinFunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any

from cloudpickle import cloudpickle as _cloudpickle

from taskfc_ext.serialize import instances, scope
from taskfc_ext.serialize.by_value import is_pickled_by_reference

_untyped: Any = _cloudpickle

_AT_CREATION = ("__module__", "__qualname__", "__slots__", "__orig_bases__")
"""Members that `type.__new__` and `Generic` read."""

_MADE_ELSEWHERE = frozenset(("__dict__", "__weakref__", "__annotate_func__", "__annotations_cache__", *_AT_CREATION))

_ABC = frozenset(("_abc_impl", "_abc_cache", "_abc_registry", "_abc_negative_cache", "_abc_negative_cache_version"))

_ENUM_MAPS = frozenset(("_member_map_", "_value2member_map_"))

Attributes = dict[str, Any]


def is_by_value(cls: type) -> bool:
    """Return whether another process cannot import `cls` by its name."""
    if cls.__module__ == "builtins" or cls in _untyped._BUILTIN_TYPE_NAMES:
        return False
    return not is_pickled_by_reference(cls)


def is_member(value: Any) -> bool:
    """Return whether `value` is a named member of an enumeration that is pickled by value."""
    cls: Any = type(value)
    return issubclass(cls, enum.Enum) and is_by_value(cls) and value._name_ in cls._member_map_


# pickling


class Early:
    """A call in the state of a class that is made before the rest of the state is loaded.

    The rest may hold instances of the class, which need its methods, or members of the enumeration.
    """

    def __init__(self, act: Callable[..., None], *values: object) -> None:
        self.act = act
        self.values = values


class Complete:
    """The end of the state of a class: from here on, its instances are reduced as usual."""

    def __init__(self, cls: type) -> None:
        self.cls = cls


def reduce_complete(complete: Complete) -> Any:
    """Reduce the mark to nothing."""
    return type(None), ()


def reduce_class(cls: Any, *, is_global: bool) -> Any:
    """Reduce `cls` to its parts, for `Pickler.reducer_override`."""
    token = scope.token_of(cls)
    at_creation = {name: cls.__dict__[name] for name in _AT_CREATION if name in cls.__dict__}
    at_creation["__qualname__"] = cls.__qualname__
    members = {name: value for name, value in cls.__dict__.items() if not _is_made_by_type(cls, name, value)}
    code = {name: value for name, value in members.items() if _is_code(value)}
    rest = {name: value for name, value in members.items() if name not in code and name not in _ENUM_MAPS}
    early = [Early(_set_members, cls, code, token)]
    if issubclass(cls, enum.Enum):
        kind = {"_member_type_": rest.pop("_member_type_", object)}
        rows = [_member_row(cls, name, value) for name, value in _own_members(cls).items()]
        # before the methods: their globals may hold members
        early = [Early(_set_members, cls, kind, token), Early(_make_members, cls, rows, _aliases(cls), token), *early]
    state = token, early, rest, _subclasses_by_register(cls), is_global, Complete(cls)
    return _make_class, (token, type(cls), cls.__name__, cls.__bases__, at_creation), state, None, None, _fill_class


def reduce_early(early: Early) -> Any:
    """Reduce to the call."""
    return early.act, early.values


def reduce_member(member: Any) -> Any:
    """Reduce a member of an enumeration to its class and name."""
    return _member, (type(member), member._name_)


def _is_made_by_type(cls: type, name: str, value: object) -> bool:
    if name in _MADE_ELSEWHERE or name in _ABC:
        return True
    own_slot = isinstance(value, MemberDescriptorType) and value.__objclass__ is cls
    return own_slot or (isinstance(value, GetSetDescriptorType) and value.__objclass__ is cls)


def _is_code(value: object) -> bool:
    return (callable(value) and not isinstance(value, type)) or isinstance(value, (classmethod, staticmethod, property))


def _subclasses_by_register(cls: type) -> list[type]:
    if not isinstance(cls, abc.ABCMeta):
        return []
    registered = (reference() for reference in abc._get_dump(cls)[0])  # type: ignore[attr-defined]
    return [each for each in registered if each is not None]


# enumerations: their members are instances of the class and are made with it


def _own_members(cls: Any) -> dict[str, Any]:
    return {name: cls._member_map_[name] for name in cls._member_map_ if cls._member_map_[name]._name_ == name}


def _aliases(cls: Any) -> dict[str, str]:
    return {name: member._name_ for name, member in cls._member_map_.items() if member._name_ != name}


def _member_row(cls: Any, name: str, member: Any) -> tuple[str, tuple[Any, ...], Attributes, Attributes]:
    """Return (name, arguments of its built-in part, attributes, slots) of a member."""
    state = instances.state_of(member)
    attributes, slots = state if type(state) is tuple else (state, {})
    attributes = {key: value for key, value in (attributes or {}).items() if key != "__objclass__"}
    return name, _built_in_part(cls, member), attributes, slots


def _built_in_part(cls: Any, member: Any) -> tuple[Any, ...]:
    plain = instances.PLAIN_PARTS.get(instances.built_in_of(cls))
    if plain is not None:
        return (plain(member),)
    made_by = instances.maker_of(cls)
    if made_by is object:
        return ()
    reduced = made_by.__reduce__(member)
    if isinstance(reduced, tuple) and reduced[0] is cls:  # a date, a decimal number
        return tuple(reduced[1])
    raise TypeError(f"members of an enumeration that are also {made_by.__qualname__} cannot be sent")


def _make_members(
    cls: Any, rows: Iterable[tuple[str, Any, Attributes, Attributes]], aliases: Mapping[str, str], token: str
) -> None:
    if not scope.loader().may_fill(token):
        return
    by_name: dict[str, Any] = {}
    by_value: dict[Any, Any] = {}
    for order, (name, part, attributes, slots) in enumerate(rows):
        member = instances.bare(cls, *part)
        instances.set_state(member, attributes, slots)
        member.__objclass__ = cls
        member.__dict__.setdefault("_sort_order_", order)
        by_name[name] = member
        try:
            by_value.setdefault(member._value_, member)
        except TypeError:  # not hashable: `Enum` searches all members then
            continue
    for alias, name in aliases.items():
        by_name[alias] = by_name[name]
    type.__setattr__(cls, "_member_map_", by_name)
    type.__setattr__(cls, "_value2member_map_", by_value)


def _member(cls: Any, name: str) -> Any:
    return cls._member_map_[name]


# loading


def _make_class(token: str, metaclass: Any, name: str, bases: tuple[type, ...], at_creation: Attributes) -> type:
    """Return the class of this token that is known here, else a shell to fill."""
    loader = scope.loader()
    cls = loader.find(token)
    if cls is None:
        cls = _shell(metaclass, name, bases, at_creation)
        loader.add(token, cls)
    return cls


def _shell(metaclass: Any, name: str, bases: tuple[type, ...], at_creation: Attributes) -> Any:
    create = _creator(metaclass)
    if not any(_is_hooked(base) for base in bases):
        return create(metaclass, name, bases, dict(at_creation))
    # `type.__new__` would call the bases' `__init_subclass__`, which already ran at the definition of the class
    try:
        cls = create(metaclass, name, tuple([_hollow(base) for base in bases]), dict(at_creation))
        type.__setattr__(cls, "__bases__", bases)
    except TypeError:  # a base with a C layout
        return create(metaclass, name, bases, dict(at_creation))
    return cls


def _creator(metaclass: Any) -> Any:
    """Return the C function `__new__` that makes classes of `metaclass`."""
    for each in metaclass.__mro__:
        if each is abc.ABCMeta or isinstance(vars(each).get("__new__"), BuiltinFunctionType):
            return each.__new__
    return type.__new__


def _is_hooked(base: type) -> bool:
    return any("__init_subclass__" in vars(each) for each in base.__mro__ if each is not object)


def _hollow(base: type) -> type:
    """Return an otherwise empty class whose instances have the same layout as those of `base`."""
    if not _is_hooked(base):
        return base
    layout = {"__slots__": vars(base)["__slots__"]} if "__slots__" in vars(base) else {}
    return type.__new__(type, base.__name__, tuple([_hollow(each) for each in base.__bases__]), layout)


def _set_members(cls: Any, members: Attributes, token: str) -> None:
    if scope.loader().may_fill(token):
        for name, value in members.items():
            type.__setattr__(cls, name, value)


def _fill_class(cls: Any, state: tuple[Any, ...]) -> None:
    token, _, rest, registered, is_global, _ = state
    loader = scope.loader()
    if loader.may_fill(token):
        _set_members(cls, rest, token)
        if "__firstlineno__" in rest:  # setting `__module__` drops it
            type.__setattr__(cls, "__firstlineno__", rest["__firstlineno__"])
        loader.finish(token)
        for each in registered:
            cls.register(each)
    if is_global and isinstance(loader, scope.Host):
        loader.define(vars(loader.main), {cls.__qualname__: cls})

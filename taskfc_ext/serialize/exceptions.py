"""Pickling of exceptions without calls of their constructors.

By default an exception is pickled as a call of its class with `args`. These are the arguments of `super().__init__`,
not those of the constructor, so the call may fail or format the text a second time. Here an exception is reduced to an
empty instance, made by the C code beneath its class, and its state: `args`, attributes, slots, notes and chain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, NamedTuple

from taskfc_ext.serialize.atoms import ATOMS
from taskfc_ext.serialize.instances import HEAP_TYPE, maker_of
from taskfc_ext.serialize.sentinels import by_name

MAX_LINKS = 50
"""Largest number of causes and contexts that are pickled for all exceptions of one value."""

_PROTOCOL = 5
_PLAIN_ITEMS = 1000

_untyped: Any = vars(BaseException)
_args, _dict = _untyped["args"], _untyped["__dict__"]
_cause, _context, _suppress = _untyped["__cause__"], _untyped["__context__"], _untyped["__suppress_context__"]

_NO_STATE = {(AttributeError, "obj"), (BaseExceptionGroup, "message"), (BaseExceptionGroup, "exceptions")}
"""Fields of C code that are not state: Python does not pickle `obj` either, and a group is made with the others."""

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+")
_SET = re.compile(r"\{([^{}]*)\}")

Named = dict[str, object]

Reduced = tuple[Any, ...] | str
"""A return value of `__reduce__`."""


class Chain(NamedTuple):
    """Cause and context of an exception."""

    cause: BaseException | None
    context: BaseException | None
    suppresses_context: bool


class _State(NamedTuple):
    """State of an exception.

    Attributes:
        args: its `args`.
        attributes: its `__dict__`, or the result of its own `__getstate__`.
        fields: its slots and the fields of C code, by name.
        chain: its cause and context.
    """

    args: tuple[object, ...]
    attributes: Any
    fields: dict[str, object]
    chain: Chain


class _OwnState(NamedTuple):
    """State of an exception with its own `__reduce__`.

    Attributes:
        state: the third item of the result of `__reduce__`.
        setter: the sixth item.
        forgotten: attributes that `__reduce__` leaves out, including notes.
        chain: its cause and context.
    """

    state: Any
    setter: Any
    forgotten: dict[str, object]
    chain: Chain


class Exceptions:
    """Reducer of exceptions without their chains, for exceptions that functions and arguments hold."""

    def reduce(self, error: BaseException) -> Reduced:
        """Reduce `error`."""
        return self._own_reduction(error) or self._reduction(error)

    def chain_of(self, error: BaseException) -> Chain:
        """Return the chain of `error` to pickle."""
        return Chain(None, None, _suppress.__get__(error))

    def select(self, error: BaseException, fields: Named, attributes: Named) -> tuple[Named, Named]:
        """Return the fields (slots and C fields) and attributes of `error` to pickle."""
        return fields, attributes

    def members_of(self, group: BaseExceptionGroup[Any]) -> list[BaseException]:
        """Return the exceptions to pickle in place of those in a group."""
        return list(_members(group))

    def _reduction(self, error: BaseException) -> Reduced:
        new_args: tuple[object, ...] = ()
        args: tuple[object, ...] = _args.__get__(error)
        if isinstance(error, BaseExceptionGroup):
            members = self.members_of(error)
            new_args = vars(BaseExceptionGroup)["message"].__get__(error), members
            args = _with_members(args, dict(zip(map(id, _members(error)), members, strict=True)))
        attributes: Any
        fields, attributes = self.select(error, dict(_fields(error)), dict(_dict.__get__(error)))
        attributes = {name: by_name(value, type(error)) for name, value in attributes.items()}
        if defines_own(type(error), "__getstate__"):
            own = error.__getstate__()  # type: ignore[attr-defined, unused-ignore]
            if isinstance(own, dict) or defines_own(type(error), "__setstate__"):
                attributes = own
        state = _State(args, attributes, fields, self.chain_of(error))
        return make_empty, (type(error), *new_args), state, None, None, restore

    def _own_reduction(self, error: BaseException) -> Reduced | None:
        """Return the result of the class's own `__reduce__`; `None` if it has none, or if the result does not work."""
        kind = type(error)
        # reducers registered with copyreg are ignored: tblib registers one for all exceptions
        if not (defines_own(kind, "__reduce__") or defines_own(kind, "__reduce_ex__")):
            return None
        reduction = error.__reduce_ex__(_PROTOCOL)
        if isinstance(reduction, str):
            return reduction
        make, args, state, items, pairs, setter = [*reduction, None, None, None, None][:6]
        attributes = _dict.__get__(error)
        known: dict[str, object] = attributes
        if isinstance(make, type):
            probe = _probe(error, make, args, state, setter)
            if probe is None:
                return None
            known = _dict.__get__(probe)
        forgotten = {name: value for name, value in attributes.items() if name not in known and _is_plain(value)}
        if "__notes__" in attributes:
            forgotten["__notes__"] = attributes["__notes__"]
        return make, args, _OwnState(state, setter, forgotten, self.chain_of(error)), items, pairs, restore_own


class WithChains(Exceptions):
    """Reducer of the exceptions of one value with their chains. One for each pickle."""

    def __init__(self) -> None:
        self._links: dict[int, BaseException] = {}  # holds them, so that their ids stay unique
        self._around: dict[int, frozenset[int]] = {}

    @property
    def has_chains(self) -> bool:
        """Whether any reduced exception has a cause or a context."""
        return bool(self._links)

    def chain_of(self, error: BaseException) -> Chain:
        cause, context = _cause.__get__(error), _context.__get__(error)
        return Chain(self._link(error, cause), self._link(error, context), _suppress.__get__(error))

    def members_of(self, group: BaseExceptionGroup[Any]) -> list[BaseException]:
        around = self._around.get(id(group), frozenset()) | {id(group)}
        for member in _members(group):
            self._around[id(member)] = self._around.get(id(member), frozenset()) | around
        return super().members_of(group)

    def _link(self, error: BaseException, link: BaseException | None) -> BaseException | None:
        around = self._around.get(id(error), frozenset())
        if link is None or id(link) in around:
            return None  # a group cannot be in the chain of its members: it is made after them
        if id(link) not in self._links and len(self._links) >= MAX_LINKS:
            return None
        self._links[id(link)] = link
        self._around[id(link)] = self._around.get(id(link), frozenset()) | around
        return self.link(link)

    def link(self, link: BaseException) -> BaseException | None:
        """Return the exception to pickle in place of a cause or a context."""
        return link


def defines_own(kind: type, name: str) -> bool:
    """Return whether a class overrides this method of the interpreter's."""
    for base in kind.__mro__:
        if name in vars(base):
            return bool(base.__flags__ & HEAP_TYPE)
    return False


def is_same_text(text: str, other: str) -> bool:
    """Return whether two texts of an exception are equal except for addresses and the order of sets."""
    return text == other or _comparable(text) == _comparable(other)


def _comparable(text: str) -> str:
    return _SET.sub(lambda match: ", ".join(sorted(match.group(1).split(", "))), _ADDRESS.sub("", text))


def _members(group: BaseExceptionGroup[Any]) -> tuple[BaseException, ...]:
    members: tuple[BaseException, ...] = vars(BaseExceptionGroup)["exceptions"].__get__(group)
    return members


def _with_members(args: tuple[object, ...], members: dict[int, BaseException]) -> tuple[object, ...]:
    """Return the `args` of a group with its members replaced."""

    def replace_members(item: object) -> object:
        if type(item) in (list, tuple):
            return type(item)(members.get(id(each), each) for each in item)  # type: ignore[call-arg, attr-defined]
        return item

    return tuple(map(replace_members, args))


def _fields(error: BaseException) -> Iterator[tuple[str, object]]:
    """Yield name and value of an exception's slots and C fields."""
    for kind in type(error).__mro__:
        if kind is BaseException or kind is object:
            continue
        is_slot = bool(kind.__flags__ & HEAP_TYPE)
        for name, field in vars(kind).items():
            is_field = type(field) is MemberDescriptorType or (not is_slot and type(field) is GetSetDescriptorType)
            if not is_field or (kind, name) in _NO_STATE:
                continue
            try:
                value = field.__get__(error)
            except AttributeError:  # not set
                continue
            if value is not None or is_slot:  # an unset C field reads as None
                yield name, value


def _probe(error: BaseException, make: type, args: Any, state: Any, setter: Any) -> BaseException | None:
    """Return the exception that the class's own `__reduce__` rebuilds; `None` if that fails or its text differs.

    Such a `__reduce__` is often inherited and calls a constructor with the wrong arguments.
    """
    try:
        probe = make(*args)
    except Exception:  # noqa: BLE001  the user's constructor
        return None
    if not isinstance(probe, BaseException):
        return error
    try:
        restore_own(probe, _OwnState(state, setter, {}, Chain(None, None, False)))
    except Exception:  # noqa: BLE001  raised by the user's `__setstate__`
        return error
    return probe if type(probe) is not type(error) or is_same_text(_text(probe), _text(error)) else None


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:  # noqa: BLE001  the user's `__str__`
        return type(problem).__name__


def _is_plain(value: object, depth: int = 3) -> bool:
    """Return whether a value is small and certainly picklable."""
    if type(value) in ATOMS:
        return True
    if not depth or type(value) not in (list, tuple, set, dict):
        return False
    items: Any = value
    if len(items) > _PLAIN_ITEMS:
        return False
    parts = [*items, *items.values()] if type(value) is dict else list(items)
    return all(_is_plain(part, depth - 1) for part in parts)


# loading


def make_empty(kind: type[BaseException], *args: object) -> BaseException:
    """Return an instance of `kind` made by C code only."""
    made: BaseException = maker_of(kind).__new__(kind, *args)
    return made


def restore(error: BaseException, state: _State) -> None:
    """Set the state of an exception."""
    _args.__set__(error, state.args)
    for name, value in state.fields.items():
        with suppress(AttributeError, TypeError):  # a C field may be read-only
            _set_field(error, name, value)
    _set_attributes(error, state.attributes)
    set_chain(error, state.chain)


def restore_own(error: object, own: _OwnState) -> None:
    """Set the state of an exception made by its own code, and the attributes that this code leaves out."""
    if own.setter is not None:
        own.setter(error, own.state)
    elif own.state is not None:
        _set_own_state(error, own.state)
    if isinstance(error, BaseException):
        attributes = _dict.__get__(error)
        for name, value in own.forgotten.items():
            attributes.setdefault(name, value)
        set_chain(error, own.chain)


def set_chain(error: BaseException, chain: Chain) -> None:
    """Set the chain of an exception, also where its class rejects attributes."""
    if chain.cause is not None:
        _cause.__set__(error, chain.cause)
    if chain.context is not None:
        _context.__set__(error, chain.context)
    _suppress.__set__(error, chain.suppresses_context)


def _set_attributes(error: BaseException, attributes: Any) -> None:
    if defines_own(type(error), "__setstate__"):
        if attributes:  # as in pickle
            error.__setstate__(attributes)
    elif isinstance(attributes, dict):
        named = _dict.__get__(error)
        for name, value in attributes.items():  # a class pickled by value may have its slots at one end only
            if _is_field(type(error), name):
                _set_field(error, name, value)
            else:
                named[name] = value


def _set_own_state(error: Any, state: Any) -> None:
    """Set the state as pickle does by default."""
    if isinstance(error, BaseException) and isinstance(state, dict):
        _set_attributes(error, state)
    elif hasattr(type(error), "__setstate__"):
        error.__setstate__(state)
    else:
        named, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        vars(error).update(named or {})
        for name, value in (slots or {}).items():
            setattr(error, name, value)


def _is_field(kind: type, name: str) -> bool:
    """Return whether a slot or a C field has this name and is not hidden by a class attribute."""
    field = next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)
    return type(field) in (MemberDescriptorType, GetSetDescriptorType)


def _set_field(error: BaseException, name: str, value: object) -> None:
    for kind in type(error).__mro__:
        field = vars(kind).get(name)
        if type(field) in (MemberDescriptorType, GetSetDescriptorType):
            field.__set__(error, value)  # type: ignore[union-attr]
            return
    _dict.__get__(error)[name] = value

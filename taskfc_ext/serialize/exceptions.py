"""Exceptions taken apart and put together again, without a call of their constructors.

By default an exception pickles as a call of its class with `args`. These are what it gave to `super().__init__`, not
what it was made with: the call fails, or formats the text a second time. Here an exception is an empty instance, made
by the C code beneath its class, and its state: `args`, attributes, slots, notes and chain.
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
"""Causes and contexts that travel along, of all exceptions of one value together."""

_PROTOCOL = 5
_PLAIN_ITEMS = 1000

_untyped: Any = vars(BaseException)
_args, _dict = _untyped["args"], _untyped["__dict__"]
_cause, _context, _suppress = _untyped["__cause__"], _untyped["__context__"], _untyped["__suppress_context__"]

_NO_STATE = {(AttributeError, "obj"), (BaseExceptionGroup, "message"), (BaseExceptionGroup, "exceptions")}
"""Fields of C code that are no state: Python too leaves `obj` at home, and a group is made with the others."""

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+")
_SET = re.compile(r"\{([^{}]*)\}")

Named = dict[str, object]

Reduced = tuple[Any, ...] | str
"""As `__reduce__` returns it."""


class Chain(NamedTuple):
    """The exceptions that another one came of."""

    cause: BaseException | None
    context: BaseException | None
    suppresses_context: bool


class _State(NamedTuple):
    """All of an exception but its class.

    Attributes:
        args: its `args`.
        attributes: its `__dict__`, or what its own `__getstate__` returned.
        fields: its slots and the fields of C code, by name.
        chain: its cause and context.
    """

    args: tuple[object, ...]
    attributes: Any
    fields: dict[str, object]
    chain: Chain


class _OwnState(NamedTuple):
    """The state of an exception that has a `__reduce__` of its own.

    Attributes:
        state: the third item of what that returned.
        setter: the sixth.
        forgotten: attributes that it leaves out, notes among them.
        chain: its cause and context.
    """

    state: Any
    setter: Any
    forgotten: dict[str, object]
    chain: Chain


class Exceptions:
    """Reduces exceptions, without their chains: what functions and arguments hold was never raised as one."""

    def reduce(self, error: BaseException) -> Reduced:
        """Return what pickle needs to make `error` again."""
        return self._own_reduction(error) or self._reduction(error)

    def chain_of(self, error: BaseException) -> Chain:
        """Return what travels of the chain of `error`."""
        return Chain(None, None, _suppress.__get__(error))

    def select(self, error: BaseException, fields: Named, attributes: Named) -> tuple[Named, Named]:
        """Return those of its slots and fields, and of its other attributes, that travel."""
        return fields, attributes

    def members_of(self, group: BaseExceptionGroup[Any]) -> list[BaseException]:
        """Return what travels for the exceptions in a group."""
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
        """Return what its class wants to be pickled as; `None` if it has no wish, or what it wishes does not work."""
        kind = type(error)
        # not what is registered with copyreg: tblib registers one function there, for all exceptions there are
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
    """Reduces the exceptions of one value, with the chains that they were raised with. One for each pickle."""

    def __init__(self) -> None:
        self._links: dict[int, BaseException] = {}  # held, so that no other one gets its id
        self._around: dict[int, frozenset[int]] = {}

    @property
    def has_chains(self) -> bool:
        """Whether any of it was part of a chain."""
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
            return None  # a group cannot be part of its members: it is made after them
        if id(link) not in self._links and len(self._links) >= MAX_LINKS:
            return None
        self._links[id(link)] = link
        self._around[id(link)] = self._around.get(id(link), frozenset()) | around
        return self.link(link)

    def link(self, link: BaseException) -> BaseException | None:
        """Return what travels for a cause or a context."""
        return link


def defines_own(kind: type, name: str) -> bool:
    """Whether this method of a class is other code than the interpreter's."""
    for base in kind.__mro__:
        if name in vars(base):
            return bool(base.__flags__ & HEAP_TYPE)
    return False


def is_same_text(text: str, other: str) -> bool:
    """Whether two texts of one exception differ at most in addresses and in the order of sets."""
    return text == other or _comparable(text) == _comparable(other)


def _comparable(text: str) -> str:
    return _SET.sub(lambda match: ", ".join(sorted(match.group(1).split(", "))), _ADDRESS.sub("", text))


def _members(group: BaseExceptionGroup[Any]) -> tuple[BaseException, ...]:
    members: tuple[BaseException, ...] = vars(BaseExceptionGroup)["exceptions"].__get__(group)
    return members


def _with_members(args: tuple[object, ...], members: dict[int, BaseException]) -> tuple[object, ...]:
    """Return the `args` of a group with what travels for its members."""

    def replace_members(item: object) -> object:
        if type(item) in (list, tuple):
            return type(item)(members.get(id(each), each) for each in item)  # type: ignore[call-arg, attr-defined]
        return item

    return tuple(map(replace_members, args))


def _fields(error: BaseException) -> Iterator[tuple[str, object]]:
    """Yield what an exception holds outside of its `__dict__`."""
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
            if value is not None or is_slot:  # C code shows what is not set as None
                yield name, value


def _probe(error: BaseException, make: type, args: Any, state: Any, setter: Any) -> BaseException | None:
    """Return what the class's own wish makes of `error`; `None` if that fails or reads differently.

    Such a wish is often inherited, and calls a constructor that wants something else.
    """
    try:
        probe = make(*args)
    except Exception:  # noqa: BLE001  the user's constructor
        return None
    if not isinstance(probe, BaseException):
        return error
    try:
        restore_own(probe, _OwnState(state, setter, {}, Chain(None, None, False)))
    except Exception:  # noqa: BLE001  the user's `__setstate__`: it refuses
        return error
    return probe if type(probe) is not type(error) or is_same_text(_text(probe), _text(error)) else None


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:  # noqa: BLE001  the user's `__str__`
        return type(problem).__name__


def _is_plain(value: object, depth: int = 3) -> bool:
    """Whether a value can be pickled for certain, and is small."""
    if type(value) in ATOMS:
        return True
    if not depth or type(value) not in (list, tuple, set, dict):
        return False
    items: Any = value
    if len(items) > _PLAIN_ITEMS:
        return False
    parts = [*items, *items.values()] if type(value) is dict else list(items)
    return all(_is_plain(part, depth - 1) for part in parts)


# the other end


def make_empty(kind: type[BaseException], *args: object) -> BaseException:
    """Return an instance of `kind`; of all that makes one, only the C code is called."""
    made: BaseException = maker_of(kind).__new__(kind, *args)
    return made


def restore(error: BaseException, state: _State) -> None:
    """Put its state into an exception."""
    _args.__set__(error, state.args)
    for name, value in state.fields.items():
        with suppress(AttributeError, TypeError):  # C code may let it be read only
            _set_field(error, name, value)
    _set_attributes(error, state.attributes)
    set_chain(error, state.chain)


def restore_own(error: object, own: _OwnState) -> None:
    """Put its state into what the exception's own code has made, and what that code leaves out."""
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
    """Set what an exception came of, also where its class refuses attributes."""
    if chain.cause is not None:
        _cause.__set__(error, chain.cause)
    if chain.context is not None:
        _context.__set__(error, chain.context)
    _suppress.__set__(error, chain.suppresses_context)


def _set_attributes(error: BaseException, attributes: Any) -> None:
    if defines_own(type(error), "__setstate__"):
        if attributes:  # as pickle does
            error.__setstate__(attributes)
    elif isinstance(attributes, dict):
        named = _dict.__get__(error)
        for name, value in attributes.items():  # a class that travels by value may have its slots at one end only
            if _is_field(type(error), name):
                _set_field(error, name, value)
            else:
                named[name] = value


def _set_own_state(error: Any, state: Any) -> None:
    """Do what pickle does with a state that nobody else sets."""
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
    """Whether a slot or a field of C code has this name, and no attribute of a class hides it."""
    field = next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)
    return type(field) in (MemberDescriptorType, GetSetDescriptorType)


def _set_field(error: BaseException, name: str, value: object) -> None:
    for kind in type(error).__mro__:
        field = vars(kind).get(name)
        if type(field) in (MemberDescriptorType, GetSetDescriptorType):
            field.__set__(error, value)  # type: ignore[union-attr]
            return
    _dict.__get__(error)[name] = value

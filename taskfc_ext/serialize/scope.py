"""Namespaces and classes of code that is pickled by value.

A submission is loaded by a *host*: a fresh `__main__`, which holds the globals of all functions of the notebook in that
attempt, and classes made for this attempt alone. A result is loaded by a *guest*, which uses the namespace and classes
of the loading process and changes neither.
"""

from __future__ import annotations

import builtins
import sys
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

MAIN = "__main__"
"""The key of the notebook's namespace; `key_of` returns the keys of others."""

ABSENT = object()

Globals = dict[str, Any]

# No lock guards these two: an aborted task is interrupted at any instruction, even inside a `with`, and would never
# release the lock. Each step below is one operation of a dict, and threads may take them in any order.
_tokens: WeakKeyDictionary[type, str] = WeakKeyDictionary()
_classes: WeakValueDictionary[str, type] = WeakValueDictionary()


def token_of(cls: type) -> str:
    """Return the token by which all processes identify this class."""
    token = _tokens.get(cls)
    if token is None:
        token = _tokens.setdefault(cls, uuid.uuid4().hex)
        _classes.setdefault(token, cls)
        if _here.host is not None:
            _here.host.classes[token] = cls  # defined by the attempt, and dropped with it
    return token


def is_complete(cls: type) -> bool:
    """Return whether `cls` has all its members, that is, it is not being loaded now."""
    token = _tokens.get(cls)
    return token is None or not loader().may_fill(token)


def _note(token: str, cls: type) -> None:
    _tokens[cls] = token
    _classes.setdefault(token, cls)  # a trial or a replay here must not replace the notebook's own class


def _forget(classes: Mapping[str, type]) -> None:
    """Make the classes of an ended attempt unfindable: garbage may hold them until it is collected."""
    for token, cls in list(classes.items()):
        if _classes.get(token) is cls:
            _classes.pop(token, None)


def new_main(names: Mapping[str, Any] | None = None) -> ModuleType:
    """Return a fresh `__main__` with `names` in it."""
    main = ModuleType(MAIN)
    main.__dict__["__builtins__"] = builtins
    if names:
        main.__dict__.update(names)
    return main


class Brought(dict[str, Any]):
    """Globals of a function that came back with a result.

    Names are looked up among the task's own names, in the namespace of this process, then in `missing`.

    Args:
        below: the namespace of this process.

    Attributes:
        missing: names that the function needs and that this process did not have when it was loaded.
    """

    def __init__(self, below: Globals) -> None:
        super().__init__(__builtins__=builtins, __name__=MAIN)
        self.below = below
        self.missing: Globals = {}

    def __missing__(self, name: str) -> Any:
        return self.below[name] if name in self.below else self.missing[name]


class _Loader:
    """Namespaces and classes made by one load."""

    def __init__(self) -> None:
        self._spaces: dict[str, ModuleType] = {}
        self._unfinished: set[str] = set()

    def space(self, key: str, name: str) -> ModuleType:
        """Return the module whose dict is the namespace `key`; a new empty one, called `name`, if there is none."""
        module = self._spaces.get(key)
        if module is None:
            module = self._spaces[key] = ModuleType(name)
            module.__dict__["__builtins__"] = builtins
        return module

    def may_fill(self, token: str) -> bool:
        """Return whether a class is new here. A known class keeps its members."""
        return token in self._unfinished

    def finish(self, token: str) -> None:
        """Note that a class has all its members."""
        self._unfinished.discard(token)


class Host(_Loader):
    """Loader of one submission: its code, arguments and inputs share one namespace and one copy of each class.

    Args:
        main: the namespace for the notebook's definitions.
        updates: whether to update classes made by an earlier submission; for a namespace that outlives tasks.

    Attributes:
        shipped: names and values that a submission has put into `main`.
        brings_back: names of `main` that are bound in the notebook at the end.
        classes: the classes made here, by token.
    """

    def __init__(self, main: ModuleType, *, updates: bool = False) -> None:
        super().__init__()
        self.main = main
        self.shipped: Globals = {}
        self.brings_back: frozenset[str] = frozenset()
        self.classes: dict[str, type] = {}
        self._updates = updates
        self._spaces[MAIN] = main
        self._sentinels: dict[str, object] = {}

    def globals_for(self, key: str, name: str, needs: Collection[str], private: Collection[str]) -> Globals:
        """Return the globals of a function of the namespace `key`."""
        return self.space(key, name).__dict__

    def define(self, namespace: Globals, names: Mapping[str, Any], private: Collection[str] = ()) -> None:
        """Put the names that a function needs into `namespace`, except for names that the task itself has bound."""
        if namespace is not self.main.__dict__:
            namespace.update(names)
            return
        shipped = self.shipped
        for name, value in names.items():
            there = namespace.get(name, ABSENT)
            if there is ABSENT or shipped.get(name, ABSENT) is there:
                namespace[name] = shipped[name] = value

    def push(self, names: Mapping[str, Any]) -> None:
        """Put names given by the submission into `main`."""
        self.main.__dict__.update(names)
        self.shipped.update(names)

    def sentinel(self, name: str) -> object:
        """Return the attempt's single copy of the bare `object` that the notebook has under `name`."""
        return self._sentinels.setdefault(name, object())

    def find(self, token: str) -> type | None:
        """Return the class of this token made here, if any."""
        cls = self.classes.get(token)
        if cls is not None and self._updates:
            self._unfinished.add(token)
        return cls

    def add(self, token: str, cls: type) -> None:
        """Note a new class that is not filled yet."""
        self.classes[token] = cls
        self._unfinished.add(token)
        _note(token, cls)

    def is_private(self, name: str, value: object) -> bool:
        """Return whether the task itself has bound this name of `main`, and the name is not brought back."""
        return self.shipped.get(name, ABSENT) is not value and name not in self.brings_back

    def release(self) -> None:
        """Clear all namespaces at the end of an attempt: the cycles of functions and their globals may be large."""
        for module in self._spaces.values():
            module.__dict__.clear()
        _forget(self.classes)
        self.forget()

    def forget(self) -> None:
        """Forget the names and classes of earlier submissions, after `main` was cleared."""
        self.shipped.clear()
        self.classes.clear()
        self._unfinished.clear()


class Guest(_Loader):
    """Loader of one result, which changes nothing in its process.

    Args:
        host: the host of the attempt that reads the result; `None` outside an attempt.
    """

    def __init__(self, host: Host | None) -> None:
        super().__init__()
        self._host = host
        self._main: Globals = (host.main if host else sys.modules[MAIN]).__dict__
        self._brought: Brought | None = None

    def space(self, key: str, name: str) -> ModuleType:
        """Return the module of that name in this process, else one of the result's own."""
        here = sys.modules.get(name) if key == name else None
        return super().space(key, name) if here is None else here

    def globals_for(self, key: str, name: str, needs: Collection[str], private: Collection[str]) -> Globals:
        """Return the namespace of this process, or a `Brought` if the function needs names that only its task had."""
        if key != MAIN:
            return self.space(key, name).__dict__
        if not private and all(name in self._main for name in needs):
            return self._main
        if self._brought is None:
            self._brought = Brought(self._main)
        return self._brought

    def define(self, namespace: Globals, names: Mapping[str, Any], private: Collection[str] = ()) -> None:
        """Give a function the names that are missing here, and the names that its task itself has bound."""
        if isinstance(namespace, Brought):
            for name, value in names.items():
                if name in private:
                    namespace[name] = value
                elif name not in self._main:
                    namespace.missing[name] = value
        elif any(module.__dict__ is namespace for module in self._spaces.values()):
            namespace.update(names)

    def sentinel(self, name: str) -> object:
        """Return the bare `object` under `name` in this process."""
        there = self._main.get(name)
        return there if type(there) is object else object()

    def find(self, token: str) -> type | None:
        """Return the class of this token, if this process has it."""
        cls = self._host.classes.get(token) if self._host else None
        return _classes.get(token) if cls is None else cls

    def add(self, token: str, cls: type) -> None:
        """Note a class that only the task had."""
        self._unfinished.add(token)
        if self._host:
            self._host.classes[token] = cls
        _note(token, cls)


class _Here(threading.local):
    host: Host | None = None
    guest: Guest | None = None


_here = _Here()


def loader() -> Host | Guest:
    """Return the loader of this thread."""
    here = _here
    if here.guest is None and here.host is None:
        here.guest = Guest(None)  # until the end of this load
    return here.guest or here.host  # type: ignore[return-value]  # one of them is there


def load_as_guest(load: Callable[[Any], Any], body: Any) -> Any:
    """Return `load(body)` for a result; it changes nothing in this process."""
    here = _here
    before = here.guest
    here.guest = None if here.host is None else Guest(here.host)  # not the guest left by a plain `pickle.loads`
    try:
        return load_within(vars(sys.modules[MAIN]), load, body)
    finally:
        here.guest = before


def load_within(namespace: Globals, load: Callable[..., Any], *args: Any) -> Any:
    """Return `load(*args)`, called with `namespace` as globals: loaded formulas look up names in their caller."""
    if "__builtins__" not in namespace:  # no code has run in it; C code that imports would need `__builtins__`
        return load(*args)
    return FunctionType(_call.__code__, namespace)(load, *args)


def _call(load: Callable[..., Any], *args: Any) -> Any:
    return load(*args)


def host() -> Host | None:
    """Return the host of this thread's attempt; `None` outside an attempt."""
    return _here.host


@contextmanager
def in_host(by: Host) -> Iterator[None]:
    """Run a block of one attempt in this thread: `by` loads and pickles, and its `main` is `__main__`."""
    before, main_before = _here.host, sys.modules[MAIN]
    enter(by)
    try:
        yield
    finally:
        leave(before, main_before)


def enter(by: Host) -> None:
    """Begin an attempt in this thread, as `in_host` does, without the 1 µs of a context manager."""
    _here.host, _here.guest = by, None
    sys.modules[MAIN] = by.main


def leave(before: Host | None, main: ModuleType) -> None:
    """End an attempt in this thread."""
    _here.host = before
    sys.modules[MAIN] = main


@contextmanager
def trial() -> Iterator[None]:
    """Load a submission in this thread only to check that it can be loaded."""
    before = _here.host, _here.guest
    _here.host, _here.guest = Host(new_main()), None
    try:
        yield
    finally:
        _here.host, _here.guest = before


def key_of(namespace: Globals) -> tuple[str, str]:
    """Return (key, module name) of a function's globals."""
    if namespace is sys.modules[MAIN].__dict__:
        return MAIN, MAIN
    name = namespace.get("__name__")
    if isinstance(namespace, Brought) or not isinstance(name, str):
        return f"{id(namespace):x}", MAIN
    module = sys.modules.get(name)
    # two dicts of one name are two namespaces: a module made by hand, code run by `exec`
    return (name if module is not None and module.__dict__ is namespace else f"{id(namespace):x}"), name

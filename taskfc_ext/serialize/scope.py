"""The namespaces and classes of code that travels by value.

A submission is loaded by a *host*: a fresh `__main__`, which is the globals of every function of the notebook in that
attempt, and classes made for this attempt alone. A result is loaded by a *guest*: it lives in the namespace that is
already there and takes the classes that are already there; it writes to neither.
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
"""The key of the notebook's namespace; those of others are given by `key_of`."""

ABSENT = object()

Globals = dict[str, Any]

# No lock guards these two: a task that is aborted is interrupted at any instruction, also within a `with`, and would
# leave it held for good. Each step below is one operation of a dict, and two threads may take them in any order.
_tokens: WeakKeyDictionary[type, str] = WeakKeyDictionary()
_classes: WeakValueDictionary[str, type] = WeakValueDictionary()


def token_of(cls: type) -> str:
    """Return the name under which every process knows this class."""
    token = _tokens.get(cls)
    if token is None:
        token = _tokens.setdefault(cls, uuid.uuid4().hex)
        _classes.setdefault(token, cls)
        if _here.host is not None:
            _here.host.classes[token] = cls  # the attempt has defined it, and takes it along when it ends
    return token


def is_complete(cls: type) -> bool:
    """Say whether `cls` has all its members: it is not being loaded now."""
    token = _tokens.get(cls)
    return token is None or not loader().may_fill(token)


def _note(token: str, cls: type) -> None:
    _tokens[cls] = token
    _classes.setdefault(token, cls)  # a trial or a replay here does not take the place of the notebook's own


def _forget(classes: Mapping[str, type]) -> None:
    """Let nobody find classes of an attempt that has ended: garbage holds them until it is collected."""
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
    """The globals of a function that has come back: its task's own names, those here, then those that are missing here.

    A subclass of `dict` whose missing names are looked up elsewhere, which is how Python itself reads globals.

    Args:
        below: the namespace here.

    Attributes:
        missing: names that the function needs and that were not here when it came.
    """

    def __init__(self, below: Globals) -> None:
        super().__init__(__builtins__=builtins, __name__=MAIN)
        self.below = below
        self.missing: Globals = {}

    def __missing__(self, name: str) -> Any:
        return self.below[name] if name in self.below else self.missing[name]


class _Loader:
    """The namespaces and classes that one load makes."""

    def __init__(self) -> None:
        self._spaces: dict[str, ModuleType] = {}
        self._unfinished: set[str] = set()

    def space(self, key: str, name: str) -> ModuleType:
        """Return the module whose dict is the namespace `key`; made empty, under `name`, where there is none."""
        module = self._spaces.get(key)
        if module is None:
            module = self._spaces[key] = ModuleType(name)
            module.__dict__["__builtins__"] = builtins
        return module

    def may_fill(self, token: str) -> bool:
        """Say whether the class is new here; one that is known keeps what it has."""
        return token in self._unfinished

    def finish(self, token: str) -> None:
        """Note that a class has all its members."""
        self._unfinished.discard(token)


class Host(_Loader):
    """Loads one submission: its code, arguments and inputs share one namespace and one copy of each class.

    Args:
        main: becomes the namespace of what the notebook defines.
        updates: bring classes that an earlier submission made here up to date; for a namespace that outlives tasks.

    Attributes:
        shipped: names that a submission has put into `main`, and what it put there.
        brings_back: names of `main` that are bound in the notebook at the end, too.
        classes: those that were made here, by token.
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
        """Put into `namespace` what a function needs; what a task has bound there itself stays."""
        if namespace is not self.main.__dict__:
            namespace.update(names)
            return
        shipped = self.shipped
        for name, value in names.items():
            there = namespace.get(name, ABSENT)
            if there is ABSENT or shipped.get(name, ABSENT) is there:
                namespace[name] = shipped[name] = value

    def push(self, names: Mapping[str, Any]) -> None:
        """Put names into `main` that the submission itself gives."""
        self.main.__dict__.update(names)
        self.shipped.update(names)

    def sentinel(self, name: str) -> object:
        """Return the attempt's one copy of the bare `object` that the notebook has under `name`."""
        return self._sentinels.setdefault(name, object())

    def find(self, token: str) -> type | None:
        """Return the class of this name that was made here, if there is one."""
        cls = self.classes.get(token)
        if cls is not None and self._updates:
            self._unfinished.add(token)
        return cls

    def add(self, token: str, cls: type) -> None:
        """Note a class that was just made and is to be filled."""
        self.classes[token] = cls
        self._unfinished.add(token)
        _note(token, cls)

    def is_private(self, name: str, value: object) -> bool:
        """Say whether a task has bound this name of `main` itself, and leaves it behind."""
        return self.shipped.get(name, ABSENT) is not value and name not in self.brings_back

    def release(self) -> None:
        """Let go of all that was loaded: an attempt is over, and the cycle of functions and their globals is large."""
        for module in self._spaces.values():
            module.__dict__.clear()
        _forget(self.classes)
        self.forget()

    def forget(self) -> None:
        """Forget the names and classes of earlier submissions: `main` was cleared."""
        self.shipped.clear()
        self.classes.clear()
        self._unfinished.clear()


class Guest(_Loader):
    """Loads one result where it is read; changes nothing there.

    Args:
        host: of the attempt that reads it; `None` in a process that runs no attempt.
    """

    def __init__(self, host: Host | None) -> None:
        super().__init__()
        self._host = host
        self._main: Globals = (host.main if host else sys.modules[MAIN]).__dict__
        self._brought: Brought | None = None

    def space(self, key: str, name: str) -> ModuleType:
        """Return the module of that name which is here, else one of this result's own."""
        here = sys.modules.get(name) if key == name else None
        return super().space(key, name) if here is None else here

    def globals_for(self, key: str, name: str, needs: Collection[str], private: Collection[str]) -> Globals:
        """Return the namespace here, unless the function needs names that only its task had."""
        if key != MAIN:
            return self.space(key, name).__dict__
        if not private and all(name in self._main for name in needs):
            return self._main
        if self._brought is None:
            self._brought = Brought(self._main)
        return self._brought

    def define(self, namespace: Globals, names: Mapping[str, Any], private: Collection[str] = ()) -> None:
        """Give a function what is missing here, and what its task has bound itself."""
        if isinstance(namespace, Brought):
            for name, value in names.items():
                if name in private:
                    namespace[name] = value
                elif name not in self._main:
                    namespace.missing[name] = value
        elif any(module.__dict__ is namespace for module in self._spaces.values()):
            namespace.update(names)

    def sentinel(self, name: str) -> object:
        """Return the bare `object` that is here under `name`."""
        there = self._main.get(name)
        return there if type(there) is object else object()

    def find(self, token: str) -> type | None:
        """Return the class of this name, if this process has it."""
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
    """Return what loads in this thread now."""
    here = _here
    if here.guest is None and here.host is None:
        here.guest = Guest(None)  # until the end of this load
    return here.guest or here.host  # type: ignore[return-value]  # one of them is there


def load_as_guest(load: Callable[[bytes], Any], body: bytes) -> Any:
    """Return what `load` makes of the result `body`, which finds this process as it is and leaves it so."""
    here = _here
    before = here.guest
    here.guest = None if here.host is None else Guest(here.host)  # not what a load by `pickle` alone has left here
    try:
        return load_within(vars(sys.modules[MAIN]), load, body)
    finally:
        here.guest = before


def load_within(namespace: Globals, load: Callable[..., Any], *args: Any) -> Any:
    """Return `load(*args)`, called from `namespace`: formulas that are loaded look up names in their caller."""
    if "__builtins__" not in namespace:  # no code was run in it; C code that imports something would miss them
        return load(*args)
    return FunctionType(_call.__code__, namespace)(load, *args)


def _call(load: Callable[..., Any], *args: Any) -> Any:
    return load(*args)


def host() -> Host | None:
    """Return what the attempt of this thread was loaded by; `None` outside an attempt."""
    return _here.host


@contextmanager
def in_host(by: Host) -> Iterator[None]:
    """Load, run and pickle what belongs to one attempt, in this thread; its `main` is `__main__` meanwhile."""
    before, main_before = _here.host, sys.modules[MAIN]
    enter(by)
    try:
        yield
    finally:
        leave(before, main_before)


def enter(by: Host) -> None:
    """Begin an attempt in this thread. What `hosted` does, for the path where its 1 µs counts."""
    _here.host, _here.guest = by, None
    sys.modules[MAIN] = by.main


def leave(before: Host | None, main: ModuleType) -> None:
    """End an attempt in this thread."""
    _here.host = before
    sys.modules[MAIN] = main


@contextmanager
def trial() -> Iterator[None]:
    """Load a submission in this thread only to see whether that can be done."""
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

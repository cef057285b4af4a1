"""Reducers for objects of the standard library that refer to functions: caches, dispatchers, weak mappings."""

from __future__ import annotations

import builtins
import functools
import weakref
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

_untyped_singledispatch: Any = functools.singledispatch
_DISPATCHER = _untyped_singledispatch(lambda: None).__code__

LruCache: Any = type(functools.lru_cache(lambda: None))


def reduce_lru_cache(cached: Any) -> Any:
    """Reduce a cached function to one with an empty cache."""
    return _make_lru_cache, (cached.__wrapped__, cached.cache_parameters()), dict(cached.__dict__)


def _make_lru_cache(function: Callable[..., Any], parameters: Mapping[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def reduce_cached_property(cached: Any) -> Any:
    """Reduce a cached property, which holds a lock before Python 3.12."""
    return _make_cached_property, (cached.func, cached.attrname)


def _make_cached_property(function: Callable[..., Any], name: str | None) -> Any:
    made: Any = functools.cached_property(function)
    made.attrname = name
    return made


def is_dispatcher(function: FunctionType) -> bool:
    """Return whether `functools.singledispatch` made `function`."""
    return function.__code__ is _DISPATCHER


def reduce_dispatcher(function: Any) -> Any:
    """Reduce a dispatcher; its registry is filled afterwards, as registered functions may refer to the dispatcher."""
    registry = {cls: chosen for cls, chosen in function.registry.items() if cls is not object}
    return _make_dispatcher, (function.registry[object],), registry, None, None, _register


def _make_dispatcher(function: Callable[..., Any]) -> Any:
    return functools.singledispatch(function)


def _register(dispatcher: Any, registry: Mapping[type, Callable[..., Any]]) -> None:
    for cls, chosen in registry.items():
        dispatcher.register(cls, chosen)


WEAK_MAPPINGS = frozenset((weakref.WeakKeyDictionary, weakref.WeakValueDictionary))


def reduce_weak_mapping(mapping: Any) -> Any:
    """Reduce a weak mapping. After loading, items that nothing else holds are dropped, as here."""
    return type(mapping), (dict(mapping),)


def reduce_exit(exit_of_a_shell: object) -> Any:
    """Reduce IPython's `exit`, which holds its whole shell, to the builtin `exit`."""
    return exit_here, ()


def exit_here() -> object:
    """Return the builtin `exit` of this process."""
    return getattr(builtins, "exit", None)

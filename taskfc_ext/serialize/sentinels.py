"""Pickling of sentinels by reference: code compares them by identity, such as `is UNSET` in an exception."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from taskfc_ext.serialize.by_value import is_pickled_by_value
from taskfc_ext.serialize.instances import HEAP_TYPE


class _Named:
    """Stand-in for a global of a module in a pickle."""

    def __init__(self, module: str, name: str) -> None:
        self._place = module, name

    def __reduce__(self) -> Any:
        return find_named, self._place


def find_named(module: str, name: str) -> object:
    """Return a global of a module."""
    found: object = getattr(importlib.import_module(module), name)
    return found


def by_name(value: object, kind: type) -> object:
    """Return `value`, an attribute of an instance of `kind`, or a stand-in that is pickled by name if it is a sentinel.

    A sentinel has no state, and is a global of a module that defines `kind` or one of its bases.
    """
    if not _is_stateless(value):
        return value
    for base in kind.__mro__:
        module = sys.modules.get(getattr(base, "__module__", ""))
        if (
            module is None
            or not base.__flags__ & HEAP_TYPE
            or base.__module__ == "__main__"
            or is_pickled_by_value(module)
        ):
            continue
        for name, item in list(vars(module).items()):
            if item is value:
                return _Named(base.__module__, name)
    return value


def _is_stateless(value: object) -> bool:
    kind = type(value)
    if kind is object:
        return True
    if not kind.__flags__ & HEAP_TYPE or isinstance(value, (type, BaseException)):
        return False
    is_plain = kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__
    return is_plain and kind.__basicsize__ <= _EMPTY and not getattr(value, "__dict__", None)


class _Empty:
    pass


_EMPTY = _Empty.__basicsize__
"""Size in bytes of an instance without slots and C data."""

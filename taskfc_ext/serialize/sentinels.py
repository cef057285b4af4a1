"""Objects that mean something by being that one object: an exception's code asks `is UNSET` of its attributes."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from taskfc_ext.serialize.by_value import travels_by_value
from taskfc_ext.serialize.instances import HEAP_TYPE


class _Named:
    """Stands for a global of a module, while it is pickled."""

    def __init__(self, module: str, name: str) -> None:
        self._place = module, name

    def __reduce__(self) -> Any:
        return find_named, self._place


def find_named(module: str, name: str) -> object:
    """Return a global of a module."""
    found: object = getattr(importlib.import_module(module), name)
    return found


def by_name(value: object, kind: type) -> object:
    """Return what is pickled for `value`, an attribute of an instance of `kind`: its name if it is a sentinel.

    It is one if it has no state, and a module in which `kind` or a base of it was made has it as a global.
    """
    if not _is_stateless(value):
        return value
    for base in kind.__mro__:
        module = sys.modules.get(getattr(base, "__module__", ""))
        if (
            module is None
            or not base.__flags__ & HEAP_TYPE
            or base.__module__ == "__main__"
            or travels_by_value(module)
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
"""Bytes of an instance without slots and without data of C code."""

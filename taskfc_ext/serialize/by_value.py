"""Decides what travels as a name and what by value. No name is enough for what only this process has."""

from __future__ import annotations

import sys
from importlib.machinery import all_suffixes
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as _cloudpickle

_untyped: Any = _cloudpickle  # it has no types

_SUFFIXES = tuple(all_suffixes())

_unimportable: dict[str, tuple[ModuleType, bool]] = {}
"""What was found of the module of this name."""


def is_importable(item: FunctionType | BuiltinFunctionType | type) -> bool:
    """Say whether `item` travels as a name: its module has it under that name, and is not `__main__`."""
    name = item.__module__
    qualname = getattr(item, "__qualname__", None)  # of a cache of a callable object there is none
    if name == "__main__" or not isinstance(qualname, str):
        return False
    module = sys.modules.get(name)
    if module is None or travels_by_value(module):
        return False
    found: object = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found is item


def travels_as_name(item: Any) -> bool:
    """Say whether another process finds a function or a class by its name in a module."""
    if not _untyped._should_pickle_by_reference(item):
        return False
    module = sys.modules.get(item.__module__)
    return module is None or not is_unimportable(module)


def travels_by_value(module: ModuleType) -> bool:
    """Whether a module is pickled with all that is in it: made at run time, or registered with cloudpickle for that."""
    name = module.__name__
    if name not in sys.modules:
        return True
    registered = registered_by_value()
    if registered and any(name == known or name.startswith(f"{known}.") for known in registered):
        return True
    return is_unimportable(module)


def registered_by_value() -> set[str]:
    """Return the names of the modules that are registered with cloudpickle to travel by value."""
    registered: set[str] = cloudpickle.list_registry_pickle_by_value()
    return registered


def is_unimportable(module: ModuleType) -> bool:
    """Whether a module is in `sys.modules`, but no import elsewhere can find it: code has put it there."""
    name = module.__name__
    known = _unimportable.get(name)
    if known is None or known[0] is not module:
        known = _unimportable[name] = module, type(module) is ModuleType and _has_no_importer(module)
    return known[1]


def _has_no_importer(module: ModuleType) -> bool:
    name = module.__name__
    if name == "__main__" or sys.modules.get(name) is not module:
        return False
    spec = module.__spec__
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return spec is not None and not file.endswith(_SUFFIXES)  # a notebook, say: its importer is here only
    if spec is not None and spec.origin in ("built-in", "frozen"):
        return False
    if getattr(module, "__path__", None) is not None:
        return False  # a namespace package
    top = sys.modules.get(name.partition(".")[0])
    if top is not module and top is not None:
        return is_unimportable(top)  # a package makes such modules when it is imported
    if "__builtins__" not in vars(module) and any(isinstance(value, type) for value in list(vars(module).values())):
        return False  # no code of Python's was run in it: an extension's, as those of Cython
    return not any(_finds(finder, name) for finder in sys.meta_path)


def _finds(finder: object, name: str) -> bool:
    try:
        return finder.find_spec(name, None) is not None  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001  anybody's finder
        return False

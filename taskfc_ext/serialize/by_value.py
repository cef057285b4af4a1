"""Choice between pickling by reference and by value. Objects of modules that only this process has go by value."""

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
"""By module name: the module, and whether it is unimportable."""


def is_importable(item: FunctionType | BuiltinFunctionType | type) -> bool:
    """Return whether `item` can be pickled by reference: its module has it under its name and is not `__main__`."""
    name = item.__module__
    qualname = getattr(item, "__qualname__", None)  # a cache of a callable object has none
    if name == "__main__" or not isinstance(qualname, str):
        return False
    module = sys.modules.get(name)
    if module is None or is_pickled_by_value(module):
        return False
    found: object = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found is item


def is_pickled_by_reference(item: Any) -> bool:
    """Return whether another process can find a function or a class by its module and name."""
    if not _untyped._should_pickle_by_reference(item):
        return False
    module = sys.modules.get(item.__module__)
    return module is None or not is_unimportable(module)


def is_pickled_by_value(module: ModuleType) -> bool:
    """Return whether a module is pickled by value: made at run time, or registered with cloudpickle for that."""
    name = module.__name__
    if name not in sys.modules:
        return True
    registered = registered_by_value()
    if registered and any(name == known or name.startswith(f"{known}.") for known in registered):
        return True
    return is_unimportable(module)


def registered_by_value() -> set[str]:
    """Return the names of the modules registered with cloudpickle for pickling by value."""
    registered: set[str] = cloudpickle.list_registry_pickle_by_value()
    return registered


def is_unimportable(module: ModuleType) -> bool:
    """Return whether code has put a module into `sys.modules` that no import in another process can find."""
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
        return spec is not None and not file.endswith(_SUFFIXES)  # such as a notebook, whose importer only we have
    if spec is not None and spec.origin in ("built-in", "frozen"):
        return False
    if getattr(module, "__path__", None) is not None:
        return False  # a namespace package
    top = sys.modules.get(name.partition(".")[0])
    if top is not module and top is not None:
        return is_unimportable(top)  # the import of a package may create such modules
    if "__builtins__" not in vars(module) and any(isinstance(value, type) for value in list(vars(module).values())):
        return False  # no Python code has run in it: made by an extension, such as those of Cython
    return not any(_finds(finder, name) for finder in sys.meta_path)


def _finds(finder: object, name: str) -> bool:
    try:
        return finder.find_spec(name, None) is not None  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001  raised by a finder
        return False

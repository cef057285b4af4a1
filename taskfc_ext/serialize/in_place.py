"""Changes by a task to classes and functions of the notebook, applied to the notebook's own objects.

Reading a result changes no object. Bringing back a class or a function by its name does: it stays the same object and
gets the attributes, defaults and variables that the task has set.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType
from typing import Any, NamedTuple

from taskfc_ext.serialize import classes
from taskfc_ext.serialize.fingerprint import changed_names, fingerprints
from taskfc_ext.serialize.scope import ABSENT

_KEPT = frozenset(("__dict__", "__weakref__", "__module__", "__qualname__", "__slots__", "__static_attributes__"))


class ClassChange(NamedTuple):
    """The set and the deleted attributes of a class."""

    values: dict[str, Any]
    removed: tuple[str, ...]


class ClassWatch:
    """Record of the state of the classes among `values`."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        found = {
            name: value for name, value in values.items() if isinstance(value, type) and classes.is_by_value(value)
        }
        self._before = {name: (cls, dict(vars(cls)), fingerprints(vars(cls))) for name, cls in found.items()}

    def changes(self) -> dict[str, ClassChange]:
        """Return the changes since, by the names of the classes."""
        found = {}
        for name, (cls, members, prints) in self._before.items():
            now = dict(vars(cls))
            within = changed_names(prints, now)
            values = {
                key: value
                for key, value in now.items()
                if key not in _KEPT and (members.get(key, ABSENT) is not value or key in within)
            }
            removed = tuple(key for key in members if key not in now)
            if values or removed:
                found[name] = ClassChange(values, removed)
        return found


def apply_change(cls: type, change: ClassChange) -> None:
    """Apply a task's change to `cls`."""
    for name in change.removed:
        if name in vars(cls):
            delattr(cls, name)
    for name, value in change.values.items():
        setattr(cls, name, value)


def update_function(here: object, came: object) -> bool:
    """Apply a task's changes of a function's copy to the function; return whether `came` is a copy of `here`.

    Functions that share a variable with it get the change too. A copy is recognized by its code. Only the worker knows
    whether it was made from this function or from another one with the same code.
    """
    if not (type(here) is FunctionType and type(came) is FunctionType and here.__code__ == came.__code__):
        return False
    if here is came:  # it came back by name
        return True
    here.__defaults__, here.__kwdefaults__ = came.__defaults__, came.__kwdefaults__
    here.__dict__.clear()
    here.__dict__.update(came.__dict__)
    for ours, theirs in zip(here.__closure__ or (), came.__closure__ or (), strict=True):
        try:
            ours.cell_contents = theirs.cell_contents
        except ValueError:  # not assigned yet
            continue
    return True

"""`Setting`: a process-wide setting, with functions to read, write and send it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from taskfc_ext.serialize.scope import ABSENT

Read = Callable[[], Any]
Write = Callable[[Any], object]


class CannotRestore(Exception):
    """Raised for a setting that cannot be restored in this process: only a new process has the old value."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """A setting whose value is replaced as a whole.

    Attributes:
        name: its name in the documentation.
        module: the setting exists only when this module is loaded; "": always.
        read: returns the value or a live object. It equals the value taken before if nothing has changed.
        write: sets a value taken before. Main thread.
        pack: returns the value in small, plain form for a task's process, `None` for the library's default. A setting
            without `pack` is not sent.
        unpack: sets a packed value; returns `False` if a part needs a module that is not loaded yet.
        read_fully: reads more than `read`, which has a microsecond; called after attempts of a millisecond or more.
        is_in_context: whether the value belongs to the current `contextvars` context.
    """

    name: str
    read: Read
    write: Write
    module: str = ""
    pack: Read | None = None
    unpack: Write | None = None
    read_fully: Read | None = None
    is_in_context: bool = False

    def take(self) -> Any:
        """Return a copy of the result of `read`, for keeping."""
        return self.read()

    def take_fully(self) -> Any:
        """Return the value for `write`."""
        return self.take() if self.read_fully is None else self.read_fully()

    def merge(self, value: Any, before: Any, after: Any) -> Any:
        """Return `value` with the change from `before` to `after` applied."""
        return after

    def keep(self, before: Any, after: Any) -> Any:
        """Return `after`, the value after an import, without the import's changes to parts that existed `before`."""
        return before


class Value(Setting):
    """A setting whose value is replaced as a whole and never changes inside."""


class Items(Setting):
    """A setting of many parts by name: `write` takes a mapping."""

    def merge(self, value: Any, before: Any, after: Any) -> Any:
        changed = {key: item for key, item in after.items() if before.get(key, ABSENT) is not item}
        return {key: item for key, item in (value | changed).items() if key in after or key not in before}

    def keep(self, before: Any, after: Any) -> Any:
        return {**after, **before}


class Entries(Setting):
    """A setting that is a list; `read` may return the live list."""

    def take(self) -> list[Any]:
        return list(self.read())

    def merge(self, value: Any, before: Any, after: Any) -> Any:
        gone = [entry for entry in before if entry not in after]
        return _with_new([entry for entry in value if entry not in gone], before, after)

    def keep(self, before: Any, after: Any) -> Any:
        return _with_new(before, before, after)


def _with_new(value: list[Any], before: list[Any], after: list[Any]) -> list[Any]:
    """Return `value` and the entries of `after` that `before` lacks: in front, unless they were appended."""
    new = [entry for entry in after if entry not in before and entry not in value]
    last = max((i for i, entry in enumerate(after) if entry in before), default=-1)
    appended = [entry for entry in after[last + 1 :] if entry in new] if last >= 0 else []
    return [*[entry for entry in new if entry not in appended], *value, *appended]


def attribute(module: str, name: str) -> Value:
    """Return the setting for an attribute of a module."""

    def read() -> object:
        return getattr(sys.modules[module], name, ABSENT)

    def write(value: object) -> None:
        setattr(sys.modules[module], name, value)

    return Value(name=f"`{module}.{name}`", module=module, read=read, write=write)


def read_nothing() -> None:
    """Return `None`: the setting is checked only by `read_fully`, after long attempts."""


def put_items(target: dict[Any, Any], value: dict[Any, Any], but: frozenset[str] = frozenset()) -> None:
    """Make `target` equal to `value`, except for the names in `but`."""
    for key in [key for key in target if key not in value and key not in but]:
        del target[key]
    for key, item in value.items():
        if key not in but and target.get(key, ABSENT) is not item:
            target[key] = item

"""`Setting`: one thing that code can set for all code of its process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from taskfc_ext.serialize.scope import ABSENT

Read = Callable[[], Any]
Write = Callable[[Any], object]


class CannotRestore(Exception):
    """A setting that this process cannot put back: only a new process has it as it was."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """A setting whose value is replaced as a whole.

    Attributes:
        name: what the documentation calls it.
        module: the module that has to be loaded for the setting to matter; "": it always does.
        read: returns the value, or a live object; it equals what was taken before if nothing has changed.
        write: makes a value that was taken the current one. Main thread.
        pack: returns a small value of plain types for a task's process, `None` for the library's own default; without
            it the setting does not travel.
        unpack: makes a packed value the current one; returns `False` if a part needs a module that is not loaded yet.
        read_fully: reads more than `read` can in a microsecond; called after attempts that ran for a millisecond.
        is_in_context: the value is that of the current `contextvars` context.
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
        """Return what `read` does, to be kept."""
        return self.read()

    def take_fully(self) -> Any:
        """Return all that `write` needs."""
        return self.take() if self.read_fully is None else self.read_fully()

    def merge(self, value: Any, before: Any, after: Any) -> Any:
        """Return `value` with the change from `before` to `after` made in it too."""
        return after

    def keep(self, before: Any, after: Any) -> Any:
        """Return `after`, of an import, without what it changed of `before`."""
        return before


class Value(Setting):
    """A setting whose value is replaced as a whole, and never changes within."""


class Items(Setting):
    """A setting of many parts by name: what `write` takes is a mapping."""

    def merge(self, value: Any, before: Any, after: Any) -> Any:
        changed = {key: item for key, item in after.items() if before.get(key, ABSENT) is not item}
        return {key: item for key, item in (value | changed).items() if key in after or key not in before}

    def keep(self, before: Any, after: Any) -> Any:
        return {**after, **before}


class Entries(Setting):
    """A setting that is a list: `read` returns it, the live one perhaps."""

    def take(self) -> list[Any]:
        return list(self.read())

    def merge(self, value: Any, before: Any, after: Any) -> Any:
        gone = [entry for entry in before if entry not in after]
        return _with_new([entry for entry in value if entry not in gone], before, after)

    def keep(self, before: Any, after: Any) -> Any:
        return _with_new(before, before, after)


def _with_new(value: list[Any], before: list[Any], after: list[Any]) -> list[Any]:
    """Return `value` and the entries of `after` that `before` lacks: in front, unless they were put at the end."""
    new = [entry for entry in after if entry not in before and entry not in value]
    last = max((i for i, entry in enumerate(after) if entry in before), default=-1)
    appended = [entry for entry in after[last + 1 :] if entry in new] if last >= 0 else []
    return [*[entry for entry in new if entry not in appended], *value, *appended]


def attribute(module: str, name: str) -> Value:
    """Return the setting that is an attribute of a module."""

    def read() -> object:
        return getattr(sys.modules[module], name, ABSENT)

    def write(value: object) -> None:
        setattr(sys.modules[module], name, value)

    return Value(name=f"`{module}.{name}`", module=module, read=read, write=write)


def read_nothing() -> None:
    """Stand in for a read that only long attempts can afford."""


def put_items(target: dict[Any, Any], value: dict[Any, Any], but: frozenset[str] = frozenset()) -> None:
    """Make `target` the same as `value`, except for the names in `but`."""
    for key in [key for key in target if key not in value and key not in but]:
        del target[key]
    for key, item in value.items():
        if key not in but and target.get(key, ABSENT) is not item:
            target[key] = item

"""Check whether a function still captures the same objects as when it was pickled.

A pickle is used again only if it holds the same objects as before, and none of them can change inside. Equality is not
enough: an equal object may be of another type, and a list may have other items.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import NamedTuple

from taskfc_ext.serialize.atoms import ATOMS
from taskfc_ext.serialize.by_value import is_importable, is_pickled_by_value, registered_by_value
from taskfc_ext.serialize.mentioned import names_in_strings
from taskfc_ext.serialize.needs import global_names, hinted_names, reads_pickles
from taskfc_ext.serialize.scope import ABSENT


class _Parts(NamedTuple):
    """References of one function that is pickled by value."""

    code: CodeType
    defaults: tuple[object, ...] | None
    variables: tuple[tuple[str, object], ...]
    cells: tuple[tuple[CellType, object], ...]
    extras: list[object]

    def are_unchanged(self, function: FunctionType) -> bool:
        if function.__code__ is not self.code or function.__defaults__ is not self.defaults:
            return False
        variables = function.__globals__
        for name, value in self.variables:
            if variables.get(name, ABSENT) is not value:
                return False
        for cell, value in self.cells:
            if _contents(cell) is not value:
                return False
        extras = _extras(function)
        return len(extras) == len(self.extras) and all(map(is_, extras, self.extras))


class Captured(NamedTuple):
    """Dependencies of one function's pickle, except for imported submodules.

    Attributes:
        own: the function's own parts; `None` if it is pickled by reference.
        others: functions that it uses and that are pickled by value with it.
        named: functions and classes that it uses and that are pickled by reference.
        registered: the modules that were pickled by value then; `None` if it uses no module.
    """

    own: _Parts | None
    others: tuple[tuple[FunctionType, _Parts], ...]
    named: tuple[FunctionType | type, ...]
    registered: set[str] | None = None

    def is_unchanged(self, function: FunctionType) -> bool:
        """Return whether `function`, from which this was made, still captures the same objects."""
        if not (is_importable(function) if self.own is None else self.own.are_unchanged(function)):
            return False
        for other, parts in self.others:
            if not parts.are_unchanged(other):
                return False
        if self.registered is not None and self.registered != registered_by_value():
            return False
        return all(map(is_importable, self.named)) if self.named else True

    def check(self) -> Callable[[FunctionType], bool]:
        """Return `is_unchanged`; for a function that uses no names, one that takes a third of the time."""
        own = self.own
        if own is None or own.variables or own.cells or own.extras or self.others or self.named:
            return self.is_unchanged
        code, defaults = own.code, own.defaults

        def is_unchanged(function: FunctionType) -> bool:
            return (
                function.__code__ is code
                and function.__defaults__ is defaults
                and not (function.__annotations__ or function.__kwdefaults__ or function.__dict__)
            )

        return is_unchanged


def capture(function: FunctionType) -> Captured | None:
    """Return the objects that `function` captures; `None` if one of them can change inside."""
    if is_importable(function):
        return Captured(None, (), ())
    by_value: dict[FunctionType, _Parts] = {}
    by_name: list[FunctionType | type] = []
    pending: list[object] = [function]
    uses_modules = False
    while pending:
        part = pending.pop()
        uses_modules |= type(part) is ModuleType
        if type(part) is tuple:
            pending += part
        elif isinstance(part, (FunctionType, type)) and is_importable(part):
            by_name.append(part)
        elif type(part) is FunctionType:
            if reads_pickles(part.__code__):
                return None  # all definitions of the notebook are sent with it
            if part not in by_value:
                by_value[part] = parts = _parts(part)
                pending += _values(part, parts)
        elif not _is_constant(part):
            return None
    own = by_value.pop(function)
    registered = registered_by_value() if uses_modules else None
    return Captured(own, tuple(by_value.items()), tuple(by_name), registered)


def _parts(function: FunctionType) -> _Parts:
    variables = function.__globals__
    named = (
        global_names(function.__code__),
        hinted_names(function.__annotations__),
        *names_in_strings(function.__code__),
    )
    names = dict.fromkeys(name for some in named for name in some)
    return _Parts(
        code=function.__code__,
        defaults=function.__defaults__,
        variables=tuple((name, variables.get(name, ABSENT)) for name in names),
        cells=tuple((cell, _contents(cell)) for cell in function.__closure__ or ()),
        extras=_extras(function),
    )


def _values(function: FunctionType, parts: _Parts) -> list[object]:
    """Return the objects that must be constant. Annotations need not be: no function depends on their insides."""
    values: list[object] = [value for _, value in parts.variables]
    values += (value for _, value in parts.cells)
    values += (parts.defaults, *(function.__kwdefaults__ or {}).values(), *function.__dict__.values())
    return values


def _extras(function: FunctionType) -> list[object]:
    """Return the contents of the dicts that are empty for most functions."""
    found: list[object] = []
    if function.__annotations__:
        found += function.__annotations__.values()
    if function.__kwdefaults__:
        found += function.__kwdefaults__.values()
    if function.__dict__:
        found += function.__dict__
        found += function.__dict__.values()
    return found


def _contents(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return ABSENT


def _is_constant(part: object) -> bool:
    kind = type(part)
    if kind in ATOMS or part is ABSENT:
        return True
    if kind is ModuleType:
        return not is_pickled_by_value(part)  # type: ignore[arg-type]
    return kind is BuiltinFunctionType and isinstance(part.__self__, ModuleType)  # type: ignore[attr-defined]

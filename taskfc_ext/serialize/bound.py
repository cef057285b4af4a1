"""`Bound`: a function with large arguments that are the same in many calls, so that they are sent once, with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from operator import is_
from typing import Any

from taskfc_ext.serialize.atoms import ATOMS
from taskfc_ext.serialize.bodies import MIN_BUFFER
from taskfc_ext.serialize.values import InputRef, pickle_alone

_PLAIN = frozenset(ATOMS)


class Bound:
    """A function that is called with the arguments that it lacks.

    Args:
        func: the function.
        fixed: positions among all arguments, in ascending order, and the values there.
    """

    def __init__(self, func: Callable[..., Any], fixed: dict[int, Any]) -> None:
        self.func = func
        self.fixed = fixed
        self.__qualname__ = str(getattr(func, "__qualname__", type(func).__qualname__))  # its name in messages

    def __call__(self, *args: Any) -> Any:
        whole = list(args)
        for position, value in self.fixed.items():
            whole.insert(position, value)
        return self.func(*whole)


def bind_shared(
    func: Callable[..., Any], columns: Sequence[Sequence[Any]], not_bound: tuple[type, ...] = ()
) -> tuple[Callable[..., Any], list[Sequence[Any]]]:
    """Bind the large objects that are the same one for all items; return the function and the other columns.

    Nothing is bound where another argument could hold one of them: in a call, that has to be the same object.

    Args:
        func: called with one item of each column.
        columns: of equal length.
        not_bound: types of objects that stay arguments.
    """
    fixed = {}
    for position, column in enumerate(columns):
        if _is_shared(column) and not isinstance(column[0], (InputRef, *not_bound)) and _is_large(column[0]):
            fixed[position] = column[0]
        elif not _PLAIN.issuperset(map(type, column)):
            return func, list(columns)
    if not fixed:
        return func, list(columns)
    return Bound(func, fixed), [column for position, column in enumerate(columns) if position not in fixed]


def _is_shared(column: Sequence[Any]) -> bool:
    return len(column) > 1 and column[1] is column[0] and all(map(is_, column, repeat(column[0])))


def _is_large(value: Any) -> bool:
    if type(value) in ATOMS:
        return isinstance(value, str | bytes) and len(value) >= MIN_BUFFER
    try:
        return len(pickle_alone(value)) >= MIN_BUFFER
    except Exception:  # noqa: BLE001  the submission of the first item says why
        return False

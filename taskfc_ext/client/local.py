"""Base of the clients: they belong to the process that made them."""

from __future__ import annotations

from typing import NoReturn, Self


class Unpicklable:
    """Base of a class that cannot be pickled; the error says what to do instead."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client belongs to the process that connected it; connect with TaskClient() in the task")

    def __copy__(self) -> Self:
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

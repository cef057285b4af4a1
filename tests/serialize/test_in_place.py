"""Functions of the notebook that come back from a task."""

from __future__ import annotations

import functools

from taskfc_ext.serialize.in_place import update_function


def test_a_function_that_came_back_by_name_keeps_its_attributes() -> None:
    def plain() -> None: ...

    plain.note = "attribute"  # type: ignore[attr-defined]
    dispatcher = functools.singledispatch(plain)
    attributes = dict(vars(dispatcher))
    assert update_function(dispatcher, dispatcher)
    assert vars(dispatcher) == attributes


def test_a_copy_gives_its_state_to_the_function_that_is_here() -> None:
    def make(n: int, default: int) -> object:
        def value(k: int = default) -> int:
            return n + k

        return value

    here = make(1, 2)
    assert update_function(here, make(3, 4))
    assert here() == 7  # type: ignore[operator]


def test_what_is_not_a_function_is_to_be_bound() -> None:
    value = [1]
    assert not update_function(value, value)
    assert not update_function(lambda: 1, lambda: 2)

"""Functions of the notebook that a task returns."""

from __future__ import annotations

import functools

from taskfc_ext.serialize.in_place import update_function


def test_a_function_returned_by_name_keeps_its_attributes() -> None:
    def plain() -> None: ...

    plain.note = "attribute"  # type: ignore[attr-defined]
    dispatcher = functools.singledispatch(plain)
    attributes = dict(vars(dispatcher))
    assert update_function(dispatcher, dispatcher)
    assert vars(dispatcher) == attributes


def test_the_state_of_a_copy_is_applied_to_the_function() -> None:
    def make(n: int, default: int) -> object:
        def value(k: int = default) -> int:
            return n + k

        return value

    here = make(1, 2)
    assert update_function(here, make(3, 4))
    assert here() == 7  # type: ignore[operator]


def test_other_values_are_not_updated_in_place() -> None:
    value = [1]
    assert not update_function(value, value)
    assert not update_function(lambda: 1, lambda: 2)

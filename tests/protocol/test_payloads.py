"""Failures as lists show them."""

from __future__ import annotations

import pytest

from taskfc_ext.protocol.payloads import Failure, Reason


@pytest.mark.parametrize(
    ("failure", "summary"),
    [
        (Failure(Reason.ERROR, "'b'", type_name="KeyError"), "KeyError: 'b'"),
        (Failure(Reason.ERROR, "no\nluck", type_name="shop.errors.OutOfStock"), "OutOfStock: no\nluck"),
        (Failure(Reason.ERROR, "", type_name="KeyboardInterrupt"), "KeyboardInterrupt"),
        (Failure(Reason.ERROR, "of an older store"), "of an older store"),
        (Failure(Reason.TIMEOUT, "task 3 ran longer than 2 s", type_name="x"), "task 3 ran longer than 2 s"),
    ],
)
def test_a_list_shows_the_type_of_a_tasks_own_exception(failure: Failure, summary: str) -> None:
    assert failure.summary == summary

"""Which request was handled when a controller failed, and which ones are refused."""

from __future__ import annotations

import pytest

from taskfc_ext.controller.failed_requests import REFUSED_AFTER, FailedRequests
from taskfc_ext.errors import StorageFull
from taskfc_ext.protocol.client_messages import ErrorKind
from taskfc_ext.protocol.ids import Session
from taskfc_ext.protocol.supervisor_messages import RequestFailed

HERE, THERE = Session("here"), Session("there")


def fail() -> None:
    raise KeyError("x")


def reported(failed: FailedRequests, error: Exception) -> list[RequestFailed]:
    """Return what is told when `error` ends a controller."""
    told: list[RequestFailed] = []
    with pytest.raises(type(error)), failed.reporting(told.append):
        raise error
    return told


def test_a_request_is_refused_once_two_controllers_have_failed_at_it() -> None:
    failed = FailedRequests()
    for n in range(REFUSED_AFTER):
        assert failed.refusal(HERE, 7) is None, f"after {n}"
        failed.note(RequestFailed(HERE, 7, "KeyError: 'x'"))
    refusal = failed.refusal(HERE, 7)
    assert refusal is not None
    assert (refusal.seq, refusal.error) == (7, ErrorKind.FAILED)
    assert refusal.message == "2 controllers failed while they handled this request: KeyError: 'x'"
    assert failed.refusal(HERE, 8) is None
    assert failed.refusal(THERE, 7) is None


def test_what_is_handled_is_told_and_nothing_else() -> None:
    failed = FailedRequests()
    assert reported(failed, ValueError("between two requests")) == []
    failed.handled = (HERE, 3)
    assert reported(failed, KeyError("x")) == [RequestFailed(HERE, 3, "KeyError: 'x'")]
    assert reported(failed, StorageFull("no room")) == []  # it is not the request's fault


def test_an_error_is_told_in_part_where_it_is_long() -> None:
    failed = FailedRequests()
    failed.handled = (HERE, 3)
    (told,) = reported(failed, ValueError("x" * 100_000))
    assert len(told.error) == 500


def test_an_answer_in_parts_is_made_for_its_request_and_others_are_handled_between_them() -> None:
    failed = FailedRequests()
    seen: list[object] = []

    def parts() -> list[int]:
        seen.append(failed.handled)
        return [1, 2]

    def each() -> object:
        for part in parts():
            seen.append(failed.handled)
            yield part

    for _ in failed.each(HERE, 3, failed.run(HERE, 3, each)):
        seen.append(failed.handled)
        failed.handled = None
    assert seen == [(HERE, 3), (HERE, 3), None, (HERE, 3), None]
    assert failed.handled is None


def test_a_failure_leaves_its_request() -> None:
    failed = FailedRequests()
    with pytest.raises(KeyError):
        failed.run(HERE, 3, fail)
    assert failed.handled == (HERE, 3)

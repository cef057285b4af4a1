"""Which request was handled when a controller failed, and which ones are refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskfc_ext.controller.failed_requests import (
    CLIENT_REFUSED_AFTER,
    LONGEST_ERROR,
    REQUEST_REFUSED_AFTER,
    FailedRequests,
)
from taskfc_ext.errors import StorageFull
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import ErrorKind
from taskfc_ext.protocol.ids import Session
from taskfc_ext.protocol.supervisor_messages import RequestFailed

HERE, THERE = Session("here"), Session("there")


def reports_of(failed: FailedRequests, error: Exception) -> list[RequestFailed]:
    """Return what is reported when `error` ends a controller."""
    reports: list[RequestFailed] = []
    with pytest.raises(type(error)), failed.reporting(reports.append):
        raise error
    return reports


def test_a_request_is_refused_once_two_controllers_have_failed_at_it() -> None:
    failed = FailedRequests()
    for n in range(REQUEST_REFUSED_AFTER):
        assert failed.refusal(HERE, 7) is None, f"after {n}"
        failed.note(RequestFailed(HERE, 7, "KeyError: 'x'"))
    refusal = failed.refusal(HERE, 7)
    assert refusal is not None
    assert (refusal.seq, refusal.error) == (7, ErrorKind.FAILED)
    assert refusal.message == "2 controllers failed while they handled this request: KeyError: 'x'"
    assert failed.refusal(HERE, 8) is None
    assert failed.refusal(THERE, 7) is None


@pytest.mark.parametrize("seqs", [(1, 2, 3, 4), (0, 0, 0, 0), (7, 7, 8, 0)])
def test_a_client_is_refused_once_four_controllers_have_failed_at_what_it_sent(seqs: tuple[int, ...]) -> None:
    failed = FailedRequests()
    for n, seq in enumerate(seqs):
        assert failed.refusal(HERE, 9) is None, f"after {n}"
        failed.note(RequestFailed(HERE, seq, f"KeyError: {n}"))
    assert len(seqs) == CLIENT_REFUSED_AFTER
    refusal = failed.refusal(HERE, 9)
    assert refusal is not None
    assert (refusal.seq, refusal.error) == (0, ErrorKind.FAILED)
    assert refusal.message.endswith("4 controllers failed while they handled requests of this client; the last "
                                    "error: KeyError: 3")  # fmt: skip
    assert failed.refusal(THERE, 1) is None


def test_messages_without_a_number_are_no_request_that_is_refused() -> None:
    failed = FailedRequests()
    for _ in range(REQUEST_REFUSED_AFTER):
        failed.note(RequestFailed(HERE, 0, "KeyError: 'x'"))
    assert failed.refusal(HERE, 0) is None


def test_what_is_handled_is_reported_and_nothing_else() -> None:
    failed = FailedRequests()
    assert reports_of(failed, ValueError("between two requests")) == []
    failed.begin(HERE, 3)
    assert reports_of(failed, KeyError("x")) == [RequestFailed(HERE, 3, "KeyError: 'x'")]
    for error in (StorageFull("no room"), OSError(24, "too many open files")):  # no fault of the request
        assert reports_of(failed, error) == []
    failed.end()
    assert reports_of(failed, KeyError("x")) == []
    failed.begin(None)
    assert reports_of(failed, KeyError("x")) == []


class WithoutText(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize("error", [ValueError("x" * 100_000), ValueError("\ud800" + "ä" * 1000), WithoutText()])
def test_any_error_can_be_reported(error: Exception) -> None:
    failed = FailedRequests()
    failed.begin(HERE, 3)
    (report,) = reports_of(failed, error)
    assert len(report.error.encode()) <= LONGEST_ERROR
    assert type(error).__name__ in report.error
    assert codec.to_supervisor.decode(codec.encode([report])) == [report]


def test_an_answer_in_parts_is_made_for_its_request_and_others_are_handled_between_them() -> None:
    failed = FailedRequests()
    seen: list[object] = []

    def parts() -> Iterator[int]:
        for part in (1, 2):
            seen.append(failed._handled)
            yield part

    failed.begin(THERE)
    for _ in failed.each(HERE, 3, failed.run(HERE, 3, parts)):
        seen.append(failed._handled)
        failed.begin(THERE, 8)
    assert seen == [(HERE, 3), (THERE, 0), (HERE, 3), (THERE, 8)]
    assert failed._handled == (THERE, 8)


def test_a_failure_leaves_its_request() -> None:
    failed = FailedRequests()
    with pytest.raises(ZeroDivisionError):
        failed.run(HERE, 3, lambda: 1 // 0)
    assert reports_of(failed, KeyError("x")) == [RequestFailed(HERE, 3, "KeyError: 'x'")]

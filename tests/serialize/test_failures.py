from __future__ import annotations

import sys
import threading
import traceback
from typing import Any

import pytest

from taskfc_ext.errors import (
    DependencyFailed,
    RemoteError,
    TaskAborted,
    TaskError,
    TaskTimeout,
    TaskUnreachable,
    UnpicklableResult,
    WorkerLost,
)
from taskfc_ext.protocol.payloads import Failure, Reason, encode_failure
from taskfc_ext.serialize import dump_exception, load_failure, scope


class Speechless(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Unpicklable(Exception):
    def __reduce__(self) -> str:
        raise RuntimeError("I stay here")


class Unloadable(Exception):
    def __setstate__(self, state: object) -> None:
        raise RecursionError("never again")


def send(error: BaseException) -> BaseException:
    return load_failure(encode_failure(dump_exception(error, traceback="line 1\n")), 7)


def test_an_exception_keeps_its_type_and_traceback() -> None:
    error = send(ValueError("bad", 3))
    assert type(error) is ValueError
    assert error.args == ("bad", 3)
    assert "in task 7:\nline 1" in "".join(traceback.format_exception(error))


def test_notes_and_attributes_are_kept() -> None:
    original: Any = ValueError("bad")
    original.add_note("see above")
    original.code = 5
    error: Any = send(original)
    assert error.__notes__ == ["see above"]
    assert error.code == 5


def unloadable() -> Unloadable:
    error = Unloadable("x")
    error.attribute = 1  # type: ignore[attr-defined]  # makes pickle call __setstate__
    return error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Unpicklable("one"), "Unpicklable: one"),
        (unloadable(), "Unloadable: x"),
        (KeyError(threading.Lock()), "KeyError: <"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (StopIteration(5), "StopIteration: 5"),
    ],
)
def test_an_exception_that_cannot_be_rebuilt_becomes_a_remote_error(error: BaseException, text: str) -> None:
    result = send(error)
    assert type(result) is RemoteError
    assert text in str(result)
    assert type(error).__name__ in result.type_name
    assert result.taskid == 7
    assert result.remote_traceback == "line 1\n"


class ExitsWhenLoaded(Exception):
    def __reduce__(self) -> Any:
        return sys.exit, (3,)


def test_an_exception_that_exits_when_rebuilt_becomes_a_remote_error() -> None:
    result = send(ExitsWhenLoaded("x"))
    assert type(result) is RemoteError
    assert "cannot be rebuilt here: SystemExit: 3" in str(result)


def test_the_hint_has_the_reason() -> None:
    result = send(ValueError([threading.Lock()]))
    assert "ValueError" in str(result)
    assert "the exception" in str(result)
    assert "cannot pickle '_thread.lock' object" in str(result)


def test_the_text_of_an_exception_may_raise() -> None:
    assert type(send(Speechless())) is Speechless
    assert "whose text cannot be shown" in dump_exception(Speechless(), traceback="").message


def test_long_texts_are_shortened() -> None:
    failure = dump_exception(ValueError("x" * 10**6), traceback="y" * 10**6)
    assert len(failure.message) < 30_000
    assert len(failure.traceback) < 300_000
    assert "980,000 characters left out" in failure.message


def test_task_errors_get_the_taskid() -> None:
    error = send(UnpicklableResult("the result of f"))
    assert isinstance(error, UnpicklableResult)
    assert (error.taskid, error.remote_traceback) == (7, "line 1\n")


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (Reason.TIMEOUT, TaskTimeout),
        (Reason.UNREACHABLE, TaskUnreachable),
        (Reason.LOST, WorkerLost),
        (Reason.POISONED, WorkerLost),
        (Reason.DEPENDENCY, DependencyFailed),
        (Reason.ABORTED, TaskAborted),
    ],
)
def test_each_reason_has_its_type(reason: Reason, kind: type[TaskError]) -> None:
    error: Any = load_failure(encode_failure(Failure(reason=reason, message="m", note="n", parent=3)), 7)
    assert type(error) is kind
    assert (error.taskid, error.message) == (7, "m")
    assert getattr(error, "note", "n") == "n"
    assert getattr(error, "parent", 3) == 3


def test_text_that_cannot_be_encoded_is_escaped() -> None:
    failure = dump_exception(ValueError("a\udc80"), traceback="b\udc80")
    assert (failure.message, failure.traceback) == ("a\\udc80", "b\\udc80")
    assert encode_failure(failure)


def test_the_trial_of_an_exception_does_not_change_the_attempt() -> None:
    host = scope.Host(scope.new_main())
    with scope.in_host(host):
        names = vars(host.main)
        host.push({"data": [1]})
        exec("def read(): return data\nalias = data", names)
        error: Any = ValueError("bad")
        error.read, error.lock = names["read"], threading.Lock()
        error.__cause__ = failed = KeyError("key")
        failed.read = names["read"]  # type: ignore[attr-defined]
        failure = dump_exception(error, traceback="")
        assert names["alias"] is names["data"]
    assert failure.pickled is not None

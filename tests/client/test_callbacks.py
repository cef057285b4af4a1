"""Done-callbacks of futures: after an exception of one, the others run."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from taskfc_ext.client.future.callbacks import CallbackThread
from tests.client.test_future import pending, succeed
from tests.processes import DEADLINE


class Odd(BaseException):
    """Neither an `Exception` nor anything that Python knows."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit("not even its text")

    __repr__ = __str__


RAISED = [
    ValueError("no"),
    SystemExit("stop everything"),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
    concurrent.futures.CancelledError(),
    StopIteration(),
    MemoryError(),
    BaseExceptionGroup("several", [SystemExit(), ValueError()]),
    Odd(),
    Unprintable(),
]
harmful = pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)


@contextmanager
def handled_by(handler: logging.Handler) -> Iterator[None]:
    """Let a handler have what the logger of failed callbacks says."""
    logger = logging.getLogger("concurrent.futures")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def raising(error: BaseException):
    def callback(future: object) -> None:
        raise error

    return callback


@harmful
def test_later_callbacks_run_on_the_same_thread(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    first, second, threads, called = pending(), pending(), [], threading.Event()
    first.add_done_callback(lambda _: threads.append(threading.current_thread()))
    first.add_done_callback(raising(error))
    first.add_done_callback(lambda _: threads.append(threading.current_thread()))
    second.add_done_callback(lambda _: (threads.append(threading.current_thread()), called.set()))
    succeed(first)
    succeed(second)
    assert called.wait(DEADLINE)
    assert len(threads) == 3
    assert len(set(threads)) == 1
    assert threads[0].is_alive()
    shown = [record for record in caplog.records if record.exc_info and record.exc_info[1] is error]
    assert [(record.name, record.levelname) for record in shown] == [("concurrent.futures", "ERROR")]


def test_a_callback_that_calls_exit_is_shown_as_its_failure(capsys: pytest.CaptureFixture[str]) -> None:
    future, called = pending(), threading.Event()
    future.add_done_callback(lambda _: sys.exit("a task failed"))
    future.add_done_callback(lambda _: called.set())
    with handled_by(logging.StreamHandler(sys.stderr)):
        succeed(future)
        assert called.wait(DEADLINE)
    shown = capsys.readouterr().err
    assert shown.count("SystemExit: a task failed") == 1
    assert "exception calling callback for <TaskFuture 3 fit succeeded>" in shown


@harmful
def test_callbacks_that_are_called_at_once_do_as_those_of_concurrent_futures(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = pending(), concurrent.futures.Future[int]()
    succeed(ours)
    theirs.set_result(42)
    outcomes: list[object] = []
    for future in (ours, theirs):
        caplog.clear()
        try:
            future.add_done_callback(raising(error))
        except BaseException as raised:
            outcomes.append(raised)
        else:
            (record,) = caplog.records
            outcomes.append((record.name, record.levelname, record.exc_info[1] if record.exc_info else None))
    assert outcomes[0] == outcomes[1]
    called = []
    ours.add_done_callback(called.append)
    assert called == [ours]


def test_a_handler_that_fails_stops_no_callback() -> None:
    class Failing(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise SystemExit

    future, called = pending(), threading.Event()
    future.add_done_callback(raising(ValueError()))
    future.add_done_callback(lambda _: called.set())
    with handled_by(Failing()):
        succeed(future)
        assert called.wait(DEADLINE)


def test_callbacks_that_found_no_thread_run_with_the_next_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    thread, called, order = CallbackThread(), threading.Event(), []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda self: (_ for _ in ()).throw(RuntimeError("can't start")))
        thread.run_later([order.append], 1)
    assert "wait for a thread" in caplog.text
    thread.run_later([order.append, lambda _: called.set()], 2)
    assert called.wait(DEADLINE)
    assert order == [1, 2]

"""Tracebacks of blocking calls: the caller's frames, and at most the call itself."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.executor import TaskExecutor
from taskfc_ext.client.future.frames import shorten
from taskfc_ext.client.future.waiting import drive
from taskfc_ext.errors import UnpicklableArgument


def invert(x: int) -> float:
    return 1 / x


def broken() -> Iterator[int]:
    yield 1
    raise KeyError("mine")


def frames_of(error: BaseException) -> list[tuple[str, str]]:
    """Return (package, function) of each frame below that of the test."""
    frames = list(traceback.walk_tb(error.__traceback__))[1:]
    return [(frame.f_globals["__name__"].partition(".")[0], frame.f_code.co_name) for frame, _ in frames]


def raised_by(call: Callable[[], Any], kind: type[Exception]) -> BaseException:
    try:
        call()
    except kind as error:
        return error
    pytest.fail(f"no {kind.__name__}")


@pytest.mark.parametrize("ordered", [True, False])
def test_an_error_of_a_task_shows_one_frame_of_imap(client: BlockingTaskClient, ordered: bool) -> None:
    error = raised_by(lambda: list(client.imap(invert, [1, 0], ordered=ordered)), ZeroDivisionError)
    assert frames_of(error) == [("tests", "<lambda>"), ("taskfc_ext", "iterate")]


@pytest.mark.parametrize("chunksize", [1, 2])
def test_an_error_of_a_task_shows_one_frame_of_an_executors_map(client: BlockingTaskClient, chunksize: int) -> None:
    executor = TaskExecutor(client=client)
    error = raised_by(lambda: list(executor.map(invert, [1, 0], chunksize=chunksize)), ZeroDivisionError)
    assert frames_of(error) == [("tests", "<lambda>"), ("taskfc_ext", "_results")]


def test_an_error_of_a_task_shows_the_method_and_its_wait(client: BlockingTaskClient) -> None:
    error = raised_by(lambda: client.map(invert, [1, 0]), ZeroDivisionError)
    assert frames_of(error) == [("tests", "<lambda>"), ("taskfc_ext", "map"), ("taskfc_ext", "drive")]


def test_an_error_of_the_callers_iterable_shows_where_it_was_raised(client: BlockingTaskClient) -> None:
    error = raised_by(lambda: list(client.imap(invert, broken())), KeyError)
    assert frames_of(error) == [("tests", "<lambda>"), ("taskfc_ext", "iterate"), ("tests", "broken")]


def test_a_refusal_shows_no_more_than_the_error_of_a_task(client: BlockingTaskClient) -> None:
    error = raised_by(lambda: list(client.imap(invert, [threading.Lock()])), UnpicklableArgument)
    assert frames_of(error) == [("tests", "<lambda>"), ("taskfc_ext", "iterate")]


def test_an_unexpected_error_of_ours_keeps_its_frames() -> None:
    module: dict[str, Any] = {"__name__": "taskfc_ext.client.somewhere"}
    exec("async def fail():\n    raise AttributeError('a mistake')", module)
    error = raised_by(lambda: drive(module["fail"]()), AttributeError)
    assert [name for _, name in frames_of(error)] == ["<lambda>", "drive", "_drive", "fail"]


def test_an_error_that_is_its_own_cause_is_no_trap() -> None:
    error = RuntimeError("in a circle")
    error.__cause__ = error
    try:
        raise error
    except RuntimeError as caught:
        shorten(caught)
    assert frames_of(error) == []

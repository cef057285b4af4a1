"""Coroutines of the async client, driven by a thread that blocks."""

from __future__ import annotations

import asyncio
import concurrent.futures
import linecache
import sys
from types import FrameType
from typing import Any

import pytest

from taskfc_ext.client.future import waiting
from taskfc_ext.client.future.waiting import drive, wait


class Striker:
    """Presses Ctrl-C before the `step`-th line of what drives."""

    def __init__(self, step: int) -> None:
        self.countdown = step

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename != waiting.__file__ or not frame.f_code.co_name.endswith("drive"):
            return None
        # where only `try:` stands, Python looks at no signals, and exceptions are not where they seem
        is_line = event == "line" and linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() != "try:"
        self.countdown -= is_line
        if is_line and self.countdown == 0:
            raise KeyboardInterrupt
        return self


def test_an_interrupt_at_any_line_lets_the_coroutine_clean_up() -> None:
    done: concurrent.futures.Future[int] = concurrent.futures.Future()
    done.set_result(20)
    said: list[str] = []

    async def add() -> int:
        said.append("begun")
        try:
            return await wait(done) + await wait(done) + 2
        finally:
            said.append("cleaned up")

    step = 2
    while True:
        step += 1  # the second line enters what cleans up
        said.clear()
        coroutine = add()
        before = sys.gettrace()
        sys.settrace(striker := Striker(step))
        try:
            result = drive(coroutine)
        except KeyboardInterrupt:
            assert said in ([], ["begun", "cleaned up"])
        finally:
            sys.settrace(before)
            coroutine.close()
        said.clear()
        assert asyncio.run(add()) == 42, "who awaits is not taken for one who blocks"
        if striker.countdown > 0:  # there are no more lines
            break
    assert result == 42
    assert step > 15


def test_a_step_may_block_as_well() -> None:
    done: concurrent.futures.Future[int] = concurrent.futures.Future()
    done.set_result(20)

    async def inner() -> int:
        return await wait(done) + 1

    async def outer() -> int:
        return drive(inner()) + await wait(done) + 1

    assert drive(outer()) == 42


def test_the_result_and_the_failure_come_through() -> None:
    failed: concurrent.futures.Future[int] = concurrent.futures.Future()
    failed.set_exception(ValueError("no"))

    async def ask() -> int:
        with pytest.raises(ValueError, match="no"):
            await wait(failed)
        return await wait(failed)

    with pytest.raises(ValueError, match="no"):
        drive(ask())


def test_a_coroutine_that_takes_too_long_is_cancelled_where_it_waits() -> None:
    never: concurrent.futures.Future[int] = concurrent.futures.Future()
    steps: list[str] = []

    async def ask() -> int:
        try:
            return await wait(never)
        except asyncio.CancelledError:
            steps.append("cancelled")
            raise

    with pytest.raises(TimeoutError):
        drive(ask(), 0.01)
    assert steps == ["cancelled"]
    assert never.cancelled(), "nobody waits for that answer any more"


def test_a_wait_with_a_bound_of_its_own_is_not_the_end_of_the_coroutine() -> None:
    never: concurrent.futures.Future[int] = concurrent.futures.Future()

    async def ask() -> str:
        with pytest.raises(TimeoutError):
            await wait(never, 0.01)
        return "went on"

    assert drive(ask(), 60) == "went on"
    assert not never.done()

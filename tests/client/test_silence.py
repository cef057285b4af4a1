"""Waits for answers that may never come."""

from __future__ import annotations

import asyncio
import concurrent.futures

import pytest

from taskfc_ext.client.farm import silence
from taskfc_ext.client.farm.silence import wait_for_answer
from taskfc_ext.testing import FakeFarm


def test_an_answer_that_is_there_when_the_loop_gets_to_it_is_returned(
    farm: FakeFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "_LOOK_EVERY", 0.0)  # over before the answer is passed on, as after a busy moment
    answer: concurrent.futures.Future[int] = concurrent.futures.Future()
    answer.set_result(3)
    assert asyncio.run(wait_for_answer(answer, farm)) == 3


def test_a_failed_answer_is_raised(farm: FakeFarm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "_LOOK_EVERY", 0.0)
    answer: concurrent.futures.Future[int] = concurrent.futures.Future()
    answer.set_exception(TimeoutError("of the controller"))
    with pytest.raises(TimeoutError, match="of the controller"):
        asyncio.run(wait_for_answer(answer, farm))


def test_a_wait_that_is_cancelled_cancels_the_request(farm: FakeFarm) -> None:
    answer: concurrent.futures.Future[int] = concurrent.futures.Future()

    async def give_up() -> None:
        await asyncio.wait_for(wait_for_answer(answer, farm), 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    assert answer.cancelled()

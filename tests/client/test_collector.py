"""The garbage collector during loops of submissions."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterator

import pytest

from taskfc_ext.client.session import collector
from taskfc_ext.client.session.collector import TAMED, Burst

USUAL = (700, 10, 10)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    before = gc.get_threshold()
    gc.set_threshold(*USUAL)
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()
    gc.set_threshold(*before)


def run_until_calm(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_until_complete(asyncio.sleep(3 * collector.CALM_AFTER))


def test_it_is_tamed_from_the_first_batch_on_and_put_back_after_the_last(loop: asyncio.AbstractEventLoop) -> None:
    burst = Burst(loop)
    burst.go_on()
    assert gc.get_threshold() == TAMED
    burst.go_on()
    run_until_calm(loop)
    assert gc.get_threshold() == USUAL
    burst.go_on()
    assert gc.get_threshold() == TAMED
    burst.end()
    assert gc.get_threshold() == USUAL
    burst.end()
    assert gc.get_threshold() == USUAL


def test_it_stays_tamed_while_the_loop_of_another_client_goes_on(loop: asyncio.AbstractEventLoop) -> None:
    first, second = Burst(loop), Burst(loop)
    first.go_on()
    second.go_on()
    first.end()
    assert gc.get_threshold() == TAMED
    second.end()
    assert gc.get_threshold() == USUAL


@pytest.mark.parametrize("own", [(0, 0, 0), (100_000, 10, 10)], ids=["off", "higher"])
def test_what_the_program_has_set_stays(loop: asyncio.AbstractEventLoop, own: tuple[int, int, int]) -> None:
    gc.set_threshold(*own)
    burst = Burst(loop)
    burst.go_on()
    assert gc.get_threshold() == own
    burst.end()
    assert gc.get_threshold() == own


def test_a_forked_child_has_the_usual_one(loop: asyncio.AbstractEventLoop) -> None:
    Burst(loop).go_on()
    if (child := os.fork()) == 0:
        os._exit(0 if gc.get_threshold() == USUAL else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert gc.get_threshold() == TAMED


def test_what_the_program_sets_meanwhile_stays(loop: asyncio.AbstractEventLoop) -> None:
    burst = Burst(loop)
    burst.go_on()
    gc.set_threshold(500, 5, 5)
    burst.end()
    assert gc.get_threshold() == (500, 5, 5)

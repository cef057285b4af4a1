"""A limit of memory holds for one attempt: not for the next one, and not for what was there before."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from taskfc_ext import BlockingTaskClient, MemoryLimitExceeded, StringTask, TaskAborted, WorkerLost
from taskfc_ext.client.start import Controller
from tests.processes import DEADLINE, until


@pytest.fixture
def one(lone_farm: Controller) -> Iterator[BlockingTaskClient]:
    with lone_farm.client() as client:
        yield client


def handle_sigterm(n_bytes: int) -> str:
    """Fill memory, and end in order when asked to."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    block = b"x" * n_bytes
    while not asked:
        time.sleep(0.01)
    return f"in order, with {len(block)}"


def ignore_sigterm_once() -> None:
    """Go on after a first SIGTERM, and end then."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    while not asked:
        try:
            time.sleep(0.01)
        except BaseException:
            pass


def kill_oneself() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_task_that_handles_its_end_is_ended_for_its_memory_and_the_next_is_not(one: BlockingTaskClient) -> None:
    over = one.with_options(memory="200M").submit(handle_sigterm, 300_000_000)
    after = one.with_options(on_lost="fail").submit(time.sleep, 1.5)
    with pytest.raises(MemoryLimitExceeded, match="over its limit of 200 MB"):
        over.result(DEADLINE)
    assert after.result(DEADLINE) is None


def test_what_was_in_the_worker_before_does_not_count(one: BlockingTaskClient) -> None:
    one.run(StringTask("left = b'x' * 400_000_000"), block=True)
    assert one.with_options(memory="200M").submit(time.sleep, 1).result(DEADLINE) is None
    one.run(StringTask("del left"), block=True)


def test_a_worker_that_outlives_an_abort_is_blamed_for_its_own_death_later(one: BlockingTaskClient) -> None:
    stubborn = one.submit(ignore_sigterm_once)
    until(lambda: stubborn.state == "running", "it runs")
    stubborn.abort()
    with pytest.raises(TaskAborted):
        stubborn.result(DEADLINE)
    time.sleep(1.5)  # longer than the farm waits between two steps
    suicide = one.submit(kill_oneself)
    with pytest.raises(WorkerLost):
        suicide.result(DEADLINE)
    assert suicide.attempts == 3

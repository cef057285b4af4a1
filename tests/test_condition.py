"""A Ctrl-C at any moment of a wait: nothing stays locked, so the other threads go on."""

from __future__ import annotations

import concurrent.futures
import random
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from taskfc_ext.client.future.answer import AnswerFuture
from taskfc_ext.condition import Condition
from tests.processes import DEADLINE

ROUNDS = 300
"""Interrupts of each kind: each second one leaves a `threading.Condition` locked."""


def interrupt(work: Callable[[], object]) -> None:
    """Call `work`, which never ends, and raise a `KeyboardInterrupt` in it at a random moment of its first 0.1 ms."""

    def raise_it(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, raise_it)
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(20e-6, 120e-6))
        work()
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGALRM, before)


def take_for_ever(condition: Condition) -> None:
    while True:
        with condition:
            pass


def wait_for_ever(condition: Condition) -> None:
    while True:
        with condition:
            condition.wait(0)


def read_for_ever(future: AnswerFuture[int]) -> None:
    while True:
        with suppress(TimeoutError):
            future.result(0)


@pytest.mark.parametrize("work", [take_for_ever, wait_for_ever])
def test_an_interrupt_leaves_a_condition_unlocked(work: Callable[[Condition], None]) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as other:
        for n in range(ROUNDS):
            condition = Condition()
            interrupt(partial(work, condition))
            assert other.submit(condition.acquire, blocking=False).result(DEADLINE), f"after {n} interrupts"


def test_an_interrupt_of_a_wait_leaves_a_future_that_can_be_settled() -> None:
    for n in range(ROUNDS):
        future: AnswerFuture[int] = AnswerFuture()
        interrupt(partial(read_for_ever, future))
        settling = threading.Thread(target=future.set_result, args=(n,), daemon=True)
        settling.start()
        settling.join(DEADLINE)
        assert not settling.is_alive(), f"after {n} interrupts"
        assert future.result(DEADLINE) == n


def test_a_condition_wakes_those_who_wait() -> None:
    condition, seen = Condition(), list[bool]()

    def wait() -> None:
        with condition:
            began.set()
            seen.append(condition.wait(DEADLINE))

    began = threading.Event()
    waiting = threading.Thread(target=wait)
    waiting.start()
    began.wait(DEADLINE)
    with condition:
        condition.notify_all()
    waiting.join(DEADLINE)
    assert seen == [True]
    with condition:
        assert condition.wait(0) is False

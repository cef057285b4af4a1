from __future__ import annotations

import threading

import pytest

from taskfc_ext.drivers.memory import MUCH
from taskfc_ext.worker.helper_thread import OUTPUT_EVERY, HelperThread
from tests.processes import DEADLINE


class Work:
    def __init__(self) -> None:
        self.is_busy = False
        self.lease = 0
        self.calls: list[tuple[int, bool]] = []
        self.has_acted = threading.Event()

    def act_for(self, lease: int, *, wants_output: bool) -> None:
        self.calls.append((lease, wants_output))
        self.has_acted.set()


@pytest.fixture
def work() -> Work:
    return Work()


def test_it_acts_from_the_second_check_of_a_lease_on(work: Work) -> None:
    helper = HelperThread(work, lambda: None)
    for lease in (0, 0, 1, 2, 3, 3, 3, 0, 3):
        work.lease = lease
        helper.check()
    assert work.calls == [(3, True), (3, False)]


def test_output_is_wanted_at_every_fifth_check(work: Work) -> None:
    helper = HelperThread(work, lambda: None)
    work.lease = 1
    for _ in range(2 * OUTPUT_EVERY + 2):
        helper.check()
    assert [i for i, (_, wants) in enumerate(work.calls) if wants] == [0, OUTPUT_EVERY, 2 * OUTPUT_EVERY]


def test_it_wakes_and_preloads_only_after_work(work: Work) -> None:
    preloaded = threading.Event()
    helper = HelperThread(work, preloaded.set)
    helper.start()
    assert not preloaded.wait(0.6)
    work.is_busy, work.lease = True, 5
    helper.wake()
    assert work.has_acted.wait(DEADLINE)
    work.is_busy, work.lease = False, 0
    assert preloaded.wait(DEADLINE)
    work.has_acted.clear()
    work.is_busy, work.lease = True, 6
    helper.wake()
    assert work.has_acted.wait(DEADLINE)
    assert work.calls[-1][0] in (5, 6)
    work.is_busy, work.lease = False, 0


def test_no_task_starts_during_the_preload(work: Work) -> None:
    begun, may_end, woken = threading.Event(), threading.Event(), threading.Event()

    def preload() -> None:
        begun.set()
        may_end.wait(DEADLINE)

    def wake() -> None:
        helper.wake()
        woken.set()

    helper = HelperThread(work, preload)
    helper.start()
    helper.wake()  # there was a task, and it has ended
    assert begun.wait(DEADLINE)
    work.is_busy = True
    threading.Thread(target=wake, daemon=True).start()
    assert not woken.wait(0.5)
    may_end.set()
    assert woken.wait(DEADLINE)
    work.is_busy = False


def test_memory_is_returned_after_large_growth(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    held = [100 * MUCH]
    given_back: list[int] = []
    monkeypatch.setattr("taskfc_ext.worker.helper_thread.resident", lambda: held[-1])
    monkeypatch.setattr("taskfc_ext.worker.helper_thread.give_back_memory", lambda: given_back.append(held[-1]))
    helper = HelperThread(work, lambda: None)
    seen = []
    for now in (101 * MUCH, 101 * MUCH + 1, 102 * MUCH, 99 * MUCH, 101 * MUCH):
        held.append(now)
        helper._free_memory()
        seen.append(len(given_back))
    assert seen == [0, 1, 1, 1, 2], "memory in use is not counted again, and slow growth is noticed"

"""Tests of the barriers' index; what barriers mean is tested with the requests."""

from __future__ import annotations

import pytest

from taskfc_ext.core.state.barriers import WIDE, Barriers
from taskfc_ext.core.state.waits import OpenBarrier


def barrier(seq: int, *taskids: int, session: str = "alice", worker: int = -1) -> OpenBarrier:
    return OpenBarrier(session, seq, set(taskids), worker=worker)


def add(*several: OpenBarrier) -> Barriers:
    barriers = Barriers()
    for each in several:
        barriers.add(each)
    return barriers


def test_an_end_finds_the_barriers_that_wait_for_it_once_each():
    both, first, other = barrier(1, 10, 11), barrier(2, 10), barrier(3, 12)
    barriers = add(both, first, other)
    assert barriers.take_waiting([10, 11]) == [both, first]
    assert barriers.take_waiting([13]) == []


@pytest.mark.parametrize("n", [1, WIDE, 5 * WIDE])
def test_a_closed_barrier_is_found_no_more_however_wide(n):
    closed, stays = barrier(1, *range(n)), barrier(2, *range(n))
    barriers = add(closed, stays)
    assert barriers.close(("alice", 1)) is closed
    assert barriers.close(("alice", 1)) is None
    assert barriers.take_waiting([0]) == [stays]
    assert list(barriers) == [("alice", 2)]


def test_a_task_that_has_left_a_barrier_finds_it_no_more_once_it_is_closed():
    left = barrier(1, 10, 11)
    barriers = add(left)
    left.remaining.discard(11)
    barriers.close(("alice", 1))
    assert barriers.take_waiting([10, 11]) == []


def test_each_client_has_its_own_barriers():
    own, other = barrier(1, 10), barrier(1, 10, session="bob")
    barriers = add(own, other)
    assert dict(barriers.of_session("alice")) == {("alice", 1): own}
    barriers.close(("alice", 1))
    assert (dict(barriers.of_session("alice")), dict(barriers.of_session("bob"))) == ({}, {("bob", 1): other})


def test_the_barriers_of_clients_on_workers_are_known():
    outside, inside = barrier(1, 10), barrier(2, 10, worker=0)
    barriers = add(outside, inside)
    assert list(barriers.in_tasks()) == [inside]
    barriers.close(("alice", 2))
    assert list(barriers.in_tasks()) == []


def test_nothing_is_kept_of_barriers_that_are_over():
    barriers = add(barrier(1, 10, 11), barrier(2, *range(2 * WIDE)), barrier(3, 10, worker=1))
    for key in list(barriers):
        barriers.close(key)
    assert all(not part for part in vars(barriers).values())

"""Tests of the turns of connections, in units of work: no clock and no socket is needed."""

from __future__ import annotations

import pytest

from taskfc_ext.controller.turns import (
    ACTIVE,
    BURST,
    BURST_AGAIN,
    FREED_A_TURN,
    LONG,
    QUANTUM,
    REST,
    REST_OF_PART,
    Turns,
)
from taskfc_ext.protocol.limits import MAX_UNHANDLED, MAX_UNHANDLED_BYTES

A, B = b"a", b"b"
UNIT = QUANTUM / 10


def serve(turns: Turns[str], n: int, cost: float = UNIT, now: float = 0.0) -> list[bytes]:
    """Return the connections of the next `n` messages, each of which costs the same."""
    order = []
    for _ in range(n):
        taken = turns.take(now)
        if taken is None:
            break
        order.append(taken[0])
        turns.charge(taken[0], cost, now)
    return order


def flood(turns: Turns[str], connection: bytes, n: int = 1000) -> None:
    for _ in range(n // 1000):
        assert turns.add(connection, ["x"] * 1000, 0, 0.0)


def test_messages_of_one_connection_keep_their_order():
    turns: Turns[str] = Turns()
    turns.add(A, ["1", "2"], 10, 0.0)
    turns.add(A, ["3"], 20, 0.0)
    assert [turns.take(0.0) for _ in range(4)] == [(A, "1", 10), (A, "2", 10), (A, "3", 20), None]
    assert turns.is_empty


def test_connections_with_little_are_served_in_the_order_in_which_they_came():
    turns: Turns[str] = Turns()
    for connection in (b"1", b"2", b"3"):
        turns.add(connection, ["x"], 1, 0.0)
    assert serve(turns, 3) == [b"1", b"2", b"3"]


def test_a_flooder_waits_for_itself_only():
    turns: Turns[str] = Turns()
    flood(turns, A, 5000)
    serve(turns, 100)
    waits = []
    for _ in range(200):  # a client that waits for each answer
        turns.add(B, ["b"], 1, 0.0)
        order = serve(turns, 20)
        waits.append(order.index(B))
    assert max(waits) <= QUANTUM / UNIT + 1
    assert sorted(waits)[150] == 0, "most find nobody before them"


@pytest.mark.parametrize("n", [2, 10, 100])
def test_all_who_always_wait_get_equal_shares(n):
    turns: Turns[str] = Turns()
    connections = [bytes([number]) for number in range(n)]
    for connection in connections:
        flood(turns, connection)
    order = serve(turns, 50 * n)
    assert {order.count(connection) for connection in connections} <= set(range(40, 61))


def test_shares_are_of_costs_and_not_of_messages():
    turns: Turns[str] = Turns()
    flood(turns, A)
    flood(turns, B)
    used = {A: 0.0, B: 0.0}
    for _ in range(500):
        connection, _, _ = turns.take(0.0)  # type: ignore[misc]
        cost = UNIT * (5 if connection == A else 1)
        turns.charge(connection, cost, 0.0)
        used[connection] += cost
    assert used[A] == pytest.approx(used[B], abs=3 * QUANTUM)


def test_turns_are_fair_also_by_a_clock_that_stands_still():
    turns: Turns[str] = Turns()
    flood(turns, A, 10_000)
    flood(turns, B, 10_000)
    order = serve(turns, 4000, cost=0.0)
    assert 900 <= order.count(B) <= 3100


def test_a_connection_rests_after_a_long_request_while_others_ask():
    turns: Turns[str] = Turns()
    turns.add(B, ["b"], 1, 0.0)
    turns.add(A, ["long", "next"], 1, 0.0)
    turns.charge(A, BURST, 0.0)
    serve(turns, 1)
    assert serve(turns, 1, cost=LONG) == [A]
    assert serve(turns, 1) == []
    due = turns.next_at(0.0)
    assert due == pytest.approx(REST * LONG)
    assert serve(turns, 1, now=due) == [A]


def test_a_connection_that_asks_for_long_once_in_a_while_does_not_rest():
    turns: Turns[str] = Turns()
    n, later = int(BURST / LONG), BURST_AGAIN / 2
    turns.add(A, ["long"] * 3 * n, 1, 0.0)

    def count(now: float) -> int:
        turns.add(B, ["b"], 1, now)
        return len(serve(turns, 3 * n, now=now, cost=LONG)) - 1

    assert n - 1 <= count(0.0) <= n + 1
    assert count(later) == pytest.approx(n / 2, abs=1)
    assert count(later + 2 * REST * LONG) <= 2


def test_a_part_of_a_request_is_followed_by_a_short_rest_however_long_it_was():
    turns: Turns[str] = Turns()
    turns.add(B, ["b"], 1, 0.0)
    turns.add(A, ["a"], 1, 0.0)
    turns.charge(A, BURST, 0.0)
    serve(turns, 1)
    turns.charge(A, 2 * LONG, 0.0, is_part=True)
    assert turns.next_at(0.0) == pytest.approx(REST_OF_PART * 2 * LONG)


def test_a_connection_that_is_alone_never_rests():
    turns: Turns[str] = Turns()
    turns.add(B, ["b"], 1, -ACTIVE)  # long ago
    turns.add(A, ["long"] * 3, 1, 0.0)
    serve(turns, 1)
    assert serve(turns, 3, cost=100 * LONG) == [A, A, A]


def test_what_is_left_of_a_request_comes_before_the_next_one_after_a_rest():
    turns: Turns[str] = Turns()
    turns.add(B, ["b"], 1, 0.0)
    turns.add(A, ["long", "next"], 1, 0.0)
    turns.charge(A, BURST, 0.0)
    assert serve(turns, 1) == [B]
    assert turns.take(0.0) == (A, "long", 1)
    turns.charge(A, LONG / 2, 0.0, is_part=True)
    turns.put_back(A, "rest")
    assert turns.take(0.0) is None
    assert turns.next_at(0.0) == pytest.approx(REST_OF_PART * LONG / 2)
    turns.add(B, ["b"], 1, 0.0)
    assert serve(turns, 1) == [B], "the others are served meanwhile"
    later = REST * LONG
    assert [turns.take(later) for _ in range(3)] == [(A, "rest", 0), (A, "next", 1), None]
    turns.put_back(A, "rest")
    assert not turns.is_empty
    assert turns.take(later) == (A, "rest", 0), "a connection without other messages gets its turn, too"
    turns.forget(A)
    turns.put_back(A, "rest")
    assert turns.is_empty


def test_submissions_do_not_rest():
    turns: Turns[str] = Turns()
    turns.add(B, ["b"], 1, 0.0)
    turns.add(A, ["submit", "submit"], 1, 0.0)
    serve(turns, 1)
    turns.take(0.0)
    turns.charge(A, 10 * LONG, 0.0, can_rest=False)
    assert serve(turns, 1) == [A]


def test_a_connection_is_not_served_while_it_is_held_or_its_last_cost_is_unknown():
    held: set[bytes] = {A}
    turns: Turns[str] = Turns(held)
    turns.add(A, ["x", "y"], 1, 0.0)
    assert (serve(turns, 1), turns.next_at(0.0)) == ([], None)
    held.clear()
    assert serve(turns, 1) == [A]
    turns.defer(A)
    assert serve(turns, 1) == []
    turns.end_turn()
    assert serve(turns, 1) == [A]


@pytest.mark.parametrize(("n", "n_bytes"), [(MAX_UNHANDLED, 0), (1, MAX_UNHANDLED_BYTES + 1)])
def test_too_much_that_waits_is_not_added(n, n_bytes):
    turns: Turns[str] = Turns()
    assert turns.add(A, ["x"] * n, n_bytes, 0.0)
    assert not turns.add(A, ["x"], 1, 0.0)
    assert turns.add(B, ["x"], 1, 0.0), "the others have room"
    serve(turns, n + 1)
    assert turns.add(A, ["x"], 1, 0.0), "it is taken again as soon as it waits for answers"


def test_a_connection_that_is_cleared_or_forgotten_has_no_messages():
    turns: Turns[str] = Turns()
    flood(turns, A)
    serve(turns, 15)
    turns.add(B, ["b"], 1, 0.0)
    turns.clear(A)
    assert serve(turns, 5) == [B]
    flood(turns, A)
    turns.forget(A)
    turns.forget(b"unknown")
    assert turns.is_empty


def test_a_turn_is_shared_while_two_connections_are_active():
    turns: Turns[str] = Turns()
    turns.add(A, ["x"], 0, 10.0)
    turns.add(A, ["x"], 0, 10.5)
    assert not turns.is_shared(10.5)
    turns.add(B, ["x"], 0, 11.0)
    assert turns.is_shared(11.0)
    assert turns.is_shared(10.5 + 0.9 * ACTIVE)
    assert not turns.is_shared(10.5 + 1.1 * ACTIVE)


def test_dropped_messages_are_freed_in_portions():
    class Seen:
        n = 0

        def __del__(self):
            Seen.n += 1

    turns: Turns[Seen] = Turns()
    for _ in range(100):  # however much is dropped in each turn, there is a bound
        turns.add(A, [Seen() for _ in range(2 * FREED_A_TURN)], 0, 0.0)
        turns.forget(A)
        turns.end_turn()
    assert 100 * 2 * FREED_A_TURN - Seen.n <= 8 * 2 * FREED_A_TURN
    while turns.next_at(5.0) == 5.0:
        turns.end_turn()
    Seen.n = 0
    turns.add(A, [Seen() for _ in range(2 * FREED_A_TURN + 1)], 0, 0.0)
    turns.forget(A)
    freed = []
    while turns.next_at(5.0) == 5.0:
        freed.append(Seen.n)
        turns.end_turn()
    assert freed == [0, FREED_A_TURN, 2 * FREED_A_TURN]
    assert Seen.n == 2 * FREED_A_TURN + 1

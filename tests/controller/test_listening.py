"""Tests of what the loop waits for: sockets that rest, and those that it does not listen to."""

from __future__ import annotations

import pytest
import zmq

from taskfc_ext.controller.listening import REST, Listening


class Poller:
    def __init__(self) -> None:
        self.flags: dict[str, int] = {}
        self.n_calls = 0

    def register(self, socket: str, flags: int) -> None:
        self.flags[socket] = flags
        self.n_calls += 1

    def poll(self, timeout: int | None = None) -> list[tuple[str, int]]:
        raise AssertionError(timeout)


@pytest.fixture
def poller() -> Poller:
    return Poller()


def test_a_socket_is_heard_from_its_first_turn_until_the_loop_does_not_listen(poller: Poller) -> None:
    listening = Listening(poller)
    for listens in (True, True, False, False, True):
        listening.set("clients", 0.0, listens=listens)
        assert poller.flags == {"clients": zmq.POLLIN if listens else 0}
    assert poller.n_calls == 3
    assert listening.next_at is None


def test_a_socket_rests_for_a_while_and_another_does_not(poller: Poller) -> None:
    listening = Listening(poller)
    listening.rest("clients", 10.0)
    for now, flag in ((10.0, 0), (10.0 + 0.9 * REST, 0), (10.0 + 1.1 * REST, zmq.POLLIN)):
        listening.set("clients", now)
        listening.set("workers", now)
        assert poller.flags.get("clients", 0) == flag
        assert poller.flags["workers"] == zmq.POLLIN
        assert (listening.next_at is None) == bool(flag)


def test_the_end_of_a_rest_is_no_reason_to_listen(poller: Poller) -> None:
    listening = Listening(poller)
    listening.rest("workers", 10.0)
    assert listening.next_at == 10.0 + REST
    listening.set("workers", 11.0, listens=False)
    assert not poller.flags.get("workers")
    assert listening.next_at is None

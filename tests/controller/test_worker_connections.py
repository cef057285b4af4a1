"""Tests of the connections of workers: which one counts, and which ones are not heard."""

from __future__ import annotations

from taskfc_ext.controller.worker_connections import MAX_JUNK_SENDERS, WorkerConnections
from taskfc_ext.protocol.ids import WorkerId

ONE, TWO = WorkerId(1), WorkerId(2)


def test_a_worker_that_connects_again_has_its_new_connection_only():
    workers = WorkerConnections()
    workers.connect(b"old", ONE)
    workers.connect(b"new", ONE)
    assert (workers.worker_of(b"old"), workers.worker_of(b"new")) == (None, ONE)
    assert workers.identity_of(ONE) == b"new"


def test_the_end_of_a_former_connection_leaves_the_new_one():
    workers = WorkerConnections()
    workers.connect(b"old", ONE)
    workers.connect(b"new", ONE)
    workers.forget(b"old")
    assert workers.identity_of(ONE) == b"new"
    workers.forget(b"new")
    assert (workers.identity_of(ONE), workers.worker_of(b"new")) == (None, None)
    workers.forget(b"never seen")


def test_a_connection_older_than_the_last_one_is_late_also_when_that_one_is_gone():
    workers = WorkerConnections()
    assert not workers.is_late(ONE, 0)
    workers.connect(b"new", ONE, 2)
    assert workers.is_late(ONE, 1)
    assert not workers.is_late(TWO, 1)
    workers.forget(b"new")
    assert workers.is_late(ONE, 1)
    assert not workers.is_late(ONE, 2)


def test_of_a_worker_that_has_ended_nothing_is_kept():
    workers = WorkerConnections()
    empty = {name: dict(value) for name, value in vars(workers).items()}
    workers.connect(b"one", ONE, 1)
    workers.connect(b"two", ONE, 2)
    workers.connect(b"other", TWO, 1)
    assert workers.end(ONE) == b"two"
    assert workers.end(ONE) is None
    assert workers.identity_of(TWO) == b"other"
    workers.forget(b"other")
    assert workers.end(TWO) is None
    assert vars(workers) == empty


def test_who_sends_junk_is_ignored_unless_it_is_a_worker():
    workers = WorkerConnections()
    workers.connect(b"worker", TWO)
    workers.note_junk(b"worker")
    workers.note_junk(b"stranger")
    assert workers.is_ignored(b"stranger")
    assert not workers.is_ignored(b"worker")
    assert not workers.is_ignored(b"another")


def test_a_bounded_number_of_senders_of_junk_is_remembered():
    workers = WorkerConnections()
    for number in range(MAX_JUNK_SENDERS + 1):
        workers.note_junk(b"%d" % number)
    assert not workers.is_ignored(b"0")
    assert workers.is_ignored(b"1")
    assert workers.is_ignored(b"%d" % MAX_JUNK_SENDERS)

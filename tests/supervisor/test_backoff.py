"""Tests of the delay before a process is started again."""

from __future__ import annotations

from taskfc_ext.drivers.backoff import StartBackoff
from taskfc_ext.supervisor.backoff import ControllerBackoff


def test_workers_that_cannot_start_wait_longer_and_longer():
    backoff, now, delays = StartBackoff(), 100.0, []
    for _ in range(10):
        delays.append(backoff.note_failed_start(now))
        assert backoff.not_before == now + delays[-1]
        now = backoff.not_before
    assert delays == [0, 0, 1, 2, 4, 8, 16, 30, 30, 30]


def test_failures_during_a_wait_do_not_make_it_longer():
    backoff = StartBackoff()
    assert [backoff.note_failed_start(0.0) for _ in range(10)] == [0, 0, *[1] * 8]
    assert backoff.note_failed_start(1.0) == 2


def test_a_worker_that_starts_well_ends_the_wait():
    backoff = StartBackoff()
    for _ in range(3):
        backoff.note_failed_start(0.0)
    backoff.note_good_start()
    assert backoff.not_before == 0.0
    assert backoff.note_failed_start(0.5) == 0


def test_a_start_that_the_system_refuses_is_never_repeated_at_once():
    backoff = StartBackoff()
    assert backoff.note_refused_start(5.0) == 1.0
    assert backoff.not_before == 6.0


def test_a_controller_that_never_answers_is_given_up():
    backoff = ControllerBackoff()
    assert [(backoff.note_death(float(i)), backoff.is_hopeless) for i in range(3)] == [
        (0, False),
        (0, False),
        (0, True),
    ]


def test_a_controller_that_answers_in_between_is_never_given_up():
    backoff, delays = ControllerBackoff(), []
    for i in range(6):
        backoff.note_served()
        delays.append(backoff.note_death(float(i)))
        assert not backoff.is_hopeless
    assert delays == [0, 0, 0, 0.5, 0.5, 0.5]


def test_rare_deaths_of_a_controller_cost_no_wait():
    backoff = ControllerBackoff()
    for i in range(10):
        backoff.note_served()
        assert backoff.note_death(i * 5.0) == 0


def test_a_farm_that_has_worked_waits_for_the_system():
    backoff = ControllerBackoff()
    backoff.note_served()
    for _ in range(10):
        assert backoff.note_refused_start() == 1.0
    assert not backoff.is_hopeless


def test_a_farm_that_has_not_gives_up():
    backoff = ControllerBackoff()
    for _ in range(3):
        backoff.note_refused_start()
    assert backoff.is_hopeless

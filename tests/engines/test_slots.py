"""`Slots`: which are asked for, which run a worker, and on which connection its frames flow."""

from __future__ import annotations

import pytest

from taskfc_ext.engines.bridge import why_unfit
from taskfc_ext.engines.slots import AT_ONCE, Ask, Close, Forward, Leave, Open, Put, Report, Slots, Withdraw
from taskfc_ext.protocol.slot_messages import (
    MARK,
    Begin,
    EndSlot,
    FromHosted,
    SlotDown,
    SlotHello,
    SlotUp,
    StopHosted,
    ToHosted,
)
from taskfc_ext.protocol.supervisor_messages import SetWorkers, Step, StopAttempt, WorkerDown, WorkerUp
from taskfc_ext.version import __version__

HELLO = SlotHello(place="node1", python="3.11.7", version=__version__)


class Table:
    """Slots with a clock, ids of workers, and tokens `t1`, `t2`, ..."""

    def __init__(self, limit: int = 10, why: str = "") -> None:
        self.now = 100.0
        self.n_workers = 0
        self.slots = Slots(limit, self.begin, lambda hello: why)

    def begin(self, worker: int) -> Begin:
        return Begin(worker=worker, farm="f", tag="tag", options=b"{}")

    def new_worker(self) -> int:
        self.n_workers += 1
        return self.n_workers - 1

    def fill(self):
        return self.slots.fill(self.now, lambda n: f"t{n}")

    def hello(self, slot: str, hello: SlotHello = HELLO):
        return self.slots.on_hello(slot, hello, self.new_worker, self.now)

    def up(self, slot: str) -> int:
        """Bring up the worker of a token that was asked for, and return its id."""
        (put,) = self.hello(slot)
        assert put == Put(slot, self.begin(put.message.worker))
        worker = put.message.worker
        assert self.slots.on_up(slot, SlotUp(pid=1000 + worker)) == [Report(WorkerUp(worker, 1000 + worker, "node1"))]
        assert self.slots.on_announced([worker]) == [Open(worker)]
        return worker


def with_worker() -> Table:
    """Return slots of which t1.a runs worker 0."""
    table = Table()
    assert table.fill() == [Ask("t1")]
    assert table.up("t1.a") == 0
    return table


def down(worker: int, **fields) -> Report:
    values = {"started": 0, "running": False, "note": "", "planned": False}
    return Report(WorkerDown(worker=worker, pid=1000 + worker, **{**values, **fields}))


# how many


def test_one_is_asked_for_at_the_start_so_that_it_shows_whether_it_works():
    table = Table()
    assert table.fill() == [Ask("t1")]
    assert table.fill() == []


def test_slots_follow_the_demand_up_to_the_limit():
    table = Table(limit=3)
    table.slots.demand(2)
    assert table.fill() == [Ask("t1"), Ask("t2")]
    table.slots.demand(100)
    assert table.fill() == [Ask("t3")]
    table.slots.resize(SetWorkers(5))
    assert table.fill() == [Ask("t4"), Ask("t5")]
    table.slots.resize(SetWorkers(4))
    assert table.fill() == [Withdraw("t5")], "one that is not placed yet is given back"


def test_requests_are_withdrawn_when_the_demand_has_been_lower_for_a_while():
    table = with_worker()
    table.slots.demand(3)
    assert table.fill() == [Ask("t2"), Ask("t3")]
    for later, demand in ((0.0, 1), (4.9, 1), (0.0, 3), (0.1, 2), (4.9, 2)):  # it was high again in between
        table.now += later
        table.slots.demand(demand)
        assert table.fill() == []
    table.now += 0.1
    assert table.fill() == [Withdraw("t3")]
    assert table.fill() == []


def test_a_slot_that_runs_is_kept_whatever_the_demand():
    table = with_worker()
    table.slots.demand(0)
    assert table.fill() == []


def test_a_large_demand_is_asked_for_in_turns():
    table = Table(limit=1000)
    table.slots.demand(1000)
    assert len(table.fill()) == len(table.fill()) == AT_ONCE


def test_slots_that_cannot_start_are_asked_for_one_at_a_time_and_ever_more_rarely():
    table = Table()
    table.slots.demand(4)
    table.fill()
    for token in ("t1", "t2", "t3", "t4"):
        assert table.slots.on_token_failed(token, "no room", table.now) == [Withdraw(token)]
    assert (table.slots.problem, table.fill()) == ("no room", [])
    assert table.slots.wake_at() == 101.0
    table.now = 101.0
    assert table.fill() == [Ask("t5")]
    table.slots.on_token_failed("t5", "still no room", table.now)
    assert table.slots.wake_at() == 103.0
    table.now = 103.0
    assert table.fill() == [Ask("t6")]
    table.up("t6.a")
    assert table.slots.problem == ""
    assert table.fill() == [Ask("t7"), Ask("t8"), Ask("t9")], "one that starts ends the back-off"


# a slot's life


def test_the_end_of_a_worker_is_reported_as_its_host_has_read_it():
    table = with_worker()
    message = SlotDown(started=7, running=True, note="killed by SIGSEGV (signal 11)")
    reported = down(0, started=7, running=True, note="killed by SIGSEGV (signal 11)")
    assert table.slots.on_down("t1.a", message, table.now) == [Close(0), reported, Withdraw("t1")]
    assert table.slots.on_down("t1.a", message, table.now) == []
    assert table.slots.is_empty


def test_a_lost_place_is_another_end_and_must_end_where_it_is_there_all_the_same():
    table = with_worker()
    effects = table.slots.on_place_gone("t1.a", "connection reset")
    lost = down(0, note="node1 is lost: connection reset", place_lost=True)
    assert effects == [Close(0), lost, Leave("t1.a"), Withdraw("t1")]
    assert table.slots.on_place_gone("t1.a", "again") == []
    assert "t1.a" not in table.slots


def test_a_place_that_is_lost_before_its_worker_has_started_is_given_back():
    table = Table()
    table.fill()
    table.hello("t1.a")
    assert table.slots.on_place_gone("t1.a", "connection reset") == [Leave("t1.a"), Withdraw("t1")]
    assert table.fill() == [Ask("t2")]


def test_a_token_that_the_engine_starts_again_elsewhere_is_a_new_worker():
    table = with_worker()
    effects = table.hello("t1.b", SlotHello(place="node2", python="3.11.7", version=__version__))
    lost = down(0, note="node1 is lost: the engine started its slot again elsewhere", place_lost=True)
    assert effects == [Close(0), lost, Leave("t1.a"), Put("t1.b", table.begin(1))]


def test_a_slot_that_was_withdrawn_meanwhile_ends():
    table = Table()
    assert table.hello("t9.a") == [Put("t9.a", EndSlot()), Withdraw("t9")]
    assert table.slots.is_empty


def test_a_place_that_does_not_fit_is_let_go_and_told():
    table = Table(why="it runs Python 3.12")
    table.fill()
    assert table.hello("t1.a") == [Put("t1.a", EndSlot()), Withdraw("t1")]
    assert table.slots.problem == "node1: it runs Python 3.12"


def test_a_worker_that_cannot_start_is_a_problem_and_no_death():
    table = Table()
    table.fill()
    table.hello("t1.a")
    failed = SlotDown(started=0, running=False, note="node1: no memory")
    assert table.slots.on_down("t1.a", failed, table.now) == [Withdraw("t1")]
    assert table.slots.problem == "node1: no memory"


def test_with_the_engine_all_is_lost_and_nothing_is_asked_for():
    table = with_worker()
    table.slots.demand(2)
    assert table.fill() == [Ask("t2")]
    assert table.slots.on_engine_lost("it is down") == [
        Close(0),
        down(0, note="node1 is lost: it is down", place_lost=True),
        Leave("t1.a"),
    ]
    assert table.slots.is_empty
    assert table.fill() == [Ask("t3"), Ask("t4")]


def test_retired_workers_end_and_their_end_is_planned():
    table = with_worker()
    assert table.slots.resize(SetWorkers(10, retire=(0, 99))) == [Put("t1.a", EndSlot())]
    assert table.slots.resize(SetWorkers(10, retire=(0,))) == [], "it is asked once"
    message = SlotDown(started=3, running=False, note="")
    assert down(0, started=3, planned=True) in table.slots.on_down("t1.a", message, table.now)


def test_the_end_of_the_farm_ends_slots_and_requests():
    table = with_worker()
    table.slots.demand(2)
    table.fill()
    assert table.slots.close() == [Withdraw("t2"), Put("t1.a", EndSlot())]
    table.slots.demand(5)
    assert table.fill() == []


def test_an_attempt_is_stopped_by_the_host_of_its_worker():
    table = with_worker()
    assert table.slots.stop_attempt(StopAttempt(0, 5, Step.KILL)) == [Put("t1.a", StopHosted(5, Step.KILL))]
    assert table.slots.stop_attempt(StopAttempt(1, 5, Step.KILL)) == []


# frames


def test_frames_flow_both_ways():
    table = with_worker()
    assert table.slots.on_frames("t1.a", FromHosted((b"1", b"2"))) == [Forward(0, (b"1", b"2"))]
    assert table.slots.on_frames_of_controller(0, (b"3",)) == [Put("t1.a", ToHosted((b"3",)))]
    assert table.slots.on_frames("t9.a", FromHosted((b"1",))) == []
    assert table.slots.on_frames_of_controller(9, (b"3",)) == []


def test_frames_wait_until_the_controller_knows_the_worker():
    table = Table()
    table.fill()
    table.hello("t1.a")
    table.slots.on_up("t1.a", SlotUp(pid=1))
    assert table.slots.on_frames("t1.a", FromHosted((b"1",))) == []
    assert table.slots.on_frames("t1.a", FromHosted((b"2",))) == []
    assert table.slots.on_announced([0, 99]) == [Open(0), Forward(0, (b"1", b"2"))]
    assert table.slots.on_announced([0]) == []


def test_nothing_of_an_old_connection_reaches_a_new_controller():
    table = with_worker()
    assert table.slots.on_new_controller() == [Open(0), Put("t1.a", ToHosted((MARK,)))]
    assert table.slots.on_new_controller() == [Open(0), Put("t1.a", ToHosted((MARK,)))]
    assert table.slots.on_frames("t1.a", FromHosted((b"old", MARK, b"of the second"))) == []
    assert table.slots.on_frames("t1.a", FromHosted((b"old", MARK, b"new"))) == [Forward(0, (b"new",))]
    assert table.slots.on_frames("t1.a", FromHosted((b"newer",))) == [Forward(0, (b"newer",))]


@pytest.mark.parametrize(
    ("hello", "why"),
    [
        (HELLO, ""),
        (SlotHello(place="n", python="2.7.18", version=__version__), "it runs Python 2.7.18"),
        (SlotHello(place="n", python="3.11.1", version="0.0.1"), "it has taskfc_ext 0.0.1, this farm"),
    ],
)
def test_a_place_has_the_minor_python_and_the_version_of_the_farm(monkeypatch, hello, why):
    monkeypatch.setattr("platform.python_version", lambda: "3.11.9")
    found = why_unfit(hello)
    assert found.startswith(why)
    assert bool(found) == bool(why)

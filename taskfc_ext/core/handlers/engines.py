"""Handlers of a farm whose workers run on an engine: its reports, the demand for slots, the distance of workers.

A worker on an engine is some milliseconds away. It holds more work ahead than one at home, as much as its measured
round trips need.
"""

from __future__ import annotations

from taskfc_ext.core.effects import Step
from taskfc_ext.core.events import Now
from taskfc_ext.core.state.engine import AHEAD, Distance, Engine, count_demand, n_staying
from taskfc_ext.core.state.farm import Farm, TimerKind
from taskfc_ext.core.state.worker import Worker
from taskfc_ext.protocol.records import Leased
from taskfc_ext.protocol.supervisor_messages import Demand, EngineState
from taskfc_ext.protocol.worker_messages import Finished

MOST_AHEAD = 0.05
"""Largest number of seconds of work that a worker holds: more is lost with its place, or has to be given back."""

_ROUND_TRIPS_AHEAD = 5

_RISE = 0.125
"""Weight of a longer round trip; a shorter one counts at once, since the longer ones contain other delays."""


def on_engine_state(farm: Farm, message: EngineState, now: Now) -> None:
    """Note the state of the engine."""
    engine = farm.engine
    if engine is None:
        farm.engine = Engine(message, now.wall, idle=farm.engine_idle)
        return
    if engine.report.state != message.state:
        engine.since = now.wall
    engine.report = message


def after_dispatch(farm: Farm, step: Step, engine: Engine, now: Now) -> None:
    """Note which workers were sent a task while they were idle, and send the demand if it has changed."""
    if farm.stop_asked:
        return
    for record in step.records:
        if isinstance(record, Leased):
            worker = farm.workers[record.worker]
            if next(iter(worker.leases), 0) == record.first_lease:
                worker.distance = worker.distance or Distance()
                worker.distance.timed_lease, worker.distance.sent_at = record.first_lease, now.mono
    demand = count_demand(farm)
    if demand != engine.demand:
        engine.demand = demand
        step.to_supervisor(Demand(demand))
        farm.refusals.check_later(farm.refusals.waiting_ids())  # at the next event
    if engine.idle and engine.idle_marks is None and demand < n_staying(farm):
        engine.idle_marks = {worker.worker: worker.finished_seq for worker in farm.workers.values()}
        farm.set_timer(now.mono + engine.idle, TimerKind.IDLE, 0)


def measure_round_trip(worker: Worker, distance: Distance, message: Finished, now: Now) -> None:
    """Measure the distance of `worker`, if this is the first report since it was sent a task while it was idle."""
    if message.leases[:1] != (distance.timed_lease,):
        return
    distance.timed_lease = 0
    measured = max(0.0, now.mono - distance.sent_at - sum(message.seconds))
    known = distance.round_trip
    distance.round_trip = measured if known is None or measured < known else known + _RISE * (measured - known)
    worker.ahead = min(MOST_AHEAD, AHEAD + _ROUND_TRIPS_AHEAD * distance.round_trip)

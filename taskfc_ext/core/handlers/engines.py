"""Handlers for a farm whose workers run in slots of an engine: the demand for slots, and workers that are not needed.

A slot holds a thread of somebody's cluster. So the supervisor is told how many tasks could run, and a worker that was
idle for long ends where there are more than that; an engine that scales itself shrinks then.
"""

from __future__ import annotations

from taskfc_ext.core.effects import Step
from taskfc_ext.core.events import Now
from taskfc_ext.core.handlers.attempts import set_workers
from taskfc_ext.core.state.engine import Engine
from taskfc_ext.core.state.farm import Farm, TimerKind
from taskfc_ext.core.state.worker import Worker
from taskfc_ext.protocol.supervisor_messages import Demand, EngineState


def on_state(farm: Farm, state: EngineState) -> None:
    """Note the state of the engine."""
    if farm.engine is not None:
        farm.engine.reported = state


def settle(farm: Farm, step: Step, engine: Engine, now: Now) -> None:
    """Tell the supervisor of a new demand; start the clock of idle workers while there are more than that."""
    demand = _demand(farm)
    if demand != engine.demand:
        engine.demand = demand
        step.to_supervisor(Demand(demand))
    if engine.idle_marks is None and demand < _n_staying(farm):
        engine.idle_marks = {worker.worker: worker.finished_seq for worker in farm.workers.values()}
        farm.set_timer(now.mono + engine.idle, TimerKind.IDLE, 0)


def on_idle_timer(farm: Farm, step: Step) -> None:
    """End the workers that had nothing to do since the clock was started, as far as they are not needed."""
    engine = farm.engine
    if engine is None or engine.idle_marks is None:
        return
    marks, engine.idle_marks = engine.idle_marks, None
    surplus = max(0, _n_staying(farm) - _demand(farm))
    idle = [worker for worker in farm.workers.values() if _was_idle(worker, marks)][:surplus]
    for worker in idle:
        worker.retiring = True
    if idle:
        set_workers(farm, step, tuple([worker.worker for worker in idle]))
        farm.refusals.check_later(farm.refusals.waiting_ids())


def _demand(farm: Farm) -> int:
    """Return how many workers could have a task now: those that have some, and one for each queued task."""
    if farm.stop_asked:
        return 0
    limit = farm.n_workers + farm.n_substitutes
    n_active = sum(bool(worker.leases or worker.pending) for worker in farm.workers.values())
    n_queued = farm.queue.n_at_most(limit) if farm.queue else 0
    return min(limit, n_active + n_queued + len(farm.refusals.waiting_ids()))


def _n_staying(farm: Farm) -> int:
    return sum(not worker.retiring for worker in farm.workers.values())


def _was_idle(worker: Worker, marks: dict[int, int]) -> bool:
    is_free = worker.ready and not (worker.retiring or worker.leases or worker.pending)
    return is_free and worker.finished_seq == marks.get(worker.worker)

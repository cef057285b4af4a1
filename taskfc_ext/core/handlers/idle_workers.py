"""Handler of the clock of idle workers on an engine."""

from __future__ import annotations

from taskfc_ext.core.effects import Step
from taskfc_ext.core.handlers.attempts import set_workers
from taskfc_ext.core.state.engine import count_demand, n_staying
from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.state.worker import Worker


def on_idle_timer(farm: Farm, step: Step) -> None:
    """End the workers that had nothing to do since the clock was started, as far as they are not needed.

    Each holds a thread of somebody's cluster, and an engine that scales itself shrinks then.
    """
    engine = farm.engine
    if engine is None or engine.idle_marks is None:
        return
    marks, engine.idle_marks = engine.idle_marks, None
    surplus = max(0, n_staying(farm) - count_demand(farm))
    idle = [worker for worker in farm.workers.values() if _was_idle(worker, marks)][:surplus]
    for worker in idle:
        worker.retiring = True
    if idle:
        set_workers(farm, step, tuple([worker.worker for worker in idle]))
        farm.refusals.check_later(farm.refusals.waiting_ids())


def _was_idle(worker: Worker, marks: dict[int, int]) -> bool:
    return worker.is_idle and worker.finished_seq == marks.get(worker.worker)

"""Dispatch of tasks to workers: which worker gets which tasks, and how many ahead.

A worker that runs short tasks holds several of them, so that it need not wait for the controller between two. Their
number follows the measured run time of their code:

- `Worker.ahead` seconds of work: `AHEAD`, and more for one that is far away on an engine;
- if that is one task, a second one, up to a mean of `LONGEST_AHEAD`. It is sent only while the queue keeps a task for
  each worker when all idle ones have got theirs, so the last tasks go to the workers that are free first;
- one before the run time was measured.

Tasks that need resources go alone, when these are free: `core.state.sharing` has the rule.

When a task runs long, the tasks behind it go back to the queue (see `returns`). The worker gets no more until it has
ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from taskfc_ext.core.effects import SendCode, SendRun, Step
from taskfc_ext.core.events import Now
from taskfc_ext.core.handlers.returns import ask_back
from taskfc_ext.core.journal.endings import commit
from taskfc_ext.core.state.codes import make_room, remove_dropped
from taskfc_ext.core.state.engine import AHEAD
from taskfc_ext.core.state.farm import Farm
from taskfc_ext.core.state.lines import Line
from taskfc_ext.core.state.sharing import Round
from taskfc_ext.core.state.task import Task
from taskfc_ext.core.state.waits import Waits
from taskfc_ext.core.state.worker import Worker
from taskfc_ext.protocol.client_messages import Release
from taskfc_ext.protocol.limits import MAX_IDS
from taskfc_ext.protocol.records import Dropped, Leased
from taskfc_ext.protocol.spec import Kind, OnLost, Spec
from taskfc_ext.protocol.supervisor_messages import LimitMemory
from taskfc_ext.protocol.worker_messages import ForgetCode, Run

LONGEST_AHEAD = 0.05
"""Mean run time in seconds up to which one task is sent ahead. A round trip between two longer ones is 2 % of the time
or less, and a worker gives back what is behind a task of twice this time."""

LONGEST_AHEAD_AWAY = 0.08
"""The same for a worker on an engine, whose round trips are longer."""

LONGEST_SEVERAL = 0.01
"""Mean run time in seconds up to which several tasks are sent ahead: longer than any round trip that one covers, and a
worker gives back all but one that is behind a task of twice this time."""

MAX_CREDIT = 512
"""Tasks that a worker holds at most: past it throughput gains nothing, and a death costs more repeats."""

_ONE_AHEAD = 2

_SMOOTHING = 0.5


def note_seconds(farm: Farm, code: bytes, seconds: float, n: int) -> None:
    """Add `n` attempts of `seconds` in total to the measured run time of `code`."""
    mean = seconds / n
    known = farm.mean_seconds.get(code)
    farm.mean_seconds[code] = mean if known is None else known + _SMOOTHING * (mean - known)


def credit(farm: Farm, spec: Spec, ahead: float = AHEAD) -> int:
    """Return how many tasks of `spec` a worker may hold at once that holds `ahead` seconds of work."""
    alone = (
        spec.timeout is not None  # the attempt's time must not begin behind others
        or spec.depend is not None  # the worker may refuse
        or spec.on_lost is OnLost.FAIL  # a finished one that it still holds would be lost with it
        or spec.kind is not Kind.FUNCTION
        or spec.needs is not None  # what it holds is for one attempt
    )
    mean = farm.mean_seconds.get(spec.code)
    if alone or mean is None or mean > (LONGEST_AHEAD if ahead == AHEAD else LONGEST_AHEAD_AWAY):
        return 1
    if mean > LONGEST_SEVERAL:
        return _ONE_AHEAD
    return max(_ONE_AHEAD, min(MAX_CREDIT, int(ahead / max(mean, 1e-6))))


def credit_of(farm: Farm, task: Task, ahead: float = AHEAD) -> int:
    """Return how many tasks a worker may hold at once if `task` is among them: one if a worker may have died of it."""
    past = task.history
    return 1 if past is not None and (past.deaths or past.place_losses) else credit(farm, task.spec, ahead)


def dispatch(farm: Farm, step: Step, now: Now) -> None:
    """Dispatch the tasks that are ready: to idle workers first, then ahead to workers that run short tasks."""
    if farm.stop_asked or farm.no_room is not None:
        return
    free = sorted(
        (w for w in farm.workers.values() if w.ready and not w.retiring and not w.busy and not w.pending),
        key=lambda worker: len(worker.leases),
    )
    if farm.waits is not None:
        free = _within_capacity(farm, farm.waits, free)
    if free and (farm.queue or farm.lines.firsts):
        _dispatch_ready(farm, step, free)
    ask_back(farm, step, now, has_idle=any(not worker.leases for worker in free))


def _dispatch_ready(farm: Farm, step: Step, free: Iterable[Worker]) -> None:
    """Dispatch the tasks that are ready to the workers `free`, in this order."""
    waiting = list(free)
    turn = Round(farm, {worker.worker for worker in waiting if not worker.leases})
    n_idle = len(turn.idle)
    while waiting and (farm.queue or farm.lines.firsts):
        # A fair share, so that the first worker does not take all of a short queue.
        n_queued = farm.queue.n_at_most(MAX_CREDIT * len(waiting))
        share = max(1, -(-n_queued // len(waiting)))
        worker = waiting.pop(0)
        before = len(worker.leases)
        n_idle -= not before
        while len(worker.leases) - before < share:
            if not _dispatch_next(farm, step, turn, worker, share - len(worker.leases) + before, n_idle):
                break


def _within_capacity(farm: Farm, waits: Waits, free: list[Worker]) -> list[Worker]:
    """Return the ones of `free` that may get tasks, so that at most `n_workers` run tasks that do not wait."""
    active = sum(
        bool(worker.leases) and not worker.retiring and worker.worker not in waits.lending
        for worker in farm.workers.values()
    )
    idle = [worker for worker in free if not worker.leases][: max(0, farm.n_workers - active)]
    return idle + [worker for worker in free if worker.leases and worker.worker not in waits.lending]


def _dispatch_next(farm: Farm, step: Step, turn: Round, worker: Worker, share: int, n_idle: int) -> bool:
    """Dispatch the next tasks of one spec to `worker`, at most `share`; return whether there were any.

    Args:
        n_idle: number of other idle workers, whose turn is next: the queue has a task for each of them first.
    """
    n_held = len(worker.leases)
    allowed = min([credit_of(farm, task, worker.ahead) for task in _first_and_last(farm, worker)], default=MAX_CREDIT)
    if allowed <= n_held:
        return False
    following = turn.next_for(worker)
    if following is None:
        return False
    first, line = farm.tasks[following[0]], following[1]
    if line is None:
        room = _find_room(farm, worker, first, allowed, share, n_idle)
        taskids = farm.queue.take(room, _joins(farm, first))
    else:
        taskids = [] if n_held else [_take(farm, line)]
    if not taskids:
        return False
    tasks = [farm.tasks[taskid] for taskid in taskids]
    if not turn.is_plain:
        farm.resources.note_turn(first.batch.session)
    if len(tasks) == 1 and (other := _find_other_worker(farm, first, worker)) is not None:
        worker = other
    turn.note(worker, first.spec.needs)
    lease_and_send(farm, step, worker, tasks)
    return True


def _find_room(farm: Farm, worker: Worker, first: Task, allowed: int, share: int, n_idle: int) -> int:
    """Return how many tasks of the ordinary queue `worker` gets, of which `first` is the next one; none if negative."""
    n_held = len(worker.leases)
    allowed = min(allowed, credit_of(farm, first, worker.ahead))
    is_alone = first.history is not None or first.taskid in farm.refusals.rejected
    room = min(allowed - n_held, 1 if is_alone else share)
    if room > 0 and allowed == _ONE_AHEAD == n_held + room and not farm.queue.has(room + n_idle + len(farm.workers)):
        room -= 1
    return room


def _take(farm: Farm, line: Line) -> int:
    """Take the first task of a line."""
    if not line.workers:
        return farm.resources.take(line)
    taskid = farm.lines.firsts[line]
    farm.refusals.withdraw(taskid)
    return taskid


def _joins(farm: Farm, first: Task) -> Callable[[int], bool]:
    """Return a function that tells whether a queued task can travel in one `Run` with `first`."""
    tasks, rejected = farm.tasks, farm.refusals.rejected
    batch = first.batch
    spec, inputs = batch.spec, batch.inputs
    environments = farm.environments
    environ = environments.edits_of(batch.session)

    def joins(taskid: int) -> bool:
        task = tasks[taskid]
        of = task.batch
        return (
            (of is batch or (of.spec is spec and of.inputs == inputs))
            and task.history is None
            and taskid not in rejected
            and (of is batch or not environments or environments.edits_of(of.session) == environ)
        )

    return joins


def _first_and_last(farm: Farm, worker: Worker) -> Iterable[Task]:
    """Return the first and the last task that `worker` holds. With these it has as much room as with all of them."""
    if worker.leases:
        yield farm.tasks[next(iter(worker.leases.values()))]
        yield farm.tasks[next(reversed(worker.leases.values()))]


def _find_other_worker(farm: Farm, task: Task, worker: Worker) -> Worker | None:
    """Return another idle worker for a task whose last attempt failed on `worker`, or `None`."""
    past = task.history
    if past is None or past.avoid != worker.worker:
        return None
    idle = (
        other
        for other in farm.workers.values()
        if other.is_idle and other.worker != past.avoid and other.worker not in farm.refusals.reasons_of(task.taskid)
    )
    return next(idle, None)


def send_code(farm: Farm, step: Step, worker: Worker, digests: tuple[bytes, ...]) -> None:
    """Send a worker the code that it lacks; to make room it forgets the code that it used longest ago."""
    known = worker.known
    missing = []
    for digest in digests:
        if digest in known:
            known[digest] = known.pop(digest)  # moved to the end: used last
        elif digest not in missing:
            missing.append(digest)
    if not missing:
        return
    _forget(step, worker, make_room(farm, worker, digests))
    for digest in missing:
        known[digest] = farm.codes.sizes.get(digest, 0)
        step.to_worker(worker.worker, SendCode(digest))


def forget_dropped(farm: Farm, step: Step, worker: Worker) -> None:
    """Have a worker forget code that the store has dropped."""
    _forget(step, worker, remove_dropped(farm, worker))


def _forget(step: Step, worker: Worker, digests: tuple[bytes, ...]) -> None:
    if digests:
        step.to_worker(worker.worker, ForgetCode(digests))


def drop_unneeded_code(farm: Farm, step: Step) -> None:
    """Drop code that nothing needs. Clients that may still name it are asked to release it first."""
    codes = farm.codes
    unneeded = sorted(digest for digest in codes.idle if digest in codes and not codes.is_needed(digest))
    codes.idle.clear()
    asked: dict[str, list[bytes]] = {}
    dropped = []
    for digest in unneeded:
        holders = [session for session, client in farm.sessions.items() if digest in client.defined]
        for session in holders:
            asked.setdefault(session, []).append(digest)
        if not holders:
            dropped.append(digest)
    for session, digests in asked.items():
        for i in range(0, len(digests), MAX_IDS):
            step.to_client(session, Release(tuple(digests[i : i + MAX_IDS])))
    if dropped:
        commit(farm, step, Dropped(tuple(dropped)))
        for worker in farm.workers.values():
            if worker.ready:
                forget_dropped(farm, step, worker)


def lease_and_send(farm: Farm, step: Step, worker: Worker, tasks: list[Task]) -> None:
    """Lease `tasks`, all of one spec, to `worker`, and send them."""
    first = tasks[0]
    spec = first.spec
    first_lease = farm.next_lease
    ids = tuple([task.taskid for task in tasks])
    gpus = () if spec.needs is None else farm.resources.choose_gpus(spec.needs)
    commit(farm, step, Leased(first_lease, ids, worker.worker, gpus))
    send_code(farm, step, worker, spec.bodies)
    bodies = tuple([task.current_body for task in tasks])
    environ = farm.environments.edits_of(first.batch.session)
    run = Run(spec=spec, first_lease=first_lease, ids=ids, bodies=bodies, gpus=gpus, environ=environ)
    if spec.needs is not None and spec.needs.memory:
        step.to_supervisor(LimitMemory(worker.worker, first_lease, spec.needs.memory))
    inputs = first.batch.inputs
    step.to_worker(worker.worker, SendRun(run, inputs) if inputs else run)

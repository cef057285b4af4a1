"""The state of a farm: plain data, and the operations that keep its parts consistent."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count, groupby
from operator import attrgetter

from taskfc_ext.core.state.barriers import Barriers
from taskfc_ext.core.state.broadcast import KeptBroadcast
from taskfc_ext.core.state.codes import Codes
from taskfc_ext.core.state.engine import Engine
from taskfc_ext.core.state.environments import Environments
from taskfc_ext.core.state.limits import Limits
from taskfc_ext.core.state.lines import Line, Lines
from taskfc_ext.core.state.queue import ReadyQueue
from taskfc_ext.core.state.quotas import Quotas
from taskfc_ext.core.state.refusals import Refusals
from taskfc_ext.core.state.resources import Holding, Resources
from taskfc_ext.core.state.sessions import ClientSession
from taskfc_ext.core.state.subscribers import Subscribers
from taskfc_ext.core.state.task import TRANSITIONS, Cause, IllegalTransition, Stopping, Task, end_state
from taskfc_ext.core.state.timers import Timer as Timer
from taskfc_ext.core.state.timers import TimerKind as TimerKind
from taskfc_ext.core.state.waits import DEEPER, Key, Waits
from taskfc_ext.core.state.worker import Worker
from taskfc_ext.protocol.infos import NoRoom
from taskfc_ext.protocol.options import MAX_DEATHS, UNREACHABLE_AFTER
from taskfc_ext.protocol.payloads import Reason
from taskfc_ext.protocol.resources import Totals
from taskfc_ext.protocol.spec import Spec
from taskfc_ext.protocol.states import UNFINISHED, State

# One byte for each task id: all that memory keeps of a finished task.
LIVE_CODE = 0
AGED_CODE, NO_ROOM_CODE, CLEARED_CODE = 253, 254, 255
GONE_CODES = frozenset((AGED_CODE, NO_ROOM_CODE, CLEARED_CODE))
"""Codes of tasks that the store has no more: they were too old, in the way of newer ones, or cleared."""
_REASONS = ("", *(reason.value for reason in Reason))
_CODE_OF = {reason: code for code, reason in enumerate(_REASONS, start=1)}


_MANY_TIMERS = 10_000
"""Number of timers above which void ones are dropped."""

_SPECS = 1000
"""Specs kept: more than a session uses at a time."""

_LARGE_RECOVERY = 4096

_batch_of, _state_of = attrgetter("batch"), attrgetter("state")


class Farm:
    """The whole state of a farm.

    Attributes:
        tasks: the unfinished tasks.
        ended: one byte for each task id; see `end_of`.
        leases: every valid lease -> its task.
        children: task id -> the batches that wait for it.
        cascade_failed: (task, parent): the parent did not succeed, so the task must end in the same event.
        names: name -> the newest task of that name.
        queue: the tasks that are ready and need no resources; `resources` has the others.
        lines: the order of the other ready tasks: those that need resources, and those that workers have rejected.
        resources: what tasks may need beside a worker.
        refusals: tasks that workers have rejected.
        held: tasks that are not dispatched until they are released; they are in no queue.
        moved: task id -> its priority, where it differs from that of its submission.
        retried: task id -> its newest retry.
        limits: the limits of a farm that nobody clears or stops.
        environments: those of sessions that differ from the farm's.
        quotas: the shares of sessions in the queue.
        alone_since: monotonic time since when there is no client and no unfinished task; `None`: it was not noticed.
        broadcasts: by number, in order.
        broadcast_waits: open `AwaitBroadcast`s, (session, seq) -> number.
        codes: the code in the store, with a count of its needs.
        n_records: records since the last `Baseline`.
        mean_seconds: code digest -> smoothed run time of its attempts; absent until measured.
        stale: number of reports under void leases, which had no effect.
        engine: the engine that has the workers; `None`: they are processes of this machine.
        began: when the first controller began on this store, in wall-clock seconds; 0: not known.
        engine_idle: seconds after which an idle worker on an engine ends; 0: never.
        waits: waits of tasks for tasks; `None` before the first.
        n_ended: tasks that have ended since the controller started.
        n_repairs: what audits have repaired since the controller started; `audited`: where the next one goes on.
        no_room: why the store takes nothing new at present; `None`: it has room.
        subscribers: sessions that watch the queue, and the changes not sent to them yet; `None` while there are none.
    """

    def __init__(
        self,
        *,
        name: str = "",
        unreachable_after: float = UNREACHABLE_AFTER,
        max_deaths: int = MAX_DEATHS,
        totals: Totals = Totals(),  # noqa: B008  it cannot change
        limits: Limits = Limits(),  # noqa: B008  it cannot change
    ) -> None:
        self.name = name
        self.unreachable_after = unreachable_after
        self.max_deaths = max_deaths
        self.limits, self.environments = limits, Environments()
        self.quotas = Quotas()
        self.alone_since: float | None = None
        self.tasks: dict[int, Task] = {}
        self.ended = bytearray()
        self.counts: dict[State, int] = dict.fromkeys(State, 0)
        self.children: dict[int, list[range]] = {}
        self.cascade_failed: list[tuple[int, int]] = []
        self.names: dict[str, int] = {}
        self.queue = ReadyQueue(self.is_queued)
        self.lines = Lines()
        self.resources = Resources(totals, self.queue, self.lines, self.is_queued)
        self.refusals = Refusals(self.lines)
        self.held: set[int] = set()
        self.moved: dict[int, int] = {}
        self.retried: dict[int, int] = {}
        self.leases: dict[int, Task] = {}
        self.next_lease = 1
        self.stopping_leases: dict[int, Stopping] = {}
        self.workers: dict[int, Worker] = {}
        self.n_workers = 0
        self.sessions: dict[str, ClientSession] = {}
        self.result_subscribers: dict[int, set[str]] = {}
        self.barriers = Barriers()
        self.waits: Waits | None = None
        self.broadcasts: dict[int, KeptBroadcast] = {}
        self.next_broadcast = 1
        self.broadcast_waits: dict[tuple[str, int], int] = {}
        self.codes = Codes()
        self.n_records = 0
        self._specs: dict[Spec, Spec] = {}
        self.mean_seconds: dict[bytes, float] = {}
        self.timers: list[Timer] = []
        self._timer_order = count()
        self._next_purge = _MANY_TIMERS
        self.incarnation = 0
        self.began = 0.0
        self.supervisor_pid = 0
        self.engine: Engine | None = None
        self.engine_idle = 0.0
        self.stop_asked = False
        self.stale = 0
        self.n_ended = 0
        self.n_repairs = 0
        self.audited = 0
        self.no_room: NoRoom | None = None
        self.subscribers: Subscribers | None = None

    # tasks

    @property
    def next_id(self) -> int:
        """The id of the next task."""
        return len(self.ended)

    def is_queued(self, taskid: int) -> bool:
        """Return whether the task is ready to be dispatched, at once or after its release."""
        task = self.tasks.get(taskid)
        return task is not None and not task.lease and task.state is State.SCHEDULED

    def transition(self, tasks: Iterable[Task], state: State) -> None:
        """Change the state of all `tasks`, or of none if one of them may not.

        Raises:
            IllegalTransition: `TRANSITIONS` does not permit it.
        """
        tasks = list(tasks)
        before = {task.state for task in tasks}
        for old in before:
            if state not in TRANSITIONS[old]:
                taskid = next(task.taskid for task in tasks if task.state is old)
                raise IllegalTransition(f"task {taskid} cannot go from {old} to {state}")
        for old in before:
            self.counts[old] -= len(tasks) if len(before) == 1 else sum(task.state is old for task in tasks)
        for task in tasks:
            task.state = state
        self.counts[state] += len(tasks)
        if state in UNFINISHED:  # of the ends, the record informs subscribers
            self.mark(tasks)

    def mark(self, tasks: Iterable[Task]) -> None:
        """Send `tasks` to subscribers after a change that no record holds."""
        if self.subscribers is not None:
            self.subscribers.changed.update([task.taskid for task in tasks])

    def add(self, tasks: Sequence[Task]) -> None:
        """Add new tasks, whose ids follow those of all others, and which are in one state."""
        self.tasks.update({task.taskid: task for task in tasks})
        self.ended += bytes([LIVE_CODE]) * len(tasks)
        self.counts[tasks[0].state] += len(tasks)

    def finish(self, taskids: Iterable[int], reasons: Iterable[str]) -> None:
        """Remove tasks that have ended, and their leases."""
        by_reason: dict[str, list[Task]] = {}
        take, ended = self.tasks.pop, self.ended
        for taskid, reason in zip(taskids, reasons, strict=True):
            tasks = by_reason.get(reason)
            if tasks is None:
                tasks = by_reason[reason] = []
            tasks.append(take(taskid))
            ended[taskid] = _CODE_OF[reason]
        for reason, tasks in by_reason.items():
            self.release(tasks)
            self.transition(tasks, end_state(reason))
            self.n_ended += len(tasks)
            self._forget_steering(tasks)
            if self.lines.firsts:
                for task in tasks:
                    line = self.lines.line_led_by(task.taskid)
                    if line is not None:  # it was aborted there
                        self.resources.settle(line)

    def _forget_steering(self, tasks: Iterable[Task]) -> None:
        """Forget what was noted of the places of `tasks` in the queue."""
        if not (self.refusals.rejected or self.held or self.moved or self.waits):
            return
        for task in tasks:
            self.refusals.discard(task.taskid)
            self.held.discard(task.taskid)
            self.moved.pop(task.taskid, None)
            if self.waits is not None:
                self.waits.tasks.pop(task.taskid, None)

    def knows(self, taskid: int) -> bool:
        """Return whether the task is in the store, finished or not."""
        return 0 <= taskid < len(self.ended) and self.ended[taskid] not in GONE_CODES

    def end_of(self, taskid: int) -> str | None:
        """Return the reason of the end of a task, "" for a success, or `None` while it is unfinished.

        Raises:
            KeyError: the task never existed, or was cleared, or has expired.
        """
        if not self.knows(taskid):
            raise KeyError(taskid)
        code = self.ended[taskid]
        return None if code == LIVE_CODE else _REASONS[code - 1]

    def forget(self, taskids: Iterable[int], code: int = CLEARED_CODE) -> None:
        """Forget finished tasks, but for the reason why they are gone: one of `GONE_CODES`."""
        for taskid in taskids:
            self.counts[end_state(_REASONS[self.ended[taskid] - 1])] -= 1
            self.ended[taskid] = code
            self.retried.pop(taskid, None)

    def finished_ids(self) -> list[int]:
        """Return the ids of all finished tasks in the store."""
        return [taskid for taskid, code in enumerate(self.ended) if code != LIVE_CODE and code not in GONE_CODES]

    def ids_ended_for(self, reason: Reason, first: int) -> tuple[int, ...]:
        """Return the ids from `first` on of the tasks that ended for `reason`."""
        code, found = _CODE_OF[reason], []
        taskid = self.ended.find(code, max(0, first))
        while taskid >= 0:
            found.append(taskid)
            taskid = self.ended.find(code, taskid + 1)
        return tuple(found)

    def ids_in(self, state: State) -> list[int]:
        """Return the ids of all tasks in `state`."""
        if state in UNFINISHED:
            return [taskid for taskid, task in self.tasks.items() if task.state is state]
        codes = {code for code, reason in enumerate(_REASONS, start=1) if end_state(reason) is state}
        return [taskid for taskid, code in enumerate(self.ended) if code in codes]

    def recount(self) -> dict[State, int]:
        """Return the number of tasks in each state, counted now."""
        found = Counter(map(_state_of, self.tasks.values()))
        for code, reason in enumerate(_REASONS, start=1):
            found[end_state(reason)] += self.ended.count(code)
        return {state: found[state] for state in State}

    def same_spec(self, spec: Spec) -> Spec:
        """Return the one object that stands for all specs equal to `spec`.

        So tasks of several submissions can be compared by identity, and travel in one `Run`. A spec with a large
        recovery is not kept.
        """
        if spec.recovery is not None and len(spec.recovery.body) > _LARGE_RECOVERY:
            return spec
        if len(self._specs) >= _SPECS:
            self._specs.clear()  # the specs in use stay alive with their tasks
        return self._specs.setdefault(spec, spec)

    # leases

    def lease(self, tasks: Sequence[Task], first_lease: int, worker: int, gpus: tuple[str, ...] = ()) -> None:
        """Lease `tasks` to `worker`, from `first_lease` on. Earlier leases of the tasks become void.

        `gpus`: the devices that go with the lease of a task that needs some.
        """
        self.release(tasks)
        needs = tasks[0].spec.needs
        if needs is not None:
            self.resources.held[first_lease] = Holding(needs, gpus)
        leases, held = self.leases, self.workers[worker].leases
        for lease, task in enumerate(tasks, first_lease):
            task.lease = lease
            task.worker = worker
            task.started = 0.0
            leases[lease] = task
            held[lease] = task.taskid
        self.next_lease = max(self.next_lease, first_lease + len(tasks))

    def release(self, tasks: Iterable[Task]) -> None:
        """Void the leases of `tasks`: from now on a report under one of them is stale."""
        leases, workers, stopping = self.leases, self.workers, self.stopping_leases
        held = self.resources.held
        for task in tasks:
            lease = task.lease
            if lease:
                del leases[lease]
                workers[task.worker].leases.pop(lease, None)
                if stopping:
                    stopping.pop(lease, None)
                if held:
                    held.pop(lease, None)
                task.lease = 0
                task.worker = -1

    def stop_cause(self, task: Task) -> Cause | None:
        """Return why the attempt of `task` is to stop, or `None` if it is not. An abort overrides a timeout."""
        if task.aborting:
            return Cause.ABORT
        stopping = self.stopping_leases.get(task.lease)
        return stopping.cause if stopping is not None else None

    # queue

    def enqueue(self, tasks: Iterable[Task], *, front: bool = False) -> None:
        """Queue tasks that are ready to run, except held ones."""
        for line, taskids in self._lines(tasks).items():
            queue = self.resources.queue_of(line)
            if front:
                queue.push_front(line.rank, line.client, taskids)
            else:
                queue.push(line.rank, line.client, taskids)
            self.resources.settle(line)

    def withdraw(self, tasks: Iterable[Task]) -> None:
        """Take tasks without a lease out of the queue, before they are held, released or moved."""
        queued = (task for task in tasks if not self.refusals.withdraw(task.taskid))
        for line, taskids in self._lines(queued).items():
            self.resources.queue_of(line).remove(line.rank, line.client, set(taskids))
            self.resources.settle(line)

    def reinsert(self, tasks: Iterable[Task]) -> None:
        """Queue tasks that were withdrawn where they belong now, except held ones."""
        fresh = []
        for task in tasks:
            if task.history is not None and task.history.not_before is not None:
                continue  # the end of its back-off offers it
            if self.refusals.reasons_of(task.taskid):
                self.offer(task)
                self.refusals.check_later((task.taskid,))
            else:
                fresh.append(task)
        for line, taskids in self._lines(fresh).items():
            self.resources.queue_of(line).insert(line.rank, line.client, taskids)
            self.resources.settle(line)

    def _lines(self, tasks: Iterable[Task]) -> dict[Line, list[int]]:
        """Return the tasks that are not held, by their line."""
        lines: dict[Line, list[int]] = {}
        is_steered = self.held or self.moved or self.waits
        for batch, of_batch in groupby(tasks, _batch_of):
            spec, session = batch.spec, batch.session
            recovery = spec.recovery
            if is_steered or (recovery is not None and recovery.spec.needs != spec.needs):
                for task in of_batch:
                    if task.taskid not in self.held:
                        line = Line(self.rank_of(task), session, task.spec.needs)
                        lines.setdefault(line, []).append(task.taskid)
            else:  # then the tasks of a batch are in one line
                line = Line(spec.priority, session, spec.needs)
                lines.setdefault(line, []).extend([task.taskid for task in of_batch])
        return lines

    def priority_of(self, task: Task) -> int:
        """Return the priority of `task` now."""
        return self.moved.get(task.taskid, task.batch.spec.priority)

    def rank_of(self, task: Task) -> int:
        """Return the rank of `task` in the queue: the depth of the waits for it, then its priority.

        Tasks that other tasks wait for go first, the deepest first. Otherwise each would have to wait until all tasks
        that wait as well had begun, each on a worker of its own.
        """
        depth = self.waits.depth_of(task) if self.waits is not None else 0
        return self.priority_of(task) + DEEPER * depth

    def offer(self, task: Task) -> None:
        """Queue `task`, which has waited already: for all workers, or for the ones that have not rejected it."""
        if task.taskid in self.held:
            return  # its release offers it
        if self.refusals.reasons_of(task.taskid):
            self.refusals.enqueue(task.taskid, self.rank_of(task), task.batch.session, task.spec.needs)
        else:
            self.enqueue((task,), front=True)

    # clients and time

    def session(self, session: str) -> ClientSession:
        """Return the session, made on first use."""
        if session not in self.sessions:
            self.sessions[session] = ClientSession(session)
        return self.sessions[session]

    def close_barrier(self, key: Key) -> None:
        """Forget a barrier, if it is open."""
        barrier = self.barriers.close(key)
        if barrier is not None and self.waits is not None and barrier.worker >= 0:
            self.waits.changed.add(barrier.worker)

    @property
    def n_substitutes(self) -> int:
        """Number of workers wanted beside the ones asked for, since tasks wait for tasks."""
        return self.waits.n_substitutes if self.waits is not None else 0

    def set_timer(self, when: float, kind: TimerKind, key: int, extra: int = 0) -> None:
        """Set a timer for the monotonic time `when`; it is never cancelled, so its handler checks its reason."""
        heapq.heappush(self.timers, (when, next(self._timer_order), kind, key, extra))
        if len(self.timers) > self._next_purge:
            self._drop_void_timers()

    def _drop_void_timers(self) -> None:
        """Drop the deadlines of attempts that have ended: many short tasks with a long timeout leave many."""
        of_leases = (TimerKind.DEADLINE, TimerKind.ESCALATION)
        self.timers = [timer for timer in self.timers if timer[2] not in of_leases or timer[3] in self.leases]
        heapq.heapify(self.timers)
        self._next_purge = max(_MANY_TIMERS, 2 * len(self.timers))

    def live_workers(self) -> set[int]:
        """Return the ids of the workers that take tasks."""
        return {worker.worker for worker in self.workers.values() if worker.takes_tasks}

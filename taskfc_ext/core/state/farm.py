"""The state of the farm: plain data, and the few operations that keep its parts in step with each other."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from enum import StrEnum
from itertools import count

from msgspec import Struct

from taskfc_ext.core.state.codes import Codes
from taskfc_ext.core.state.queue import ReadyQueue
from taskfc_ext.core.state.refusals import Refusals
from taskfc_ext.core.state.sessions import ClientSession
from taskfc_ext.core.state.subscribers import Subscribers
from taskfc_ext.core.state.task import LIVE, TRANSITIONS, Cause, IllegalTransition, State, Task, end_state
from taskfc_ext.core.state.waits import DEEPER, OpenBarrier, Waits
from taskfc_ext.protocol.client_messages import ErrorKind, Refused
from taskfc_ext.protocol.payloads import Reason, size_of
from taskfc_ext.protocol.records import Broadcasted
from taskfc_ext.protocol.spec import Spec
from taskfc_ext.protocol.supervisor_messages import Step as StopStep
from taskfc_ext.protocol.worker_messages import Progress

# One byte for each task id that was ever given out: all that is kept in memory of a finished task.
LIVE_CODE = 0
CLEARED_CODE = 255
_REASONS = ("", *(reason.value for reason in Reason))
_CODE_OF = {reason: code for code, reason in enumerate(_REASONS, start=1)}


class Worker(Struct):
    """One worker, as the controller knows it.

    Attributes:
        ready: it said so on this connection; before that nothing is sent to it.
        leases: what it holds, lease -> task id, in the order in which it runs them.
        busy: it said that its first lease runs long; it gets nothing more until that has ended.
        known: the code that it has, digest -> bytes, what it used last at the end.
        finished_seq: its last `Finished` that was handled.
        retiring: it gets nothing more, and ends when it has nothing left.
        pending: broadcasts that it was sent and has not run yet, in order; it gets no tasks before.
        set_up: broadcasts that it has run -> what went wrong, or "".
        progress: what it said last of a lease that it ran; worth nothing once that lease is over.
    """

    worker: int
    pid: int = 0
    ready: bool = False
    leases: dict[int, int] = {}
    busy: bool = False
    known: dict[bytes, int] = {}
    finished_seq: int = 0
    retiring: bool = False
    pending: list[int] = []
    set_up: dict[int, str] = {}
    progress: Progress | None = None


class KeptBroadcast(Struct):
    """A broadcast that every worker runs; `deaths`: workers that died in it."""

    record: Broadcasted
    deaths: int = 0

    def why_skipped(self, max_deaths: int) -> str:
        """Return why no worker runs it any more; empty while they do."""
        if self.deaths < max_deaths:
            return ""
        return f"{self.deaths} workers died in it ({self.record.label}), so it is run no more"


class Stopping(Struct):
    """An attempt on its way down the ladder; `step` was the last one taken."""

    cause: Cause
    worker: int
    step: StopStep


class TimerKind(StrEnum):
    """What a timer is for; its key is a task id, or a lease, or 0."""

    BACKOFF = "backoff"  # a task may be given out again
    REDELIVER = "redeliver"  # a task may be offered to a worker again (key, worker)
    UNREACHABLE = "unreachable"  # a task has been refused by all for long
    DEADLINE = "deadline"  # a lease has run for its timeout
    ESCALATION = "escalation"  # a lease takes the next step down
    SUBSCRIBERS = "subscribers"  # those who watch may be told something again
    SUBSTITUTES = "substitutes"  # some may not be needed any more


_MANY_TIMERS = 10_000
"""Timers past which it is looked whether some have become void."""

_SPECS = 1000
"""Specs remembered: more than a session uses at a time."""

_LARGE_RECOVERY = 4096

Timer = tuple[float, int, TimerKind, int, int]


class Farm:
    """All that the scheduler knows.

    Attributes:
        tasks: those that have not ended.
        ended: one byte for each id ever given out; see `end_of`.
        leases: every valid lease -> (task id, worker).
        children: task id -> the batches that wait for it.
        doomed: (task, parent): the parent did not succeed, so the task must be ended before anything else happens.
        names: name -> the newest task of that name.
        refusals: tasks that workers have rejected.
        held: tasks that are kept from the workers until they are released; they stand in no queue.
        moved: task id -> its priority, where that is not the one of its submission.
        retried: task id -> the task that it was last submitted again as.
        broadcasts: by number, in order.
        broadcast_waits: open `AwaitBroadcast`s, (session, seq) -> number.
        codes: what is in the store, and what needs it.
        n_records: records since the last `Baseline`.
        mean_seconds: code digest -> smoothed run time of its attempts; absent until measured.
        stale: reports of superseded attempts, which had no effect.
        waits: what tasks wait for; `None` before any has.
        n_ended: tasks that have ended since the controller started.
        subscribers: those who watch, and what they have not been told yet; `None` while nobody does.
    """

    def __init__(self, *, name: str = "", unreachable_after: float = 30.0, max_deaths: int = 3) -> None:
        self.name = name
        self.unreachable_after = unreachable_after
        self.max_deaths = max_deaths
        self.tasks: dict[int, Task] = {}
        self.ended = bytearray()
        self.counts: dict[State, int] = dict.fromkeys(State, 0)
        self.children: dict[int, list[range]] = {}
        self.cascade_failed: list[tuple[int, int]] = []
        self.names: dict[str, int] = {}
        self.queue = ReadyQueue(self.is_queued)
        self.refusals = Refusals()
        self.held: set[int] = set()
        self.moved: dict[int, int] = {}
        self.retried: dict[int, int] = {}
        self.leases: dict[int, tuple[int, int]] = {}
        self.next_lease = 1
        self.stopping_leases: dict[int, Stopping] = {}
        self.workers: dict[int, Worker] = {}
        self.n_workers = 0
        self.sessions: dict[str, ClientSession] = {}
        self.result_subscribers: dict[int, set[str]] = {}
        self.barriers: dict[tuple[str, int], OpenBarrier] = {}
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
        self.supervisor_pid = 0
        self.stop_asked = False
        self.stale = 0
        self.n_ended = 0
        self.subscribers: Subscribers | None = None

    # tasks

    @property
    def next_id(self) -> int:
        """The id that the next task gets."""
        return len(self.ended)

    def is_queued(self, taskid: int) -> bool:
        """Whether the task waits to be given out, now, or when it is released."""
        task = self.tasks.get(taskid)
        return task is not None and not task.lease and task.state is State.SCHEDULED

    def move(self, tasks: Iterable[Task], state: State) -> None:
        """Change the state of `tasks`: all of them, or, where one may not, none.

        Raises:
            IllegalTransition: `TRANSITIONS` does not have it.
        """
        tasks = list(tasks)
        for task in tasks:
            if state not in TRANSITIONS[task.state]:
                raise IllegalTransition(f"task {task.taskid} cannot go from {task.state} to {state}")
        for task in tasks:
            self.counts[task.state] -= 1
            task.state = state
        self.counts[state] += len(tasks)
        if state in LIVE:  # of those that have ended, subscribers learn from the record
            self.mark(tasks)

    def mark(self, tasks: Iterable[Task]) -> None:
        """Have subscribers told how `tasks` are now; no record says that anything is different."""
        if self.subscribers is not None:
            self.subscribers.changed.update([task.taskid for task in tasks])

    def add(self, task: Task) -> None:
        """Take a new task in."""
        self.tasks[task.taskid] = task
        self.ended.append(LIVE_CODE)
        self.counts[task.state] += 1

    def finish(self, taskids: Iterable[int], reasons: Iterable[str]) -> None:
        """Let go of tasks that have ended, and of their leases."""
        by_state: dict[State, list[Task]] = {}
        steered = bool(self.held or self.moved or self.waits)
        for taskid, reason in zip(taskids, reasons, strict=True):
            task = self.tasks.pop(taskid)
            by_state.setdefault(end_state(reason), []).append(task)
            if task.lease:
                self.release(task)
            self.ended[taskid] = _CODE_OF[reason]
            self.refusals.discard(taskid)
            if steered:
                self.held.discard(taskid)
                self.moved.pop(taskid, None)
                if self.waits is not None:
                    self.waits.tasks.pop(taskid, None)
        for state, tasks in by_state.items():
            self.move(tasks, state)
            self.n_ended += len(tasks)

    def knows(self, taskid: int) -> bool:
        """Whether there is such a task, finished or not."""
        return 0 <= taskid < len(self.ended) and self.ended[taskid] != CLEARED_CODE

    def end_of(self, taskid: int) -> str | None:
        """Return why a task has ended ("": it succeeded); `None` when it has not.

        Raises:
            KeyError: there never was such a task, or it was cleared.
        """
        if not self.knows(taskid):
            raise KeyError(taskid)
        code = self.ended[taskid]
        return None if code == LIVE_CODE else _REASONS[code - 1]

    def unknown(self, seq: int, taskids: list[int]) -> Refused:
        """Return the answer to a request `seq` that names tasks which there are not."""
        shown = ", ".join(str(taskid) for taskid in taskids[:5]) + (", ..." if len(taskids) > 5 else "")
        plural = "tasks" if len(taskids) > 1 else "task"
        hint = "it was cleared, or never was; queue_status(verbose=True) lists the ids there are"
        return Refused(seq, ErrorKind.UNKNOWN_TASK, f"there is no {plural} {shown}", hint, {"taskids": taskids})

    def forget(self, taskids: Iterable[int]) -> None:
        """Clear finished tasks."""
        for taskid in taskids:
            self.counts[end_state(_REASONS[self.ended[taskid] - 1])] -= 1
            self.ended[taskid] = CLEARED_CODE
            self.retried.pop(taskid, None)

    def finished_ids(self) -> list[int]:
        """Return the ids of all finished tasks that are not cleared."""
        return [taskid for taskid, code in enumerate(self.ended) if code not in (LIVE_CODE, CLEARED_CODE)]

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
        if state in LIVE:
            return [taskid for taskid, task in self.tasks.items() if task.state is state]
        codes = {code for code, reason in enumerate(_REASONS, start=1) if end_state(reason) is state}
        return [taskid for taskid, code in enumerate(self.ended) if code in codes]

    def same_spec(self, spec: Spec) -> Spec:
        """Return the one object that stands for all specs equal to `spec`.

        So tasks of several submissions can be compared, and travel in one `Run`. What has much to recover with is not
        kept: it travels alone.
        """
        if spec.recovery is not None and size_of(spec.recovery.body) > _LARGE_RECOVERY:
            return spec
        if len(self._specs) >= _SPECS:
            self._specs.clear()  # those in use stay alive with their tasks
        return self._specs.setdefault(spec, spec)

    # leases

    def lease(self, task: Task, lease: int, worker: int) -> None:
        """Give `task` to `worker`. A lease that it had before is void."""
        self.release(task)
        task.lease = lease
        task.started = 0.0
        self.leases[lease] = (task.taskid, worker)
        self.workers[worker].leases[lease] = task.taskid
        self.next_lease = max(self.next_lease, lease + 1)

    def release(self, task: Task) -> None:
        """Void the lease of `task`: from now on a report under it is stale."""
        lease = task.lease
        if lease:
            _, worker = self.leases.pop(lease)
            self.workers[worker].leases.pop(lease, None)
            if self.stopping_leases:
                self.stopping_leases.pop(lease, None)
            task.lease = 0

    def worker_of(self, task: Task) -> int:
        """Return the worker that holds `task`, or -1."""
        return self.leases[task.lease][1] if task.lease else -1

    # queue

    def enqueue(self, tasks: Iterable[Task], *, front: bool = False) -> None:
        """Queue tasks that may be given out now; those that are held are kept back."""
        for (rank, client), taskids in self._lines(tasks).items():
            if front:
                self.queue.push_front(rank, client, taskids)
            else:
                self.queue.push(rank, client, taskids)

    def withdraw(self, tasks: Iterable[Task]) -> None:
        """Take tasks that nobody has out of the queue: they are about to be held, released or moved."""
        queued = (task for task in tasks if not self.refusals.withdraw(task.taskid))
        for (rank, client), taskids in self._lines(queued).items():
            self.queue.remove(rank, client, set(taskids))

    def reinsert(self, tasks: Iterable[Task]) -> None:
        """Put tasks that were withdrawn where they belong now: those that are held nowhere."""
        fresh = []
        for task in tasks:
            if task.history is not None and task.history.not_before is not None:
                continue  # its back-off goes on, and then offers it
            if self.refusals.reasons_of(task.taskid):
                self.offer(task)
                self.refusals.check_later((task.taskid,))
            else:
                fresh.append(task)
        for (rank, client), taskids in self._lines(fresh).items():
            self.queue.insert(rank, client, taskids)

    def _lines(self, tasks: Iterable[Task]) -> dict[tuple[int, str], list[int]]:
        """Return the tasks that are not held by the line of the queue that they belong to."""
        held, ranked = self.held, bool(self.moved or self.waits)
        lines: dict[tuple[int, str], list[int]] = {}
        for task in tasks:
            if held and task.taskid in held:
                continue
            rank = self.rank_of(task) if ranked else task.batch.spec.priority
            lines.setdefault((rank, task.batch.session), []).append(task.taskid)
        return lines

    def priority_of(self, task: Task) -> int:
        """Return the priority of `task` now."""
        return self.moved.get(task.taskid, task.batch.spec.priority)

    def rank_of(self, task: Task) -> int:
        """Return what the queue orders `task` by: its priority, and before that how deep it is waited for.

        Those that tasks wait for go first, the deepest first: else each of them would have to wait until all tasks that
        wait as well have begun, each with a worker of its own.
        """
        depth = self.waits.depth_of(task) if self.waits is not None else 0
        return self.priority_of(task) + DEEPER * depth

    def offer(self, task: Task) -> None:
        """Let `task`, which has waited already, be given out: to anyone, or to those that have not refused it."""
        if task.taskid in self.held:
            return  # its release offers it
        if self.refusals.reasons_of(task.taskid):
            self.refusals.enqueue(task.taskid, self.rank_of(task))
        else:
            self.enqueue((task,), front=True)

    # clients and time

    def session(self, session: str) -> ClientSession:
        """Return the record of a session, made on first use."""
        if session not in self.sessions:
            self.sessions[session] = ClientSession(session)
        return self.sessions[session]

    def set_timer(self, when: float, kind: TimerKind, key: int, extra: int = 0) -> None:
        """Set a timer for `when` (monotonic).

        Timers are not cancelled: its handler checks that its reason still holds.
        """
        heapq.heappush(self.timers, (when, next(self._timer_order), kind, key, extra))
        if len(self.timers) > self._next_purge:
            self._drop_void_timers()

    def _drop_void_timers(self) -> None:
        """Let go of deadlines whose attempts have ended: many short tasks with a long timeout leave many."""
        of_leases = (TimerKind.DEADLINE, TimerKind.ESCALATION)
        self.timers = [timer for timer in self.timers if timer[2] not in of_leases or timer[3] in self.leases]
        heapq.heapify(self.timers)
        self._next_purge = max(_MANY_TIMERS, 2 * len(self.timers))

    def live_workers(self) -> set[int]:
        """Return the ids of the workers that take tasks."""
        return {worker.worker for worker in self.workers.values() if worker.ready and not worker.retiring}

"""Ends of attempts: ends of tasks, retries and recoveries, with their consequences for dependants, barriers, clients.

An `Endings` collects the ends of one event, and settles them in one record of each kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from taskfc_ext.core.effects import Step
from taskfc_ext.core.events import Now
from taskfc_ext.core.journal.apply import apply
from taskfc_ext.core.journal.retry_policy import Verdict, after_failure, backoff_before
from taskfc_ext.core.state.farm import Farm, TimerKind
from taskfc_ext.core.state.sessions import Answer
from taskfc_ext.core.state.task import Task
from taskfc_ext.protocol.client_messages import Define, Ended, Reply
from taskfc_ext.protocol.payloads import Failure, Payload, Reason, encode_failure
from taskfc_ext.protocol.printed import Printed
from taskfc_ext.protocol.records import Record, Requeued, Submitted, Why
from taskfc_ext.protocol.spec import Kind

T = TypeVar("T")


def commit(farm: Farm, step: Step, record: Record) -> list[Task]:
    """Add `record` to the step and apply it; return the tasks that became ready to run."""
    step.records.append(record)
    return apply(farm, record)


def commit_submitted(farm: Farm, step: Step, record: Submitted, now: Now) -> None:
    """Commit new tasks: those that are ready are queued, and values that are put have ended."""
    ready = commit(farm, step, record)
    if record.spec.kind is not Kind.VALUE:
        farm.enqueue(ready)
        return
    endings = Endings(farm, step, now)
    endings.succeed(ready, [task.body for task in ready], [0.0] * len(ready))
    endings.settle()


def answer_request(farm: Farm, step: Step, session: str, answer: Answer) -> None:
    """Send an answer that no record holds, and keep it for a repeat of the request."""
    farm.session(session).remember(answer)
    step.to_client(session, answer)


class Endings:
    """The ends of attempts in one event.

    Nothing changes before `settle`.

    Args:
        farm: the farm of the tasks.
        step: collects records and messages.
        now: the time of the event.
    """

    def __init__(self, farm: Farm, step: Step, now: Now) -> None:
        self._farm = farm
        self._step = step
        self._now = now
        self._tasks: list[Task] = []
        self._reasons: list[str] = []
        self._values: list[Payload] = []
        self._seconds: list[float] = []
        self._outputs: dict[int, Printed] = {}
        self._displays: dict[int, tuple[bytes, ...]] = {}
        self._requeued: dict[Why, list[Task]] = {}

    def succeed(self, tasks: Sequence[Task], values: Sequence[Payload], seconds: Sequence[float]) -> None:
        """Note that the attempts of `tasks` returned `values`, after `seconds` each."""
        self._tasks += tasks
        self._reasons += [""] * len(tasks)
        self._values += values
        self._seconds += seconds

    def fail(self, task: Task, reason: Reason, value: Payload, seconds: float = 0.0, *, retryable: bool = True) -> None:
        """Note that the attempt failed: the task is retried, recovered or ended."""
        match after_failure(task, reason, retryable=retryable):
            case Verdict.RETRY:
                self.requeue(task, Why.RETRY)
            case Verdict.RECOVER:
                self.requeue(task, Why.RECOVERY)
            case Verdict.END:
                self._tasks.append(task)
                self._reasons.append(reason)
                self._values.append(value)
                self._seconds.append(seconds)

    def abort(self, task: Task, seconds: float = 0.0) -> None:
        """Note that the task was aborted, and that no worker has it."""
        failure = Failure(Reason.ABORTED, f"{task.title} was aborted")
        self.fail(task, Reason.ABORTED, encode_failure(failure), seconds)

    def requeue(self, task: Task, why: Why) -> None:
        """Note that the lease is over, and that the task goes back to the queue."""
        self._requeued.setdefault(why, []).append(task)

    def add_output(self, task: Task, printed: Printed) -> None:
        """Add the text that the attempt printed."""
        if printed:
            self._outputs[task.taskid] = printed

    def add_displays(self, task: Task, displays: tuple[bytes, ...]) -> None:
        """Add the displays of the attempt."""
        if displays:
            self._displays[task.taskid] = displays

    def keep_live_output(self, task: Task) -> None:
        """Keep the live output of an attempt whose worker cannot report it any more."""
        if task.history is not None:
            self.add_output(task, task.history.output)
            self.add_displays(task, task.history.displays)

    def run_time(self, task: Task) -> float:
        """Return the run time of an attempt whose worker cannot report it; 0 if its start was not reported."""
        return max(0.0, self._now.wall - task.started) if task.started else 0.0

    def settle(self) -> None:
        """Commit the collected ends, and notify the clients and barriers that wait for them."""
        self._settle_own()
        while self._farm.cascade_failed:  # level by level: a chain of dependants may be deeper than the stack
            self._fail_dependants()._settle_own()

    def _settle_own(self) -> None:
        for why, tasks in self._requeued.items():
            self._settle_requeued(why, tasks)
        if self._tasks:
            self._settle_ended(self._record())

    def _record(self) -> Ended:
        tasks = self._tasks
        return Ended(
            ids=tuple([task.taskid for task in tasks]),
            reasons=tuple(self._reasons),
            values=tuple(self._values),
            workers=tuple([task.worker for task in tasks]),
            attempts=tuple([task.attempts for task in tasks]),
            submitted=tuple([task.batch.submitted for task in tasks]),
            completed=self._now.wall,
            seconds=tuple(self._seconds),
            outputs=_of_tasks(self._outputs, tasks),
            displays=_of_tasks(self._displays, tasks),
        )

    def _settle_requeued(self, why: Why, tasks: list[Task]) -> None:
        farm = self._farm
        ready = commit(farm, self._step, Requeued(tuple(task.taskid for task in tasks), why))
        now_ready = []
        for task in ready:
            if why is not Why.REFUSED:
                farm.refusals.reset_back_off(task.taskid)
            pause = backoff_before(task.spec, task.past().retries) if why is Why.RETRY else 0.0
            if pause:
                task.past().not_before = self._now.mono + pause
                farm.set_timer(self._now.mono + pause, TimerKind.BACKOFF, task.taskid)
            elif farm.refusals.reasons_of(task.taskid):
                farm.offer(task)
            else:
                now_ready.append(task)
        farm.enqueue(now_ready, front=True)

    def _settle_ended(self, record: Ended) -> None:
        farm = self._farm
        owners = {task.batch.session for task in self._tasks}
        sessions = {task.taskid: task.batch.session for task in self._tasks} if len(owners) > 1 else {}
        farm.enqueue(commit(farm, self._step, record))
        if len(owners) == 1 and not farm.result_subscribers:
            self._step.to_client(owners.pop(), record)
        else:
            self._send_to_each(record, sessions, owners)
        self._answer_barriers(record)

    def _send_to_each(self, record: Ended, sessions: dict[int, str], owners: set[str]) -> None:
        """Send each client the part of `record` that it waits for."""
        rows_for: dict[str, list[int]] = {}
        owner = next(iter(owners))
        for row, taskid in enumerate(record.ids):
            sessions_of_row = self._farm.result_subscribers.pop(taskid, set()) | {sessions.get(taskid, owner)}
            for session in sessions_of_row:
                rows_for.setdefault(session, []).append(row)
        for session, rows in rows_for.items():
            self._step.to_client(session, select_rows(record, rows))

    def _answer_barriers(self, record: Ended) -> None:
        farm = self._farm
        if not farm.barriers:
            return
        failed = [taskid for taskid, reason in zip(record.ids, record.reasons, strict=True) if reason]
        for barrier in farm.barriers.take_waiting(record.ids):
            n_before = len(barrier.remaining)
            if failed:
                barrier.n_failed += len(barrier.remaining.intersection(failed))
            barrier.remaining.difference_update(record.ids)
            if farm.waits is not None and barrier.worker >= 0 and len(barrier.remaining) < n_before:
                farm.waits.changed.add(barrier.worker)
            if not barrier.remaining:
                farm.close_barrier(barrier.key)
                answer_request(farm, self._step, barrier.session, Reply(barrier.seq, None))

    def _fail_dependants(self) -> Endings:
        """Return the ends of the tasks whose dependency did not succeed, without settling them."""
        farm = self._farm
        endings = Endings(farm, self._step, self._now)
        parents = {taskid: parent for taskid, parent in farm.cascade_failed if taskid in farm.tasks}
        farm.cascade_failed.clear()
        for taskid, parent in parents.items():
            task = farm.tasks[taskid]
            endings.fail(task, Reason.DEPENDENCY, dependency_failure(task, parent))
        return endings


def _of_tasks(by_taskid: dict[int, T], tasks: Iterable[Task]) -> dict[int, T]:
    """Return the part of `by_taskid` for `tasks`, in their order."""
    if not by_taskid:  # the usual case
        return {}
    return {task.taskid: by_taskid[task.taskid] for task in tasks if task.taskid in by_taskid}


def select_rows(record: Ended, rows: list[int]) -> Ended:
    """Return the part of `record` in `rows`."""
    if len(rows) == len(record.ids):
        return record
    ids = tuple([record.ids[row] for row in rows])
    return Ended(
        ids=ids,
        reasons=tuple([record.reasons[row] for row in rows]),
        values=tuple([record.values[row] for row in rows]),
        workers=tuple([record.workers[row] for row in rows]),
        attempts=tuple([record.attempts[row] for row in rows]),
        submitted=tuple([record.submitted[row] for row in rows]),
        completed=record.completed,
        seconds=tuple([record.seconds[row] for row in rows]),
        outputs={taskid: record.outputs[taskid] for taskid in ids if taskid in record.outputs},
        displays={taskid: record.displays[taskid] for taskid in ids if taskid in record.displays},
    )


def failed_unseen(taskids: tuple[int, ...], failure: Failure) -> Ended:
    """Return the ends of tasks of whose attempts nothing is known, all with the same failure."""
    n = len(taskids)
    return Ended(
        ids=taskids,
        reasons=(failure.reason,) * n,
        values=(encode_failure(failure),) * n,
        workers=(-1,) * n,
        attempts=(0,) * n,
        submitted=(0.0,) * n,
        completed=0.0,
        seconds=(0.0,) * n,
        outputs={},
        displays={},
    )


def has_failed(farm: Farm, taskid: int) -> bool:
    """Return whether a task has ended without a result; not so if it is not known any more."""
    return farm.knows(taskid) and bool(farm.end_of(taskid))


def commit_code(farm: Farm, step: Step, defines: Iterable[Define]) -> None:
    """Commit the code that is not in the store yet."""
    for define in defines:
        if define.digest not in farm.codes:
            commit(farm, step, define)


def fail_if_parent_failed(farm: Farm, step: Step, record: Submitted, now: Now) -> None:
    """End the tasks of `record` at once if a task that they depend on has failed."""
    required = record.inputs if record.after_any else (*record.after, *record.inputs)
    failed = next((parent for parent in required if farm.end_of(parent)), None)
    if failed is None:
        return
    endings = Endings(farm, step, now)
    for taskid in range(record.first, record.first + len(record.bodies)):
        task = farm.tasks.get(taskid)
        if task is not None:  # else it has failed with a task of the same submission
            endings.fail(task, Reason.DEPENDENCY, dependency_failure(task, failed))
    endings.settle()


def dependency_failure(task: Task, parent: int) -> bytes:
    """Return the failure of a task whose dependency `parent` did not succeed."""
    message = f"{task.title} did not run: task {parent}, which it comes after, did not succeed"
    return encode_failure(Failure(Reason.DEPENDENCY, message, parent=parent))

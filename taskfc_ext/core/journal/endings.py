"""What attempts lead to: ends, retries, recoveries, and what these mean for children, barriers and clients.

An `Endings` collects what one event brought about, and settles it in one record of each kind.
"""

from __future__ import annotations

from collections.abc import Iterable

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


def commit(farm: Farm, step: Step, record: Record) -> list[Task]:
    """Write `record` and let it take effect; return the tasks that became ready by it."""
    step.records.append(record)
    return apply(farm, record)


def answer_request(farm: Farm, step: Step, session: str, answer: Answer) -> None:
    """Send an answer that no record holds, and keep it for a repeat of the request."""
    farm.session(session).remember(answer)
    step.to_client(session, answer)


class Endings:
    """The ends and new beginnings that one event leads to.

    Nothing is changed before `settle`.

    Args:
        farm: whose tasks they are.
        step: takes records and messages.
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

    def succeed(self, task: Task, value: Payload, seconds: float) -> None:
        """The attempt brought `value` in `seconds`."""
        self._tasks.append(task)
        self._reasons.append("")
        self._values.append(value)
        self._seconds.append(seconds)

    def fail(self, task: Task, reason: Reason, value: Payload, seconds: float = 0.0, *, retryable: bool = True) -> None:
        """The attempt failed; what comes next is decided here."""
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
        """The task was aborted, and no worker has it any more."""
        failure = Failure(Reason.ABORTED, f"{task.title} was aborted")
        self.fail(task, Reason.ABORTED, encode_failure(failure), seconds)

    def requeue(self, task: Task, why: Why) -> None:
        """The lease is over, and the task goes back to the queue."""
        self._requeued.setdefault(why, []).append(task)

    def add_output(self, task: Task, printed: Printed) -> None:
        """The attempt printed this."""
        if printed:
            self._outputs[task.taskid] = printed

    def add_displays(self, task: Task, displays: tuple[bytes, ...]) -> None:
        """The attempt showed `displays`."""
        if displays:
            self._displays[task.taskid] = displays

    def keep_live_output(self, task: Task) -> None:
        """Nobody is left to report the attempt: what was heard of it while it ran is all that it printed and showed."""
        if task.history is not None:
            self.add_output(task, task.history.output)
            self.add_displays(task, task.history.displays)

    def run_time(self, task: Task) -> float:
        """Return for how long the attempt has run, where nobody is left to say: 0 before its worker said so."""
        return max(0.0, self._now.wall - task.started) if task.started else 0.0

    def settle(self) -> None:
        """Write what was collected, let it take effect, and tell everyone it concerns."""
        self._settle_own()
        while self._farm.cascade_failed:  # level by level: a chain of dependants may be longer than the stack
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
            workers=tuple([self._farm.worker_of(task) for task in tasks]),
            attempts=tuple([task.attempts for task in tasks]),
            submitted=tuple([task.batch.submitted for task in tasks]),
            completed=self._now.wall,
            seconds=tuple(self._seconds),
            outputs={task.taskid: self._outputs[task.taskid] for task in tasks if task.taskid in self._outputs},
            displays={task.taskid: self._displays[task.taskid] for task in tasks if task.taskid in self._displays}
            if self._displays
            else {},
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
        self._answer_barriers(record.ids)

    def _send_to_each(self, record: Ended, sessions: dict[int, str], owners: set[str]) -> None:
        """Send every client the part of `record` that it waits for."""
        audience: dict[str, list[int]] = {}
        owner = next(iter(owners))
        for row, taskid in enumerate(record.ids):
            listeners = self._farm.result_subscribers.pop(taskid, set()) | {sessions.get(taskid, owner)}
            for session in listeners:
                audience.setdefault(session, []).append(row)
        for session, rows in audience.items():
            self._step.to_client(session, select_rows(record, rows))

    def _answer_barriers(self, taskids: Iterable[int]) -> None:
        farm = self._farm
        for key, barrier in list(farm.barriers.items()):
            n_before = len(barrier.remaining)
            barrier.remaining.difference_update(taskids)
            if farm.waits is not None and barrier.worker >= 0 and len(barrier.remaining) < n_before:
                farm.waits.changed.add(barrier.worker)
            if not barrier.remaining:
                del farm.barriers[key]
                answer_request(farm, self._step, barrier.session, Reply(barrier.seq, None))

    def _fail_dependants(self) -> Endings:
        """Return the ends of the tasks whose dependency did not succeed."""
        farm = self._farm
        endings = Endings(farm, self._step, self._now)
        doomed = {taskid: parent for taskid, parent in farm.cascade_failed if taskid in farm.tasks}
        farm.cascade_failed.clear()
        for taskid, parent in doomed.items():
            task = farm.tasks[taskid]
            endings.fail(task, Reason.DEPENDENCY, dependency_failure(task, parent))
        return endings


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


def commit_code(farm: Farm, step: Step, defines: Iterable[Define]) -> None:
    """Write down code that is not known yet."""
    for define in defines:
        if define.digest not in farm.codes:
            commit(farm, step, define)


def fail_if_parent_failed(farm: Farm, step: Step, record: Submitted, now: Now) -> None:
    """End at once what comes after a task that has already failed."""
    required = record.inputs if record.after_any else (*record.after, *record.inputs)
    failed = next((parent for parent in required if farm.end_of(parent)), None)
    if failed is None:
        return
    endings = Endings(farm, step, now)
    for taskid in range(record.first, record.first + len(record.bodies)):
        task = farm.tasks.get(taskid)
        if task is not None:  # else it has fallen with what was submitted together with it
            endings.fail(task, Reason.DEPENDENCY, dependency_failure(task, failed))
    endings.settle()


def dependency_failure(task: Task, parent: int) -> bytes:
    """Return the failure of a task whose dependency `parent` did not succeed."""
    message = f"{task.title} did not run: task {parent}, which it comes after, did not succeed"
    return encode_failure(Failure(Reason.DEPENDENCY, message, parent=parent))

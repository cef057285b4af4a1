"""The independent ledger: what was accepted, what ran, what was committed, and what each client was told.

It reads the messages on the wire, the committed records and the workers' executions, and never the farm's own state.
Each check names its invariant, I1 to I13:

- I1 An acknowledged submission is on the disk, under the ids of its answer.
- I2 A task ends once, and for a true reason; at the end every accepted task that was not cleared has ended.
- I3 Every client is told the one committed end of a task; the value of a success is that of its valid attempt. A
  repeated request gets its first answer.
- I4 A task has at most one valid lease, and no attempt starts under a lease that is not valid.
- I5 A task with `on_lost="fail"` starts once, and once more for each failure of its own and each refusal.
- I6 Retries, deaths and recoveries stay within their limits.
- I7 A dependant starts after the durable ends of its dependencies, which have succeeded if it needs that, and gets
  their committed values.
- I8 A wait is answered when everything before it has ended. Nothing unfinished is cleared, and no needed input.
- I9 After an acknowledged abort nothing starts any more under a new lease, and the task ends as aborted.
- I10 When the faults are over, everything runnable ends and every wait returns.
- I11 Nothing is left over in the controller, the workers and the clients.
- I12 A subscriber misses no change without being told, and knows the queue as it is.
- I13 Held tasks are not dispatched, and no resource is given twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.options import MAX_DEATHS
from taskfc_ext.protocol.payloads import Outcome, Reason
from taskfc_ext.protocol.records import (
    AbortAsked,
    AbortsAsked,
    Cleared,
    Held,
    Leased,
    Record,
    Requeued,
    Submitted,
    Why,
)
from taskfc_ext.protocol.spec import OnLost, Spec
from taskfc_ext.protocol.worker_messages import Run
from tests.simulate.plan import OK, TOTALS, Act, Job

FIXED = said.Submit | said.AbortTasks | said.Hold | said.Move | said.Retry | said.Clear | said.Broadcast
"""Requests whose answer is in the store, so that it is the same in every incarnation."""


class Violation(AssertionError):
    """An invariant does not hold; `name` is its name."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


@dataclass
class Facts:
    """The committed facts of one task. `starts` counts those of this stage: the task, then its recovery."""

    batch: Submitted
    body: bytes
    lease: int = 0
    worker: int = -1
    end: tuple[str, bytes] | None = None
    is_aborting: bool = False
    is_held: bool = False
    is_cleared: bool = False
    is_recovering: bool = False
    requeues: Counter[Why] = field(default_factory=Counter)
    n_starts: int = 0
    n_all_starts: int = 0

    @property
    def spec(self) -> Spec:
        """The spec of this stage."""
        recovery = self.batch.spec.recovery
        return recovery.spec if self.is_recovering and recovery is not None else self.batch.spec

    @property
    def needed(self) -> tuple[int, ...]:
        """The dependencies that have to succeed."""
        return self.batch.inputs if self.batch.after_any else (*self.batch.after, *self.batch.inputs)


@dataclass
class Execution:
    """One execution of an attempt; `outcome` is `None` until its end."""

    taskid: int
    worker: int
    outcome: Outcome | None = None
    value: bytes = b""


class Ledger:
    """The facts, and the checks on each new one."""

    def __init__(self) -> None:
        self.jobs: dict[bytes, Job] = {}
        self.tasks: dict[int, Facts] = {}
        self.executions: dict[int, Execution] = {}  # by lease
        self.accepted: dict[tuple[str, int], int] = {}  # (session, seq) -> first id
        self.aborts: set[tuple[str, int]] = set()
        self.requests: dict[tuple[str, int], said.Request] = {}
        self.answers: dict[tuple[str, int], Message] = {}
        self.broadcasts_run: Counter[tuple[int, int]] = Counter()
        self.n_checks = 0

    # the disk

    def on_commit(self, records: Sequence[Record]) -> None:
        """Take a transaction, and check it."""
        for record in records:
            match record:
                case Submitted():
                    self._on_submitted(record)
                case Leased():
                    for at, taskid in enumerate(record.ids):
                        self._on_leased(self.tasks[taskid], taskid, record.first_lease + at, record.worker)
                case Requeued():
                    for taskid in record.ids:
                        self._on_requeued(self.tasks[taskid], taskid, record.why)
                case said.Ended():
                    for taskid, reason, value in zip(record.ids, record.reasons, record.values, strict=True):
                        assert isinstance(value, bytes)
                        self._on_ended(self.tasks[taskid], taskid, reason, value)
                case AbortAsked():
                    self.aborts.add((record.session, record.seq))
                    self.tasks[record.taskid].is_aborting = True
                case AbortsAsked():
                    for taskid in record.ids:
                        self.tasks[taskid].is_aborting = True
                case Held():
                    for facts in (self.tasks[taskid] for taskid in record.ids if taskid in self.tasks):
                        if not facts.lease and facts.end is None:
                            facts.is_held = record.held
                case Cleared():
                    self._on_cleared(record)

    def forget_what_was_lost(self, transactions: Sequence[Sequence[Record]]) -> None:
        """Begin again with what a power cut has left: all processes are gone, and with them what they were told."""
        self.tasks, self.executions, self.accepted, self.aborts = {}, {}, {}, set()
        self.requests, self.answers = {}, {}
        self.broadcasts_run.clear()
        before, self._is_checking = self._is_checking, False
        for records in transactions:
            self.on_commit(records)
        self._is_checking = before

    _is_checking = True

    def _check(self, holds: object, name: str, text: str) -> None:
        self.n_checks += 1
        if not holds and self._is_checking:
            raise Violation(name, text)

    def _on_submitted(self, record: Submitted) -> None:
        if record.retry_of:
            for old in record.retry_of:
                facts = self.tasks.get(old)
                self._check(
                    facts is not None and facts.end is not None, "I8", f"task {old} is retried, but is not over"
                )
        else:
            self._check((record.session, record.seq) not in self.accepted, "I3", "a submission was accepted twice")
            self.accepted[record.session, record.seq] = record.first
        for at, body in enumerate(record.bodies):
            self._check(record.first + at not in self.tasks, "I2", f"there are two tasks {record.first + at}")
            assert isinstance(body, bytes)
            self.tasks[record.first + at] = Facts(record, body)

    def _on_leased(self, facts: Facts, taskid: int, lease: int, worker: int) -> None:
        self._check(not facts.lease, "I4", f"task {taskid} has lease {facts.lease}, and gets lease {lease}")
        self._check(facts.end is None, "I2", f"task {taskid} is dispatched after its end")
        self._check(not facts.is_aborting, "I9", f"task {taskid} is dispatched after its abort")
        self._check(not facts.is_held, "I13", f"task {taskid} is dispatched while it is held")
        self._check_parents(facts, taskid)
        facts.lease, facts.worker = lease, worker
        if facts.spec.needs is not None:
            self._check_resources()

    def _check_resources(self) -> None:
        used: Counter[str] = Counter()
        for facts in self.tasks.values():
            if facts.lease and facts.spec.needs is not None:
                used.update({name: n for name, n in facts.spec.needs.amounts().items() if name != "cores"})
        totals = TOTALS.amounts(1)
        over = {name: n for name, n in used.items() if n > totals[name]}
        self._check(not over, "I13", f"more is given than there is: {over}")

    def _check_parents(self, facts: Facts, taskid: int) -> None:
        for parent in (*facts.batch.after, *facts.batch.inputs):
            end = self.tasks[parent].end
            self._check(end is not None, "I7", f"task {taskid} starts before the end of task {parent}")
        for parent in facts.needed:
            end = self.tasks[parent].end
            self._check(end is not None and not end[0], "I7", f"task {taskid} starts, but task {parent} has failed")

    def _on_requeued(self, facts: Facts, taskid: int, why: Why) -> None:
        self._check(facts.lease, "I4", f"task {taskid} goes back to the queue, and had no lease")
        self._check(not facts.is_aborting, "I9", f"task {taskid} goes back to the queue after its abort")
        facts.lease, facts.worker = 0, -1
        facts.requeues[why] += 1
        spec = facts.spec
        self._check(facts.requeues[Why.RETRY] <= spec.retries, "I6", f"task {taskid} is retried too often")
        self._check(facts.requeues[Why.DEATH] < MAX_DEATHS, "I6", f"task {taskid} has killed too many workers")
        if why is Why.RECOVERY:
            self._check(not facts.is_recovering, "I6", f"task {taskid} recovers twice")
            facts.is_recovering = True
            facts.requeues.clear()
            facts.n_starts = 0

    def _on_ended(self, facts: Facts, taskid: int, reason: str, value: bytes) -> None:
        self._check(facts.end is None, "I2", f"task {taskid} ends twice: {facts.end}, {reason!r}")
        self._check(
            not facts.is_aborting or reason == "aborted", "I9", f"task {taskid} ends as {reason!r} after its abort"
        )
        lease, execution = facts.lease, self.executions.get(facts.lease)
        outcome = execution.outcome if execution is not None else None
        facts.end, facts.lease, facts.worker = (reason, value), 0, -1
        if not self._is_checking:
            return
        self._check(self._is_true(facts, reason, execution), "I2", f"task {taskid} ends as {reason!r}, but {execution}")
        if reason == "":
            assert execution is not None
            is_its_own = outcome is Outcome.OK and execution.value == value and execution.taskid == taskid
            self._check(is_its_own, "I3", f"task {taskid} has a value that lease {lease} did not return: {value!r}")

    def _is_true(self, facts: Facts, reason: str, execution: Execution | None) -> bool:
        """Return whether what has happened is a reason to end the task like this."""
        outcome = execution.outcome if execution is not None else None
        match reason:
            case "":
                return outcome is Outcome.OK
            case Reason.ERROR:
                return outcome in (Outcome.ERROR, Outcome.FINAL_ERROR)
            case Reason.TIMEOUT:
                return facts.spec.timeout is not None
            case Reason.UNREACHABLE:
                return facts.requeues[Why.REFUSED] > 0
            case Reason.LOST:
                return facts.spec.on_lost is OnLost.FAIL
            case Reason.POISONED:
                return execution is not None and facts.requeues[Why.DEATH] == MAX_DEATHS - 1
            case Reason.DEPENDENCY:
                return any(end is not None and end[0] for end in (self.tasks[parent].end for parent in facts.needed))
            case Reason.ABORTED:
                return facts.is_aborting
        return False

    def _on_cleared(self, record: Cleared) -> None:
        live = [facts for facts in self.tasks.values() if facts.end is None]
        needed = {parent for facts in live for parent in facts.batch.inputs}
        for taskid in record.ids:
            facts = self.tasks.get(taskid)
            if facts is not None:
                self._check(facts.end is not None, "I8", f"task {taskid} is cleared before its end")
                self._check(
                    taskid not in needed, "I8", f"task {taskid} is cleared, and an unfinished one needs its value"
                )
                facts.is_cleared = True

    # the workers

    def on_start(self, taskid: int, lease: int, worker: int, body: bytes, run: Run) -> Act:
        """Take the start of an attempt; return how it goes on."""
        facts = self.tasks[taskid]
        self._check(facts.lease == lease, "I4", f"task {taskid} starts under lease {lease}; its lease is {facts.lease}")
        self._check(facts.worker == worker, "I4", f"task {taskid} starts on worker {worker}, not on {facts.worker}")
        self._check(lease not in self.executions, "I4", f"lease {lease} starts twice")
        self._check_parents(facts, taskid)
        values = tuple(self._value_of(parent) for parent in facts.batch.inputs)
        self._check(run.inputs == values, "I7", f"task {taskid} gets {run.inputs!r} as its inputs, not {values!r}")
        if facts.spec.on_lost is OnLost.FAIL:
            allowed = facts.requeues[Why.RETRY] + facts.requeues[Why.REFUSED] + 1
            self._check(facts.n_starts < allowed, "I5", f"task {taskid}, which may run only once, runs again")
        job = self.jobs[facts.body]
        acts = job.recovery if facts.is_recovering else job.acts
        act = acts[min(facts.n_starts, len(acts) - 1)] if acts else OK
        if act.kind == "not_now" and facts.n_starts >= len(acts):
            act = OK  # else it would be offered for ever
        facts.n_starts += 1
        facts.n_all_starts += 1
        self.executions[lease] = Execution(taskid, worker)
        return act

    def _value_of(self, parent: int) -> bytes | None:
        end = self.tasks[parent].end
        return end[1] if end is not None else None

    def on_end(self, lease: int, outcome: Outcome, value: bytes) -> None:
        """Take the end of an attempt."""
        self.executions[lease].outcome = outcome
        self.executions[lease].value = value

    def on_death(self, worker: int) -> None:
        """Take the death of a worker: it executes nothing any more."""

    def on_broadcast_run(self, worker: int, number: int) -> None:
        """Take the run of a broadcast."""
        self.broadcasts_run[worker, number] += 1
        self._check(self.broadcasts_run[worker, number] == 1, "I4", f"broadcast {number} runs twice on worker {worker}")

    # the clients

    def on_request(self, session: str, message: Message) -> None:
        """Take a message of a client."""
        if isinstance(message, said.Request):
            first = self.requests.setdefault((session, message.seq), message)
            self._check(type(first) is type(message), "I3", f"request {message.seq} of {session} is another one now")

    def on_answer(self, session: str, message: Message) -> None:
        """Take a message to a client."""
        match message:
            case said.Accepted(seq, first):
                self._check(self.accepted.get((session, seq)) == first, "I1", f"task {first} is not on the disk")
                self._check_repeat(session, seq, message)
            case said.Reply(seq) | said.Refused(seq):
                if seq and (session, seq) in self.requests:
                    self._on_reply(session, self.requests[session, seq], message)
            case said.Ended():
                for taskid, reason, value in zip(message.ids, message.reasons, message.values, strict=True):
                    facts = self.tasks.get(taskid)
                    self._check(facts is not None, "I1", f"task {taskid} has an end, and is not on the disk")
                    assert facts is not None
                    is_same = facts.end == (reason, value) or (facts.is_cleared and not value)
                    self._check(is_same, "I3", f"{session} is told that task {taskid} ended as {reason!r}, {value!r}")

    def _on_reply(self, session: str, request: said.Request, answer: said.Reply | said.Refused) -> None:
        self._check_repeat(session, request.seq, answer)
        if isinstance(answer, said.Refused):
            return
        match request:
            case said.Abort() if answer.value is True:
                self._check(
                    (session, request.seq) in self.aborts, "I9", "an abort was acknowledged, and is not on disk"
                )
            case said.Barrier(taskids=None):
                own = [
                    taskid
                    for taskid, facts in self.tasks.items()
                    if facts.batch.session == session and facts.batch.seq < request.seq and facts.end is None
                    if not facts.batch.retry_of  # a retry reads the store, and is accepted after its turn
                ]
                self._check(not own, "I8", f"the barrier {request.seq} is answered before the ends of {own}")
            case said.Barrier(taskids=ids):
                left = [taskid for taskid in ids or () if taskid in self.tasks and self.tasks[taskid].end is None]
                self._check(not left, "I8", f"the barrier {request.seq} is answered before the ends of {left}")

    def _check_repeat(self, session: str, seq: int, answer: Message) -> None:
        request = self.requests.get((session, seq))
        if not isinstance(request, FIXED) or isinstance(answer, said.Refused):
            return
        first = self.answers.setdefault((session, seq), answer)
        self._check(first == answer, "I3", f"request {seq} of {session} is answered {first}, and then {answer}")

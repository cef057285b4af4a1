"""What a client is owed and what it still has to say: pure bookkeeping, without a socket and without a clock.

Rule 1: only the I/O thread touches a `SessionState`; other threads may append to `outbox`, and nothing else.
Rule 2: everything leaves in the order in which it was asked for, so a question covers all that was submitted before it.
Rule 3: what was sent is kept until it is answered, and goes out again, under its old number, over every new connection.

The messages that a method returns are to be sent, in this order.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat

from taskfc_ext.client.future.future import CANCELLED, FINISHED, PENDING, TaskFuture
from taskfc_ext.client.future.outcome import FactsRow
from taskfc_ext.client.future.template import Template
from taskfc_ext.client.session.pending import Call, Flush, Submission
from taskfc_ext.client.session.replies import Answer, error_of
from taskfc_ext.errors import DependencyFailed, UnknownTask
from taskfc_ext.protocol.client_messages import (
    Accepted,
    Define,
    Ended,
    GetResults,
    Message,
    Refused,
    Released,
    Reply,
    TaskRef,
)
from taskfc_ext.protocol.ids import MAX_BATCH, MAX_IDS
from taskfc_ext.protocol.payloads import Payload, Reason, size_of

MAX_UNACCEPTED = 64
"""Submits on their way. Enough to keep the controller busy, and it bounds what a reconnect sends again."""

MAX_UNACCEPTED_BYTES = 64 * 2**20
"""Bodies on their way: bounds what stands in the queues between us and the controller."""

MAX_SUBMIT_BYTES = 8 * 2**20
"""Bodies in one Submit that has more than one: keeps a turn of the controller short."""


class SessionState:
    """The bookkeeping of one session.

    Attributes:
        session: its name on the wire.
        outbox: what has not been sent: futures to submit, calls, flushes.
        unfinished: the future of every accepted task that has not ended.
        on_release: called when the controller drops code that was defined here, or may have asked for that: whoever
            keeps a copy, to name it in the next submission, need not.
        cancelling: tasks whose abort means "cancelled" here, since `cancel` asked for it.
    """

    def __init__(self) -> None:
        self.session = os.urandom(8).hex()
        self.outbox: deque[TaskFuture | Call | Flush] = deque()
        self.unfinished: dict[int, TaskFuture] = {}
        self.cancelling: set[int] = set()
        self.on_release: Callable[[], None] = lambda: None
        self._submissions: dict[int, Submission] = {}  # by seq, ascending
        self._calls: dict[int, Call] = {}  # by seq, ascending
        self._flushes: deque[Flush] = deque()
        self._peeks: dict[int, TaskFuture] = {}
        self._defined: set[bytes] = set()
        self._n_bytes = 0  # of the bodies on their way
        self._next_seq = 1

    # what there is

    @property
    def is_awaited(self) -> bool:
        """Whether anybody waits for anything."""
        return bool(self.outbox or self._submissions or self._calls or self.unfinished)

    @property
    def has_submissions(self) -> bool:
        """Whether any task has not been accepted yet."""
        return bool(self._submissions) or any(isinstance(item, TaskFuture) for item in list(self.outbox))

    @property
    def n_unaccepted(self) -> int:
        """How many tasks have not been accepted yet."""
        waiting = sum(isinstance(item, TaskFuture) and not item.done() for item in list(self.outbox))
        return waiting + sum(len(submission.futures) for submission in self._submissions.values())

    @property
    def is_full(self) -> bool:
        """Whether the next message has to wait until a submission was answered."""
        return len(self._submissions) >= MAX_UNACCEPTED or self._n_bytes >= MAX_UNACCEPTED_BYTES

    # what to say

    def take(self) -> list[Message]:
        """Return what may be sent now from the outbox."""
        messages: list[Message] = []
        outbox = self.outbox
        while outbox and not self.is_full:
            head = outbox[0]
            if isinstance(head, TaskFuture):
                messages += self._submit(head._template)
                continue
            outbox.popleft()
            if isinstance(head, Call):
                messages += self.ask(head)
            else:
                self.await_sent(head)
        return messages

    def await_sent(self, flush: Flush) -> None:
        """End `flush` when all submissions that were sent so far have been answered."""
        flush.up_to = self._next_seq
        self._flushes.append(flush)
        self._end_flushes()

    def ask(self, call: Call) -> list[Message]:
        """Return `call`'s message, to be sent past the outbox."""
        if call.answer.cancelled():
            return []
        call.seq = self.take_seq()
        self._calls[call.seq] = call
        return [call.message(self._first_unanswered())]

    def drop_call(self, seq: int) -> None:
        """Forget a call that will not be answered."""
        self._calls.pop(seq, None)

    def follow(self, future: TaskFuture, taskid: int) -> Call:
        """Return the call that makes `future`, of a task submitted elsewhere, end when the task does."""
        self.unfinished[taskid] = future
        return self._get_results((taskid,), private=False)

    def peek(self, future: TaskFuture, taskid: int) -> Call:
        """Return the call that ends `future` if its task has ended already, and else leaves it alone."""
        self._peeks[taskid] = future

        def forget(answer: Answer) -> list[Call]:
            self._peeks.pop(taskid, None)
            return []

        return Call(GetResults, {"taskids": (taskid,)}, on_answer=forget)

    def _submit(self, template: Template) -> list[Message]:
        """Take the submissions at the head of the outbox that share `template` into one message."""
        outbox = self.outbox
        submission = Submission(self._next_seq, template)
        futures, bodies, size = submission.futures, submission.bodies, 0
        while outbox and len(futures) < MAX_BATCH and size < MAX_SUBMIT_BYTES:
            future = outbox[0]
            if not isinstance(future, TaskFuture) or future._template is not template:
                break
            body = future._payload
            if future._state is PENDING and body is not None:  # else it was cancelled before it was sent
                larger = size + size_of(body)
                if futures and larger > MAX_SUBMIT_BYTES:
                    break
                size = larger
                future._place = submission
                future._payload = None
                futures.append(future)
                bodies.append(body)
            outbox.popleft()
        if not futures:
            return []
        self.take_seq()
        self._submissions[submission.seq] = submission
        submission.n_bytes = size
        self._n_bytes += size
        return self._messages_of(submission)

    def _messages_of(self, submission: Submission) -> list[Message]:
        """Return the message of `submission`, behind the code that it needs; nothing if it cannot succeed."""
        template = submission.template
        try:
            after = tuple([_reference(parent) for parent in template.after])
            inputs = tuple([_reference(parent) for parent in template.inputs])
        except DependencyFailed as error:
            self._pop_submission(submission.seq)
            for future in submission.futures:
                future._settle_with(error)
            self._end_flushes()
            return []
        messages: list[Message] = []
        for digest, body in template.defines:
            if digest not in self._defined:
                self._defined.add(digest)
                messages.append(Define(digest, body))
        messages.append(submission.message(self._first_unanswered(), after, inputs))
        return messages

    # connections come and go

    def resume(self, *, same_connection: bool = False) -> list[Message]:
        """Return all that is unanswered, and the question for all that is unfinished: for a new connection."""
        messages: list[Message] = []
        if same_connection:  # a `Release` may be among what did not arrive
            named = {digest for each in self._submissions.values() for digest, _ in each.template.defines}
            messages += self.release(tuple(self._defined - named))
        else:
            self._defined.clear()  # a Define has no answer, so it may be lost
        self._calls = {seq: call for seq, call in self._calls.items() if not call.private}
        for seq in sorted((*self._submissions, *self._calls)):
            submission = self._submissions.get(seq)
            if submission is not None:
                submission.resent = True
                messages += self._messages_of(submission)
            else:
                messages.append(self._calls[seq].message(self._first_unanswered()))
        return messages + self._watch_tasks(self.unfinished)

    def release(self, digests: tuple[bytes, ...]) -> list[Message]:
        """Define this code again before it is named; the controller may drop it now."""
        self._defined.difference_update(digests)
        self.on_release()
        return [Released(digests[i : i + MAX_IDS]) for i in range(0, len(digests), MAX_IDS)]

    def _watch_tasks(self, taskids: Iterable[int]) -> list[Message]:
        ids = tuple(taskids)
        messages: list[Message] = []
        for i in range(0, len(ids), MAX_IDS):
            messages += self.ask(self._get_results(ids[i : i + MAX_IDS], private=True))
        return messages

    def _get_results(self, taskids: tuple[int, ...], *, private: bool) -> Call:
        def on_answer(answer: Answer) -> list[Call]:
            return self._on_results(taskids, answer)

        return Call(GetResults, {"taskids": taskids, "watch": True}, on_answer=on_answer, private=private)

    def _on_results(self, taskids: tuple[int, ...], answer: Answer) -> list[Call]:
        """End what the controller does not know; ask again for the others, since it refuses them all together."""
        if not isinstance(answer, Refused):
            return []
        named = answer.value.get("taskids", ()) if isinstance(answer.value, dict) else ()
        unknown = set(named).intersection(taskids) or set(taskids)
        for taskid in unknown:
            future = self.unfinished.pop(taskid, None)
            if future is not None:
                future._settle_with(UnknownTask(f"task {taskid} is known no more: it was cleared", taskid=taskid))
        rest = tuple([taskid for taskid in taskids if taskid not in unknown and taskid in self.unfinished])
        return [self._get_results(rest, private=True)] if rest else []

    def give_up(self, error: Exception) -> None:
        """End everything that anybody waits for with `error`."""
        while self.outbox:
            item = self.outbox.popleft()
            if isinstance(item, TaskFuture):
                item._settle_with(error)
            else:
                item.settle(error)
        for submission in self._submissions.values():
            for future in submission.futures:
                future._settle_with(error)
        for future in (*self.unfinished.values(), *self._peeks.values()):
            future._settle_with(error)
        for call in self._calls.values():
            call.settle(error)
        for flush in self._flushes:
            flush.settle(error)
        self._n_bytes = 0
        for owed in (self._submissions, self.unfinished, self._peeks, self._calls, self._flushes, self.cancelling):
            owed.clear()

    # what the controller says

    def receive(self, message: Accepted | Reply | Refused | Ended) -> list[Message]:
        """Take in what the controller says."""
        match message:
            case Ended():
                self._on_ended(message)
                return []
            case Accepted():
                return self._on_accepted(message)
            case _:
                return self._on_answer(message)

    def _on_accepted(self, message: Accepted) -> list[Message]:
        submission = self._pop_submission(message.seq)
        if submission is None:
            return []  # the answer to a message that was sent twice
        ids = range(message.first, message.first + len(submission.futures))
        sent = submission.template.without_code()
        for taskid, future in zip(ids, submission.futures, strict=True):
            future._place = taskid
            future._template = sent  # who keeps futures is not to keep their code
            self.unfinished[taskid] = future
        self._end_flushes()
        # what ended between the first copy of the message and this answer was told to a connection that is gone
        return self._watch_tasks(ids) if submission.resent else []

    def _on_ended(self, message: Ended) -> None:
        ids, outputs, displays = message.ids, message.outputs, message.displays
        rows: Iterator[FactsRow] = zip(
            message.reasons,
            message.workers,
            message.attempts,
            message.submitted,
            message.seconds,
            repeat(message.completed),
            map(outputs.get, ids, repeat(())) if outputs else repeat(()),
            map(displays.get, ids, repeat(())) if displays else repeat(()),
            strict=False,  # the constants never end
        )
        take = self.unfinished.pop
        special = bool(self._peeks or self.cancelling)
        for taskid, payload, facts in zip(ids, message.values, rows, strict=True):
            future = take(taskid, None)
            if special:
                self._end_special(taskid, payload, facts, future)
            elif future is not None:  # else it is told again after a reconnect
                future._settle(FINISHED, payload, facts)

    def _end_special(self, taskid: int, payload: Payload, facts: FactsRow, future: TaskFuture | None) -> None:
        """End a task while somebody peeks or cancels."""
        for waiting in (future, self._peeks.get(taskid)):
            if waiting is None:
                continue
            if taskid in self.cancelling and facts[0] == Reason.ABORTED:
                waiting._settle(CANCELLED)
            else:
                waiting._settle(FINISHED, payload, facts)

    def _pop_submission(self, seq: int) -> Submission | None:
        """Return the submission that was sent under `seq`, which is not on its way any more."""
        submission = self._submissions.pop(seq, None)
        if submission is not None:
            self._n_bytes -= submission.n_bytes
        return submission

    def _on_answer(self, answer: Reply | Refused) -> list[Message]:
        submission = self._pop_submission(answer.seq)
        if submission is not None:
            error = error_of(answer) if isinstance(answer, Refused) else TypeError(f"not an answer: {answer}")
            for future in submission.futures:
                future._place = None
                future._settle_with(error)
            self._end_flushes()
            return []
        call = self._calls.pop(answer.seq, None)
        if call is None:
            return []
        more = call.on_answer(answer) if call.on_answer is not None else ()
        call.settle(answer)
        return [message for each in more for message in self.ask(each)]

    # numbers

    def take_seq(self) -> int:
        """Return the number of the next request."""
        seq = self._next_seq
        self._next_seq += 1
        return seq

    def _first_unanswered(self) -> int:
        """Return the first number that is not answered."""
        return min(_first(self._submissions, self._next_seq), _first(self._calls, self._next_seq))

    def _end_flushes(self) -> None:
        first = _first(self._submissions, self._next_seq)
        while self._flushes and self._flushes[0].up_to <= first:
            self._flushes.popleft().settle()


def _first(by_seq: Iterable[int], default: int) -> int:
    iterator: Iterator[int] = iter(by_seq)
    return next(iterator, default)


def _reference(parent: TaskFuture | int) -> TaskRef:
    """Return how the wire names `parent`: by id, or while it has none, by the message that it went out with."""
    if isinstance(parent, int):
        return parent
    place = parent._place
    if isinstance(place, int):
        return place
    if isinstance(place, Submission) and not parent.done():
        return place.seq, place.position(parent)
    raise DependencyFailed(f"{parent!r} ended before it was accepted, so nothing can come after it")

"""Bookkeeping of one client session: unsent and unanswered requests. No socket, no clock.

Rule 1: only the I/O thread touches a `SessionState`; other threads may append to `outbox`, and nothing else.
Rule 2: requests are sent in the order in which they were made, so a request covers all earlier submissions.
Rule 3: a sent request is kept until it is answered, and sent again, under its old number, over every new link.
Rule 4: an `Ended` may be lost with its link, so a new link begins with `resume`: it repeats the unanswered requests,
and asks for the results of all unfinished tasks.

Methods return the messages to send, in order.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat

from taskfc_ext.client.future.future import CANCELLED, FINISHED, PENDING, TaskFuture
from taskfc_ext.client.future.outcome import FactsRow, Raised
from taskfc_ext.client.future.template import Template
from taskfc_ext.client.session.gone import error_of_damage, error_without_result
from taskfc_ext.client.session.pending import Call, Flush, Submission, as_sent, reference_to, take_submissions
from taskfc_ext.client.session.replies import Answer, error_of
from taskfc_ext.client.session.size import FarmSize
from taskfc_ext.drivers.uploads import UploadedFile
from taskfc_ext.errors import DependencyFailed, StoreError, UnknownTask
from taskfc_ext.protocol.batches import chunks
from taskfc_ext.protocol.client_messages import (
    Accepted,
    Confirm,
    Confirmed,
    Define,
    Ended,
    GetResults,
    Refused,
    Released,
    Reply,
    TaskRef,
)
from taskfc_ext.protocol.limits import MAX_BATCH, MAX_IDS, MAX_OPEN_CALLS
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.payloads import Payload, Reason
from taskfc_ext.serialize import Received

MAX_UNACCEPTED = 64
"""Unanswered Submits. Enough to keep the controller busy; bounds the messages that a new link repeats."""

MAX_UNACCEPTED_BYTES = 64 * 2**20
"""Bytes of unanswered bodies: bounds the queues between this process and the controller."""

MAX_SUBMIT_BYTES = 8 * 2**20
"""Bytes of bodies in one Submit of several tasks: keeps a turn of the controller short."""


def _require_bytes(payload: Payload) -> bytes:
    assert isinstance(payload, bytes)
    return payload


class SessionState:
    """The bookkeeping of one session.

    Args:
        read_payload: returns the content of a received payload; by default there are none in files.

    Attributes:
        session: its name on the wire.
        outbox: unsent items: futures to submit, calls, flushes.
        unfinished: the future of every accepted task that has not ended.
        on_release: called when code that was defined here may be dropped, so that no copy needs to be kept.
        cancelling: tasks that `cancel` has asked to abort: their abort cancels the future.
        size: the size of the farm.
        controller_pid: that of the last controller that has greeted us.
        store_began: when the farm's store began, see `Welcome`; 0: not known.
    """

    def __init__(self, read_payload: Callable[[Payload], Received] = _require_bytes) -> None:
        self.session = os.urandom(8).hex()
        self.outbox: deque[TaskFuture | Call | Flush] = deque()
        self.unfinished: dict[int, TaskFuture] = {}
        self.cancelling: set[int] = set()
        self.size = FarmSize()
        self._read_payload = read_payload
        self.on_release: Callable[[], None] = lambda: None
        self._submissions: dict[int, Submission] = {}  # by seq, ascending
        self._calls: dict[int, Call] = {}  # by seq, ascending
        self._later: deque[Call] = deque()  # beyond as many as may be open
        self._flushes: deque[Flush] = deque()
        self._peeks: dict[int, list[TaskFuture]] = {}
        self._defined: set[bytes] = set()
        self._n_bytes = 0  # of unanswered bodies
        self._next_seq = 1
        self.store_began = 0.0
        self.controller_pid = 0

    # state

    @property
    def is_awaited(self) -> bool:
        """Whether there is an unsent or unanswered request, or an unfinished task."""
        return bool(self.outbox or self._submissions or self._calls or self._later or self.unfinished)

    @property
    def has_submissions(self) -> bool:
        """Whether any task has not been accepted yet."""
        return bool(self._submissions) or any(isinstance(item, TaskFuture) for item in list(self.outbox))

    @property
    def n_unaccepted(self) -> int:
        """Number of tasks that have not been accepted yet."""
        waiting = sum(isinstance(item, TaskFuture) and not item.done() for item in list(self.outbox))
        return waiting + sum(len(submission.futures) for submission in self._submissions.values())

    @property
    def is_full(self) -> bool:
        """Whether the next message has to wait for the answer to a submission."""
        return len(self._submissions) >= MAX_UNACCEPTED or self._n_bytes >= MAX_UNACCEPTED_BYTES

    # messages to send

    def take(self) -> list[Message]:
        """Take as much from the outbox as may be sent now."""
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
        """Return the message of `call`, which goes ahead of the outbox."""
        if call.answer.cancelled():
            return []
        if len(self._calls) >= MAX_OPEN_CALLS:
            self._later.append(call)
            return []
        call.seq = self.take_seq()
        self._calls[call.seq] = call
        return [call.message(self._first_unanswered())]

    def drop_call(self, seq: int) -> None:
        """Forget a call whose answer nobody waits for."""
        self._calls.pop(seq, None)

    def follow(self, future: TaskFuture, taskid: int) -> Call:
        """Return the call that lets `future`, of a task submitted elsewhere, end with its task."""
        self.unfinished[taskid] = future
        future._template.store_began = self.store_began
        return self._get_results((taskid,), private=False)

    def peek(self, future: TaskFuture, taskid: int) -> Call:
        """Return the call that ends `future` if its task has ended by now."""
        peeks = self._peeks.setdefault(taskid, [])
        peeks.append(future)

        def forget(answer: Answer) -> list[Call]:
            peeks.remove(future)
            if not peeks:
                del self._peeks[taskid]
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
            # one that was cancelled while unsent is left out
            if future._state is PENDING and isinstance(body, bytes | UploadedFile):
                larger = size + (len(body) if isinstance(body, bytes) else 0)
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
            after = tuple([self._reference(parent) for parent in template.after])
            inputs = tuple([self._reference(parent) for parent in template.inputs])
            defines = [(digest, as_sent(body)) for digest, body in template.defines if digest not in self._defined]
        except (DependencyFailed, StoreError, UnknownTask) as error:
            self._pop_submission(submission.seq)
            for future in submission.futures:
                future._settle_with(error)
            self._end_flushes()
            self.on_release()  # the next submission makes its code again
            return []
        messages: list[Message] = []
        for digest, body in defines:
            self._defined.add(digest)
            messages.append(Define(digest, body))
        messages.append(submission.message(self._first_unanswered(), after, inputs))
        return messages

    def _reference(self, parent: TaskFuture | int) -> TaskRef:
        if isinstance(parent, TaskFuture):
            parent.check_store(self.store_began)
        return reference_to(parent)

    # new links

    def resume(self, *, same_connection: bool = False) -> list[Message]:
        """Return the unanswered requests, and one for the results of the unfinished tasks, for a new link."""
        messages: list[Message] = []
        if same_connection:  # a `Release` may be among the lost messages
            named = {digest for each in self._submissions.values() for digest, _ in each.template.defines}
            messages += self.release(tuple(self._defined - named))
        else:
            self._defined.clear()  # a Define has no answer, so it may be lost
            self.on_release()  # of code that is not defined, nobody reports the end
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
        """Let the controller drop this code; it is defined again before it is named again."""
        self._defined.difference_update(digests)
        self.on_release()
        return [Released(part) for part in chunks(digests, MAX_IDS)]

    def _watch_tasks(self, taskids: Iterable[int]) -> list[Message]:
        messages: list[Message] = []
        for part in chunks(tuple(taskids), MAX_IDS):
            messages += self.ask(self._get_results(part, private=True))
        return messages

    def _get_results(self, taskids: tuple[int, ...], *, private: bool) -> Call:
        def on_answer(answer: Answer) -> list[Call]:
            return self._on_results(taskids, answer)

        return Call(GetResults, {"taskids": taskids, "watch": True}, on_answer=on_answer, private=private)

    def _on_results(self, taskids: tuple[int, ...], answer: Answer) -> list[Call]:
        """End the futures of unknown tasks; ask again for the others, as the controller refuses them all together."""
        if not isinstance(answer, Refused):
            return []
        named = answer.value.get("taskids", ()) if isinstance(answer.value, dict) else ()
        unknown = set(named).intersection(taskids) or set(taskids)
        for taskid in unknown:
            future = self.unfinished.pop(taskid, None)
            if future is not None:
                future._settle_with(error_without_result(answer, taskid))
        rest = tuple([taskid for taskid in taskids if taskid not in unknown and taskid in self.unfinished])
        return [self._get_results(rest, private=True)] if rest else []

    def give_up(self, error: Exception) -> None:
        """End all open waits with `error`."""
        self.store_began = 0.0  # the next farm may have a fresh store
        while self.outbox:
            item = self.outbox.popleft()
            if isinstance(item, TaskFuture):
                item._settle_with(error)
            else:
                item.settle(error)
        for submission in self._submissions.values():
            for future in submission.futures:
                future._settle_with(error)
        for future in (*self.unfinished.values(), *chain.from_iterable(self._peeks.values())):
            future._settle_with(error)
        for call in (*self._calls.values(), *self._later):
            call.settle(error)
        for flush in self._flushes:
            flush.settle(error)
        self._n_bytes = 0
        for owed in (self._submissions, self.unfinished, self._peeks, self._calls, self._later, self._flushes):
            owed.clear()
        self.cancelling.clear()

    def enter_store(self, began: float, make_error: Callable[[], Exception]) -> None:
        """Note when the farm's store began. All waits for another one end with an error, but for unsent submissions."""
        if self.store_began not in (0.0, began):
            unsent = take_submissions(self.outbox)
            self.give_up(make_error())
            self.outbox.extendleft(reversed(unsent))
        self.store_began = began

    # received messages

    def receive(self, message: Accepted | Reply | Refused | Ended | Confirm) -> list[Message]:
        """Handle a message of the controller."""
        match message:
            case Ended():
                self._on_ended(message)
                return []
            case Accepted():
                return self._on_accepted(message)
            case Confirm():
                return [Confirmed(message.number)]
            case _:
                return self._on_answer(message)

    def _on_accepted(self, message: Accepted) -> list[Message]:
        submission = self._pop_submission(message.seq)
        if submission is None:
            return []  # the second answer to a repeated message
        ids = range(message.first, message.first + len(submission.futures))
        sent = submission.template.without_code(self.store_began)
        for taskid, future in zip(ids, submission.futures, strict=True):
            future._place = taskid
            future._template = sent  # a kept future must not keep its code
            if taskid in self.unfinished:
                _end_with(future, self.unfinished[taskid])  # its id was known from elsewhere, and it was followed
            self.unfinished[taskid] = future
        self._end_flushes()
        # the ends between the first copy of the message and this answer were sent over a link that is gone
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
            elif future is None:
                pass  # a repeat after a reconnect
            elif type(payload) is bytes:
                future._settle(FINISHED, payload, facts)
            else:
                self._end_with_file(future, taskid, payload, facts)

    def _end_with_file(self, future: TaskFuture, taskid: int, payload: Payload, facts: FactsRow) -> None:
        try:
            future._settle(FINISHED, self._read_payload(payload), facts)
        except FileNotFoundError:
            future._settle(FINISHED, b"", facts)  # cleared at this moment
        except OSError as error:
            future._settle(FINISHED, facts=facts, value=Raised(error_of_damage(taskid, error)))

    def _end_special(self, taskid: int, payload: Payload, facts: FactsRow, future: TaskFuture | None) -> None:
        """End a task while a `peek` or a `cancel` is open."""
        for waiting in (future, *self._peeks.get(taskid, ())):
            if waiting is None:
                continue
            if taskid in self.cancelling and facts[0] == Reason.ABORTED:
                waiting._settle(CANCELLED)
            else:
                self._end_with_file(waiting, taskid, payload, facts)

    def _pop_submission(self, seq: int) -> Submission | None:
        """Remove and return the submission that was sent under `seq`."""
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
        messages = [message for each in more for message in self.ask(each)]
        while self._later and len(self._calls) < MAX_OPEN_CALLS:
            messages += self.ask(self._later.popleft())
        return messages

    # numbers

    def take_seq(self) -> int:
        """Return the number of the next request."""
        seq = self._next_seq
        self._next_seq += 1
        return seq

    def _first_unanswered(self) -> int:
        """Return the lowest number without an answer."""
        return min(_first(self._submissions, self._next_seq), _first(self._calls, self._next_seq))

    def _end_flushes(self) -> None:
        first = _first(self._submissions, self._next_seq)
        while self._flushes and self._flushes[0].up_to <= first:
            self._flushes.popleft().settle()


def _end_with(future: TaskFuture, other: TaskFuture) -> None:
    """Let `other`, which follows the task of `future`, end as `future` does."""

    def end(ended: TaskFuture) -> None:
        payload = ended._payload
        assert not isinstance(payload, UploadedFile)  # it was accepted
        other._settle(ended._state, payload, ended._facts, ended._value)

    if not future.call_at_end(end):
        end(future)


def _first(by_seq: Iterable[int], default: int) -> int:
    iterator: Iterator[int] = iter(by_seq)
    return next(iterator, default)

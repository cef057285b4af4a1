"""Pending submissions, calls and flushes."""

from __future__ import annotations

import concurrent.futures
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from taskfc_ext.client.future.answer import AnswerFuture
from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.future.template import Template
from taskfc_ext.client.session.replies import Answer
from taskfc_ext.drivers.connection_file import ConnectionInfo
from taskfc_ext.drivers.stops import was_stopped
from taskfc_ext.drivers.uploads import Sent, UploadedFile, in_message
from taskfc_ext.errors import DependencyFailed, StoreError
from taskfc_ext.protocol.client_messages import Request, Stop, Submit, TaskRef
from taskfc_ext.protocol.payloads import Payload

T = TypeVar("T")


def settle(future: concurrent.futures.Future[T], outcome: T | Exception) -> None:
    """Set the result of `future`, or the error in its place, unless its reader has cancelled the wait."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def asks_only_for_end(unsent: Iterable[object], running: ConnectionInfo | None, n_stops: int) -> bool:
    """Return whether all that is unsent asks to stop a farm that is ending already.

    Args:
        unsent: the outbox.
        running: the farm's processes.
        n_stops: how often it has been stopped by now.
    """
    is_ending = running is not None and was_stopped(running.n_stops, n_stops)
    return is_ending and all(isinstance(item, Call) and item.kind is Stop for item in list(unsent))


class Submission:
    """The tasks of one unanswered `Submit`; the place of their futures until they are accepted."""

    __slots__ = ("_positions", "bodies", "futures", "n_bytes", "resent", "seq", "template")

    def __init__(self, seq: int, template: Template) -> None:
        self.seq = seq
        self.template = template
        self.futures: list[TaskFuture] = []
        self.bodies: list[Sent] = []
        self.resent = False
        self.n_bytes = 0
        self._positions: dict[int, int] | None = None

    def position(self, future: TaskFuture) -> int:
        """Return the index of `future` among the tasks."""
        if self._positions is None:  # only dependent tasks need it
            self._positions = {id(each): i for i, each in enumerate(self.futures)}
        return self._positions[id(future)]

    def message(self, acked: int, after: tuple[TaskRef, ...], inputs: tuple[TaskRef, ...]) -> Submit:
        """Return the message, with references to the dependencies as of now."""
        assert self.template.spec is not None
        return Submit(
            seq=self.seq,
            acked=acked,
            spec=self.template.spec,
            bodies=tuple(map(in_message, self.bodies)),
            name=self.template.name,
            after=after,
            after_any=self.template.after_any,
            inputs=inputs,
            origin=self.template.origin,
        )


class Call:
    """Any other request, until its answer.

    Args:
        kind: the message's type.
        fields: its own fields.
        on_answer: called with the answer, before the caller gets it.
        private: no caller waits for it, and it is not repeated over a new link.
    """

    __slots__ = ("answer", "fields", "kind", "on_answer", "private", "seq")

    def __init__(
        self,
        kind: type[Request],
        fields: dict[str, Any],
        *,
        on_answer: Callable[[Answer], Sequence[Call]] | None = None,
        private: bool = False,
    ) -> None:
        self.kind = kind
        self.fields = fields
        self.on_answer = on_answer
        self.private = private
        self.seq = 0
        self.answer: AnswerFuture[Answer] = AnswerFuture()

    def message(self, acked: int) -> Request:
        """Return the message."""
        return self.kind(seq=self.seq, acked=acked, **self.fields)

    def settle(self, answer: Answer | Exception) -> None:
        """Set the answer, or the error in its place, unless its caller has cancelled the wait."""
        settle(self.answer, answer)


class Flush:
    """A mark in the outbox; done when all submissions before it have been answered."""

    __slots__ = ("done", "up_to")

    def __init__(self) -> None:
        self.up_to = 0
        self.done: AnswerFuture[None] = AnswerFuture()

    def settle(self, error: Exception | None = None) -> None:
        """End the wait."""
        settle(self.done, error)


def take_submissions(outbox: deque[TaskFuture | Call | Flush]) -> list[TaskFuture | Flush]:
    """Remove the submissions and flushes from an outbox, to which other threads may append meanwhile; return them."""
    unsent = [outbox.popleft() for _ in range(len(outbox))]
    outbox.extendleft([item for item in reversed(unsent) if isinstance(item, Call)])
    return [item for item in unsent if not isinstance(item, Call)]


def reference_to(parent: TaskFuture | int) -> TaskRef:
    """Return the wire's reference to `parent`: its id, or before that its place in an unanswered message."""
    if isinstance(parent, int):
        return parent
    place = parent._place
    if isinstance(place, int):
        return place
    if isinstance(place, Submission) and not parent.done():
        return place.seq, place.position(parent)
    if parent.is_held:
        raise DependencyFailed(f"{parent!r} waits in its executor, so only a task of that executor can depend on it")
    raise DependencyFailed(f"{parent!r} ended before it was accepted, so no task can depend on it")


def as_sent(code: Sent) -> Payload:
    """Return code as its message has it.

    Raises:
        StoreError: its file is gone.
    """
    if isinstance(code, UploadedFile) and not code.exists:
        raise StoreError("the file with the task's code is gone", hint="submit again; the code is written again")
    return in_message(code)

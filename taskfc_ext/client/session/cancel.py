"""`cancel` and `abort` of a future: decided here if the task is unsent, else by the controller."""

from __future__ import annotations

import concurrent.futures

from taskfc_ext.client.future.answer import AnswerFuture
from taskfc_ext.client.future.future import CANCELLED, HELD, TaskFuture
from taskfc_ext.client.session.bookkeeping import SessionState
from taskfc_ext.client.session.connection import Connection
from taskfc_ext.client.session.pending import Call, Flush, settle
from taskfc_ext.client.session.replies import Answer, value_of
from taskfc_ext.errors import TaskAborted, UnknownTask
from taskfc_ext.protocol.client_messages import Abort


class CancelRequest:
    """A request to cancel or abort one task. Its methods run in the I/O thread.

    Args:
        future: the task's future.
        cancelling: cancel the future, which is possible only before the task starts; else abort the task.

    Attributes:
        verdict: whether the task was cancelled or aborted.
    """

    def __init__(self, state: SessionState, connection: Connection, future: TaskFuture, *, cancelling: bool) -> None:
        self._state = state
        self._connection = connection
        self._future = future
        self._cancelling = cancelling
        self.verdict: AnswerFuture[bool] = AnswerFuture()

    def begin(self) -> None:
        """Decide if the task is unsent, else ask the controller."""
        future, place = self._future, self._future._place
        if future.done() and (self._cancelling or not future.is_given_up):
            self._too_late()
        elif place is None or place is HELD:
            if self._cancelling:
                future._settle(CANCELLED)
            else:
                future._settle_with(TaskAborted("the task was aborted before it was sent"))
            settle(self.verdict, True)
        elif isinstance(place, int):
            try:
                future.check_store(self._state.store_began)
            except UnknownTask as error:
                settle(self.verdict, error)
            else:
                self._ask(place)
        else:  # sent: it has an id once its message is answered
            flush = Flush()
            self._state.await_sent(flush)
            flush.done.add_done_callback(lambda _: self.begin())

    def _ask(self, taskid: int) -> None:
        if self._cancelling:
            self._state.cancelling.add(taskid)
        call = Call(Abort, {"taskid": taskid, "queued_only": self._cancelling})
        call.answer.add_done_callback(lambda answer: self._on_answer(taskid, answer))
        self._connection.ask(call)

    def _on_answer(self, taskid: int, answer: concurrent.futures.Future[Answer]) -> None:
        try:
            was_stopped = bool(value_of(answer.result()))
        except UnknownTask as error:
            settle(self.verdict, False if self._cancelling else error)
        except Exception as error:  # noqa: BLE001 - it is raised where the verdict is waited for
            settle(self.verdict, error)
        else:
            if was_stopped and self._cancelling:
                # the task's end may have come first, and have cancelled the future
                was_stopped = self._future._settle(CANCELLED) or self._future.cancelled()
            settle(self.verdict, was_stopped)
        if self._cancelling:  # a later abort is no cancellation
            self._state.cancelling.discard(taskid)

    def _too_late(self) -> None:
        if self._cancelling:
            settle(self.verdict, self._future.cancelled())
        else:
            taskid = self._future.taskid
            settle(self.verdict, UnknownTask(f"task {taskid} has ended already", taskid=taskid))

"""`cancel` and `abort` of a future: decided here if the task was never sent, else by the controller."""

from __future__ import annotations

import concurrent.futures

from taskfc_ext.client.future.future import CANCELLED, TaskFuture
from taskfc_ext.client.session.bookkeeping import SessionState
from taskfc_ext.client.session.connection import Connection
from taskfc_ext.client.session.pending import Call, Flush
from taskfc_ext.client.session.replies import Answer, value_of
from taskfc_ext.errors import TaskAborted, UnknownTask
from taskfc_ext.protocol.client_messages import Abort


class CancelRequest:
    """Takes one task back. `begin` and all that follows happen in the I/O thread.

    Args:
        future: the task.
        cancelling: only if it has not started; and then the future is cancelled, not aborted.

    Attributes:
        verdict: whether it was taken back.
    """

    def __init__(self, state: SessionState, connection: Connection, future: TaskFuture, *, cancelling: bool) -> None:
        self._state = state
        self._connection = connection
        self._future = future
        self._cancelling = cancelling
        self.verdict: concurrent.futures.Future[bool] = concurrent.futures.Future()

    def begin(self) -> None:
        """Decide if the task was never sent, else ask."""
        future, place = self._future, self._future._place
        if future.done():
            self._too_late()
        elif place is None:
            if self._cancelling:
                future._settle(CANCELLED)
            else:
                future._settle_with(TaskAborted("the task was aborted before it was sent"))
            self._end(True)
        elif isinstance(place, int):
            self._ask(place)
        else:  # on its way: it has an id once that message is answered
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
            taken_back = bool(value_of(answer.result()))
        except UnknownTask as error:
            self._end(False if self._cancelling else error)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for the verdict
            self._end(error)
        else:
            if taken_back and self._cancelling:
                # the task's end may have come first, and then this is what it was told as
                taken_back = self._future._settle(CANCELLED) or self._future.cancelled()
            self._end(taken_back)
        if self._future.done():
            self._state.cancelling.discard(taskid)

    def _too_late(self) -> None:
        if self._cancelling:
            self._end(self._future.cancelled())
        else:
            taskid = self._future.taskid
            self._end(UnknownTask(f"task {taskid} has ended already", taskid=taskid))

    def _end(self, verdict: bool | Exception) -> None:
        if not self.verdict.set_running_or_notify_cancel():
            return
        if isinstance(verdict, Exception):
            self.verdict.set_exception(verdict)
        else:
            self.verdict.set_result(verdict)

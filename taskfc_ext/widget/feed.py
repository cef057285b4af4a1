"""Feed of the queue views in a notebook: it sends them the queue, and answers their requests.

It subscribes to the farm in a thread of its own and sends from there, so views are live while a cell runs. Requests of
views arrive on a subshell of the kernel (ipykernel 7), or when the cell has ended, and are passed to that thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from taskfc_ext.client.farm.interface import Farm
from taskfc_ext.client.session.io_thread import IOThread
from taskfc_ext.client.session.subscriber import News, Subscriber
from taskfc_ext.errors import TaskFCError
from taskfc_ext.protocol.snapshots import FarmState, FarmStatus, QueueDelta
from taskfc_ext.text import one_line
from taskfc_ext.version import __version__
from taskfc_ext.view.commands import Ask, explain_mismatch
from taskfc_ext.view.details import task_details
from taskfc_ext.view.messages import AnyCommand, CommandAnswer, Farms, ViewQuestion, Watch
from taskfc_ext.view.view_model import QueueModel, merge

logger = logging.getLogger(__name__)

BYTES_PER_SECOND = 300_000
"""Rate of the messages of one widget; Jupyter's server drops the output of a kernel that sends a million."""

QUIET_AFTER = 300.0
"""Seconds without a message from a view, after which no page seems to be open. Jupyter's server keeps messages for
closed pages, so a widget that went on would fill its memory by the morning."""

QUIET_PACE = 10.0
"""Seconds between messages then: a page may still be open, as a kernel without subshells receives nothing in a cell."""

CarryOut = Callable[[AnyCommand, Ask], Awaitable[CommandAnswer]]
"""Carries out a command, in the notebook's own way where it has one; `ask` asks the controller. Runs in our loop."""


class DetailsWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request for everything about this task, without its outputs if they are of the version `known`.

    `source`: with its source.
    """

    taskid: int
    known: str = ""
    source: bool = False


class QueueQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A view's message to the kernel, other than `Watch`: a numbered command, or a numbered request for details.

    It is answered twice: by `{"number": n, "heard": true}` at once, and by `{"number": n, "answer" | "details": ...}`,
    or `{"number": n, "problem": "a sentence"}`. Without a number it is a sign of life: a view in an open page sends
    `{"looking": true}` far more often than `QUIET_AFTER`.
    """

    number: int | None = None
    looking: bool = False
    command: AnyCommand | None = None
    details: DetailsWanted | None = None


def problem_of(error: Exception, what: object) -> str:
    """Return the line for a view about an error, which is logged unless it is one of ours. Called in its `except`."""
    if isinstance(error, TaskFCError):
        return one_line(error)
    logger.exception("%s failed", what)
    return one_line(f"{type(error).__name__}: {error}")


class Feed:
    """Follows one farm until it is closed, for any number of views.

    Args:
        farm: the farm.
        send: sends a message to all views; called in our thread, and in the thread of `receive`.
        carry_out: carries out commands.
        on_identity: called with the identity of the farm's processes, at each change.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        farm: Farm,
        send: Callable[[dict[str, Any]], None],
        carry_out: CarryOut,
        *,
        on_identity: Callable[[str], None] = lambda identity: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._carry_out = carry_out
        self._on_identity = on_identity
        self._clock = clock
        self._model = QueueModel()
        self._received_at = clock()
        self._news_at = clock()
        self._free_at = 0.0  # when the bytes sent so far are within the rate
        self._seq = 0  # of the last message to the views
        self._waiting: QueueDelta | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._thread = IOThread("taskfc-queue")
        self._loop = self._thread.loop
        self._subscriber = Subscriber(self._loop, farm, self._on_news, version=__version__, label="queue widget")
        # in the context of this cell: without one, ipykernel 7.0 knows no parent message in a thread
        self._loop.call_soon_threadsafe(self._subscriber.start, context=contextvars.copy_context())

    def close(self) -> None:
        """Close the subscription; nothing is sent after this."""
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(timeout=5)
            self._thread.stop()

    # messages of the farm, in our thread

    def _on_news(self, news: News) -> None:
        if isinstance(news, FarmStatus):
            self._on_identity(news.identity)
            self._send_struct(Farms(farms=(news,), version=__version__))
            return
        self._news_at = self._clock()
        if not self._model.apply(news):  # the subscriber leaves no gaps
            self._subscriber.watch()
        elif isinstance(news, QueueDelta):
            self._waiting = news if self._waiting is None else merge(self._waiting, news)
            self._send_waiting()
        else:
            self._send_all()

    @property
    def _is_quiet(self) -> bool:
        return self._clock() - self._received_at > QUIET_AFTER

    def _send_waiting(self) -> None:
        """Send the waiting delta, now or when the rate allows."""
        if self._waiting is None or self._timer is not None:
            return
        pause = max(self._free_at - self._clock(), QUIET_PACE if self._is_quiet else 0.0)
        if pause > 0:
            self._timer = self._loop.call_later(pause, self._send_now)
        else:
            self._send_now()

    def _send_now(self) -> None:
        self._stop_timer()
        delta, self._waiting = self._waiting, None
        if delta is not None:
            self._send_next(delta)

    def _send_all(self) -> None:
        """Send the whole queue, for a view that has nothing."""
        self._stop_timer()
        self._waiting = None
        self._send_struct(Farms(farms=(self._subscriber.status,), version=__version__))
        is_live = self._subscriber.status.state is FarmState.LIVE
        for message in self._model.messages(self._clock() - self._news_at if is_live else 0.0):
            self._send_next(message)

    def _send_next(self, message: Any) -> None:
        self._seq += 1
        self._send_struct(msgspec.structs.replace(message, seq=self._seq))

    def _send_struct(self, message: msgspec.Struct) -> None:
        body = msgspec.json.encode(message)
        self._free_at = max(self._free_at, self._clock()) + len(body) / BYTES_PER_SECOND
        self._send(msgspec.json.decode(body))

    # messages of a view, in any thread of the kernel

    def receive(self, content: object) -> None:
        """Handle a message of a view. Invalid messages have no effect, nor has any after the end."""
        if self._loop.is_closed():
            return
        was_quiet = self._is_quiet
        self._received_at = self._clock()
        try:
            if isinstance(content, dict) and "ask" in content:
                if isinstance(msgspec.convert(content, ViewQuestion), Watch):
                    self._loop.call_soon_threadsafe(self._send_all)
                return
            question = msgspec.convert(content, QueueQuestion)
        except msgspec.ValidationError as error:
            logger.warning("a view of the queue sent an invalid message: %s", error)
            return
        if was_quiet:  # the page may have slept as well, and have lost messages
            self._loop.call_soon_threadsafe(self._send_all)
        if question.number is None or (question.command is None and question.details is None):
            return
        self._send({"number": question.number, "heard": True})
        asyncio.run_coroutine_threadsafe(self._answer(question), self._loop)

    async def _answer(self, question: QueueQuestion) -> None:
        """Answer a view, with the problem if there is one."""
        try:
            answer = await self._make_answer(question)
        except Exception as error:  # noqa: BLE001  the edge of a thread: the page has to report it
            answer = {"problem": problem_of(error, question)}
        self._send({"number": question.number, **answer})

    async def _make_answer(self, question: QueueQuestion) -> dict[str, Any]:
        if question.details is not None:
            wanted = question.details
            details = await task_details(wanted.taskid, wanted.known, self._subscriber.ask, with_source=wanted.source)
            # through JSON, as all messages: outputs of a task may have a NaN, which JSON has not
            return {"details": msgspec.json.decode(msgspec.json.encode(details))}
        assert question.command is not None
        status = self._subscriber.status
        why_not = explain_mismatch(question.command, status.name, status.identity)
        if why_not:
            return {"problem": why_not}
        answer = await self._carry_out(question.command, self._subscriber.ask)
        return {"answer": msgspec.to_builtins(answer, str_keys=True)}

    # the end

    async def _end(self) -> None:
        self._stop_timer()
        self._subscriber.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

"""What the views of a queue in a notebook are sent, and how they are answered.

What the controller says is read in a thread of its own and sent from there, so views are live while a cell runs. What
they ask arrives on a subshell of the kernel (ipykernel 7), or when the cell has ended, and is handed to that thread.
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
from taskfc_ext.view.commands import Ask, why_not_meant
from taskfc_ext.view.details import task_details
from taskfc_ext.view.messages import AnyCommand, CommandAnswer, Farms, ViewQuestion, Watch
from taskfc_ext.view.view_model import QueueModel, merged

logger = logging.getLogger(__name__)

BYTES_PER_SECOND = 300_000
"""What the messages of one widget may add up to; Jupyter's server drops the output of a kernel that sends a million."""

QUIET_AFTER = 300.0
"""Seconds without a word from a view, after which nobody seems to look. Jupyter's server keeps messages for a page
that is closed, so a widget that went on would fill its memory by the morning."""

QUIET_PACE = 10.0
"""Seconds between messages then: a kernel without subshells hears nothing while a cell runs, and somebody may look."""

CarryOut = Callable[[AnyCommand, Ask], Awaitable[CommandAnswer]]
"""Has a command done, in the notebook's own way where it has one; `ask` asks the controller. Runs in our loop."""


class DetailsWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything about this task, but its outputs if they are of the version `known`."""

    taskid: int
    known: str = ""


class QueueQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a view says to the kernel, but for `Watch`: a numbered command, or a numbered question for details.

    It is answered twice: by `{"number": n, "heard": true}` at once, and by `{"number": n, "answer" | "details": ...}`,
    or `{"number": n, "problem": "a sentence"}`. Without a number it says that somebody looks: a view in a page says
    `{"looking": true}` far more often than `QUIET_AFTER`.
    """

    number: int | None = None
    looking: bool = False
    command: AnyCommand | None = None
    details: DetailsWanted | None = None


class Feed:
    """Follows one farm until it is closed, for any number of views.

    Args:
        farm: whose queue.
        send: sends a message to all views; called in our thread, and in that in which a view is heard.
        carry_out: has commands done.
        on_identity: called with what names the farm's processes, whenever these are others.
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
        self._free_at = 0.0  # when as many bytes may have been sent as were
        self._seq = 0  # of the last message to the views: theirs have numbers of their own
        self._waiting: QueueDelta | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._thread = IOThread("taskfc-queue")
        self._loop = self._thread.loop
        self._subscriber = Subscriber(self._loop, farm, self._on_news, version=__version__, label="queue widget")
        # in the context of this cell: without one, ipykernel 7.0 knows no parent message in a thread
        self._loop.call_soon_threadsafe(self._subscriber.start, context=contextvars.copy_context())

    def close(self) -> None:
        """Stop following; nothing is sent any more."""
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(timeout=5)
            self._thread.stop()

    # what the farm says, in our thread

    def _on_news(self, news: News) -> None:
        if isinstance(news, FarmStatus):
            self._on_identity(news.identity)
            self._send_struct(Farms(farms=(news,), version=__version__))
            return
        self._news_at = self._clock()
        if not self._model.apply(news):  # the viewer sees to it that there are no gaps
            self._subscriber.watch()
        elif isinstance(news, QueueDelta):
            self._waiting = news if self._waiting is None else merged(self._waiting, news)
            self._send_waiting()
        else:
            self._send_all()

    @property
    def _is_quiet(self) -> bool:
        return self._clock() - self._received_at > QUIET_AFTER

    def _send_waiting(self) -> None:
        """Send the delta that waits, now or when it may be sent."""
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
        """Send what brings a view up to date that knows nothing."""
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

    # what a view says, on whichever thread the kernel hears it

    def receive(self, content: object) -> None:
        """Take in what a view says. What is not understood has no effect, nor has what comes too late."""
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
            logger.warning("a view of the queue says what is not understood: %s", error)
            return
        if was_quiet:  # the page may have slept as well, and lost what was sent meanwhile
            self._loop.call_soon_threadsafe(self._send_all)
        if question.number is None or (question.command is None and question.details is None):
            return
        self._send({"number": question.number, "heard": True})
        asyncio.run_coroutine_threadsafe(self._answer(question), self._loop)

    async def _answer(self, question: QueueQuestion) -> None:
        """Answer a view; whatever goes wrong is told to it."""
        try:
            said = await self._make_answer(question)
        except TaskFCError as error:
            said = {"problem": one_line(error)}
        except Exception as error:  # the edge of a thread: whoever clicked is to know
            logger.exception("%s failed", question)
            said = {"problem": one_line(f"{type(error).__name__}: {error}")}
        self._send({"number": question.number, **said})

    async def _make_answer(self, question: QueueQuestion) -> dict[str, Any]:
        if question.details is not None:
            details = await task_details(question.details.taskid, question.details.known, self._subscriber.ask)
            # through JSON, as all that is sent: what a task shows may have a NaN, which is none
            return {"details": msgspec.json.decode(msgspec.json.encode(details))}
        assert question.command is not None
        status = self._subscriber.status
        why_not = why_not_meant(question.command, status.name, status.identity)
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

"""Subscriber to a farm's queue: one object under the widget, the Jupyter server and `FCTaskClient.watch`.

It has a session and a connection of its own. It sends requests too, but no code, and never starts a farm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from taskfc_ext.client.farm.interface import Farm
from taskfc_ext.client.farm.status import describe_absence
from taskfc_ext.client.future.waiting import ANSWER_WITHIN, no_answer_error
from taskfc_ext.client.session.bookkeeping import SessionState
from taskfc_ext.client.session.connection import PING_AFTER, Connection
from taskfc_ext.client.session.greeting import make_hello
from taskfc_ext.client.session.pending import Call
from taskfc_ext.client.session.replies import value_of
from taskfc_ext.drivers.connection_file import identity_of
from taskfc_ext.errors import ControllerUnavailable
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import Changed, Request, Unwatch, Watch, Watching
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.snapshots import Counts, FarmState, FarmStatus, QueueDelta, QueueSnapshot
from taskfc_ext.text import sentence

News = QueueSnapshot | QueueDelta | FarmStatus
"""Messages of a subscription."""


class Subscriber:
    """Follows one farm across its deaths and returns. All methods belong to the loop's thread.

    Args:
        loop: the event loop that its socket is read in.
        farm: the farm.
        on_news: called with a `FarmStatus` when the farm's state has changed; with a `QueueSnapshot`, and from then on
            with deltas without a gap. After a gap there is another snapshot.
        version: ours, for the greeting.
        label: the controller lists this session under it.
        watch: whether the queue is wanted; else there are statuses only, and `ask`.
        ping_after: see `connection.PING_AFTER`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        farm: Farm,
        on_news: Callable[[News], None],
        *,
        version: str,
        label: str = "",
        watch: bool = True,
        ping_after: float = PING_AFTER,
    ) -> None:
        self._loop = loop
        self._farm = farm
        self._on_news = on_news
        self._is_wanted = watch
        self._watch_seq = 0  # of the `Watch` that is not answered yet
        self._delta_seq: int | None = None  # of the last snapshot or delta; `None`: there is no snapshot
        self._status = FarmStatus(name=farm.name, state=FarmState.CONNECTING)
        self._state = SessionState()
        greeting = make_hello(self._state.session, version=version, label=label, viewer=True)
        self._connection = Connection(loop, farm, self._state, greeting, self, ping_after=ping_after)

    @property
    def status(self) -> FarmStatus:
        """The farm's state now; the counts are those of the last snapshot or delta."""
        return self._status

    def start(self) -> None:
        """Begin to look for the farm."""
        self._connection.start()

    def close(self) -> None:
        """Close the connection. Nothing is called any more, and open requests end with `ControllerUnavailable`."""
        self._connection.close(ControllerUnavailable(f"this subscription to farm {self._farm.name!r} is closed"))

    def watch(self) -> None:
        """Subscribe to the queue, or ask for its snapshot again."""
        self._is_wanted = True
        self._connection.send(self.resume())

    def unwatch(self) -> None:
        """End the subscription; statuses and `ask` go on."""
        self._is_wanted = False
        self._delta_seq, self._watch_seq = None, 0
        self._connection.send([Unwatch(self._state.take_seq())])

    async def ask(self, kind: type[Request], **fields: Any) -> Any:
        """Send a request; return the plain data of its answer. A controller that dies meanwhile is asked again.

        Args:
            kind: the type of the request.
            **fields: its own fields.

        Raises:
            ControllerUnavailable: there is no controller; the text is the status's.
            ControllerLost: no answer came in time.
            TaskFCError: the request was refused.
        """
        if not self._connection.can_ask:
            raise self._unavailable_error()
        call = Call(kind, fields)
        codec.check_sendable(call.message(0))
        ended: asyncio.Future[None] = self._loop.create_future()
        call.answer.add_done_callback(lambda _: None if ended.done() else ended.set_result(None))
        self._connection.ask(call)
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                await ended
        except TimeoutError:
            raise no_answer_error(self._farm.name) from None
        finally:
            call.answer.cancel()
            self._state.drop_call(call.seq)
        return value_of(call.answer.result(), for_python=False)

    # the observer of the connection

    def on_connecting(self) -> None:
        """Report that the farm does not answer yet; one that was lost is `lost` until it is back."""
        is_lost = self._status.state is FarmState.CONNECTING and self._status.message
        self._become(
            FarmState.CONNECTING,
            self._status.message if is_lost else f"Farm {self._farm.name} is there and does not answer yet.",
        )

    def on_live(self) -> None:
        """Report that the farm answers."""
        self._become(FarmState.LIVE, "")

    def on_silent(self) -> None:
        """Report that the farm has stopped to answer."""
        self._become(FarmState.CONNECTING, f"Farm {self._farm.name} is there and does not answer now.")

    def on_lost(self) -> None:
        """Report that the connection broke."""
        self._forget_snapshot()
        self._become(FarmState.CONNECTING, f"Farm {self._farm.name} was lost and should be back in a second.")

    def on_down(self, state: FarmState, error: Exception) -> Exception:
        """Report that the farm cannot be reached; return the error that ends open requests."""
        self._forget_snapshot()
        is_absent = state in (FarmState.STOPPED, FarmState.DEAD)
        stopped = state is FarmState.STOPPED
        self._become(state, describe_absence(self._farm, stopped=stopped) if is_absent else sentence(error))
        return self._unavailable_error()

    def resume(self) -> Sequence[Message]:
        """Return the request for the snapshot, if the queue is wanted."""
        if not self._is_wanted:
            return []
        self._delta_seq = None
        self._watch_seq = self._state.take_seq()
        return [Watch(self._watch_seq)]

    def receive(self, message: Watching | Changed) -> Sequence[Message]:
        """Pass a snapshot or a delta on; after a gap return the request for another snapshot."""
        if isinstance(message, Watching):
            if message.seq == self._watch_seq:  # else it answers an earlier request
                self._watch_seq = 0
                self._pass_on(message.snapshot)
        elif self._delta_seq is not None:  # else the snapshot that was asked for will have it
            if message.delta.seq != self._delta_seq + 1:
                return self.resume()
            self._pass_on(message.delta)
        return []

    # inside

    def _pass_on(self, news: QueueSnapshot | QueueDelta) -> None:
        self._delta_seq = news.seq
        facts = {"counts": news.counts, "n_workers": news.n_workers, "engine": news.engine, "no_room": news.no_room}
        self._status = msgspec.structs.replace(self._status, **facts)
        self._on_news(news)

    def _become(self, state: FarmState, message: str) -> None:
        info, before = self._connection.info, self._status
        identity = identity_of(info) if info is not None else ""
        self._status = msgspec.structs.replace(
            before,
            state=state,
            message=message,
            identity=identity,
            python=info.python if info is not None else "",
            in_memory=info is not None and bool(info.memory),
            counts=self._counts(state),
        )
        if (before.state, before.message, before.identity) != (state, message, identity):
            self._on_news(self._status)

    def _counts(self, state: FarmState) -> Counts | None:
        """Return the counts that may still be shown."""
        return self._status.counts if state in (FarmState.LIVE, FarmState.CONNECTING) else None

    def _forget_snapshot(self) -> None:
        self._delta_seq, self._watch_seq = None, 0

    def _unavailable_error(self) -> ControllerUnavailable:
        return ControllerUnavailable(self._status.message or f"farm {self._farm.name!r} is not there")

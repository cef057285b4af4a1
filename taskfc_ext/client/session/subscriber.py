"""Following a controller's queue without being its client: looks and steers, sends no code, brings nothing back.

    ABSENT --its processes are there--> CONNECTING --Welcome--> SERVING --the connection breaks--> CONNECTING
    any phase --its processes are gone, or it was stopped--> ABSENT
    any phase --close--> CLOSED

A viewer never starts a farm: it looks now and then whether somebody else has. A controller that serves and falls silent
is asked for a sign of life, since one that stands still keeps its connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Any

import msgspec

from taskfc_ext.client.farm.interface import Farm
from taskfc_ext.client.farm.status import look_at, why_absent
from taskfc_ext.client.session.connection import hello
from taskfc_ext.client.session.link import Link
from taskfc_ext.client.session.replies import error_of, value_of
from taskfc_ext.drivers.connection_file import ConnectionInfo, identity_of
from taskfc_ext.errors import ControllerLost, ControllerUnavailable, ProtocolError
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import (
    Changed,
    ControllerMessage,
    ErrorKind,
    Ping,
    Refused,
    Reply,
    Request,
    Resync,
    Stopping,
    Unwatch,
    Watch,
    Watching,
    Welcome,
)
from taskfc_ext.protocol.snapshots import Counts, FarmState, FarmStatus, QueueDelta, QueueSnapshot
from taskfc_ext.text import sentence

ANSWER_WITHIN = 10.0
"""Seconds that a question waits for its answer; a controller that died is back in one."""

LOOK_EVERY = 1.0
"""Seconds between looks at a farm that is not there. Each reads a small file or two."""

PATIENCE = 3.0
"""Seconds of silence until a controller is asked for a sign of life, and for which that is waited for; the longest
turns of a busy one take a tenth of a second."""

_LOOK_SOON = 0.1
"""Seconds between looks at one whose processes are there and which does not answer yet."""

News = QueueSnapshot | QueueDelta | FarmStatus


class Phase(Enum):
    """Where the viewer stands."""

    ABSENT = auto()
    CONNECTING = auto()
    SERVING = auto()
    CLOSED = auto()


class Viewer:
    """Follows one controller across its deaths and returns. All methods belong to the loop's thread.

    Args:
        loop: the loop that its socket is read in.
        farm: who is followed.
        on_news: called with a `FarmStatus` when it has become another one, with a `QueueSnapshot`, and from then on
            with the deltas, without a gap, or with another snapshot.
        version: ours, for the greeting.
        label: how the controller lists this viewer.
        watch: whether the queue is wanted; else only the status is told, and `ask` can be used.
        patience: see `PATIENCE`.
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
        patience: float = PATIENCE,
    ) -> None:
        self._loop = loop
        self._farm = farm
        self._on_news = on_news
        self._hello = hello(version=version, label=label, viewer=True)
        self._wanted = watch
        self._patience = patience
        self._n_silent = 0  # times that `_listen` has found that nothing was said
        self._phase = Phase.ABSENT
        self._info: ConnectionInfo | None = None
        self._refused = ""  # the identity of the processes that do not want us
        self._link: Link | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._next_seq = 1
        self._asked: dict[int, tuple[Request, asyncio.Future[Any]]] = {}
        self._watch_seq = 0  # of the `Watch` that is not answered yet
        self._delta_seq: int | None = None  # of the last snapshot or delta; `None`: there is no snapshot
        self._status = FarmStatus(name=farm.name, state=FarmState.CONNECTING)

    @property
    def status(self) -> FarmStatus:
        """How the farm is now; the counts are those of the last snapshot or delta."""
        return self._status

    def start(self) -> None:
        """Begin to look for the farm."""
        self._look()

    def close(self) -> None:
        """End it. Nothing is called any more, and open questions end with `ControllerUnavailable`."""
        self._phase = Phase.CLOSED
        self._leave()
        self._fail(ControllerUnavailable(f"this view of farm {self._farm.name!r} is closed"))

    def watch(self) -> None:
        """Ask for the queue, or for its snapshot again."""
        self._wanted = True
        if self._phase is Phase.SERVING:
            self._send_watch()

    def unwatch(self) -> None:
        """Ask for no more of the queue."""
        self._wanted = False
        self._delta_seq, self._watch_seq = None, 0
        if self._phase is Phase.SERVING and self._link is not None:
            self._link.send([Unwatch(self._take_seq())])

    async def ask(self, kind: type[Request], **fields: Any) -> Any:
        """Send a request; return the plain data of its answer. A controller that dies meanwhile is asked again.

        Args:
            kind: the type of the request.
            **fields: its own fields.

        Raises:
            ControllerUnavailable: there is no controller; the text is the status's.
            ControllerLost: no answer came in time.
            TaskFCError: it was refused.
        """
        if self._phase in (Phase.ABSENT, Phase.CLOSED):
            raise self._unavailable()
        request = kind(seq=self._take_seq(), acked=min(self._asked, default=self._next_seq - 1), **fields)
        codec.encode([request])  # what cannot travel is an error here; there it would end the connection
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._asked[request.seq] = request, answer
        if self._phase is Phase.SERVING and self._link is not None:
            self._link.send([request])
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                return value_of(await answer)
        except TimeoutError:
            text = f"farm {self._farm.name!r} has not answered for {ANSWER_WITHIN:.0f} s"
            raise ControllerLost(text, hint="what it had accepted is in its store") from None
        finally:
            self._asked.pop(request.seq, None)

    # looking for it

    def _look(self) -> None:
        """Find out whether the farm is there, and connect if it is and we are not."""
        self._stop_timer()
        if self._phase in (Phase.SERVING, Phase.CLOSED):
            return
        info, status = look_at(self._farm)
        if info is None:
            self._be_absent(status.state, status.message)
        elif identity_of(info) == self._refused:
            self._look_again(LOOK_EVERY)
        elif self._link is None or self._info is None or info.clients != self._info.clients:
            self._connect(info)
        else:
            self._look_again(_LOOK_SOON)

    def _connect(self, info: ConnectionInfo) -> None:
        self._leave()
        self._phase = Phase.CONNECTING
        self._info = info
        said_before = self._status.message if self._status.state is FarmState.CONNECTING else ""
        message = said_before or f"Farm {self._farm.name} is there and does not answer yet."
        self._become(FarmState.CONNECTING, message)  # of one that was lost, that stands until it is back
        self._link = Link(self._loop, Path(info.clients), self._on_messages, self._on_lost)
        self._link.send([self._hello])
        self._look_again(_LOOK_SOON)

    def _be_absent(self, state: FarmState, message: str) -> None:
        self._leave()
        self._phase = Phase.ABSENT
        self._info = None
        self._become(state, message)
        self._fail(self._unavailable())
        self._look_again(LOOK_EVERY)

    # what happens on the link

    def _on_messages(self, messages: Sequence[ControllerMessage]) -> None:
        self._n_silent = 0
        if self._phase is Phase.SERVING:
            self._become(FarmState.LIVE, "")  # if it stood still
        for message in messages:
            match message:
                case Welcome():
                    self._on_welcome()
                case Watching():
                    self._on_snapshot(message)
                case Changed():
                    self._on_delta(message.delta)
                case Resync():
                    self._resend()
                case Stopping():
                    self._be_absent(FarmState.STOPPED, why_absent(self._farm.name, stopped=True))
                case Refused() if message.error is ErrorKind.SAY_HELLO:
                    self._phase = Phase.CONNECTING
                    self._send([self._hello])
                case Refused() if message.error is ErrorKind.VERSION or message.seq == 0:
                    self._refused = identity_of(self._info) if self._info is not None else ""
                    self._be_absent(FarmState.REFUSED, sentence(error_of(message)))
                case Refused() | Reply():
                    self._on_answer(message)
                case _:
                    pass  # tasks of others that have ended: a delta tells it
            if self._phase not in (Phase.CONNECTING, Phase.SERVING):
                return  # what follows is of a farm that we have left

    def _on_welcome(self) -> None:
        self._phase = Phase.SERVING
        self._listen_on()
        self._refused = ""
        self._become(FarmState.LIVE, "")
        self._resend()

    def _listen(self) -> None:
        """Ask a controller that says nothing for a sign of life; when there is none, say so."""
        self._n_silent += 1
        if self._n_silent == 2:
            self._send([Ping(self._take_seq())])
        elif self._n_silent == 3:
            self._become(FarmState.CONNECTING, f"Farm {self._farm.name} is there and does not answer now.")
        self._listen_on()

    def _listen_on(self) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(self._patience, self._listen)

    def _resend(self) -> None:
        """Ask again for everything that is unanswered: a repeat gets the first answer."""
        self._send([request for request, _ in self._asked.values()])
        if self._wanted:
            self._send_watch()

    def _on_snapshot(self, message: Watching) -> None:
        if message.seq != self._watch_seq:
            return  # an answer that was overtaken by another question
        self._watch_seq = 0
        self._delta_seq = message.snapshot.seq
        self._tell(message.snapshot)

    def _on_delta(self, delta: QueueDelta) -> None:
        if self._delta_seq is None:
            return  # the snapshot that was asked for will have it
        if delta.seq != self._delta_seq + 1:
            self._send_watch()
            return
        self._delta_seq = delta.seq
        self._tell(delta)

    def _on_answer(self, answer: Reply | Refused) -> None:
        if answer.seq == self._watch_seq:
            self._watch_seq = 0  # one that cannot be watched: an older controller
        _, waiting = self._asked.get(answer.seq, (None, None))
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _on_lost(self, error: ProtocolError | None) -> None:
        self._link = None
        self._delta_seq, self._watch_seq = None, 0
        if error is not None:
            self._refused = identity_of(self._info) if self._info is not None else ""
            self._be_absent(FarmState.REFUSED, sentence(error))
            return
        self._phase = Phase.CONNECTING
        self._become(FarmState.CONNECTING, f"Farm {self._farm.name} was lost and should be back in a second.")
        self._look_again(_LOOK_SOON)

    # small things

    def _tell(self, news: QueueSnapshot | QueueDelta) -> None:
        self._status = msgspec.structs.replace(self._status, counts=news.counts, n_workers=news.n_workers)
        self._on_news(news)

    def _become(self, state: FarmState, message: str) -> None:
        identity = identity_of(self._info) if self._info is not None else ""
        python = self._info.python if self._info is not None else ""
        before = self._status
        self._status = msgspec.structs.replace(
            before, state=state, message=message, identity=identity, python=python, counts=self._counts(state)
        )
        if (before.state, before.message, before.identity) != (state, message, identity):
            self._on_news(self._status)

    def _counts(self, state: FarmState) -> Counts | None:
        """Return the counts that may still be shown."""
        return self._status.counts if state in (FarmState.LIVE, FarmState.CONNECTING) else None

    def _unavailable(self) -> ControllerUnavailable:
        return ControllerUnavailable(self._status.message or f"farm {self._farm.name!r} is not there")

    def _fail(self, error: Exception) -> None:
        for _, answer in self._asked.values():
            if not answer.done():
                answer.set_exception(error)

    def _send_watch(self) -> None:
        self._delta_seq = None
        self._watch_seq = self._take_seq()
        self._send([Watch(self._watch_seq)])

    def _send(self, messages: Sequence[Any]) -> None:
        if messages and self._link is not None:
            self._link.send(messages)

    def _take_seq(self) -> int:
        seq, self._next_seq = self._next_seq, self._next_seq + 1
        return seq

    def _look_again(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, self._look)

    def _leave(self) -> None:
        self._stop_timer()
        self._delta_seq, self._watch_seq = None, 0
        if self._link is not None:
            self._link.close()
            self._link = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

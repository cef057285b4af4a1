"""Connection of a session to its farm, across the deaths and returns of both, in the thread of one event loop.

    CONNECTING --Welcome--> SERVING --the connection breaks--> CONNECTING
    CONNECTING --the farm was stopped, or is dead and nobody waits, or is dead with its tasks, or refuses us--> DOWN
    any phase --close--> CLOSED

Of a client (no observer), which sleeps while it is DOWN:

    CONNECTING --the farm is dead, and somebody waits--> REVIVING --it runs again--> CONNECTING
    DOWN --a new submission--> REVIVING, or CONNECTING if the farm runs

Of a subscriber (with an observer), which never starts a farm:

    DOWN --the farm runs, which is looked up every second--> CONNECTING

A controller that serves a subscriber and falls silent is pinged, since one that is suspended keeps its connections.

Other threads read `asleep` only.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from enum import Enum, auto
from pathlib import Path

from taskfc_ext.client.farm.interface import Condition, Farm
from taskfc_ext.client.farm.launch import died_error, lost_error, stopped_error
from taskfc_ext.client.farm.status import describe_other_version
from taskfc_ext.client.session.bookkeeping import SessionState
from taskfc_ext.client.session.collector import Burst
from taskfc_ext.client.session.link import Link
from taskfc_ext.client.session.observer import Observer
from taskfc_ext.client.session.pending import Call, asks_only_for_end
from taskfc_ext.client.session.replies import error_of
from taskfc_ext.drivers.connection_file import ConnectionInfo, identity_of
from taskfc_ext.drivers.process_limits import no_threads
from taskfc_ext.errors import FarmError, ProtocolError, VersionMismatch
from taskfc_ext.protocol.client_messages import (
    Changed,
    ControllerMessage,
    ErrorKind,
    Hello,
    Ping,
    Refused,
    Release,
    Resync,
    Scaled,
    Stopping,
    Unwait,
    Watching,
    Welcome,
)
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.snapshots import FarmState

_LOOK_EVERY = 0.1
"""Seconds between looks at a farm that does not answer. Each reads a small file or two."""

_LOOK_FOR_RETURN_EVERY = 1.0
"""Seconds between a subscriber's looks at a farm that is not there."""

PING_AFTER = 3.0
"""Seconds of silence until a controller is pinged, and for which the answer is waited for; the longest turns of a busy
one take a tenth of a second."""

_BUSY = 32
"""This many submissions during one send mean that the caller submits in a loop: wait, and send a larger batch."""

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.004
"""Seconds of that wait. It doubles while the loop goes on: at 100,000 submissions a second, batches of 400 cost the two
threads a quarter of the handovers of batches of 100, and a single loop of 100 tasks is not held up."""


class Phase(Enum):
    """Phases of a connection."""

    CONNECTING = auto()
    SERVING = auto()
    REVIVING = auto()
    DOWN = auto()
    CLOSED = auto()


class Connection:
    """Carries the messages of one session, over as many links as it takes.

    Args:
        loop: the event loop.
        farm: the farm behind the socket.
        state: the session's bookkeeping.
        hello: the session's greeting.
        observer: a subscriber; `None`: this is a client's connection.
        ping_after: see `PING_AFTER`.

    Attributes:
        asleep: whether new work in the outbox goes unnoticed until `drain` is called.
        info: the farm's processes, as its connection file names them; `None` while they are not there.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        farm: Farm,
        state: SessionState,
        hello: Hello,
        observer: Observer | None = None,
        *,
        ping_after: float = PING_AFTER,
    ) -> None:
        self.asleep = True
        self.info: ConnectionInfo | None = None
        self._loop = loop
        self._farm = farm
        self._state = state
        self._hello = hello
        self._observer = observer
        self._ping_after = ping_after
        self._burst = Burst(loop)
        self._pause = _SHORTEST_PAUSE
        self._paused: asyncio.TimerHandle | None = None
        self._n_silent = 0  # turns of `_listen` without a message
        self._refused_by = ""  # the identity of the processes that refused us
        self._phase = Phase.DOWN
        self._link: Link | None = None
        self._path: Path | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._insists = False  # there is work from after a stop, so that the same stop does not end it
        self._stops = 0  # how many there had been when it came

    @property
    def can_ask(self) -> bool:
        """Whether a request would be sent now or soon."""
        return self._phase not in (Phase.DOWN, Phase.CLOSED)

    # commands of the session

    def start(self) -> None:
        """Find the farm, and connect if it is there."""
        self._look()

    def drain(self) -> None:
        """Send from the outbox as much as may be sent now."""
        self.asleep = False
        self._end_pause()
        state = self._state
        if self._phase is Phase.DOWN and state.outbox:
            self._rise()
        while self._phase is Phase.SERVING:
            n_waiting = len(state.outbox)
            self._send(state.take())
            if state.is_full:
                return  # until an answer comes
            if n_waiting >= _BUSY:
                # a wake-up for each of them would cost the submitting thread more than the submission
                self._burst.go_on()
                self._paused = self._loop.call_later(self._pause, self.drain)
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)
                return
            self._pause = _SHORTEST_PAUSE
            self.asleep = True
            if not state.outbox:
                return
            self.asleep = False  # it came since the outbox was empty
        self.asleep = self._phase in (Phase.DOWN, Phase.CLOSED)

    def ask(self, call: Call) -> None:
        """Send `call` ahead of the outbox."""
        if self._phase is Phase.SERVING:
            self._send(self._state.ask(call))
        else:
            self._state.outbox.append(call)
            self.drain()

    def unwait(self, barrier: Call) -> None:
        """Let the controller forget an open barrier; an unsent one is not sent."""
        if barrier.answer.cancel() and barrier.seq:
            self._state.drop_call(barrier.seq)
            self.ask(Call(Unwait, {"barrier": barrier.seq}, private=True))

    def connect(self) -> None:
        """Open a new link and greet."""
        self._leave()
        self._phase = Phase.CONNECTING
        if self._observer is not None:
            self._observer.on_connecting()
        try:
            path = self._path = self._farm.socket()
            self._link = self._open_link(path)
        except (FarmError, OSError) as error:  # also of the socket's folder, and for want of descriptors or threads
            self._go_down(FarmState.REFUSED, error)
            return
        self._send([self._hello])
        self._look_in(_LOOK_EVERY)

    def _open_link(self, path: Path) -> Link:
        return Link(self._loop, path, self._on_messages, self._on_lost)

    def handle_stop(self) -> None:
        """Handle a stop on purpose."""
        if self._phase is Phase.CLOSED:
            return
        if self._insists and self._farm.stops() == self._stops:
            # submitted after that stop: wait until the old processes are gone, then start the farm again
            self._phase = Phase.CONNECTING
            self._leave()
            self._look_in(_LOOK_EVERY)
            return
        self._go_down(FarmState.STOPPED, stopped_error(self._farm))

    def send(self, messages: Sequence[Message]) -> None:
        """Send `messages` if the controller serves us; else they are lost."""
        if self._phase is Phase.SERVING:
            self._send(messages)

    def close(self, error: Exception) -> None:
        """Close the connection for good; open waits end with `error`."""
        self._leave()
        self._phase = Phase.CLOSED
        self.asleep = True
        self._burst.end()
        self._state.give_up(error)

    # events of the link

    def _on_messages(self, messages: Sequence[ControllerMessage]) -> None:
        state, observer, answers = self._state, self._observer, list[Message]()
        self._n_silent = 0
        if observer is not None and self._phase is Phase.SERVING:
            observer.on_live()  # it may have been silent
        for message in messages:
            match message:
                case Welcome():
                    state.enter_store(message.store_began, lambda: lost_error(self._farm))  # which reads files
                    state.controller_pid = message.pid
                    state.size.set(message.n_workers)
                    answers += self._on_welcome()
                case Scaled(n_workers):
                    state.size.set(n_workers)
                case Stopping():
                    if self._phase is not Phase.DOWN:
                        self.handle_stop()
                    return
                case Resync() if self._phase is Phase.CONNECTING:
                    answers.append(self._hello)  # the welcome may be among the lost messages
                case Resync():
                    state.size.set(0)  # a change may be among the lost messages
                    answers += state.resume(same_connection=True)
                    answers += observer.resume() if observer is not None else ()
                case Refused() if message.error in _ABOUT_US or message.seq == 0:
                    self._on_refused(message)
                case Release(digests):
                    answers += state.release(digests)
                case Watching() | Changed():
                    answers += observer.receive(message) if observer is not None else ()
                case _:
                    self._insists = False
                    answers += state.receive(message)
            if self._phase not in (Phase.CONNECTING, Phase.SERVING):
                return  # the rest is from a farm that we have left
        self._send(answers)
        if self._paused is None and (not self.asleep or state.outbox):
            self.drain()
        if not state.is_awaited:
            self._insists = False  # a flush alone has no answer that would end it

    def _on_welcome(self) -> Sequence[Message]:
        self._phase = Phase.SERVING
        self._stop_timer()
        if self._observer is None:
            return self._state.resume()
        try:
            self.info = self._farm.connection() or self.info  # other processes may have taken the place of the first
        except (FarmError, OSError):
            pass  # it answers, so it is there
        self._listen_on()
        self._observer.on_live()
        return [*self._state.resume(), *self._observer.resume()]

    def _on_refused(self, message: Refused) -> None:
        if message.error is ErrorKind.SAY_HELLO:
            if self._phase in (Phase.CONNECTING, Phase.SERVING):  # the welcome may be among the dropped messages
                self._phase = Phase.CONNECTING
                self._send([self._hello])
        else:  # it speaks another protocol: no open request would ever be answered
            self._refuse(error_of(message))

    def _on_lost(self, error: ProtocolError | None) -> None:
        self._link = None
        if error is not None:
            self._refuse(error)
        elif self._phase is Phase.SERVING:
            if self._observer is not None:
                self._observer.on_lost()
            self.connect()
        elif self._phase is Phase.CONNECTING:  # it broke before the welcome: the next try has to wait
            self._look_in(_LOOK_EVERY)

    # silence

    def _listen(self) -> None:
        """Ping a controller that has sent nothing for a while; report one that does not answer."""
        self._n_silent += 1
        if self._n_silent == 2:
            self.send([Ping(self._state.take_seq())])
        elif self._n_silent == 3 and self._observer is not None:
            self._observer.on_silent()
        self._listen_on()

    def _listen_on(self) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(self._ping_after, self._listen)

    # the farm's processes

    def _look(self) -> None:
        """Find out why nobody answers, or whether the farm is back."""
        if self._phase not in (Phase.CONNECTING, Phase.DOWN):
            return
        condition = self._condition()
        link = self._link
        if condition is Condition.ALIVE and self._is_refused:
            self._look_in(_LOOK_FOR_RETURN_EVERY)
        elif condition is Condition.ALIVE and (link is None or link.is_astray or self._farm.socket() != self._path):
            self.connect()
        elif condition is Condition.ALIVE:
            self._look_in(_LOOK_EVERY)
        elif condition is Condition.STOPPED and self._farm.stops() != self._stops:
            self._go_down(FarmState.STOPPED, stopped_error(self._farm))
        elif condition is not None and self._observer is None and (self._insists or condition.has_kept_tasks):
            self._revive_if_awaited()
        elif condition in (Condition.DEAD, Condition.LOST):
            self._go_down(FarmState.DEAD, died_error(self._farm))
        elif condition is not None:
            self._go_down(FarmState.STOPPED, stopped_error(self._farm))

    def _revive_if_awaited(self) -> None:
        if self._insists or self._state.is_awaited:
            self._revive()
            return
        self._leave()
        self._phase = Phase.DOWN
        self.asleep = True

    def _rise(self) -> None:
        """Handle new work while the farm is down: a submission may start it again."""
        self._stops = self._farm.stops()
        condition = self._condition()
        if condition is Condition.ALIVE and not asks_only_for_end(self._state.outbox, self.info, self._stops):
            self._insists = True
            self.connect()
        elif condition is not None and (condition.has_ended_by_itself or self._state.has_submissions):
            self._insists = True
            self._revive()
        elif condition is not None:  # it was stopped, and nothing here starts it again
            self._state.give_up(stopped_error(self._farm))

    def _revive(self) -> None:
        self._leave()
        self._phase = Phase.REVIVING
        # not the loop's executor: it refuses work while the interpreter exits, when a last flush may need the farm
        try:
            threading.Thread(target=self._run_revive, name="taskfc-revive", daemon=True).start()
        except RuntimeError:
            self._on_revived(no_threads("a start of the farm"))

    def _run_revive(self) -> None:
        error: Exception | None = None
        try:
            self._farm.revive()
        except Exception as problem:  # noqa: BLE001 - any error ends the waits for the farm
            error = problem
        try:
            self._loop.call_soon_threadsafe(self._on_revived, error)
        except RuntimeError:
            pass  # the client was closed meanwhile

    def _on_revived(self, error: Exception | None) -> None:
        if self._phase is not Phase.REVIVING:
            return
        if error is not None:
            self._go_down(FarmState.DEAD, error)
        else:
            self.connect()

    def _condition(self) -> Condition | None:
        """Return the farm's condition; `None` where that cannot be found out, and open waits have ended."""
        try:
            self.info = self._farm.connection()
            if self.info is None:
                return self._farm.condition()
        except (FarmError, OSError) as error:  # on another host, not to be trusted, not to be read
            self._go_down(FarmState.REFUSED, error)
            return None
        if self._observer is not None and self.info.protocol != PROTOCOL:  # a client lets the controller refuse it
            self._go_down(FarmState.REFUSED, VersionMismatch(describe_other_version(self.info)))
            return None
        return Condition.ALIVE

    @property
    def _is_refused(self) -> bool:
        return self._phase is Phase.DOWN and self.info is not None and identity_of(self.info) == self._refused_by

    def _refuse(self, error: Exception) -> None:
        """Leave these processes for good: another try would end in the same way."""
        self._refused_by = identity_of(self.info) if self.info is not None else ""
        self._go_down(FarmState.REFUSED, error)

    def _go_down(self, state: FarmState, error: Exception) -> None:
        """End all open waits; a subscriber looks for the farm again."""
        self._leave()
        if self._phase is not Phase.CLOSED:
            self._phase = Phase.DOWN
        self.asleep = True
        self._insists = False
        if self._observer is not None and self._phase is Phase.DOWN:
            self.info = None
            error = self._observer.on_down(state, error)
            self._look_in(_LOOK_FOR_RETURN_EVERY)
        self._state.give_up(error)

    def _send(self, messages: Sequence[Message]) -> None:
        if messages and self._link is not None:
            self._link.send(messages)

    def _look_in(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, self._look)

    def _leave(self) -> None:
        self._stop_timer()
        if self._link is not None:
            self._link.close()
            self._link = None

    def _end_pause(self) -> None:
        if self._paused is not None:
            self._paused.cancel()
            self._paused = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_ABOUT_US = (ErrorKind.SAY_HELLO, ErrorKind.VERSION)

"""The life of a client's connection, in its I/O thread: greet, send, listen, come back, bring the farm back.

    CONNECTING --Welcome--> SERVING --the connection breaks--> CONNECTING
    CONNECTING --the farm is dead, and somebody waits--> REVIVING --it runs again--> CONNECTING
    CONNECTING --the farm is dead, and nobody waits--> DOWN
    any phase --the farm was stopped on purpose--> DOWN        (open waits end with ControllerStopped)
    DOWN --a new submission, or a farm that runs again--> REVIVING or CONNECTING
    any phase --close--> CLOSED

Only `asleep` is looked at by other threads.
"""

from __future__ import annotations

import asyncio
import os
import platform
import threading
from collections.abc import Sequence
from enum import Enum, auto
from pathlib import Path

from taskfc_ext.client.farm.interface import Condition, Farm
from taskfc_ext.client.farm.launch import stopped_error
from taskfc_ext.client.session.bookkeeping import ClientState
from taskfc_ext.client.session.link import Link
from taskfc_ext.client.session.pending import Call
from taskfc_ext.client.session.replies import error_of
from taskfc_ext.drivers.environment import EXECUTABLE, PREFIX
from taskfc_ext.errors import ControllerUnavailable, FarmError, ProtocolError
from taskfc_ext.protocol.client_messages import (
    Changed,
    ControllerMessage,
    ErrorKind,
    Hello,
    Refused,
    Release,
    Resync,
    Stopping,
    Unwait,
    Watching,
    Welcome,
)
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.message import Message

_LOOK_EVERY = 0.1
"""Seconds between looks at a farm that does not answer. Each reads a small file or two."""

_BUSY = 32
"""Submissions that came while we sent: somebody is in a loop, so the next ones are near."""

_PAUSE = 0.001
"""Seconds for which they are let come, then."""


class Phase(Enum):
    """Where the connection stands."""

    CONNECTING = auto()
    SERVING = auto()
    REVIVING = auto()
    DOWN = auto()
    CLOSED = auto()


class Connection:
    """Carries what `state` has to say, over as many links as it takes.

    Args:
        loop: the I/O thread's.
        farm: what is behind the socket.
        state: the session's bookkeeping.
        hello: how to greet.

    Attributes:
        asleep: whether new work in the outbox goes unnoticed until `drain` is called.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, farm: Farm, state: ClientState, hello: Hello) -> None:
        self.asleep = True
        self._loop = loop
        self._farm = farm
        self._state = state
        self._hello = hello
        self._phase = Phase.DOWN
        self._link: Link | None = None
        self._path: Path | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._insists = False  # there is work from after a stop, so that the same stop does not end it
        self._stops = 0  # how many there had been when it came

    # what the client wants

    def drain(self) -> None:
        """Send what is in the outbox, as far as it may be sent now."""
        self.asleep = False
        state = self._state
        if self._phase is Phase.DOWN and state.outbox:
            self._rise()
        while self._phase is Phase.SERVING:
            n_waiting = len(state.outbox)
            self._send(state.take())
            if state.is_full:
                return  # an answer will wake us
            if n_waiting >= _BUSY:
                # to be woken for each of them would cost the submitting thread more than the submission
                self._loop.call_later(_PAUSE, self.drain)
                return
            self.asleep = True
            if not state.outbox:
                return
            self.asleep = False  # it came between the last look and falling asleep
        self.asleep = self._phase in (Phase.DOWN, Phase.CLOSED)

    def ask(self, call: Call) -> None:
        """Send `call` ahead of what is in the outbox."""
        if self._phase is Phase.SERVING:
            self._send(self._state.ask(call))
        else:
            self._state.outbox.append(call)
            self.drain()

    def unwait(self, barrier: Call) -> None:
        """Let the controller forget an open barrier; one that was not sent yet will not be."""
        if barrier.answer.cancel() and barrier.seq:
            self._state.drop_call(barrier.seq)
            self.ask(Call(Unwait, {"barrier": barrier.seq}, private=True))

    def connect(self) -> None:
        """Open a new link and greet."""
        self._leave()
        self._phase = Phase.CONNECTING
        try:
            path = self._path = self._farm.socket()
            self._link = Link(self._loop, path, self._on_messages, self._on_lost)
        except FarmError as error:  # also where the socket's folder has become another user's
            self._give_up(error)
            return
        self._send([self._hello])
        self._timer = self._loop.call_later(_LOOK_EVERY, self._look)

    def stopped(self) -> None:
        """Take note that the farm is being stopped on purpose."""
        if self._phase is Phase.CLOSED:
            return
        if self._insists and self._farm.stops() == self._stops:
            # submitted after that stop: wait until the old processes are gone, then start anew
            self._phase = Phase.CONNECTING
            self._leave()
            self._timer = self._loop.call_later(_LOOK_EVERY, self._look)
            return
        self._give_up(stopped_error(self._farm.name))

    def close(self) -> None:
        """End it; whoever still waits is told."""
        self._leave()
        self._phase = Phase.CLOSED
        self.asleep = True
        self._state.give_up(closed_error(self._farm.name))

    # what happens to it

    def _on_messages(self, messages: Sequence[ControllerMessage]) -> None:
        state, answers = self._state, list[Message]()
        for message in messages:
            match message:
                case Welcome():
                    self._phase = Phase.SERVING
                    self._stop_timer()
                    answers += state.resume()
                case Stopping():
                    if self._phase is not Phase.DOWN:
                        self.stopped()
                    return
                case Resync():
                    answers += state.resume(same_connection=True)
                case Refused() if message.error in _ABOUT_US or message.seq == 0:
                    self._on_refused(message)
                case Release(digests):
                    answers += state.release(digests)
                case Watching() | Changed():
                    pass  # what a viewer asks for; a client does not
                case _:
                    self._insists = False
                    answers += state.receive(message)
        self._send(answers)
        if not self.asleep or state.outbox:
            self.drain()
        if not state.is_owed:
            self._insists = False  # a flush alone has no answer that would end it

    def _on_refused(self, message: Refused) -> None:
        if message.error is ErrorKind.SAY_HELLO:
            if self._phase is Phase.SERVING:
                self._phase = Phase.CONNECTING
                self._send([self._hello])
        else:  # it does not speak our language: nothing that is open would ever be answered
            self._give_up(error_of(message))

    def _on_lost(self, error: ProtocolError | None) -> None:
        self._link = None
        if error is not None:
            self._give_up(error)
        elif self._phase is Phase.SERVING:
            self.connect()
        elif self._phase is Phase.CONNECTING:  # it broke before it was welcome: do not hammer on that door
            self._stop_timer()
            self._timer = self._loop.call_later(_LOOK_EVERY, self._look)

    def _look(self) -> None:
        """Find out why nobody answers."""
        if self._phase is not Phase.CONNECTING:
            return
        condition = self._condition()
        link = self._link
        if condition is Condition.ALIVE and (link is None or link.is_astray or self._farm.socket() != self._path):
            self.connect()
        elif condition is Condition.ALIVE:
            self._timer = self._loop.call_later(_LOOK_EVERY, self._look)
        elif condition is Condition.STOPPED and self._farm.stops() != self._stops:
            self._give_up(stopped_error(self._farm.name))
        elif self._insists or (condition is Condition.DEAD and self._state.is_owed):
            self._revive()
        elif condition is Condition.DEAD:
            self._leave()
            self._phase = Phase.DOWN
            self.asleep = True
        elif condition is Condition.STOPPED:
            self._give_up(stopped_error(self._farm.name))

    def _rise(self) -> None:
        """Something new came up while the farm was down: that may start it again."""
        self._stops = self._farm.stops()
        condition = self._condition()
        if condition is Condition.ALIVE:
            self._insists = True
            self.connect()
        elif condition is Condition.DEAD or (condition is not None and self._state.has_submissions):
            self._insists = True
            self._revive()
        elif condition is Condition.STOPPED:
            self._state.give_up(stopped_error(self._farm.name))

    def _revive(self) -> None:
        self._leave()
        self._phase = Phase.REVIVING
        # not the loop's executor: it refuses work while the interpreter exits, and a last flush may still need this
        threading.Thread(target=self._run_revive, name="taskfc-revive", daemon=True).start()

    def _run_revive(self) -> None:
        error: Exception | None = None
        try:
            self._farm.revive()
        except Exception as problem:  # noqa: BLE001 - whatever it is, those who wait for the farm must be told
            error = problem
        try:
            self._loop.call_soon_threadsafe(self._on_revived, error)
        except RuntimeError:
            pass  # the client was closed meanwhile

    def _on_revived(self, error: Exception | None) -> None:
        if self._phase is not Phase.REVIVING:
            return
        if error is not None:
            self._give_up(error)
        else:
            self.connect()

    # small things

    def _condition(self) -> Condition | None:
        try:
            return self._farm.condition()
        except FarmError as error:  # it runs on another host, or its file is not to be trusted
            self._give_up(error)
            return None

    def _give_up(self, error: Exception) -> None:
        self._leave()
        if self._phase is not Phase.CLOSED:
            self._phase = Phase.DOWN
        self.asleep = True
        self._insists = False
        self._state.give_up(error)

    def _send(self, messages: Sequence[Message]) -> None:
        if messages and self._link is not None:
            self._link.send(messages)

    def _leave(self) -> None:
        self._stop_timer()
        if self._link is not None:
            self._link.close()
            self._link = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_ABOUT_US = (ErrorKind.SAY_HELLO, ErrorKind.VERSION)


def hello(
    session: str = "", *, version: str, label: str = "", owner: str = "", viewer: bool = False, worker: int = -1
) -> Hello:
    """Return the greeting of a session; of a new one by default."""
    return Hello(
        protocol=PROTOCOL,
        version=version,
        python=".".join(platform.python_version_tuple()[:2]),  # code travels between patch releases
        session=session or os.urandom(8).hex(),
        label=label,
        owner=owner,
        executable=EXECUTABLE,
        prefix=PREFIX,
        viewer=viewer,
        worker=worker,
    )


def closed_error(name: str) -> ControllerUnavailable:
    """Return the error of a client that was closed."""
    return ControllerUnavailable(
        f"this client of farm {name!r} is closed",
        hint="its tasks go on; connect again with TaskClient(), and client.future(id) follows a task",
    )

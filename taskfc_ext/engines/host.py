"""The host of slots in one process of an engine. It knows no engine: an adapter calls it.

Each slot is served by the engine's thread that holds it, since the system ends a worker's process with the thread that
started it. That thread starts the worker's process, passes frames, takes the steps to stop an attempt, and reports the
worker's end with the attempt that it died in. No file of it has a name, so a killed process of the engine leaves none.

Whatever ends a slot ends its worker first, also an error here: an attempt that goes on unnoticed would be made twice.
"""

from __future__ import annotations

import logging
import math
import platform
import secrets
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import assert_never

from taskfc_ext.engines.hosted_process import HostedProcess, Place
from taskfc_ext.engines.kept_files import KeptFiles
from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.slot_messages import (
    SILENCE,
    Begin,
    EndSlot,
    FilePart,
    FromHosted,
    LimitHosted,
    Ping,
    SlotDown,
    SlotHello,
    SlotUp,
    StopHosted,
    ToHost,
    ToHosted,
    token_of,
)
from taskfc_ext.version import __version__

logger = logging.getLogger(__name__)

CHECK_EVERY = 1.0
"""Seconds between two checks of what has no event of its own."""

RETRY_EVERY = 0.05
"""Seconds between two tries to post what the bridge had no room for. Its next message is the usual occasion."""

Post = Callable[[str, bytes], bool]
"""Sends a frame of a slot to the bridge: takes the slot's id and the frame. Returns `False`, at once, if there is no
room and it was not sent."""


class Host:
    """The slots of one process. All methods may be called from any thread.

    Args:
        clock: returns the time in seconds; for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._slots: dict[str, _SlotServer] = {}
        self._kept = KeptFiles()

    @property
    def slots(self) -> list[str]:
        """The ids of the slots that are held."""
        return list(self._slots)

    def hold(self, token: str, post: Post, place: Place) -> None:
        """Hold a slot in the calling thread, until it has ended and its worker with it.

        Args:
            token: the engine's request; the slot's id begins with it.
            post: sends the slot's frames. An error that it raises ends the slot, and is raised here.
            place: this process.
        """
        slot = f"{token}.{secrets.token_hex(4)}"
        held = self._slots[slot] = _SlotServer(slot, post, place, self._kept, self._clock)
        try:
            held.run()
        finally:
            del self._slots[slot]
            held.close()
            if not self._slots:
                self._kept.clear()

    def put(self, slot: str, frame: bytes) -> bool:
        """Hand a frame of the bridge to a slot, which handles it a moment later; return `False` if it has ended."""
        held = self._slots.get(slot)
        if held is None:
            return False
        held.put(frame)
        return True

    def end(self, slot: str) -> None:
        """End a slot whose engine or bridge is gone."""
        self.put(slot, codec.encode([EndSlot()]))

    def end_token(self, token: str) -> None:
        """End the slot of a token that was withdrawn."""
        for slot in self.slots:
            if token_of(slot) == token:
                self.end(slot)


@cache
def the_host() -> Host:
    """Return the host of this process."""
    return Host()


class _SlotServer:
    """One slot, served by one thread; `put` is for others."""

    def __init__(self, slot: str, post: Post, place: Place, kept: KeptFiles, clock: Callable[[], float]) -> None:
        self._slot = slot
        self._post = post
        self._place = place
        self._kept = kept
        self._clock = clock
        self._inbox: deque[bytes] = deque()
        self._outbox: deque[bytes] = deque()
        self._late: list[bytes] = []  # frames of the worker that wait for a file to be sent
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._last_message_at = self._clock()
        self._process: HostedProcess | None = None
        self._is_ending = False
        self._is_abandoned = False
        self._closing = threading.Lock()

    def put(self, frame: bytes) -> None:
        """Add a frame of the bridge."""
        self._inbox.append(frame)
        with self._closing:
            try:
                self._waker.send(b"w")
            except OSError:  # it is awake already, or has ended
                pass

    def close(self) -> None:
        """Close the slot's sockets."""
        with self._closing:
            self._woken.close()
            self._waker.close()

    def run(self) -> None:
        """Serve until the worker has ended, or is not wanted."""
        try:
            hello = SlotHello(
                place=self._place.name,
                python=platform.python_version(),
                version=__version__,
                properties=self._place.properties,
            )
            self._send(hello)
            while not self._is_over:
                self._turn()
        finally:
            if self._process is not None:
                self._process.child.kill()
                self._process.reap()

    @property
    def _is_over(self) -> bool:
        return self._is_ending and self._process is None and (self._is_abandoned or not self._outbox)

    def _turn(self) -> None:
        self._wait()
        now = self._clock()  # before the frames are read: one that comes meanwhile ends the silence
        self._take_in()
        if now - self._last_message_at > SILENCE:
            self._is_abandoned = True
            self._end(now)
        process = self._process
        if process is None:
            self._flush()
            return
        child = process.child
        is_dead = child.has_ended()  # checked before the last frames are read: none come after its end
        child.act_on_time(now)
        is_done = self._take_out(process)
        if is_dead and (is_done or self._is_abandoned):
            self._bury(process)

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        now = self._clock()
        until = min(now + CHECK_EVERY, self._last_message_at + SILENCE)
        if self._outbox:
            until = now + RETRY_EVERY
        process = self._process
        if process is not None:
            process.watch(poll, has_room=not self._outbox)
            until = min(until, process.child.wake_at() or until)
            if process.files.is_uploading and not self._outbox:
                until = now
        poll.poll(max(0, math.ceil(1000 * (until - now))))

    # the bridge

    def _send(self, *messages: Message) -> None:
        self._outbox.append(codec.encode(messages))
        self._flush()

    def _flush(self) -> bool:
        """Post what waits; return whether all of it is posted."""
        while self._outbox and self._post(self._slot, self._outbox[0]):
            self._outbox.popleft()
        return not self._outbox

    def _take_in(self) -> None:
        """Handle the frames of the bridge."""
        try:
            while self._woken.recv(4096):
                pass
        except BlockingIOError:
            pass
        while self._inbox:
            self._last_message_at = self._clock()
            try:
                messages = codec.to_host.decode(self._inbox.popleft())
            except ProtocolError as error:
                logger.error("a frame of the bridge is not understood: slot=%s %s", self._slot, error)
                self._end(self._last_message_at)
                return
            for message in messages:
                self._handle(message)

    def _handle(self, message: ToHost) -> None:
        process = self._process
        match message:
            case Ping():
                pass
            case Begin():
                if process is None and not self._is_ending:
                    self._start(message)
            case ToHosted():
                if process is not None:
                    for frame in message.frames:
                        process.frames.send(frame)
            case StopHosted():
                if process is not None:
                    process.child.stop_attempt(message.lease, message.step)
            case LimitHosted():
                if process is not None:
                    process.child.limit_memory(message.lease, message.limit)
            case FilePart():
                if process is not None:
                    process.files.take(message)
            case EndSlot():
                self._end(self._clock())
            case _:
                assert_never(message)

    # the worker

    def _start(self, begin: Begin) -> None:
        try:
            process = self._process = HostedProcess(self._slot, begin, self._place, self._kept)
        except OSError as error:
            self._is_ending = True
            self._send(SlotDown(started=0, running=False, note=f"{self._place.name}: the worker cannot start: {error}"))
            return
        self._send(SlotUp(process.child.pid))

    def _end(self, now: float) -> None:
        self._is_ending = True
        if self._process is not None:
            self._process.child.end(now)

    def _take_out(self, process: HostedProcess) -> bool:
        """Pass what the worker has sent; return whether nothing of it is left.

        A frame waits for the files that were written before it, since it may name them. One part of a file is passed
        in a turn: meanwhile the bridge may have sent a message.
        """
        process.frames.flush()
        if self._is_abandoned or not self._flush():
            return False
        files = process.files
        if not self._late and not files.is_uploading:
            self._late = process.frames.receive()
        for request in files.receive():  # after the frames: the files that they name are here
            self._send(request)
        if files.is_uploading:
            self._send(files.next_part())
        if self._late and not files.is_uploading:
            self._send(FromHosted(tuple(self._late)))
            self._late = []
        return not (self._late or files.is_uploading)

    def _bury(self, process: HostedProcess) -> None:
        end = process.reap()
        self._process = None
        self._is_ending = True
        self._send(SlotDown(**end._asdict()))

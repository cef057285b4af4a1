"""The host of slots in one process of an engine. It knows no engine: an adapter calls it.

Each slot is served by the engine's thread that holds it, since the system ends a worker's process with the thread that
started it. That thread starts the worker's process, passes frames, takes the steps to stop an attempt, and reports the
worker's end with the attempt that it died in. No file of it has a name, so a killed process of the engine leaves none.
"""

from __future__ import annotations

import os
import platform
import secrets
import selectors
import socket
import tempfile
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, assert_never

import msgspec

from taskfc_ext.drivers.processes import FARM, FARM_PID, FARM_WORKER, Page, module_command
from taskfc_ext.drivers.streams import FrameStream
from taskfc_ext.drivers.worker_child import End, WorkerChild
from taskfc_ext.errors import ProtocolError
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.protocol.slot_messages import (
    SILENCE,
    Begin,
    EndSlot,
    FilePart,
    FileWanted,
    FromHosted,
    Ping,
    SlotDown,
    SlotHello,
    SlotUp,
    StopHosted,
    ToHost,
    ToHosted,
)
from taskfc_ext.version import __version__

ENGINE = "TASKFC_ENGINE"
"""Environment variable of workers: the engine's address."""

CACHE = 2 * 2**30
"""Bytes of payloads that a slot keeps for its worker: those used last."""

LOOK_EVERY = 1.0
"""Seconds between two looks at what has no event of its own."""

Post = Callable[[str, bytes], object]
"""Sends a frame of a slot to the bridge: takes the slot's id and the frame."""


@dataclass(frozen=True)
class Place:
    """The process of an engine that a slot is in.

    Attributes:
        name: the host's, for lists.
        properties: for `depend`.
        folder: for files without a name; "": the system's.
    """

    name: str
    properties: dict[str, Any] = field(default_factory=dict)
    folder: str = ""


class Host:
    """The slots of one process. All methods may be called from any thread.

    Args:
        silence: seconds without a message of the bridge after which a worker is ended.
    """

    def __init__(self, *, silence: float = SILENCE) -> None:
        self._silence = silence
        self._slots: dict[str, _Slot] = {}

    @property
    def slots(self) -> list[str]:
        """The ids of the slots that are held."""
        return list(self._slots)

    def hold(self, token: str, post: Post, place: Place) -> None:
        """Hold a slot in the calling thread, until it has ended.

        Args:
            token: the engine's request; the slot's id begins with it.
            post: sends the slot's frames.
            place: this process.
        """
        slot = f"{token}.{secrets.token_hex(4)}"
        held = self._slots[slot] = _Slot(slot, post, place, self._silence)
        try:
            held.run()
        finally:
            del self._slots[slot]
            held.close()

    def put(self, slot: str, frame: bytes) -> bool:
        """Hand a frame of the bridge to a slot; return `False` if it has ended."""
        held = self._slots.get(slot)
        if held is None:
            return False
        held.put(frame)
        return True

    def end(self, slot: str) -> None:
        """End a slot whose engine or bridge is gone."""
        self.put(slot, codec.encode([EndSlot()]))


@cache
def the_host() -> Host:
    """Return the host of this process."""
    return Host()


class _Slot:
    """One slot, served by one thread; `put` is for others."""

    def __init__(self, slot: str, post: Post, place: Place, silence: float) -> None:
        self._slot = slot
        self._post = post
        self._place = place
        self._silence = silence
        self._inbox: deque[bytes] = deque()
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._heard_at = time.monotonic()
        self._worker: _HostedChild | None = None
        self._is_ending = False
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
        hello = SlotHello(
            place=self._place.name,
            python=platform.python_version(),
            version=__version__,
            properties=self._place.properties,
        )
        self._send(hello)
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            while not (self._is_ending and self._worker is None):
                self._turn(selector)

    def _send(self, *messages: Message) -> None:
        self._post(self._slot, codec.encode(messages))

    def _turn(self, selector: selectors.BaseSelector) -> None:
        worker = self._worker
        if worker is not None:
            worker.watch(selector)
        selector.select(self._timeout())
        self._take_in(selector)
        now = time.monotonic()
        if now - self._heard_at > self._silence:
            self._end("its bridge is silent", now)
        worker = self._worker
        if worker is not None:
            ended = worker.child.has_ended()  # checked before the last frames are read: none come after its end
            self._take_out(worker)
            if worker.child.kill_at is not None and worker.child.kill_at <= now:
                worker.child.kill()
            if ended:
                self._bury(worker, selector)

    def _timeout(self) -> float:
        kill_at = self._worker.child.kill_at if self._worker is not None else None
        return LOOK_EVERY if kill_at is None else min(LOOK_EVERY, max(0.0, kill_at - time.monotonic()))

    def _take_in(self, selector: selectors.BaseSelector) -> None:
        """Handle the frames of the bridge."""
        try:
            while self._woken.recv(4096):
                pass
        except BlockingIOError:
            pass
        while self._inbox:
            self._heard_at = time.monotonic()
            try:
                messages = codec.to_host.decode(self._inbox.popleft())
            except ProtocolError as error:
                self._end(f"a frame is not understood: {error}", self._heard_at)
                return
            for message in messages:
                self._handle(message, selector)

    def _handle(self, message: ToHost, selector: selectors.BaseSelector) -> None:
        worker = self._worker
        match message:
            case Ping():
                pass
            case Begin():
                if worker is None and not self._is_ending:
                    self._start(message, selector)
            case ToHosted():
                if worker is not None:
                    for frame in message.frames:
                        worker.frames.send(frame)
            case StopHosted():
                if worker is not None:
                    worker.child.stop_attempt(message.lease, message.step)
            case FilePart():
                if worker is not None:
                    worker.files.take(message)
            case EndSlot():
                self._end("", time.monotonic())
            case _:
                assert_never(message)

    def _end(self, reason: str, now: float) -> None:
        self._is_ending = True
        if self._worker is not None:
            self._worker.child.end(now)

    def _start(self, begin: Begin, selector: selectors.BaseSelector) -> None:
        try:
            worker = self._worker = _HostedChild(begin, self._place)
        except OSError as error:
            self._is_ending = True
            self._send(SlotDown(started=0, running=False, note=f"{self._place.name}: the worker cannot start: {error}"))
            return
        worker.register(selector)
        self._send(SlotUp(worker.child.pid))

    def _take_out(self, worker: _HostedChild) -> None:
        """Pass what the worker has sent."""
        for request in worker.files.receive():
            self._send(request)
        worker.frames.flush()
        frames = worker.frames.receive()
        if frames:
            self._send(FromHosted(tuple(frames)))

    def _bury(self, worker: _HostedChild, selector: selectors.BaseSelector) -> None:
        worker.unregister(selector)
        end = worker.reap()
        self._worker = None
        self._is_ending = True
        self._send(SlotDown(started=end.started, running=end.running, note=end.note, planned=end.planned))


class _HostedChild:
    """A worker's process with its three ways to the host: frames, files, and its end.

    Raises:
        OSError: the process could not be started.
    """

    def __init__(self, begin: Begin, place: Place) -> None:
        ours, theirs = zip(socket.socketpair(), socket.socketpair(), strict=True)
        self._log = tempfile.TemporaryFile(dir=place.folder or None, buffering=0, mode="ab+")  # noqa: SIM115  kept open
        page_fd = Page.create_unnamed()
        try:
            self.child = WorkerChild(
                module_command("taskfc_ext.worker.hosted"),
                page_fd=page_fd,
                log_fd=self._log.fileno(),
                environ=_environ(begin),
                folder=place.folder or tempfile.gettempdir(),
                inherited=[end.fileno() for end in theirs],
            )
        except OSError:
            self._log.close()
            for end in ours:
                end.close()
            raise
        finally:
            os.close(page_fd)
            for end in theirs:
                end.close()
        self.frames = FrameStream(ours[0])
        self.files = _FileRequests(ours[1], place.folder)
        self.files.send(codec.encode([_with_properties(begin, place)]))
        self._pidfd = os.pidfd_open(self.child.pid) if hasattr(os, "pidfd_open") else -1

    def register(self, selector: selectors.BaseSelector) -> None:
        """Have `selector` watch it."""
        selector.register(self.frames.socket, selectors.EVENT_READ)
        selector.register(self.files.socket, selectors.EVENT_READ)
        if self._pidfd >= 0:
            selector.register(self._pidfd, selectors.EVENT_READ)

    def watch(self, selector: selectors.BaseSelector) -> None:
        """Have `selector` wait for room, where something is unsent, and for no more frames where the child is gone."""
        behind = selectors.EVENT_WRITE if self.frames.is_behind else 0
        if not self.frames.has_ended:
            selector.modify(self.frames.socket, selectors.EVENT_READ | behind)

    def unregister(self, selector: selectors.BaseSelector) -> None:
        """Have `selector` watch it no more."""
        for watched in (self.frames.socket, self.files.socket, self._pidfd):
            if watched != -1:
                selector.unregister(watched)

    def reap(self) -> End:
        """Reap the process, and close everything."""
        end = self.child.reap(Path(f"/proc/self/fd/{self._log.fileno()}"))
        self._log.close()
        self.frames.close()
        self.files.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
        return end


def _with_properties(begin: Begin, place: Place) -> Begin:
    """Return `begin` with the properties of the place; those that the user has chosen take precedence."""
    options = msgspec.json.decode(begin.options, type=FarmOptions)
    options = msgspec.structs.replace(options, properties={**place.properties, **options.properties})
    return msgspec.structs.replace(begin, options=msgspec.json.encode(options))


def _environ(begin: Begin) -> dict[str, str]:
    ours = {FARM: begin.tag, FARM_PID: str(os.getpid()), FARM_WORKER: str(begin.worker), "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **ours, ENGINE: begin.engine}


class _Kept(NamedTuple):
    """A payload in a file without a name."""

    descriptor: int
    size: int


class _FileRequests:
    """The requests of a worker for files of the store, and the files that it sends there.

    The worker waits for each answer, so at most one is due.

    Args:
        end: the socket to the worker.
        folder: where the files are; they have no names.
    """

    def __init__(self, end: socket.socket, folder: str) -> None:
        self._stream = FrameStream(end)
        self._folder = folder
        self._wanted = ""
        self._partial: Any = None
        self._n_written = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    @property
    def socket(self) -> socket.socket:
        """The socket to wait for."""
        return self._stream.socket

    def send(self, frame: bytes) -> None:
        """Send a frame to the worker."""
        self._stream.send(frame)

    def receive(self) -> list[Message]:
        """Return what is to be sent to the bridge."""
        out: list[Message] = []
        for frame in self._stream.receive():
            for message in codec.from_host.decode(frame):
                if isinstance(message, FileWanted):
                    if message.file in self._kept:
                        self._kept.move_to_end(message.file)
                        self._answer(self._kept[message.file].descriptor)
                        continue
                    self._wanted = message.file
                elif isinstance(message, FilePart) and 0 <= message.size <= message.offset + len(message.data):
                    self._stream.socket.send(b"k")  # it is on its way before the message that names it
                out.append(message)
        return out

    def take(self, part: FilePart) -> None:
        """Take a part of the wanted file; answer the worker when it is whole."""
        if part.file != self._wanted:
            return
        if part.size < 0:
            self._drop_partial()
            self._wanted = ""
            self._stream.socket.send(b"-")
            return
        if part.offset == 0 or self._partial is None:
            self._drop_partial()
            self._partial = tempfile.TemporaryFile(dir=self._folder or None, buffering=0)  # noqa: SIM115  passed on
            self._n_written = 0
        self._partial.write(part.data)
        self._n_written += len(part.data)
        if self._n_written >= part.size:
            descriptor = os.open(f"/proc/self/fd/{self._partial.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
            self._drop_partial()
            self._wanted = ""
            self._kept[part.file] = _Kept(descriptor, part.size)
            self._answer(descriptor)
            self._forget_oldest()

    def _answer(self, descriptor: int) -> None:
        socket.send_fds(self._stream.socket, [b"f"], [descriptor])

    def _drop_partial(self) -> None:
        if self._partial is not None:
            self._partial.close()
            self._partial = None

    def _forget_oldest(self) -> None:
        while len(self._kept) > 1 and sum(kept.size for kept in self._kept.values()) > CACHE:
            _, kept = self._kept.popitem(last=False)
            os.close(kept.descriptor)

    def close(self) -> None:
        """Close all files and the socket."""
        self._drop_partial()
        for kept in self._kept.values():
            os.close(kept.descriptor)
        self._kept.clear()
        self._stream.close()

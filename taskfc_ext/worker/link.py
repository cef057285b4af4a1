"""The worker's connection to the controller; it keeps every result until the controller has committed it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from taskfc_ext.drivers.uploads import UploadedFile
from taskfc_ext.protocol.batches import chunks, split
from taskfc_ext.protocol.limits import MAX_BATCH
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.printed import Printed
from taskfc_ext.protocol.worker_messages import (
    Committed,
    Finished,
    Prepare,
    Ready,
    Returned,
    Run,
    SetUp,
    ToWorker,
)

T = TypeVar("T")

FRAME_TARGET = 16 * 2**20
"""Largest size of a `Finished` in bytes: small frames keep the controller's turns short."""


class Result(NamedTuple):
    """The end of one attempt."""

    lease: int
    outcome: int
    value: bytes | UploadedFile
    seconds: float
    output: Printed
    displays: tuple[bytes, ...] = ()


class Connection(Protocol):
    """The part of `Dealer` that a link uses."""

    def send(self, messages: Sequence[Message], /) -> bool: ...
    def receive(self) -> list[ToWorker]: ...
    def wait(self, timeout_ms: int, /) -> None: ...
    @property
    def is_astray(self) -> bool: ...
    def close(self) -> None: ...


class Link:
    """Sender and receiver for the main thread and the helper thread. The caller holds `lock`.

    Args:
        connect: opens a new connection.
        ready: makes the first message of a connection; gets the leases that this worker holds.
    """

    def __init__(self, connect: Callable[[], Connection], ready: Callable[[tuple[int, ...]], Ready]) -> None:
        self._codes: Callable[[], tuple[bytes, ...]] = tuple
        self.lock = threading.Lock()
        self._connect = connect
        self._ready = ready
        self._held: set[int] = set()
        self._unacked: deque[tuple[Finished, list[UploadedFile]]] = deque()
        self._unsent: deque[Sequence[Message]] = deque()
        self._n_finished = 0
        self._n_connections = 0
        self._broadcasts: dict[int, str | None] = {}
        self.connection = connect()
        self.send([ready(())])

    @property
    def is_stalled(self) -> bool:
        """Whether messages are queued because the connection is full."""
        return bool(self._unsent)

    @property
    def has_uncommitted(self) -> bool:
        """Whether some results are not committed yet."""
        return bool(self._unacked)

    def reconnect_if_astray(self) -> None:
        """Open a new connection if the old one cannot reach a controller: its folder is gone. Main thread, idle."""
        if self.connection.is_astray:
            with self.lock:
                self.reconnect()

    def report_codes(self, codes: Callable[[], tuple[bytes, ...]]) -> None:
        """Send the result of `codes`, the digests of this worker's code, to each later controller."""
        self._codes = codes

    def reconnect(self) -> None:
        """Open a connection to a new controller: report the held leases and send uncommitted results again."""
        self.connection.close()
        self._unsent.clear()
        self.connection = self._connect()
        self._n_connections += 1
        ready = msgspec.structs.replace(
            self._ready(tuple(sorted(self._held))),
            broadcasts=dict(self._broadcasts),
            codes=self._codes(),
            connection=self._n_connections,
        )
        self.send([ready])
        for finished, _ in self._unacked:
            self.send([finished])

    def send(self, messages: Sequence[Message]) -> None:
        """Send one frame, after the queued ones."""
        self._unsent.append(messages)
        self.flush()

    def flush(self) -> None:
        """Try again to send the queued frames."""
        while self._unsent and self.connection.send(self._unsent[0]):
            self._unsent.popleft()

    def send_results(self, results: Iterable[Result], then: Sequence[Message] = ()) -> None:
        """Send results, kept until they are committed, and then the messages `then`."""
        frames: list[list[Message]] = [[self._finished_message(batch)] for batch in _batches(list(results))]
        if then:
            if not frames:
                frames.append([])
            frames[-1] += then
        for frame in frames:
            self.send(frame)

    def send_returned(self, leases: Sequence[int], *, is_busy: bool = True) -> None:
        """Return leases that were not started."""
        self._held.difference_update(leases)
        for some in chunks(leases, MAX_BATCH):
            self.send([Returned(some, is_busy)])

    def send_set_up(self, number: int, problem: str) -> None:
        """Report that a broadcast has run, and remember it for later controllers."""
        self._broadcasts[number] = problem
        self.send([SetUp(number, problem)])

    def receive(self) -> list[ToWorker]:
        """Return the received messages in order, after noting their leases."""
        messages = self.connection.receive()
        for message in messages:
            if isinstance(message, Run):
                self._held.update(range(message.first_lease, message.first_lease + len(message.bodies)))
            elif isinstance(message, Committed):
                self._forget(message.seq)
            elif isinstance(message, Prepare):
                self._broadcasts[message.number] = None
        return messages

    def _finished_message(self, batch: list[Result]) -> Finished:
        self._n_finished += 1
        leases, outcomes, values, seconds, outputs, displays = zip(*batch, strict=True)
        files = [value for value in values if isinstance(value, UploadedFile)]
        finished = Finished(
            seq=self._n_finished,
            leases=leases,
            outcomes=outcomes,
            values=tuple([value.upload if isinstance(value, UploadedFile) else value for value in values])
            if files
            else values,
            seconds=seconds,
            outputs=_by_lease(leases, outputs),
            displays=_by_lease(leases, displays),
        )
        self._unacked.append((finished, files))
        return finished

    def _forget(self, seq: int) -> None:
        while self._unacked and self._unacked[0][0].seq <= seq:
            finished, _ = self._unacked.popleft()
            self._held.difference_update(finished.leases)


def _by_lease(leases: Iterable[int], things: Iterable[T]) -> dict[int, T]:
    if not any(things):  # the usual case
        return {}
    return {lease: thing for lease, thing in zip(leases, things, strict=True) if thing}


def _batches(results: list[Result]) -> Iterable[list[Result]]:
    """Divide results into batches for one frame each."""
    if not results:
        return ()
    _, _, values, _, outputs, displays = zip(*results, strict=True)
    is_plain = not any(outputs) and not any(displays) and UploadedFile not in map(type, values)
    if is_plain and len(results) <= MAX_BATCH and sum(map(len, values)) <= FRAME_TARGET:
        return (results,)  # the usual case
    return split(results, _size, max_bytes=FRAME_TARGET, max_items=MAX_BATCH)


def _size(result: Result) -> int:
    n_bytes = len(result.value) if isinstance(result.value, bytes) else 0
    if result.output:
        n_bytes += 4 * sum(map(len, result.output))
    if result.displays:
        n_bytes += sum(map(len, result.displays))
    return n_bytes

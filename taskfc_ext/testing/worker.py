"""A worker in threads of this process: the worker's side of the protocol, over the real socket."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, assert_never

import zmq

from taskfc_ext.drivers.transport import Dealer
from taskfc_ext.drivers.uploads import LargePayloads
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.payloads import Payload
from taskfc_ext.protocol.supervisor_messages import WorkerDown
from taskfc_ext.protocol.worker_messages import (
    Code,
    Committed,
    Finished,
    ForgetCode,
    Prepare,
    Ready,
    Return,
    Returned,
    Run,
    SetUp,
    Started,
    ToWorker,
)
from taskfc_ext.testing.attempt import Attempt, Executor
from taskfc_ext.testing.runner import Result, Runner, Running

_LONG_AFTER = 0.02
"""Seconds after which an attempt is long: it is reported as running, and what waits behind it is given back."""

_POLLIN = int(zmq.POLLIN)


class WorkerThread:
    """A worker whose process is two threads: one speaks with the controller, one runs the attempts.

    Args:
        worker: its id.
        path: the controller's socket for workers.
        properties: given to `depend` functions.
        payloads: maps large arguments.
        on_end: called in the worker's thread with the message that the supervisor sends of its end.
    """

    def __init__(
        self,
        worker: int,
        path: Path,
        properties: Mapping[str, Any],
        payloads: LargePayloads,
        on_end: Callable[[WorkerDown], None],
    ) -> None:
        self.worker = worker
        self._on_end = on_end
        self._codes: dict[bytes, Payload] = {}
        self._wake_lock = threading.Lock()
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._is_closing = self._is_retiring = False
        self._to_stop: set[int] = set()
        self._started = self._announced = 0
        self._n_finished = self._n_committed = 0
        self._dealer = Dealer[ToWorker](path, codec.to_worker)
        self._poller = zmq.Poller()
        self._poller.register(self._dealer.socket, _POLLIN)
        self._poller.register(self._reading, _POLLIN)
        self._runner = Runner(worker, Executor(self._codes, properties, payloads), self._wake)
        self._thread = threading.Thread(target=self._serve, name=f"taskfc-test-worker-{worker}", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether an attempt runs."""
        return self._runner.running is not None

    @property
    def is_retiring(self) -> bool:
        """Whether it starts no more attempts."""
        return self._is_retiring

    def stop(self, lease: int) -> None:
        """Stop the attempt under `lease`, if it runs."""
        self._to_stop.add(lease)
        self._wake()

    def retire(self) -> None:
        """Start no more attempts, and end when the one that runs has ended and its result is committed."""
        self._is_retiring = True
        self._wake()

    def close(self) -> None:
        """End now; an attempt that runs is not waited for."""
        self._is_closing = True
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _wake(self) -> None:
        with self._wake_lock, suppress(BlockingIOError):  # a full pipe wakes the thread just as well
            if self._writing >= 0:
                os.write(self._writing, b"x")

    # in the worker's thread

    def _serve(self) -> None:
        self._send([Ready(protocol=PROTOCOL, worker=self.worker, pid=os.getpid(), python=platform.python_version())])
        while not self._is_closing and not (self._is_retiring and self._has_settled()):
            self._wait()
            for message in self._dealer.receive():
                self._on_message(message)
            self._stop_attempts()
            self._report()
        running = self._runner.running
        self._runner.close()
        self._dealer.close()
        with self._wake_lock:
            os.close(self._writing)
            os.close(self._reading)
            self._writing = -1
        started = self._started if running is None else running.attempt.lease
        self._on_end(
            WorkerDown(
                worker=self.worker,
                pid=os.getpid(),
                started=started,
                running=running is not None,
                note="the worker was ended",
                planned=True,
            )
        )

    def _has_settled(self) -> bool:
        return self._runner.is_idle and self._n_committed == self._n_finished

    def _wait(self) -> None:
        """Return when there is something to do, and soon where an attempt may become a long one."""
        running = self._runner.running
        is_announced = running is not None and running.attempt.lease == self._announced
        is_soon = not is_announced and not self._runner.is_idle
        ready = dict(self._poller.poll(int(_LONG_AFTER * 1000) if is_soon else 1000))
        if self._reading in ready:
            os.read(self._reading, 2**16)

    def _on_message(self, message: ToWorker) -> None:
        match message:
            case Code(digest, body):
                self._codes[digest] = body
            case ForgetCode(digests):
                for digest in digests:
                    self._codes.pop(digest, None)
            case Run():
                if not self._is_retiring:  # else its end gives them back
                    for lease, arguments in enumerate(message.bodies, message.first_lease):
                        self._runner.add(Attempt(lease, message.spec, arguments, message.inputs))
            case Prepare():
                self._runner.add(message)
            case Committed(seq):
                self._n_committed = seq
            case Return():
                pass  # a long attempt has the ones behind it given back anyway
            case _:
                assert_never(message)

    def _stop_attempts(self) -> None:
        for lease in list(self._to_stop):
            if self._runner.stop(lease) or lease <= self._started:
                self._to_stop.discard(lease)  # else it waits behind another attempt

    def _report(self) -> None:
        """Send what has ended, and that an attempt runs for long."""
        for result in self._runner.take():
            self._send([self._make_finished(result) if isinstance(result, Result) else SetUp(*result)])
        running = self._runner.running
        if self._is_retiring and running is None:
            self._runner.give_back(broadcasts_too=True)  # the end of the worker tells the controller
        if running is not None and running.attempt.lease != self._announced and self._is_long(running):
            self._announced = running.attempt.lease
            returned = self._runner.give_back()
            started = Started(self._announced, time.monotonic() - running.began)
            self._send([started, Returned(tuple(returned))] if returned else [started])

    def _is_long(self, running: Running) -> bool:
        has_clock = running.attempt.spec.timeout is not None  # it runs in the controller
        return has_clock or self._is_retiring or time.monotonic() - running.began > _LONG_AFTER

    def _make_finished(self, result: Result) -> Finished:
        self._n_finished += 1
        self._started = max(self._started, result.lease)
        outcome, value = result.ended
        return Finished(
            seq=self._n_finished,
            leases=(result.lease,),
            outcomes=(outcome,),
            values=(value,),
            seconds=(result.seconds,),
            outputs={result.lease: result.printed} if result.printed else {},
        )

    def _send(self, messages: Sequence[Message]) -> None:
        while not self._dealer.send(messages) and not self._is_closing:
            time.sleep(0.001)  # the queue to the controller is full

"""The thread in which a worker's attempts run, one after the other; a new one takes over when an attempt is stopped."""

from __future__ import annotations

import ctypes
import queue
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from taskfc_ext.protocol.printed import Printed
from taskfc_ext.protocol.worker_messages import Prepare
from taskfc_ext.testing.attempt import INTERRUPTED, Attempt, AttemptEnd, Executor, Interrupted
from taskfc_ext.testing.capture import begin_capture, end_capture, take_output

Work = Attempt | Prepare


class _Here(threading.local):
    worker = -1


_here = _Here()


def current_worker() -> int:
    """Return the id of the worker whose task runs in this thread, or -1."""
    return _here.worker


class Running(NamedTuple):
    """The attempt that runs now, and the monotonic time of its start."""

    attempt: Attempt
    began: float


class Result(NamedTuple):
    """The end of one attempt."""

    lease: int
    ended: AttemptEnd
    seconds: float
    printed: Printed = ()


class SetUpResult(NamedTuple):
    """The end of one broadcast; `problem` is empty where it succeeded."""

    number: int
    problem: str


class Runner:
    """Runs attempts and broadcasts in order, in a thread of its own.

    A thread cannot be killed. So an attempt that is to stop gets an exception and counts as ended at once: its thread
    is abandoned, and a new one runs the next attempts.

    Args:
        worker: the id of its worker.
        executor: makes the attempts.
        on_result: called in the runner's thread when there is something to `take`.
    """

    def __init__(self, worker: int, executor: Executor, on_result: Callable[[], None]) -> None:
        self._worker = worker
        self._executor = executor
        self._on_result = on_result
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._results: list[Result | SetUpResult] = []
        self._n_unfinished = 0
        self._is_closed = False
        self._running: Running | None = None
        self._abandoned: set[threading.Thread] = set()  # threads with an attempt that was stopped
        self._thread = self._start()

    @property
    def running(self) -> Running | None:
        """The attempt that runs now."""
        return self._running

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to run, and no result to take."""
        with self._lock:
            return not self._n_unfinished and not self._results

    def add(self, work: Work) -> None:
        """Run `work` after everything that was added before."""
        with self._lock:
            self._n_unfinished += 1
        self._queue.put(work)

    def take(self) -> list[Result | SetUpResult]:
        """Return the results since the last call."""
        with self._lock:
            results, self._results = self._results, []
        return results

    def give_back(self, *, broadcasts_too: bool = False) -> list[int]:
        """Take back the attempts that have not started; return their leases. Broadcasts stay by default."""
        leases: list[int] = []
        broadcasts: list[Prepare] = []
        while True:
            try:
                work = self._queue.get_nowait()
            except queue.Empty:
                break
            if isinstance(work, Attempt):
                leases.append(work.lease)
            elif work is not None:
                broadcasts.append(work)
        with self._lock:
            self._n_unfinished -= len(leases) + len(broadcasts)
        for broadcast in () if broadcasts_too else broadcasts:
            self.add(broadcast)
        return leases

    def stop(self, lease: int) -> bool:
        """End the attempt under `lease` as interrupted; return whether it ran."""
        with self._lock:
            running = self._running
            if running is None or running.attempt.lease != lease:
                return False
            printed = take_output(self._thread.ident or 0)
            self._abandon_thread()
            self._n_unfinished -= 1
            self._results.append(Result(lease, INTERRUPTED, time.monotonic() - running.began, printed))
            self._thread = self._start()
        return True

    def close(self) -> None:
        """End the thread; an attempt that runs gets an exception and is not waited for."""
        self.give_back(broadcasts_too=True)
        with self._lock:
            self._is_closed = True
            if self._running is not None:
                self._abandon_thread()
            self._queue.put(None)

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="taskfc-test-tasks", daemon=True)
        thread.start()
        return thread

    def _abandon_thread(self) -> None:
        """Raise an exception in the thread and use it no more. With the lock held, while user code runs."""
        self._abandoned.add(self._thread)
        self._running = None
        identifier = ctypes.c_ulong(self._thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(identifier, ctypes.py_object(Interrupted))

    # in the thread

    def _run(self) -> None:
        _here.worker = self._worker
        try:
            while (work := self._queue.get()) is not None:
                if not self._run_one(work):
                    return
        except Interrupted:
            pass  # in an abandoned thread, also after the end of the user's code

    def _run_one(self, work: Work) -> bool:
        """Run `work` and keep its result; return whether this thread is to go on."""
        began = time.monotonic()
        if isinstance(work, Prepare):
            result: Result | SetUpResult = SetUpResult(work.number, self._executor.set_up(work))
        else:
            begin_capture()
            try:
                with self._lock:
                    if self._is_closed:
                        return False
                    self._running = Running(work, began)
                ended = self._executor.run(work)
            finally:
                printed = end_capture()
            result = Result(work.lease, ended, time.monotonic() - began, printed)
        thread = threading.current_thread()
        if thread in self._abandoned:  # before the lock: the exception may come at any moment
            return False
        with self._lock:
            if thread in self._abandoned:
                return False
            self._running = None
            self._n_unfinished -= 1
            self._results.append(result)
        self._on_result()
        return True

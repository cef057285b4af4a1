"""`TaskExecutor`: a farm as a `concurrent.futures.Executor`."""

from __future__ import annotations

import atexit
import concurrent.futures
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain
from typing import Any, NoReturn

from taskfc_ext.border import at_border, shorten
from taskfc_ext.client import signatures
from taskfc_ext.client.aio import FCTaskClient
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.chunk import ForChunk, check_chunksize, divide
from taskfc_ext.client.future.future import CANCELLED, HELD, TaskFuture
from taskfc_ext.client.future.outcome import Raised
from taskfc_ext.client.future.template import Template
from taskfc_ext.client.session.controller import RemoteController
from taskfc_ext.client.start import TaskClient
from taskfc_ext.client.submit.submitter import Submitter
from taskfc_ext.drivers.uploads import Sent
from taskfc_ext.errors import FarmError, TaskFCError
from taskfc_ext.serialize.chance import carried as carried_generators
from taskfc_ext.serialize.chance import report_repeats


class TaskExecutor(concurrent.futures.Executor):
    """An executor whose tasks run on a farm. As a context manager it waits for its tasks at the end.

    Its futures are `TaskFuture`s. A future among the arguments of `submit` stands for its result. Any thread may use
    it. The farm and its other tasks go on after `shutdown`.

    At the exit of the process it waits for the tasks that were held back by `max_workers`; the others go on without it.

    Args:
        max_workers: the largest number of its tasks that run at once. `None`: as many as there are workers. On a farm
            with more workers, only so many are with the farm at once. Later ones wait in this process, where other
            clients, lists and `flush` do not see them. Tasks that a farm has already when it gets more workers are not
            held back.
        client: the client that submits the tasks, with its options: `client.with_options(retries=2)`. By default one of
            its own for the farm `default`, which is started if it does not run.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: `max_workers` is less than 1.
    """

    @at_border
    def __init__(
        self, max_workers: int | None = None, *, client: BlockingTaskClient | FCTaskClient | None = None
    ) -> None:
        _check_arguments(max_workers, client)
        self._limit = max_workers
        self._owns_client = client is None
        self._client = TaskClient() if client is None else client.adapt_to_blocking_client()
        asynchronous = self._client._client
        self._remote = asynchronous.remote_reference
        self._queue = None if max_workers is None else HeldTasks(self._remote, max_workers)
        send = self._remote.submit if self._queue is None else self._queue.submit
        self._submitter = Submitter(self._remote, asynchronous.submitter.options, send=send)
        self._lock = threading.RLock()  # pickling may run the user's code, which may submit, too
        self._futures: weakref.WeakSet[TaskFuture] = weakref.WeakSet()
        self._is_shut_down = False

    @property
    def _max_workers(self) -> int:
        # dask reads it
        return max(1, len(self._client.workers())) if self._limit is None else self._limit

    @signatures.as_submit
    @at_border
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskFuture:
        """Queue `fn(*args, **kwargs)`; return its future at once.

        Raises:
            RuntimeError: after `shutdown`.
            UnpicklableArgument: the function or an argument cannot be sent; the message says which and why.
        """
        with self._lock:
            self._check_open()
            future = self._submitter.submit(fn, args, kwargs)
            self._futures.add(future)
        return future

    @signatures.as_executor_map
    @at_border
    def map(  # type: ignore[override] # has more precise types
        self, fn: Callable[..., Any], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[Any]:
        """Submit `fn` for the items of `iterables` now; return an iterator over the results, in their order.

        The iteration ends at the first error of a task, or with the iterator; tasks that no worker has are cancelled
        then. `client.imap` reads the iterables lazily.

        Args:
            fn: the function.
            iterables: one for each argument of `fn`; the shortest ends.
            timeout: seconds from now, after which the iterator raises `TimeoutError`.
            chunksize: the number of items in a task. More than 1 pays for items of less than a millisecond. After an
                error the later items of its chunk do not run.

        Raises:
            RuntimeError: after `shutdown`.
            TypeError: `chunksize` is not an int.
            ValueError: `chunksize` is less than 1.
        """
        chunksize = check_chunksize(chunksize)
        deadline = None if timeout is None else time.monotonic() + timeout
        items = zip(*iterables, strict=False)
        if chunksize == 1:
            return self._results(self._submit_items(fn, items), deadline)
        chunks = self._submit_items(ForChunk(fn), divide(items, chunksize))
        return chain.from_iterable(self._results(chunks, deadline))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks. The farm keeps running.

        Args:
            wait: return when all tasks of this executor have ended; else they go on.
            cancel_futures: cancel the tasks that no worker has.
        """
        with self._lock:
            self._is_shut_down = True
            futures = [future for future in self._futures if not future.done()]
        if cancel_futures:
            if self._queue is not None:
                self._queue.cancel()
            self._remote.withdraw(futures)
        if wait:
            concurrent.futures.wait(futures)
            if self._owns_client:
                self._client.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a TaskExecutor belongs to the process that made it; make one with TaskExecutor() in the task")

    def __repr__(self) -> str:
        limit = "" if self._limit is None else f", at most {self._limit} tasks at once"
        return f"<TaskExecutor on farm {self._remote.farm_name!r}{limit}>"

    # inside

    def _abort_all(self) -> None:
        """Take no more tasks, and stop those that are unfinished, running or not; waits for nothing."""
        with self._lock:
            self._is_shut_down = True
            futures = list(self._futures)
        if self._queue is not None:
            self._queue.cancel()
        self._remote.withdraw(futures, running=True)

    def _check_open(self) -> None:
        if self._is_shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")  # the words of concurrent.futures

    def _submit_items(self, fn: Callable[..., Any], items: Iterable[tuple[Any, ...]]) -> deque[TaskFuture]:
        calls = list(items)  # without the lock: reading them runs the user's code
        with self._lock:
            self._check_open()
            template = self._submitter.function_template(fn)
            if carried_generators:
                report_repeats(len(calls))  # all items get the same state of the generators that the function holds
            futures = deque([self._submitter.submit_call(template, args) for args in calls])
            self._futures.update(futures)
        return futures

    def _results(self, futures: deque[TaskFuture], deadline: float | None) -> Generator[Any, None, None]:
        def take() -> Any:
            value = futures[0].result(None if deadline is None else max(0.0, deadline - time.monotonic()))
            futures.popleft()
            return value

        try:
            while futures:
                yield take()  # in no variable: while the reader has it, it is the reader's alone
        except BaseException as error:
            shorten(error)
            raise
        finally:
            self._remote.withdraw(futures)


class HeldTasks:
    """The tasks of one executor: at most `limit` run at once.

    A farm that has no more workers than that gets all tasks. Of another one, and as long as its size is unknown, at
    most `limit` are with the farm, and the later ones wait here: each takes a round trip, as the end of one sends the
    next. The hooks of those that are with the farm keep this alive while any task waits.

    Args:
        remote: the session that tasks are sent through.
        limit: the largest number of them.
    """

    def __init__(self, remote: RemoteController, limit: int) -> None:
        self._remote = remote
        self._limit = limit
        self._lock = threading.Lock()
        self._held: deque[TaskFuture] = deque()
        self._n_sent = 0  # of the tasks that have the hook
        self._unlimited: weakref.WeakSet[TaskFuture] = weakref.WeakSet()  # of the tasks that were sent without it
        self._is_small = False  # the farm
        self._is_sending = False  # one thread sends at a time, so that hooks do not nest
        _queues.add(self)
        remote.follow_size(self)

    def submit(self, template: Template, body: Sent) -> TaskFuture:
        """Queue one task; it is sent when it is its turn."""
        self._remote.check_may_wait()
        future = TaskFuture(template, body)
        future._place = HELD
        with self._lock:
            self._held.append(future)
        self._send()
        return future

    def set_workers(self, n_workers: int) -> None:
        """Take the number of the farm's workers; 0 if it is unknown. I/O thread."""
        with self._lock:
            self._is_small = 0 < n_workers <= self._limit
            unlimited = [] if self._is_small else list(self._unlimited)
            self._unlimited.difference_update(unlimited)
            self._n_sent += len(unlimited)
        for future in unlimited:
            self._count_until_end(future)
        self._send()

    def cancel(self) -> None:
        """Cancel the tasks that wait."""
        for future in self._take_all():
            future._settle(CANCELLED)

    def wait(self) -> None:
        """Wait until the tasks that wait now have ended.

        Raises:
            KeyboardInterrupt: the user waits no more.
        """
        concurrent.futures.wait(list(self._held))

    @property
    def n_held(self) -> int:
        """Number of tasks that wait."""
        return len(self._held)

    def _send(self) -> None:
        """Send tasks until so many are with the farm as may be."""
        with self._lock:
            if self._is_sending:
                return  # that thread sees what has changed
            self._is_sending = True
        while True:
            with self._lock:
                is_small = self._is_small
                if not self._held or (self._n_sent >= self._limit and not is_small):
                    self._is_sending = False
                    return
                future = self._held.popleft()
                if is_small:
                    self._unlimited.add(future)
                else:
                    self._n_sent += 1
            try:
                if not future.done():
                    self._remote.send(future)
            except TaskFCError as error:  # the client was closed
                future._settle_with(error)
            if not is_small:
                self._count_until_end(future)

    def _count_until_end(self, future: TaskFuture) -> None:
        if not future.call_at_end(self._on_end):
            with self._lock:
                self._n_sent -= 1

    def _on_end(self, future: TaskFuture) -> None:
        with self._lock:
            self._n_sent -= 1
        outcome = future.known_outcome
        if future.facts is None and isinstance(outcome, Raised) and isinstance(outcome.error, FarmError):
            # the farm was stopped or the client closed; another submission would start the farm again
            for held in self._take_all():
                held._settle_with(outcome.error)
        self._send()

    def _take_all(self) -> list[TaskFuture]:
        with self._lock:
            held = list(self._held)
            self._held.clear()
        return held


_queues: weakref.WeakSet[HeldTasks] = weakref.WeakSet()


def _wait_at_exit() -> None:
    """Wait for tasks that no farm has: they would be lost."""
    for queue in list(_queues):
        try:
            queue.wait()
        except KeyboardInterrupt:
            print(f"taskfc: {queue.n_held} tasks waited in an executor and are lost", file=sys.stderr)  # noqa: T201


atexit.register(_wait_at_exit)  # after that of the clients' registry, so that it runs before it


def _check_arguments(max_workers: object, client: object) -> None:
    if max_workers is not None:
        if not isinstance(max_workers, int) or isinstance(max_workers, bool):
            more = (
                "; a client is given as client=" if isinstance(max_workers, BlockingTaskClient | FCTaskClient) else ""
            )
            raise TypeError(f"max_workers is an int or None, not {max_workers!r}{more}")
        if max_workers < 1:
            raise ValueError(f"max_workers must be greater than 0, not {max_workers}")
    if client is not None and not isinstance(client, BlockingTaskClient | FCTaskClient):
        raise TypeError(f"client is what TaskClient() returns, not {client!r}")

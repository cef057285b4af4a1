"""The main thread of a worker: receive, run, send."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import copy_context
from itertools import count, repeat
from time import perf_counter
from typing import NoReturn, assert_never

from taskfc_ext.drivers.processes import Page
from taskfc_ext.protocol.message import Message
from taskfc_ext.protocol.payloads import Payload
from taskfc_ext.protocol.worker_messages import (
    Code,
    Committed,
    ForgetCode,
    Output,
    Prepare,
    Progress,
    PropertiesChanged,
    Run,
    Started,
    ToWorker,
)
from taskfc_ext.worker.connection import LifePipe
from taskfc_ext.worker.context.leftovers import LEAST, Leftovers
from taskfc_ext.worker.link import Link, Result
from taskfc_ext.worker.output.capture import Capture
from taskfc_ext.worker.output.displays import Watch
from taskfc_ext.worker.output.progress import Sampler
from taskfc_ext.worker.property_dict import Properties
from taskfc_ext.worker.run.execute import Executor, interrupted
from taskfc_ext.worker.run.interrupt import Guard, TaskInterrupt

logger = logging.getLogger(__name__)

HOLD_BACK = 0.002
"""Seconds for which a result may wait for those of the tasks behind it."""

PROGRESS_EVERY = 0.25
"""Seconds from one progress of a task to the next."""

FLUSH_AFTER = 0.001
"""Seconds after which a task may have used C code that prints, and has left half a line in its buffer."""

RETIRE_MS = 20
"""Longest wait between two looks whether the last results of a worker that ends are committed."""

_STARTED = Page.STARTED
_ENDED = Page.ENDED

_Attempt = tuple[int, int, Payload, Run | Prepare]  # lease, task id, body, and the message that it came in

_NO_LEASE = 0  # what stands for it where a broadcast waits among the attempts


class Loop:
    """Runs what the controller sends, in order, in the calling thread, which has to be the main one.

    Args:
        link: the connection.
        page: where each start and end is noted.
        guard: lets interrupts into the user's code.
        executor: makes the attempts.
        capture: takes what they print.
        life: says when to reconnect.
        properties: of whose changes the controller is told.
        leftovers: ends what attempts leave behind; what runs now stays.

    Attributes:
        lease: the attempt that is running, 0 when none is.
        is_busy: whether the main thread may be in the user's code. While it is not, nobody else may touch the
            connection.
    """

    def __init__(
        self,
        link: Link,
        page: Page,
        guard: Guard,
        executor: Executor,
        capture: Capture,
        life: LifePipe,
        properties: Properties,
        leftovers: Leftovers | None = None,
    ) -> None:
        self._link = link
        self._words = page.words
        self._guard = guard
        self._executor = executor
        self._capture = capture
        self._life = life
        self._properties = properties
        self._leftovers = leftovers or Leftovers()
        self._attempts: deque[_Attempt] = deque()
        self._results: deque[Result] = deque()
        self._oldest_result = 0.0
        self._announced = 0
        self._last_run: Run | None = None
        self._began = 0.0
        self._sampler = Sampler()
        self._watch = Watch(capture.displays)
        self._progress: Progress | None = None
        self._progress_sent = float("-inf")
        self.lease = 0
        self.is_busy = False

    def turn(self, wake_courier: Callable[[], None]) -> bool:
        """Send and receive, then run all that there is to run; return whether there was anything."""
        with self._link.lock:
            self._exchange()
            self.is_busy = bool(self._attempts)
        self._capture.settle()
        if not self.is_busy:
            return False
        wake_courier()
        self._guard.install()
        self._capture.take_back()
        while self._attempts:
            if self._results and perf_counter() - self._oldest_result > HOLD_BACK:
                with self._link.lock:
                    self._exchange()
            try:
                attempt = self._attempts.popleft()
            except IndexError:  # the courier has just given it back
                break
            self._run(attempt)
        return True

    def speak_for(self, lease: int, *, wants_output: bool) -> None:
        """Do what the main thread cannot, as it has been in the attempt under `lease` for long. The courier's thread.

        Tells that it has started and what it prints, sends what ended before it, and gives back what waits behind it.
        """
        progress = None
        if wants_output:
            self._guard.remind()  # no oftener: each signal breaks off a system call, and not all code begins it again
            progress = self._news_of(lease)
        with self._link.lock:
            if self.lease != lease:
                return
            results = list(self._drained())
            has_ended = any(result.lease == lease for result in results)
            then: list[Message] = []
            if not has_ended and self._announced != lease:
                self._announced = lease
                then.append(Started(lease, perf_counter() - self._began))
            if not has_ended and wants_output and (printed := self._capture.take_fresh()):
                then.append(Output(lease, printed))
            if not has_ended and wants_output and (displayed := self._watch.news(lease, perf_counter())):
                then.append(displayed)
            if not has_ended and progress is not None:
                self._progress, self._progress_sent = progress, perf_counter()
                then.append(progress)
            self._link.send_results(results, then)
            self._exchange()
            if self.lease == lease:  # else the main thread is free by now to run what has just arrived
                self._give_back()

    def _news_of(self, lease: int) -> Progress | None:
        """Return how far `lease` is, if that is new. Takes no lock: it looks at objects of the user's."""
        now = perf_counter()
        progress = self._sampler.sample(lease, now - self._began)
        is_due = now - self._progress_sent >= PROGRESS_EVERY
        return progress if progress != self._progress and is_due else None

    def _run(self, attempt: _Attempt) -> None:
        lease, taskid, body, run = attempt
        if isinstance(run, Prepare):
            self._set_up(run)
            return
        spec = run.spec
        if run is not self._last_run:  # what is in one message came with the same modules: one look will do
            self._last_run = run
            self._executor.looks_at_modules = True
        words = self._words
        words[_STARTED] = lease
        self._began = perf_counter()
        self.lease = lease
        if spec.timeout is not None:  # its clock runs in the controller
            self._announced = lease
            with self._link.lock:
                self._link.send_results(self._drained(), [Started(lease)])
        self._capture.begin()
        started = perf_counter()
        try:
            run_in = copy_context().run  # what an attempt sets of context variables ends with it
            outcome, value = self._guard.call(lease, run_in, self._executor.run, spec, taskid, body, run.inputs)
        except TaskInterrupt:  # before the user's code, or just after it
            outcome, value = interrupted()
        ended = perf_counter()
        if ended - started > FLUSH_AFTER:
            self._capture.flush_c()
        if ended - started > LEAST and (notice := self._leftovers.end()):
            self._capture.stderr.write(f"{notice}\n")
        self._executor.leave(ended - started)
        self._life.check()  # before the end is noted: it is this attempt that is to blame
        words[_ENDED] = lease
        self.lease = 0
        if not self._results:
            self._oldest_result = ended
        displays = self._capture.displays
        shown = displays.end() if displays.is_used else ()
        self._results.append(Result(lease, outcome, value, ended - started, self._capture.end(), shown))
        if self._executor.settings.spent:
            self._retire(self._executor.settings.spent)

    def _retire(self, why: str) -> NoReturn:
        """End this process, in which no other task would find what it expects; another one takes its place.

        Nothing is lost, and nobody is charged: every result is committed first, and what waits is given back.
        """
        logger.info("this worker ends, as a task has changed what cannot be put back: %s", why)
        while True:
            with self._link.lock:
                self._exchange()
                self._give_back()
                if not self._link.owes:
                    os._exit(0)
            self._link.connection.wait(RETIRE_MS)

    def _set_up(self, broadcast: Prepare) -> None:
        """Run a broadcast; what it prints goes to the worker's log. If this kills us, no attempt is to blame."""
        with self._link.lock:
            self._link.send_results(self._drained())
        problem = self._executor.set_up(broadcast)
        self._leftovers.keep()
        self._capture.displays.end()  # nobody looks at them, least of all with the next task's
        self._life.check()
        with self._link.lock:
            self._link.send_set_up(broadcast.number, problem)

    # with the link's lock held

    def _exchange(self) -> None:
        """Send what there is to send, and take what has arrived."""
        if self._life.wants_reconnect():
            self._link.reconnect()
            self._announced = 0  # the new controller does not know what runs
            self._progress = None  # nor how far it is
            self._watch.forget()
        self._link.send_results(self._drained())
        if self._properties.changed:
            self._properties.changed = False
            self._link.send([PropertiesChanged()])
        self._link.flush()
        for message in self._link.receive():
            self._accept(message)

    def _accept(self, message: ToWorker) -> None:
        match message:
            case Run(first_lease=first, ids=ids, bodies=bodies):
                self._attempts.extend(zip(count(first), ids, bodies, repeat(message), strict=False))
            case Prepare(number=number, body=body):
                self._attempts.append((_NO_LEASE, number, body, message))
            case Code(digest=digest, body=body):
                self._executor.define(digest, body)
            case ForgetCode(digests=digests):
                self._executor.forget(digests)
            case Committed():
                pass  # the link has seen it
            case _:
                assert_never(message)

    def _drained(self) -> Iterator[Result]:
        results = self._results
        while results:
            yield results.popleft()

    def _give_back(self) -> None:
        """Take what waits from the far end: the main thread, which takes from the near one, cannot get the same."""
        leases: list[int] = []
        broadcasts: list[_Attempt] = []
        while self._attempts:
            try:
                attempt = self._attempts.pop()
            except IndexError:  # the main thread was faster
                break
            if attempt[0] == _NO_LEASE:
                broadcasts.append(attempt)
            else:
                leases.append(attempt[0])
        self._attempts.extend(reversed(broadcasts))  # they stay: no other worker can run them for us
        if leases:
            self._link.send_returned(leases[::-1])

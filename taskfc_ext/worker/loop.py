"""Loop of a worker's main thread: receive, run, send."""

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
    Return,
    Run,
    Started,
    ToWorker,
)
from taskfc_ext.worker.connection import LifePipe
from taskfc_ext.worker.context.leftovers import SHORTEST_RUN, Leftovers
from taskfc_ext.worker.link import Link, Result
from taskfc_ext.worker.output.capture import Capture
from taskfc_ext.worker.output.displays import DisplayReporter
from taskfc_ext.worker.output.progress import Sampler
from taskfc_ext.worker.property_dict import Properties
from taskfc_ext.worker.run.bare_ends import end_interrupted
from taskfc_ext.worker.run.execute import Executor
from taskfc_ext.worker.run.interrupt import Guard, TaskInterrupt

logger = logging.getLogger(__name__)

HOLD_BACK = 0.002
"""Seconds from the start of a task to the sending of its result, which waits for those of short tasks behind it.

A longer task's result leaves before the next task starts, so that the controller can replace it in the meantime.
"""

KEEP_ONE = 0.1
"""Run time in seconds up to which a single task stays behind the running one, unless the controller asks for it.

Twice the mean up to which the controller sends one ahead. To give it back earlier would make the worker wait for its
next task: of tasks of 1 to 50 ms, two of five take longer than 20 ms and a check.
"""

PROGRESS_EVERY = 0.25
"""Seconds between two progress messages of a task."""

FLUSH_AFTER = 0.001
"""Run time in seconds from which C's stdout is flushed: its code may have left half a line in the buffer."""

RETIRE_MS = 20
"""Milliseconds between two checks whether the last results of a worker that ends are committed."""

_STARTED = Page.STARTED
_ENDED = Page.ENDED
_REVOKED = Page.REVOKED

_Attempt = tuple[int, int, Payload, Run | Prepare]  # lease, task id, body, and the message that brought it

_NO_LEASE = 0  # the lease of a broadcast that is queued among the attempts


class Loop:
    """Runner of the received attempts and broadcasts, in order, in the main thread.

    Args:
        link: the connection.
        page: shared memory that records each start and end for the supervisor.
        guard: lets interrupts into the user's code only.
        executor: runs attempts.
        capture: collects their output.
        life: orders reconnects.
        properties: the controller is notified of their changes.

    Attributes:
        lease: the running attempt; 0 if none.
        is_busy: whether the main thread may be in the user's code. While false, only the main thread may use the
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
    ) -> None:
        self._link = link
        self._words = page.words
        self._keep = page.keep
        self._guard = guard
        self._executor = executor
        self._capture = capture
        self._life = life
        self._properties = properties
        self._leftovers = Leftovers()
        self._attempts: deque[_Attempt] = deque()
        self._results: deque[Result] = deque()
        self._revoked: deque[int] = deque()  # leases that were not started, and have to be returned
        self._oldest_start = 0.0
        self._asked_back = 0
        self._announced = 0
        self._last_run: Run | Prepare | None = None
        self._repeats = False  # the next attempt of the same message may repeat the last one
        self._began = 0.0
        self._sampler = Sampler()
        self._display_reporter = DisplayReporter(capture.displays)
        self._progress: Progress | None = None
        self._progress_sent = float("-inf")
        self.lease = 0
        self.is_busy = False

    def turn(self, wake_helper: Callable[[], None]) -> bool:
        """Send and receive, then run all queued attempts; return whether there were any."""
        with self._link.lock:
            self._exchange()
            self.is_busy = bool(self._attempts)
        self._capture.drain_to_log()
        if not self.is_busy:
            return False
        wake_helper()
        self._capture.restore_descriptors()
        while self._attempts:
            if self._results and perf_counter() - self._oldest_start > HOLD_BACK:
                with self._link.lock:
                    self._exchange()
            try:
                attempt = self._attempts.popleft()
            except IndexError:  # the helper thread has just returned it
                break
            if not (self._may_repeat(attempt[3]) and self._repeat(attempt)):
                self._run(attempt)
        return True

    def act_for(self, lease: int, *, wants_output: bool) -> None:
        """Act for the main thread while it runs the long attempt under `lease`. Helper thread.

        Reports its start and output, sends earlier results, and returns the leases queued behind it; a single one only
        if the controller asks for it, or after `KEEP_ONE`.
        """
        progress = None
        if wants_output:
            self._guard.remind()  # not more often: a signal interrupts a system call, and not all code repeats it
            progress = self._sample_progress(lease)
        with self._link.lock:
            if self.lease != lease:
                return
            results = list(self._drain())
            has_ended = any(result.lease == lease for result in results)
            then: list[Message] = []
            if not has_ended:
                if self._announced != lease:
                    self._announced = lease
                    then.append(Started(lease, perf_counter() - self._began))
                if wants_output and (printed := self._capture.take_fresh()):
                    then.append(Output(lease, printed))
                if wants_output and (displayed := self._display_reporter.report(lease, perf_counter())):
                    then.append(displayed)
                if progress is not None:
                    self._progress, self._progress_sent = progress, perf_counter()
                    then.append(progress)
            self._link.send_results(results, then)
            self._exchange()
            may_keep = self._asked_back <= lease and perf_counter() - self._began < KEEP_ONE
            if may_keep and len(self._attempts) == 1:
                return
            if self.lease == lease:  # else the main thread is free and runs the new attempts itself
                self._return_leases()

    def _sample_progress(self, lease: int) -> Progress | None:
        """Return the progress of `lease` if it is due and has changed. Takes no lock: it reads the user's objects."""
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
        words = self._words
        words[_STARTED] = lease
        if words[_REVOKED] >= lease:
            self._skip(lease)
            return
        self._began = perf_counter()
        self.lease = lease
        if spec.timeout is not None:  # its clock runs in the controller
            self._announced = lease
            with self._link.lock:
                self._link.send_results(self._drain(), [Started(lease)])
        self._capture.begin()
        started = perf_counter()
        try:
            run_in = copy_context().run  # context variables set by an attempt end with it
            outcome, value = self._guard.call(
                lease, run_in, self._executor.run, spec, taskid, body, run.inputs, run.gpus, run.environ
            )
        except TaskInterrupt:  # raised just before or after the user's code
            outcome, value = end_interrupted()
        ended = perf_counter()
        if ended - started > FLUSH_AFTER:
            self._capture.flush_c()
        if ended - started > SHORTEST_RUN and (notice := self._leftovers.end()):
            self._capture.stderr.write(f"{notice}\n")
        self._executor.leave(ended - started)
        self._repeats = self._executor.can_repeat(spec)
        self._life.check()  # before the end is recorded: this attempt is at fault
        words[_ENDED] = lease
        self.lease = 0
        if not self._results:
            self._oldest_start = started
        displays = self._capture.displays
        shown = displays.end() if displays.is_used else ()
        printed = self._capture.end()
        self._results.append(Result(lease, outcome, value, ended - started, printed, shown))
        if not (outcome or printed or shown) and type(value) is bytes:
            self._keep(lease, ended - started, value)
        if self._executor.settings.why_unusable:
            self._retire(self._executor.settings.why_unusable)

    def _may_repeat(self, run: Run | Prepare) -> bool:
        """Return whether an attempt of this message may repeat the last attempt."""
        if run is not self._last_run:
            self._last_run = run
            self._executor.looks_at_modules = True  # attempts of one message have the same modules: one check is enough
            self._repeats = type(run) is Run and not run.inputs and self._executor.can_repeat(run.spec)
        return self._repeats

    def _repeat(self, attempt: _Attempt) -> bool:
        """Run an attempt like the last one, unless its arguments are not plain values; return whether that is done.

        A shorter `_run`, for the many tiny tasks of a harmless function: see `Executor.repeat`.
        """
        lease, _, body, _ = attempt
        words = self._words
        words[_STARTED] = lease
        if words[_REVOKED] >= lease:
            self._skip(lease)
            return True
        self._began = started = perf_counter()
        self.lease = lease
        self._capture.begin()
        try:
            ended = self._guard.call_again(lease, self._executor.repeat, body)
        except TaskInterrupt:
            ended = end_interrupted()
        seconds = perf_counter() - started
        if ended is None:
            self.lease = 0
            return False
        words[_ENDED] = lease
        self.lease = 0
        if not self._results:
            self._oldest_start = started
        outcome, value = ended
        printed = self._capture.end_of_printing()
        self._results.append(Result(lease, outcome, value, seconds, printed))
        if not (outcome or printed) and type(value) is bytes:
            self._keep(lease, seconds, value)
        return True

    def _skip(self, lease: int) -> None:
        """Return an attempt that was revoked: the supervisor may have read that it has started."""
        self._words[_STARTED] = self._words[_ENDED]
        self._revoked.append(lease)

    def _retire(self, why: str) -> NoReturn:
        """End this process, because a task changed a setting that cannot be restored; the supervisor starts a new one.

        All results are committed first, and queued leases are returned: no task loses an attempt.
        """
        logger.info("this worker ends, because a task changed a setting that cannot be restored: %s", why)
        while True:
            with self._link.lock:
                self._exchange()
                self._return_leases()
                if not self._link.has_uncommitted:
                    os._exit(0)
            self._link.connection.wait(RETIRE_MS)

    def _set_up(self, broadcast: Prepare) -> None:
        """Run a broadcast; its output goes to the worker's log. If it kills the worker, no attempt is charged."""
        with self._link.lock:
            self._link.send_results(self._drain())
        problem = self._executor.set_up(broadcast)
        self._guard.install()  # also if the broadcast has set another handler
        self._leftovers.keep()
        self._capture.displays.end()  # dropped: they must not appear with the next task's
        self._life.check()
        with self._link.lock:
            self._link.send_set_up(broadcast.number, problem)

    # The methods below need the link's lock.

    def _exchange(self) -> None:
        """Send all queued messages and take the received ones."""
        if self._life.wants_reconnect():
            self._link.reconnect()
            self._announced = 0  # the new controller does not know the running attempt
            self._progress = None  # nor its progress
            self._display_reporter.forget()
        self._link.send_results(self._drain())
        if self._revoked:
            revoked = [self._revoked.popleft() for _ in range(len(self._revoked))]
            self._link.send_returned(revoked, is_busy=bool(self.lease))
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
            case Return(until=lease):
                self._asked_back = lease  # the helper thread acts on it: the main thread is about to run them
            case Committed():
                pass  # handled by the link
            case _:
                assert_never(message)

    def _drain(self) -> Iterator[Result]:
        results = self._results
        while results:
            yield results.popleft()

    def _return_leases(self) -> None:
        """Return the queued leases. Takes from the end of the queue, as the main thread takes from its front."""
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
        self._attempts.extend(reversed(broadcasts))  # each worker has to run them itself
        if leases:
            self._link.send_returned(leases[::-1])

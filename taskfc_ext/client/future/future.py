"""`TaskFuture`: a `concurrent.futures.Future` that costs little until something waits for it.

A plain future makes a condition, a lock and two lists: 1.9 KB and 10 µs. Most futures need none of them, as their
result is there before it is asked for. Here they are made on first use, under one lock for all futures, so that a
future that ends at the same time misses no waiter. The attributes that `concurrent.futures` reaches for (`_condition`,
`_waiters`, `_state`) have their usual names.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine, Generator, Iterable
from concurrent.futures import CancelledError
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from taskfc_ext.border import at_border, shorten
from taskfc_ext.client.future.attributes import why_no_attribute
from taskfc_ext.client.future.callbacks import CallbackThread, show_failure
from taskfc_ext.client.future.outcome import Facts, FactsRow, Raised, load, lost_of, names_of, namespace_of
from taskfc_ext.client.future.output_cache import outputs_of
from taskfc_ext.client.future.template import Owner, Template
from taskfc_ext.client.future.waiters import LoopWaiter, WaitState
from taskfc_ext.client.future.waiting import ANSWER_WITHIN, check_may_block, drive, no_answer_error
from taskfc_ext.drivers.uploads import UploadedFile
from taskfc_ext.errors import RequestRefused, TaskAborted, UnknownTask
from taskfc_ext.protocol.infos import Details, TaskInfo, TaskProgress
from taskfc_ext.protocol.payloads import Reason
from taskfc_ext.protocol.printed import Printed, log_of, stderr_of, stdout_of
from taskfc_ext.protocol.spec import Kind
from taskfc_ext.serialize import Received, SourceResult
from taskfc_ext.serialize.chance import level_of_caller
from taskfc_ext.serialize.in_place import apply_change
from taskfc_ext.tasks import Namespace, TaskResult

PENDING = "PENDING"
CANCELLED = "CANCELLED_AND_NOTIFIED"
FINISHED = "FINISHED"
"""The names that `concurrent.futures` gives these states."""

HELD = "held"
"""The place of a future that its executor has not given to the connection yet."""

_STATES = {Reason.ABORTED.value: "aborted", "": "succeeded"}

T = TypeVar("T")
if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    R = TypeVarWithDefault("R", default=Any)
else:
    R = TypeVar("R")

_making = threading.Lock()
_callbacks = CallbackThread()


def _after_fork() -> None:
    # another thread may have held the lock, and the callback thread is not in the child
    global _making, _callbacks
    _making = threading.Lock()
    _callbacks = CallbackThread()


os.register_at_fork(after_in_child=_after_fork)


class TaskFuture(concurrent.futures.Future[R]):
    """A task's result, now or later. Made by `submit`, `future` and the magics, never directly.

    It works with `concurrent.futures.wait` and `as_completed`, can be awaited, and works with all functions of asyncio
    that take an awaitable: `wait`, `as_completed`, `gather`, `wait_for`, `shield`, `ensure_future`, `wrap_future`. An
    `await` that is cancelled or times out harms no task. Done-callbacks run on a thread of their own.
    Waits end with `ControllerStopped` when the farm is stopped; `client.future(id)` follows the task again.
    """

    # _place: HELD or None while unsent, then its Submission until it is accepted, then the task id.
    # _payload: the body until it is sent, then None, then the result until it is decoded.
    # of cells that this process has submitted: the names that each was sent with, brings back, and binds (of a magic)
    sent_names: tuple[str, ...]
    out_names: tuple[str, ...]
    defined_names: frozenset[str]
    __slots__ = (
        *("_facts", "_payload", "_place", "_state", "_template", "_value", "_wait_state"),
        *("defined_names", "out_names", "sent_names"),
    )

    def __init__(self, template: Template, body: bytes | UploadedFile | None = None, taskid: int | None = None) -> None:
        self._template = template
        self._payload: bytes | UploadedFile | Received | None = body
        self._place: object = taskid
        self._state = PENDING
        self._wait_state: WaitState | None = None
        self._value: object = None
        self._facts: FactsRow | None = None

    # attributes that concurrent.futures reaches for

    def _make_wait_state(self) -> WaitState:
        watched = self._wait_state
        if watched is None:
            with _making:
                watched = self._wait_state
                if watched is None:
                    watched = self._wait_state = WaitState(self, self._template.owner.lending)
        return watched

    if not TYPE_CHECKING:  # `as_completed` has types for the attributes of the base class, which can be set

        @property
        def _condition(self) -> threading.Condition:
            return self._make_wait_state().condition

        @property
        def _waiters(self) -> list[Any]:
            return self._make_wait_state().waiters

    # the interface of concurrent.futures.Future

    def result(self, timeout: float | None = None) -> R:
        """Return the task's value, or raise its exception, when it has ended.

        A `StringTask`'s value is a `TaskResult`, a cell's the value of its last expression.

        Raises:
            TimeoutError: it has not ended after `timeout` seconds.
            CancelledError: it was cancelled.
            ControllerStopped: the farm was stopped.
        """
        try:
            value: R = self._take_result(timeout)
            return value
        except BaseException as error:
            shorten(error)
            raise
        finally:
            # else the traceback keeps the future, and the future the traceback; an argument that is deleted, not
            # emptied, is one that tracebacks cannot show
            self = None  # type: ignore[assignment]

    def _take_result(self, timeout: float | None = None) -> Any:
        outcome = self._outcome(timeout)
        if type(outcome) is Raised:
            raise outcome.error.with_traceback(None)  # else each call would add its frames to those of the others
        if isinstance(outcome, SourceResult):
            return outcome.checked_value(self.taskid) if outcome.is_cell else self.task_result()
        return outcome

    @at_border
    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the task's exception, or `None` if it succeeded, when it has ended.

        Raises:
            TimeoutError: it has not ended after `timeout` seconds.
            CancelledError: it was cancelled.
        """
        outcome = self._outcome(timeout)
        return outcome.error if isinstance(outcome, Raised) else None

    @at_border
    def cancel(self) -> bool:
        """Cancel the task if it has not started; return whether that was so. `abort` stops a running one, too.

        Raises:
            ControllerLost: the controller did not answer for 10 seconds; the task may be cancelled or not.
        """
        if self._state == PENDING:
            was_cancelled = self._ask(self._template.owner.cancel(self))
            if not was_cancelled and self._state is PENDING:
                _warn_of_running(self)
            return was_cancelled
        return self._state == CANCELLED

    def cancelled(self) -> bool:
        """Return whether `cancel` cancelled it. An aborted task was not cancelled: it raises `TaskAborted`."""
        return self._state == CANCELLED

    def running(self) -> bool:
        """Return `False`: only the controller knows. `state` asks it."""
        return False

    def done(self) -> bool:
        """Return whether it has ended, in any state. Never blocks."""
        return self._state is not PENDING

    @at_border
    def add_done_callback(self, fn: Callable[[TaskFuture[R]], object]) -> None:
        """Call `fn(self)` when it has ended, on a thread of its own; at once, and here, if it has ended already.

        An exception of `fn` is logged, as with any `concurrent.futures.Future`, and harms no other callback. If `fn`
        is called here, an exception such as `SystemExit`, which is not an `Exception`, is raised here.
        """
        watched = self._make_wait_state()
        with watched.condition:
            if self._state is PENDING:
                watched.add(fn)
                return
        try:
            fn(self)
        except Exception:  # noqa: BLE001 - as concurrent.futures
            show_failure(self)

    def remove_done_callback(self, fn: Callable[[TaskFuture], object]) -> int:
        """Remove a callback that was not called; return how often it was there. `asyncio.wait` needs this."""
        return self._make_wait_state().remove(fn)

    def call_at_end(self, hook: Callable[[TaskFuture], object]) -> bool:
        """Call `hook(self)` when it ends, in the thread that ends it; return `False`, and never call it, if it has.

        For this package: a hook must not block or raise. Waits are not held up by the queue of done-callbacks.
        """
        watched = self._make_wait_state()
        with watched.condition:
            if self._state is not PENDING:
                return False
            watched.add_hook(hook)
            return True

    def set_running_or_notify_cancel(self) -> NoReturn:
        raise RuntimeError("only the farm can set the result of a TaskFuture")

    def set_result(self, result: Any) -> NoReturn:
        raise RuntimeError("only the farm can set the result of a TaskFuture")

    def set_exception(self, exception: BaseException | None) -> NoReturn:
        raise RuntimeError("only the farm can set the result of a TaskFuture")

    # the task

    @property
    def taskid(self) -> int | None:
        """The task's id; `None` until it was accepted. Never blocks."""
        place = self._place
        return place if isinstance(place, int) else None

    @property
    def accepted(self) -> bool:
        """Whether the task is in the store, where it survives the death of any process. Never blocks."""
        return isinstance(self._place, int)

    @property
    def is_held(self) -> bool:
        """Whether it waits in its `TaskExecutor`, and is not in the queue of the farm yet. Never blocks."""
        return self._place is HELD and self._state is PENDING

    def check_accepted(self) -> None:
        """Raise the error with which the farm has refused the task; also if an executor holds it back."""
        if self.is_held:
            raise RequestRefused(
                f"{self!r} waits in its executor and is not in the queue yet", hint="wait or cancel it"
            )
        if not self.accepted and (error := self.exception()) is not None:
            raise error.with_traceback(None)

    def check_store(self, store_began: float) -> None:
        """Raise `UnknownTask` if its task is in an earlier store than that which began then. For this package."""
        if store_began and self._template.store_began not in (0.0, store_began) and self.accepted:
            raise UnknownTask(
                f"task {self.taskid} ({self.name or self.label}) is gone: farm {self.farm!r} was started with a fresh "
                "store since",
                taskid=self.taskid,
                hint="submit it again",
            )

    @property
    def is_given_up(self) -> bool:
        """Whether its wait has ended without its task, which was accepted: as when the farm was stopped."""
        return self._state is FINISHED and self._facts is None and self.accepted

    @property
    def has_failed(self) -> bool:
        """Whether it has ended without a value: failed, aborted or cancelled. Never blocks, and decodes nothing."""
        if self._state is PENDING:
            return False
        is_error = self._facts[0] != "" if self._facts is not None else type(self._value) is Raised
        return is_error or self._state == CANCELLED

    @property
    def name(self) -> str | None:
        """The name it was submitted under, if any."""
        return self._template.name

    @property
    def owner(self) -> Owner:
        """The connection that the task was submitted through. For this package."""
        return self._template.owner

    @property
    def farm(self) -> str:
        """The name of the farm that the task was submitted to."""
        return self._template.owner.farm_name

    @property
    def label(self) -> str:
        """The name of its code: a function's name, or the start of a cell."""
        return self._template.label

    @property
    def retry_of(self) -> int | None:
        """The id of the finished task that this one retries."""
        return self._template.retry_of

    @property
    def facts(self) -> Facts | None:
        """The facts of the finished task; `None` while it is unfinished, and where its end is not known."""
        return None if self._facts is None else Facts._make(self._facts)

    @property
    @at_border
    def state(self) -> str:
        """The task's state: waiting, scheduled, running, succeeded, failed or aborted. Asks while it is unfinished."""
        if self._state == CANCELLED:
            return "aborted"
        if self._facts is not None:
            return _STATES.get(self._facts[0], "failed")
        taskid = self.taskid
        if taskid is not None:
            return self._describe(taskid).state
        if self._state == FINISHED:  # it ended here, before it was accepted
            error = self._value.error if isinstance(self._value, Raised) else None
            return "aborted" if isinstance(error, TaskAborted) else "failed"
        return "waiting" if self._template.after or self._template.inputs else "scheduled"

    @property
    @at_border
    def attempts(self) -> int:
        """The number of attempts so far. Asks the farm while it is unfinished."""
        if (facts := self.facts) is not None:
            return facts.attempts
        taskid = self.taskid
        return 0 if taskid is None else self._describe(taskid).attempts

    @property
    @at_border
    def log(self) -> str:
        """The text that the task has printed so far, in order. Asks the farm while it is unfinished."""
        return log_of(self._get_printed())

    @property
    @at_border
    def stdout(self) -> str:
        """The part of `log` that went to stdout."""
        return stdout_of(self._get_printed())

    @property
    @at_border
    def stderr(self) -> str:
        """The part of `log` that went to stderr."""
        return stderr_of(self._get_printed())

    def _get_printed(self) -> Printed:
        if (facts := self.facts) is not None:
            return facts.output
        taskid = self.taskid
        return () if taskid is None else self._ask(self._template.owner.get_printed(taskid))

    @property
    @at_border
    def outputs(self) -> list[dict[str, Any]]:
        """The outputs that the task has displayed so far: figures, tables, HTML, as in a notebook's file.

        Updates and clearings are applied. Asks the farm while it is unfinished; known outputs are not sent again.
        """
        if (facts := self.facts) is not None:
            return outputs_of(facts.displays)
        taskid = self.taskid
        return [] if taskid is None else self._ask(self._template.owner.get_outputs(taskid))

    @property
    @at_border
    def progress(self) -> TaskProgress | None:
        """The progress that the running attempt reports, if any. Asks the farm while it is unfinished."""
        taskid = self.taskid
        return None if taskid is None or self.done() else self._describe(taskid).progress

    @property
    @at_border
    def ns(self) -> Namespace:
        """The names that a cell or a `StringTask` brings back; waits for its end. An access raises its failure."""
        return namespace_of(self._outcome(None))

    @at_border
    def describe(self) -> TaskInfo | None:
        """Return the task as lists show it; `None` until it was accepted. One question for all of it."""
        taskid = self.taskid
        return None if taskid is None else self._describe(taskid)

    @at_border
    def get_details(self) -> tuple[Details, list[dict[str, Any]]]:
        """Return the task with its log, and all its outputs, in one question.

        Raises:
            UnknownTask: it was not accepted yet.
        """
        taskid = self.taskid
        if taskid is None:
            raise UnknownTask(f"{self!r} is not accepted yet")
        found: tuple[Details, list[dict[str, Any]]] = self._ask(self._template.owner.get_details(taskid))
        return found

    @at_border
    def abort(self) -> None:
        """Stop the task, running or not; its result then raises `TaskAborted`.

        Raises:
            UnknownTask: it has ended already.
        """
        self._ask(self._template.owner.abort(self))

    @at_border
    def retry(self) -> TaskFuture:
        """Run the ended task again, as a new task; return the new future. See `client.retry`.

        Raises:
            RequestRefused: it has not ended; abort it first.
            UnknownTask: it was cleared, or never accepted.
            ResultExpired: a result that it takes was cleared.
        """
        if self.done() and not self.accepted:
            raise UnknownTask(f"{self!r} was never accepted", hint="submit it again")
        taskid = self.taskid
        if taskid is None:
            raise RequestRefused(f"{self!r} has not ended", hint="abort it first")
        new: TaskFuture = self._ask(self._template.owner.retry(taskid, self._template))
        return new

    @property
    def holds_its_exception(self) -> bool:
        """Whether this is a `StringTask` that has ended in its own exception: its `task_result` is not raised."""
        outcome = self._outcome(0) if self._state is FINISHED else None
        return isinstance(outcome, Raised) and outcome.is_held

    @at_border
    def task_result(self) -> TaskResult:
        """Wait for the end; return the `TaskResult`, with an exception as a value.

        Raises:
            CancelledError: it was cancelled.
            ControllerUnavailable: the end of the task is not known.
        """
        outcome = self._outcome(None)
        failure = outcome.error if isinstance(outcome, Raised) else None
        facts = self.facts
        if facts is None:
            raise failure or CancelledError
        return TaskResult(
            taskid=self.taskid if self.taskid is not None else -1,
            engineid=facts.worker,
            results={} if failure else names_of(outcome),
            lost=lost_of(outcome),
            failure=failure,
            submitted=datetime.fromtimestamp(facts.submitted, UTC),
            completed=datetime.fromtimestamp(facts.completed, UTC),
            duration=facts.seconds,
            attempts=facts.attempts,
        )

    @at_border
    def outcome(self) -> object:
        """Return the value as it was sent, a `SourceResult` of a cell, or `Raised` with an exception; waits for it.

        Raises:
            CancelledError: it was cancelled.
        """
        return self._outcome(None)

    @property
    def known_outcome(self) -> object:
        """As `outcome`, if that was decoded before; else `None`. Decodes nothing, and waits for nothing."""
        return self._value

    def track_reads(self) -> None:
        """Let `is_read` be known from now on."""
        self._make_wait_state()

    @property
    def is_read(self) -> bool:
        """Whether the main thread has taken the outcome since `track_reads`."""
        return self._wait_state is not None and self._wait_state.is_read

    def mark_read(self) -> None:
        """Note that the user has seen the outcome, if this is the main thread: other threads draw cards."""
        if self._wait_state is not None and threading.current_thread() is threading.main_thread():
            self._wait_state.is_read = True

    def apply_class_changes(self, names: Iterable[str]) -> None:
        """Apply the changes that the task made to classes of this process and brought back under these names.

        Binding a returned name applies them; reading it does not.
        """
        outcome = self._outcome(None)
        if isinstance(outcome, SourceResult):
            for name in names:
                if name in outcome.class_changes:
                    apply_change(outcome.ns[name], outcome.class_changes[name])

    def brings_same_function(self, name: str) -> bool:
        """Return whether the function of this name is the one that was sent, not another one of the same code."""
        outcome = self._outcome(None)
        return isinstance(outcome, SourceResult) and name in outcome.sent_functions

    def __await__(self) -> Generator[Any, None, R]:
        try:
            if self._state is PENDING:
                yield from self._await_end()
            value: R = self._take_result()
            return value
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and not error.args:  # a notebook interrupts a wait so
                error.args = (self._goes_on(),)
            shorten(error)
            raise
        finally:
            self = None  # type: ignore[assignment]  # as in `result`

    def _await_end(self) -> Generator[Any, None, None]:
        waiter = LoopWaiter()
        watched = self._make_wait_state()
        with watched.condition:
            if self._state is not PENDING:
                waiter.add_result(self)
            watched.waiters.append(waiter)
        try:
            yield from waiter.woken
        finally:
            with watched.condition:
                watched.waiters.remove(waiter)

    def _goes_on(self) -> str:
        """Return what becomes of the task when a wait for it is interrupted."""
        task = f"task {self.taskid} ({self.name or self.label})" if self.accepted else repr(self.label)
        return f"{task} goes on: result() waits again, abort() stops it"

    if not TYPE_CHECKING:  # or type checkers would find every attribute

        @at_border
        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_") or name in TaskFuture.__slots__:  # probes of front ends, and slots that are unset
                raise AttributeError(name)
            spec = self._template.spec
            known = [each for each in dir(TaskFuture) if not each.startswith("_") and each not in TaskFuture.__slots__]
            is_cell = spec is None or spec.kind is not Kind.FUNCTION
            out, defines = getattr(self, "out_names", ()), getattr(self, "defined_names", ())
            raise AttributeError(why_no_attribute(name, known, is_cell=is_cell, out=out, defines=defines))

    def __repr__(self) -> str:
        if self._state is PENDING:
            state = "unfinished" if self.accepted else "not yet accepted"
        else:
            state = "given up" if self.is_given_up else self.state
        taskid = "" if self.taskid is None else f" {self.taskid}"
        return f"<TaskFuture{taskid} {self.name or self.label} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a TaskFuture cannot be sent inside another object: "
            "pass it as an argument of its own, and the task gets its result, or pass its result()"
        )

    # inside

    def _ask(self, request: Coroutine[Any, Any, T]) -> T:
        """Drive one of the owner's coroutines.

        Raises:
            ControllerLost: it has not ended after 10 seconds.
            UnknownTask: the task has ended, and the farm was started with a fresh store since.
        """
        try:
            return drive(self._in_its_store(request) if self.done() and self.accepted else request, ANSWER_WITHIN)
        except TimeoutError:
            raise no_answer_error(self.farm) from None

    async def _in_its_store(self, request: Coroutine[Any, Any, T]) -> T:
        """Await `request`, which has the task's id: in a later store that is the id of another task."""
        try:
            await self._template.owner.check_store((self,))
        except BaseException:
            request.close()
            raise
        return await request

    def _which(self) -> str:
        return "a task that is not yet accepted" if self.taskid is None else f"task {self.taskid}"

    def _describe(self, taskid: int) -> TaskInfo:
        return self._ask(self._template.owner.describe(taskid))

    def _outcome(self, timeout: float | None) -> object:
        if self._state is PENDING:
            self._wait(timeout)
        self.mark_read()
        if self._state == CANCELLED:
            task = "a task" if self.taskid is None else f"task {self.taskid}"
            raise CancelledError(f"{task} was cancelled before it started")
        if self._payload is not None:
            self._decode()
        return self._value

    def _wait(self, timeout: float | None) -> None:
        if timeout is not None and not isinstance(timeout, int | float):
            raise TypeError(f"timeout is a number of seconds, or None, not {timeout!r}")
        check_may_block()
        self._template.owner.check_may_wait()
        try:
            watched = self._make_wait_state()
            with watched.lends(timeout), watched.condition:
                if not watched.condition.wait_for(self.done, timeout):
                    raise TimeoutError(f"{self._which()} has not ended after {timeout} s")
        except KeyboardInterrupt:
            raise KeyboardInterrupt(self._goes_on()) from None

    def _decode(self) -> None:
        with self._template.decoding:
            payload, facts = self._payload, self._facts
            if payload is not None and facts is not None:
                assert not isinstance(payload, UploadedFile)
                taskid = self.taskid if self.taskid is not None else -1
                self._value = load(payload, facts[0], taskid, getattr(self, "sent_names", None) if facts[0] else None)
                self._payload = None

    def _settle(
        self,
        state: str,
        payload: Received | None = None,
        facts: FactsRow | None = None,
        value: object = None,
    ) -> bool:
        """End the future, once; return whether this call ended it. Only the connection calls this."""
        with _making:
            watched = self._wait_state
            if watched is None:
                if self._state is not PENDING:
                    return False
                self._payload, self._value, self._facts = payload, value, facts
                self._state = state
                return True
        with watched.condition:
            if self._state is not PENDING:
                return False
            self._payload, self._value, self._facts = payload, value, facts
            self._state = state
            method = _waiter_method(state, failed=type(value) is Raised or (facts is not None and facts[0] != ""))
            for waiter in watched.waiters:
                getattr(waiter, method)(self)
            watched.condition.notify_all()
            callbacks, hooks = watched.take_callbacks(), watched.take_hooks()
        for hook in hooks:  # without the condition: a hook may need that of another future
            hook(self)
        if callbacks:
            _callbacks.run_later(callbacks, self)
        return True

    def _settle_with(self, error: BaseException) -> bool:
        return self._settle(FINISHED, value=Raised(error))


def _waiter_method(state: str, *, failed: bool) -> str:
    if state == CANCELLED:
        return "add_cancelled"
    return "add_exception" if failed else "add_result"


def _warn_of_running(future: TaskFuture) -> None:
    """Tell the user's own code that `cancel` did nothing; libraries know that it may, and read its value."""
    level = level_of_caller()
    if sys._getframe(level - 1).f_globals.get("__name__") == "__main__":
        text = f"task {future.taskid} runs already, so cancel() did nothing; abort() stops it"
        warnings.warn(text, UserWarning, stacklevel=level)

"""`RemoteController`: the connected reference that a client's requests go through. Any thread may use it."""

from __future__ import annotations

import concurrent.futures
import weakref
from collections.abc import Callable
from typing import Any

import msgspec

from taskfc_ext.client.context import context
from taskfc_ext.client.farm.interface import Farm
from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.future.output_cache import Shown
from taskfc_ext.client.future.template import Template
from taskfc_ext.client.future.template_cache import forget_code
from taskfc_ext.client.future.waiting import check_may_block
from taskfc_ext.client.session import registry
from taskfc_ext.client.session.bookkeeping import ClientState
from taskfc_ext.client.session.cancel import Withdrawal
from taskfc_ext.client.session.connection import Connection, closed_error, hello
from taskfc_ext.client.session.io_thread import IOThread
from taskfc_ext.client.session.lending import TaskWaits
from taskfc_ext.client.session.pending import Call, Flush
from taskfc_ext.client.session.replies import Answer, value_of
from taskfc_ext.errors import ControllerLost, ControllerUnavailable, UnknownTask
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import GetDetails, GetLog, GetOutputs, ListTasks, Request, Retry, Stop
from taskfc_ext.protocol.infos import Details, TaskInfo
from taskfc_ext.protocol.printed import Printed

ANSWER_WITHIN = 10.0
"""Seconds that `cancel` and a future's questions wait for an answer; a controller that died is back in one."""


class RemoteController:
    """A controller, wherever and in whichever process it is at the moment.

    Args:
        farm: the farm behind the socket.
        version: our version, for the greeting.
        label: how the controller lists this client.
        owner: whose tasks these are: a notebook's path, a script's name.
        worker: the worker of this farm that this process is on, or -1.

    Attributes:
        lending: is told what this process waits for; `None` where it is on no worker of this farm.
    """

    def __init__(self, farm: Farm, *, version: str = "", label: str = "", owner: str = "", worker: int = -1) -> None:
        self.farm = farm
        self.owner = owner
        self.shown = Shown()
        self._unusable: ControllerUnavailable | None = None
        self._state = ClientState()
        self._thread = IOThread()
        greeting = hello(self._state.session, version=version, label=label, owner=owner, worker=worker)
        loop = self._thread.loop
        self._connection = Connection(loop, farm, self._state, greeting)
        self.lending = TaskWaits(self._state, self._connection, loop) if worker >= 0 else None
        self._outbox = self._state.outbox
        itself = weakref.ref(self)  # the connection lives as long as its thread, and must not keep its client
        self._state.on_release = lambda: forget_code(itself())
        # a task that leaves its client open would leave a thread in its worker
        self._abandoned = weakref.finalize(self, _abandon, self._connection, self._thread)
        self._abandoned.atexit = False  # `open_clients` sees to it
        registry.opened(self)
        self._in_loop(self._connection.connect)

    @property
    def session(self) -> str:
        """This client's name on the wire."""
        return self._state.session

    @property
    def farm_name(self) -> str:
        """The controller's name."""
        return self.farm.name

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, or belongs to the process that was forked."""
        return self._unusable is not None

    @property
    def n_unaccepted(self) -> int:
        """How many submitted tasks have not been accepted yet."""
        return self._state.n_unaccepted

    # requests

    def submit(self, template: Template, body: bytes) -> TaskFuture:
        """Queue one task; it leaves with all others that are queued then."""
        future = TaskFuture(template, body)
        self._outbox.append(future)
        if self._connection.asleep:
            self._wake()
        return future

    def call(self, kind: type[Request], *, ahead: bool = False, **fields: Any) -> concurrent.futures.Future[Answer]:
        """Send a request behind all that was submitted before it, or `ahead` of it; return its answer to come."""
        return self._send(Call(kind, fields), ahead=ahead)

    def open_barrier(self, barrier: Call) -> None:
        """Open a barrier; `barrier.answer` is the end of it. Give it to `unwait` if that is no longer of use.

        The caller makes the call, so that an interrupt at any moment finds something to give to `unwait`.
        """
        self._send(barrier)

    def unwait(self, barrier: Call) -> None:
        """Let the controller forget an open barrier."""
        self._in_loop(self._connection.unwait, barrier)

    def stop(self) -> concurrent.futures.Future[Answer]:
        """Stop the farm. Done when it begins to stop; all other waits have ended by then."""

        def on_answer(answer: Answer) -> list[Call]:
            self._connection.stopped()
            return []

        return self._send(Call(Stop, {}, on_answer=on_answer))

    def follow(self, template: Template, taskid: int) -> concurrent.futures.Future[TaskFuture]:
        """Return what becomes a future of any task, once it is known that there is such a task."""
        return self._ask_for(template, taskid, self._state.follow)

    def peek(self, template: Template, taskid: int) -> concurrent.futures.Future[TaskFuture]:
        """Return what becomes a future that is done if the task has ended; it may never be done later."""
        return self._ask_for(template, taskid, self._state.peek)

    def flush(self) -> concurrent.futures.Future[None]:
        """Return what is done when all that was submitted before has been accepted or refused."""
        flush = Flush()
        self._outbox.append(flush)
        self._wake()
        return flush.done

    # what a future asks of its owner

    def check_may_wait(self) -> None:
        """Raise the reason why waiting here would never end, if there is one."""
        if self._unusable is not None:
            raise self._unusable

    def cancel(self, future: TaskFuture) -> bool:
        """Take `future`'s task back if it has not started; return whether that was so."""
        return self._withdraw(future, cancelling=True)

    def abort(self, future: TaskFuture) -> None:
        """Stop `future`'s task, started or not."""
        self._withdraw(future, cancelling=False)

    def retry(self, future: TaskFuture) -> TaskFuture:
        """Run `future`'s finished task again; return the new one's future."""
        pairs = value_of(self._within(self.call(Retry, taskid=future.taskid, **context.fields())))
        template = Template(self, None, label=future.label, name=future.name, retry_of=future.taskid)
        again: TaskFuture = self._within(self.follow(template, pairs[0][1]))
        return again

    def describe(self, taskid: int) -> TaskInfo:
        """Return what lists show of a task."""
        answer = self._within(self.call(ListTasks, ahead=True, taskids=(taskid,)))
        found = msgspec.convert(value_of(answer), list[TaskInfo])
        if not found:
            raise UnknownTask(f"there is no task {taskid}", taskid=taskid)
        return found[0]

    def printed(self, taskid: int) -> Printed:
        """Return what a task has printed so far."""
        return tuple(value_of(self._within(self.call(GetLog, ahead=True, taskid=taskid))))

    def outputs(self, taskid: int) -> list[dict[str, Any]]:
        """Return what a task shows so far. What this client has already is not sent again."""
        before = self.shown.of(taskid)
        answer = self._within(self.call(GetOutputs, ahead=True, taskid=taskid, known=before.version))
        return self.shown.learn(taskid, before, value_of(answer))

    def details(self, taskid: int) -> tuple[Details, list[dict[str, Any]]]:
        """Return what `describe`, `printed` and `outputs` do, in one round trip: details, and the whole outputs."""
        before = self.shown.of(taskid)
        answer = value_of(self._within(self.call(GetDetails, ahead=True, taskid=taskid, known=before.version)))
        return msgspec.convert(answer, Details), self.shown.learn(taskid, before, answer)

    # the end

    def close(self) -> None:
        """Close at once; what was not sent is lost, and open waits end."""
        if self._unusable is None:
            self._unusable = closed_error(self.farm.name)
            registry.closed(self)
            self._abandoned.detach()
            self._in_loop(self._connection.close)
            self._thread.stop()

    def disown(self) -> None:
        """Make this useless: in the child of a fork there is no I/O thread, and the sockets are the parent's."""
        self._unusable = ControllerUnavailable(
            f"this client of farm {self.farm.name!r} belongs to the process that was forked",
            hint="connect with TaskClient() in the child",
        )
        self._abandoned.detach()
        self._connection.asleep = True  # so that the next submission finds out

    # inside

    def _wake(self) -> None:
        self.check_may_wait()  # closed and forked ones sleep for ever, so this is where a submission ends then
        self._connection.asleep = False
        self._in_loop(self._connection.drain)

    def _send(self, call: Call, *, ahead: bool = False) -> concurrent.futures.Future[Answer]:
        self.check_may_wait()
        codec.encode([call.message(0)])  # what cannot travel is an error here; there it would end the connection
        if ahead:
            self._in_loop(self._connection.ask, call)
        else:
            self._outbox.append(call)
            self._wake()
        return call.answer

    def _in_loop(self, function: Callable[..., object], *args: object) -> None:
        try:
            self._thread.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            raise closed_error(self.farm.name) from None

    def _ask_for(
        self, template: Template, taskid: int, register: Callable[[TaskFuture, int], Call]
    ) -> concurrent.futures.Future[TaskFuture]:
        found: concurrent.futures.Future[TaskFuture] = concurrent.futures.Future()

        def ask() -> None:
            known = self._state.unfinished.get(taskid)
            if known is not None:
                found.set_result(known)
                return
            future = TaskFuture(template, taskid=taskid)
            call = register(future, taskid)
            call.answer.add_done_callback(lambda answer: _pass_on(answer, future))
            self._connection.ask(call)

        def _pass_on(answer: concurrent.futures.Future[Answer], future: TaskFuture) -> None:
            if not found.set_running_or_notify_cancel():
                return
            try:
                value_of(answer.result())
            except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for the future
                found.set_exception(error)
            else:
                found.set_result(future)

        self.check_may_wait()
        self._in_loop(ask)
        return found

    def _withdraw(self, future: TaskFuture, *, cancelling: bool) -> bool:
        withdrawal = Withdrawal(self._state, self._connection, future, cancelling=cancelling)
        check_may_block()
        self.check_may_wait()
        self._in_loop(withdrawal.begin)
        taken_back: bool = self._within(withdrawal.verdict)
        return taken_back

    def _within(self, answer: concurrent.futures.Future[Any]) -> Any:
        check_may_block()
        try:
            return answer.result(ANSWER_WITHIN)
        except TimeoutError:
            if answer.done():
                raise
            answer.cancel()
            message = f"farm {self.farm.name!r} has not answered for {ANSWER_WITHIN:.0f} s"
            raise ControllerLost(message, hint="what it had accepted is in its store") from None


def _abandon(connection: Connection, thread: IOThread) -> None:
    """Close the connection of a client that nobody has any more. Its unfinished tasks would hold it.

    In whichever thread drops it, maybe the I/O thread, and under any lock: so this waits for nothing.
    """
    try:
        thread.loop.call_soon_threadsafe(connection.close)
        thread.loop.call_soon_threadsafe(thread.loop.stop)
    except RuntimeError:
        pass  # it has ended already

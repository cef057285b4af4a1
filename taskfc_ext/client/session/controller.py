"""`RemoteController`: one client session with a controller. Any thread may use it."""

from __future__ import annotations

import concurrent.futures
import os
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from taskfc_ext.client.farm.interface import Farm
from taskfc_ext.client.farm.silence import wait_for_answer
from taskfc_ext.client.future.answer import AnswerFuture
from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.future.output_cache import OutputCache
from taskfc_ext.client.future.template import Template
from taskfc_ext.client.future.template_cache import forget_code
from taskfc_ext.client.future.waiting import wait
from taskfc_ext.client.progress.upload import long_upload
from taskfc_ext.client.session import registry
from taskfc_ext.client.session.bookkeeping import SessionState
from taskfc_ext.client.session.cancel import CancelRequest
from taskfc_ext.client.session.connection import Connection
from taskfc_ext.client.session.gone import raise_gone, require_accepted
from taskfc_ext.client.session.greeting import make_hello
from taskfc_ext.client.session.io_thread import IOThread
from taskfc_ext.client.session.lending import TaskWaits
from taskfc_ext.client.session.pending import Call, Flush, settle
from taskfc_ext.client.session.replies import Answer, value_of
from taskfc_ext.client.session.size import Follower
from taskfc_ext.client.session.watch import QueueWatch
from taskfc_ext.client.submit.sending import make_fields
from taskfc_ext.drivers.uploads import LargePayloads, Sent, UploadedFile
from taskfc_ext.errors import ControllerUnavailable, UnknownTask
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import GetDetails, GetLog, GetOutputs, ListTasks, Ping, Request, Retry, Stop
from taskfc_ext.protocol.codec import check_fields
from taskfc_ext.protocol.infos import Details, TaskInfo
from taskfc_ext.protocol.printed import Printed
from taskfc_ext.serialize import Body, parts_of


class RemoteController:
    """A connected controller. It stays the same object when the controller dies and another process takes its place.

    Args:
        farm: the farm behind the socket.
        version: our version, for the greeting.
        label: the client's name in lists.
        owner: the notebook or script that the tasks belong to.
        worker: the worker of this farm that this process is on, or -1.

    Attributes:
        lending: gets the waits of this process; `None` where it is on no worker of this farm.
        output_cache: the outputs of tasks that the controller has sent.
        payloads: the files with large arguments and results.
    """

    def __init__(self, farm: Farm, *, version: str = "", label: str = "", owner: str = "", worker: int = -1) -> None:
        self.farm = farm
        self.owner = owner
        self.output_cache = OutputCache()
        self._unusable: ControllerUnavailable | None = None
        self.payloads = LargePayloads(lambda: farm.journal, f"c{os.urandom(8).hex()}")
        self._state = SessionState(self.payloads.read)
        self._thread = IOThread()
        greeting = make_hello(self._state.session, version=version, label=label, owner=owner, worker=worker)
        loop = self._thread.loop
        self._version, self._label = version, label
        self._watches: weakref.WeakSet[QueueWatch] = weakref.WeakSet()
        self._connection = Connection(loop, farm, self._state, greeting)
        self.lending = TaskWaits(self._state, self._connection, loop) if worker >= 0 else None
        self._outbox = self._state.outbox
        itself = weakref.ref(self)  # the connection lives as long as its thread, and must not keep its client alive
        self._state.on_release = lambda: forget_code(itself())
        # a task that leaves its client open would leave a thread in its worker
        self._abandoned = weakref.finalize(self, _abandon, farm.name, self._connection, self._thread)
        self._abandoned.atexit = False  # the registry closes it then
        registry.register(self)
        self._in_loop(self._connection.connect)

    @property
    def session(self) -> str:
        """This client's name on the wire."""
        return self._state.session

    @property
    def farm_name(self) -> str:
        """The farm's name."""
        return self.farm.name

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, or belongs to the parent of a fork."""
        return self._unusable is not None

    @property
    def n_unaccepted(self) -> int:
        """Number of submitted tasks that have not been accepted."""
        return self._state.n_unaccepted

    @property
    def store_began(self) -> float:
        """When the farm's store began, see `Welcome`; 0: not known yet."""
        return self._state.store_began

    async def check_store(self, futures: Iterable[TaskFuture]) -> None:
        """Raise `UnknownTask` if one is of an earlier store of this farm: its id means another task now."""
        known = list(futures)
        if known and not self.store_began:
            await self.ask(Ping)  # the answer comes after the greeting
        for future in known:
            future.check_store(self.store_began)

    # requests

    def submit(self, template: Template, body: Sent) -> TaskFuture:
        """Queue one task; it is sent with all others that are queued."""
        future = TaskFuture(template, body)
        self._outbox.append(future)
        if self._connection.asleep:
            self._wake()
        return future

    def upload(self, body: Body, *, what: str) -> UploadedFile:
        """Write a large body to a file, in which it is sent; see `Uploader.upload`."""
        self.check_may_wait()
        with long_upload(what) as report:
            return self.payloads.write(parts_of(body), what=what, report=report)

    def share(self, digest: bytes, body: bytes, *, what: str) -> UploadedFile:
        """Return the file of a large body that many messages name, see `Uploader.share`."""
        return self.payloads.share(digest, lambda: self.upload(body, what=what))

    def send(self, future: TaskFuture) -> None:
        """Queue a task that was held."""
        future._place = None
        self._outbox.append(future)
        if self._connection.asleep:
            self._wake()

    def follow_size(self, follower: Follower) -> None:
        """Pass `follower` the number of workers, and each later one, as long as something else keeps it alive."""
        self._in_loop(self._state.size.follow, follower)

    def withdraw(self, futures: Iterable[TaskFuture], *, running: bool = False) -> None:
        """Cancel those of these tasks that no worker has; waits for nothing, so that finalizers may call it.

        Args:
            futures: of the tasks.
            running: abort all of them, running or not.
        """
        if self._unusable is not None:
            return
        unfinished = [future for future in list(futures) if not future.done()]

        def begin() -> None:
            for future in unfinished:
                CancelRequest(self._state, self._connection, future, cancelling=not running).begin()

        with suppress(ControllerUnavailable):  # closed just now
            self._in_loop(begin)

    def call(self, kind: type[Request], *, ahead: bool = False, **fields: Any) -> concurrent.futures.Future[Answer]:
        """Send a request behind all earlier submissions, or `ahead` of them; return the future of its answer."""
        return self._send(Call(kind, fields), ahead=ahead)

    def open_barrier(self, barrier: Call) -> None:
        """Open a barrier, which ends when `barrier.answer` is done; `unwait` closes it before.

        The caller makes the call, so that it can give it to `unwait` after an interrupt at any moment.
        """
        self._send(barrier)

    def unwait(self, barrier: Call) -> None:
        """Let the controller forget an open barrier."""
        self._in_loop(self._connection.unwait, barrier)

    def stop(self) -> concurrent.futures.Future[Answer]:
        """Stop the farm; return the future of its answer, which comes after all other waits have ended."""

        def on_answer(answer: Answer) -> list[Call]:
            self._connection.handle_stop()
            return []

        return self._send(Call(Stop, {}, on_answer=on_answer))

    def follow(self, template: Template, taskid: int) -> concurrent.futures.Future[TaskFuture]:
        """Return the future of a `TaskFuture` for any task; it is done once the controller knows the task."""
        return self._ask_for(template, taskid, self._state.follow)

    def peek(self, template: Template, taskid: int) -> concurrent.futures.Future[TaskFuture]:
        """Do as `follow`; the `TaskFuture` is done if the task has ended by now, and may never be done later."""
        return self._ask_for(template, taskid, self._state.peek)

    def flush(self) -> concurrent.futures.Future[None]:
        """Return a future that is done when all earlier submissions have been accepted or refused."""
        flush = Flush()
        self._outbox.append(flush)
        self._wake()
        return flush.done

    def watch(self) -> QueueWatch:
        """Follow the farm's queue, over a connection of its own, which never starts the farm."""
        self.check_may_wait()
        watch = QueueWatch(self, self._thread.loop, self.farm, version=self._version, label=self._label)
        self._watches.add(watch)
        return watch

    def check_may_wait(self) -> None:
        """Raise an error if a wait would never end, as this client was closed or belongs to the parent of a fork."""
        if self._unusable is not None:
            raise self._unusable.with_traceback(None)  # else each call adds its frames to those of the others

    # requests about tasks, as coroutines: the async client awaits them, and futures drive them

    async def ask(self, kind: type[Request], *, ahead: bool = False, **fields: Any) -> Any:
        """Send a request as `call` does; return the plain data of its answer.

        Raises:
            TypeError, ValueError: the controller would not understand a field.
            ControllerLost: a signal has suspended the controller.
            TaskFCError: the request was refused, or the farm was stopped.
        """
        check_fields(kind, {"seq": 1, "acked": 0, **fields})
        return value_of(await wait_for_answer(self.call(kind, ahead=ahead, **fields), self.farm))

    async def describe(self, taskid: int) -> TaskInfo:
        """Return a task as lists show it.

        Raises:
            UnknownTask: there is no such task.
        """
        found = msgspec.convert(await self.ask(ListTasks, ahead=True, taskids=(taskid,)), list[TaskInfo])
        return found[0] if found else await raise_gone(self.ask, taskid)

    async def get_printed(self, taskid: int) -> Printed:
        """Return the text that a task has printed so far."""
        return tuple(await self.ask(GetLog, ahead=True, taskid=taskid))

    async def get_outputs(self, taskid: int) -> list[dict[str, Any]]:
        """Return the outputs that a task has displayed so far. Those that this client has are not sent again."""
        before = self.output_cache.get(taskid)
        answer = await self.ask(GetOutputs, ahead=True, taskid=taskid, known=before.version)
        return self.output_cache.update(taskid, before, answer)

    async def get_details(self, taskid: int) -> tuple[Details, list[dict[str, Any]]]:
        """Return a task with its log, and all its outputs, in one round trip."""
        before = self.output_cache.get(taskid)
        answer = await self.ask(GetDetails, ahead=True, taskid=taskid, known=before.version)
        return msgspec.convert(answer, Details), self.output_cache.update(taskid, before, answer)

    async def resubmit(self, taskid: int, *, here: bool = True) -> dict[int, int]:
        """Run a finished task again; return old id -> new id of it, and then of the tasks that failed because of it.

        Args:
            taskid: the finished task.
            here: in the context of now, if it was submitted from this notebook or script.
        """
        fields, _files = make_fields(self) if here else ({}, [])
        pairs: list[tuple[int, int]] = await self.ask(Retry, taskid=taskid, **fields)
        return dict(pairs)

    async def retry(self, taskid: int, like: Template | None = None) -> TaskFuture:
        """Run a finished task again; return the future of the new one.

        Args:
            taskid: the finished task.
            like: its template, where that is known: the controller is not asked for its label and name then.
        """
        new = (await self.resubmit(taskid))[taskid]
        found = like if like is not None else await self.describe(new)
        return await self.future(new, label=found.label, name=found.name, retry_of=taskid)

    async def retry_all(self, futures: Sequence[TaskFuture]) -> list[TaskFuture]:
        """Run finished tasks again, in the context of now; return the futures of the new ones, in the same order.

        Raises:
            UnknownTask: one was cleared, or never accepted.
        """
        require_accepted(futures)
        await self.check_store(futures)
        fields, _files = make_fields(self)
        answers = [self.call(Retry, taskid=future.taskid, **fields) for future in futures]
        follows = []
        for future, answer in zip(futures, answers, strict=True):
            new = dict(value_of(await wait_for_answer(answer, self.farm)))[future.taskid]
            template = Template(self, None, label=future.label, name=future.name, retry_of=future.taskid)
            follows.append(self.follow(template, new))
        return [await wait(follow) for follow in follows]

    async def follow_again(self, futures: Sequence[TaskFuture]) -> list[TaskFuture]:
        """Return new futures for those whose waits ended with a stop of the farm, if it runs again; else none."""
        self.check_may_wait()
        running, left = self.farm.connection(), 0 if self._connection.can_ask else self._state.controller_pid
        if running is None or running.pid == left:  # that one may be about to end
            return []
        await self.check_store(futures)
        follows = []
        for old in futures:
            template = Template(self, None, label=old.label, name=old.name, retry_of=old.retry_of)
            assert old.taskid is not None
            follows.append(self.follow(template, old.taskid))
        return [await wait(follow) for follow in follows]

    async def future(
        self, taskid: int, *, label: str = "", name: str | None = None, retry_of: int | None = None
    ) -> TaskFuture:
        """Return a future of any task.

        Raises:
            UnknownTask: there is no such task.
        """
        template = Template(self, None, label=label, name=name, retry_of=retry_of)
        return await wait(self.follow(template, taskid))

    async def cancel(self, future: TaskFuture) -> bool:
        """Take `future`'s task back if it has not started; return whether that was so."""
        return await wait(self._begin_cancel(future, cancelling=True))

    async def abort(self, future: TaskFuture) -> None:
        """Stop `future`'s task, started or not.

        Raises:
            UnknownTask: it has ended already.
        """
        await wait(self._begin_cancel(future, cancelling=False))

    async def wait_until_accepted(self) -> None:
        """Wait until all earlier submissions have been accepted or refused."""
        await wait(self.flush())

    async def abort_all(self, futures: Sequence[TaskFuture]) -> int:
        """Stop the unfinished ones of these tasks; return their number."""
        if any(future.is_given_up for future in futures):
            await self.ask(Ping)  # the answer comes after the greeting, which shows whether they are in this store
        verdicts = [self._begin_cancel(future, cancelling=False) for future in futures]
        n_aborted = 0
        for verdict in verdicts:
            try:
                n_aborted += await wait(verdict)
            except UnknownTask:
                pass  # it has ended already
        return n_aborted

    # the end

    def close(self) -> None:
        """Close at once: unsent submissions are lost, and open waits end."""
        if self._unusable is None:
            self._unusable = closed_error(self.farm.name)
            registry.unregister(self)
            for watch in list(self._watches):
                watch.close()
            self._abandoned.detach()
            self._in_loop(self._connection.close, self._unusable)
            self._thread.stop()
            self.payloads.close()

    def disown(self) -> None:
        """Make this unusable in the child of a fork, which has no I/O thread; the sockets belong to the parent."""
        self._unusable = ControllerUnavailable(
            f"this client of farm {self.farm.name!r} belongs to the process that was forked",
            hint="connect with TaskClient() in the child",
        )
        self._abandoned.detach()
        for watch in list(self._watches):
            watch.disown()
        self._connection.asleep = True  # so that the next submission calls `_wake`, and fails

    # inside

    def _wake(self) -> None:
        self.check_may_wait()  # a client that was closed or forked sleeps for ever, so its submissions fail here
        self._connection.asleep = False
        self._in_loop(self._connection.drain)

    def _send(self, call: Call, *, ahead: bool = False) -> concurrent.futures.Future[Answer]:
        self.check_may_wait()
        codec.check_sendable(call.message(0))
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
        found: AnswerFuture[TaskFuture] = AnswerFuture()

        def ask() -> None:
            known = self._state.unfinished.get(taskid)
            if known is not None:
                settle(found, known)
                return
            future = TaskFuture(template, taskid=taskid)
            call = register(future, taskid)
            call.answer.add_done_callback(lambda answer: _pass_on(answer, future))
            self._connection.ask(call)

        def _pass_on(answer: concurrent.futures.Future[Answer], future: TaskFuture) -> None:
            try:
                value_of(answer.result())
            except Exception as error:  # noqa: BLE001 - it is raised where the future is waited for
                settle(found, error)
            else:
                settle(found, future)

        self.check_may_wait()
        self._in_loop(ask)
        return found

    def _begin_cancel(self, future: TaskFuture, *, cancelling: bool) -> concurrent.futures.Future[bool]:
        request = CancelRequest(self._state, self._connection, future, cancelling=cancelling)
        self.check_may_wait()
        self._in_loop(request.begin)
        return request.verdict


def closed_error(farm: str) -> ControllerUnavailable:
    """Return the error of a client that was closed."""
    return ControllerUnavailable(
        f"this client of farm {farm!r} is closed",
        hint="its tasks go on; connect again with TaskClient(), and client.future(id) follows a task",
    )


def _abandon(farm: str, connection: Connection, thread: IOThread) -> None:
    """Close the connection of a client that was collected.

    This runs in any thread, perhaps the I/O thread, and under any lock, so it waits for nothing.
    """
    try:
        thread.loop.call_soon_threadsafe(connection.close, closed_error(farm))
        thread.loop.call_soon_threadsafe(thread.loop.stop)
    except RuntimeError:
        pass  # it has ended already

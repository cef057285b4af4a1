"""`FCTaskClient`: the async client.

The connection lives in a thread of its own, so the coroutines work in any event loop. They await nothing but `wait`, so
that `BlockingTaskClient` can drive them in the calling thread.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

import msgspec

from taskfc_ext.border import all_at_border, shorten
from taskfc_ext.client import signatures
from taskfc_ext.client.chunk import check_block, check_chunksize
from taskfc_ext.client.farm.silence import wait_for_answer
from taskfc_ext.client.find import check_filter, find_task, ids_of
from taskfc_ext.client.future.endings import Endings
from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.future.template import Template
from taskfc_ext.client.future.waiting import wait
from taskfc_ext.client.group.group import TaskGroup
from taskfc_ext.client.group.results import results_of
from taskfc_ext.client.imap import ItemResults, check_window
from taskfc_ext.client.local import Unpicklable
from taskfc_ext.client.mapper import Mapper, ParallelFunction, submit_items
from taskfc_ext.client.progress.long_wait import LongWait
from taskfc_ext.client.session import replies
from taskfc_ext.client.session.barrier import BarrierProgress, wait_for_end
from taskfc_ext.client.session.controller import RemoteController
from taskfc_ext.client.session.pending import Call
from taskfc_ext.client.session.replies import Answer
from taskfc_ext.client.session.watch import QueueWatch
from taskfc_ext.client.submit.broadcast import send_broadcast, workers_that_ran
from taskfc_ext.client.submit.options import Options, Task, TaskOptions, check_id, check_priority, check_wait
from taskfc_ext.client.submit.submitter import Submitter
from taskfc_ext.errors import ControllerStopped, TaskFCError
from taskfc_ext.protocol.batches import chunks
from taskfc_ext.protocol.client_messages import (
    Abort,
    AwaitBroadcast,
    Barrier,
    Clear,
    ClearBroadcasts,
    GetClientName,
    GetEngine,
    GetSubmission,
    GetWorkers,
    Hold,
    ListTasks,
    Move,
    Ping,
    QueueStatus,
    Scale,
    Spin,
)
from taskfc_ext.protocol.ids import list_ids
from taskfc_ext.protocol.infos import BroadcastReport, Details, EngineInfo, SubmittedTask, TaskInfo, WorkerInfo
from taskfc_ext.protocol.limits import MAX_IDS, MAX_WORKERS
from taskfc_ext.protocol.payloads import Payload
from taskfc_ext.protocol.printed import log_of
from taskfc_ext.protocol.spec import NO_CELL, Origin
from taskfc_ext.serialize import CellOptions, Received
from taskfc_ext.tasks import BaseTask, Depend, MapTask, StringTask, check_names

if TYPE_CHECKING:
    from taskfc_ext.client.blocking import BlockingTaskClient

FLUSH_AT_CLOSE = 10.0
"""Seconds that closing a client waits for tasks to be accepted."""


@all_at_border
class FCTaskClient(Unpicklable):
    """The async client of a task controller. `TaskClient()` gives the blocking one.

    A request that is repeated gets its first answer, so a lost answer does no harm. Requests wait while a farm that
    died comes back. They raise `ControllerStopped` when it was stopped on purpose; the next submission starts it again.
    Most requests raise `ControllerLost` while a signal has suspended the controller.

    Args:
        remote_reference: the connected controller.
    """

    def __init__(self, remote_reference: RemoteController) -> None:
        self.remote_reference = remote_reference
        self.submitter = Submitter(remote_reference, Options())

    # the interface of the older system

    async def run(self, task: BaseTask, block: bool = False) -> Any:
        """Submit a `MapTask` or a `StringTask`; return its taskid once it is accepted, or, with `block`, its result.

        Raises:
            TypeError: not a task.
        """
        future = self._submit_task(task)
        await self._check_accepted(future)
        return await self._result(future) if block else future.taskid

    async def get_task_result(self, taskid: int, block: bool = False) -> Any:
        """Return the result of a task; `None` if it has not ended and this does not `block`.

        The result of a function is its value, of a cell the value of its last expression; its exception is raised. The
        result of a `StringTask` is a `TaskResult`, which has the task's own exception in `failure`.

        Raises:
            UnknownTask: there is no such task, or it was cleared (an IndexError).
        """
        remote = self.remote_reference
        ask = remote.follow if block else remote.peek
        future = await wait(ask(Template(remote, None, label=""), check_id(taskid)))
        return await self._result(future) if block or future.done() else None

    async def abort(self, taskid: int) -> None:
        """Stop a task, queued or running. After this it cannot have a result any more.

        Raises:
            TypeError: not an int.
            UnknownTask: there is no such task, or it has ended, or was aborted before (an IndexError).
        """
        await self.remote_reference.ask(Abort, ahead=True, taskid=check_id(taskid))

    async def barrier(self, taskids: Task | Iterable[Task] | None = None, timeout: float | None = None) -> None:
        """Wait until tasks have ended, in any state.

        Args:
            taskids: one or several tasks; `None`: all that are unfinished now, other clients' too. In a task, that
                task and all tasks that end after it are left out.
            timeout: seconds.

        Raises:
            TimeoutError: they have not all ended; the tasks go on.
            UnknownTask: there never was such a task; a cleared task counts as ended.
            RequestRefused: the task that calls this would wait for its own end.
        """
        timeout = check_wait(timeout)
        ids = None if taskids is None else await self._ids(taskids)
        deadline = None if timeout is None else time.monotonic() + timeout
        parts = [None] if ids is None else list(chunks(ids, MAX_IDS))
        counts = BarrierProgress(self.remote_reference, [len(part) for part in parts if part is not None])
        with LongWait(counts.read, "barrier") as progress:
            for part in parts:
                barrier = Call(Barrier, {"taskids": part})
                counts.begin(barrier)
                try:
                    await wait_for_end(self.remote_reference, barrier, deadline, progress)
                except TimeoutError:
                    what = "the unfinished tasks" if ids is None else f"tasks {list_ids(ids)}"
                    raise TimeoutError(f"{what} have not all ended after {timeout} s") from None

    async def clear(self, taskids: Task | Iterable[Task] | None = None) -> int:
        """Forget finished tasks and their results, all of them by default; return their number.

        Raises:
            UnknownTasks: some do not exist; the others were cleared (a KeyError).
        """
        if taskids is None:
            return int(await self.remote_reference.ask(Clear))
        return sum(
            [await self.remote_reference.ask(Clear, taskids=part) for part in chunks(await self._ids(taskids), MAX_IDS)]
        )

    # hold, move, retry

    async def hold(self, taskids: Task | Iterable[Task]) -> list[int]:
        """Keep unfinished tasks from being dispatched, until `release`. Return the ids of tasks that cannot be held.

        A worker has these already: they go on, and `abort` stops them.

        Raises:
            TypeError: not an id, a future or a sequence of these.
            UnknownTasks: some have ended or do not exist; the others are held (a KeyError).
        """
        parts = chunks(await self._ids(taskids), MAX_IDS)
        return [taskid for part in parts for taskid in await self.remote_reference.ask(Hold, taskids=part)]

    async def release(self, taskids: Task | Iterable[Task]) -> None:
        """Let held tasks be dispatched again, in their old places; tasks that are not held stay as they are.

        Raises:
            TypeError: not an id, a future or a sequence of these.
            UnknownTasks: some have ended or do not exist; the others are released (a KeyError).
        """
        for part in chunks(await self._ids(taskids), MAX_IDS):
            await self.remote_reference.ask(Hold, taskids=part, held=False)

    async def move(self, taskids: Task | Iterable[Task], priority: int) -> None:
        """Give unfinished tasks another priority; their retries keep it.

        Args:
            taskids: one or several tasks.
            priority: higher ones go first.

        Raises:
            TypeError: not an id, a future or a sequence of these; or the priority is not an int.
            ValueError: the priority is beyond a million.
            UnknownTasks: some have ended or do not exist; the others are moved (a KeyError).
        """
        priority = check_priority(priority)
        for part in chunks(await self._ids(taskids), MAX_IDS):
            await self.remote_reference.ask(Move, taskids=part, priority=priority)

    async def retry(self, task: Task) -> TaskFuture:
        """Run a finished task again, as a new task of the same name and arguments; return the new one's future.

        A task of this notebook or script runs as if it were submitted now: in this folder, with the modules beside it
        as they are now. Any other task runs as it was submitted.

        Tasks that failed because of it, directly or through others, are submitted again as well, and depend on the new
        ones. `resubmit` returns the pairs of old and new ids; lists have them as `retry_of`.

        Args:
            task: an ended task of any client, by id or future.

        Raises:
            TypeError: neither an id nor a future.
            RequestRefused: it has not ended; abort it first.
            UnknownTask: there is no such task, or it was cleared (an IndexError).
            ResultExpired: a result that it takes was cleared (an IndexError).
        """
        (taskid,) = await self._ids((task,))
        return await self.remote_reference.retry(taskid)

    async def resubmit(self, task: Task, *, here: bool = True) -> dict[int, int]:
        """Run a finished task again, as `retry` does; return old id -> new id of it and of tasks that failed with it.

        Args:
            here: use the folder and the modules of now, if it was submitted from here; else those of the submission.
        """
        (taskid,) = await self._ids((task,))
        return await self.remote_reference.resubmit(taskid, here=here)

    @signatures.as_async_map
    async def map(
        self, func: Callable[..., Any], *sequences: Iterable[Any], chunksize: int = 1, block: bool = True
    ) -> list[Any] | TaskGroup[Any]:
        """Apply `func` to the items of `sequences`, one task an item, load balanced; return the list of results.

        Waits for all of them. If some failed, the exception of the first failed item is raised, with a note that names
        the others.

        Args:
            func: the function.
            sequences: one for each argument of `func`, all of one length.
            chunksize: the number of items in a task. More than 1 pays for items of less than a millisecond. After an
                error the later items of its chunk do not run.
            block: wait; else return the group of the tasks at once, as `map_async` does.

        Raises:
            TypeError: there is no sequence, an argument is not one, or `chunksize` is not an int.
            ValueError: the sequences are of different lengths, or `chunksize` is less than 1.
        """
        block = check_block(block)
        group = self.map_async(func, *sequences, chunksize=chunksize)
        return await results_of(group) if block else group

    @signatures.as_map_async
    def map_async(self, func: Callable[..., Any], *sequences: Iterable[Any], chunksize: int = 1) -> TaskGroup[Any]:
        """Submit the tasks of a `map`; return their group at once: a sequence of futures, with counts and results."""
        return submit_items(self.submitter, func, sequences, check_chunksize(chunksize))

    @signatures.as_async_imap
    def imap(
        self, func: Callable[..., Any], *iterables: Iterable[Any], window: int | None = None, ordered: bool = True
    ) -> ItemResults[Any]:
        """Apply `func` to the items of `iterables`, one task an item; return an iterator over the results.

        It is lazy: the first `next` submits a window of tasks, and each later one an item more, so endless iterables
        work. They end with the shortest one. Iterables are read in the thread or loop that asks for the results.

        The iteration ends at the first error, which is raised in its place: that of a task in place of its result, that
        of an iterable or of an argument that cannot be sent after the results of the items before it.

        When it ends early (by an error, by `close`, or when nothing refers to the iterator any more), the tasks that no
        worker has yet are cancelled. The others go on, and nobody reads their results. The exit of the process cancels
        nothing. Finished tasks stay in the store of the farm until `clear`.

        Args:
            func: the function.
            iterables: one for each argument of `func`.
            window: the largest number of tasks that are unfinished or whose results were not read; by default 16
                for each worker that the farm has when the iteration begins, and at least 32.
            ordered: give the results in the order of the items; else as they come.

        Raises:
            TypeError: there is no iterable, or an argument has the wrong type.
            ValueError: `window` is less than 1.
        """
        return ItemResults(self.submitter, self.remote_reference, func, iterables, check_window(window), bool(ordered))

    def mapper(
        self,
        clear_before: bool = False,
        clear_after: bool = False,
        retries: int = 0,
        recovery_task: BaseTask | None = None,
        depend: Depend | None = None,
        block: bool = True,
    ) -> Mapper[Any]:
        """Return an object whose `map` runs its tasks with these options; see `MapTask` for them.

        Args:
            clear_before: see `MapTask`.
            clear_after: see `MapTask`.
            retries: see `MapTask`.
            recovery_task: see `MapTask`.
            depend: see `MapTask`.
            block: wait and return the results; else `map` returns the taskids.
        """
        if callable(clear_before):
            raise TypeError("parallel takes options, not a function: write @client.parallel() with parentheses")
        options = BaseTask(clear_before, clear_after, retries, recovery_task, depend)
        submitter = Submitter(self.remote_reference, self.submitter.options.of_task(options))

        async def run(func: Callable[..., Any], sequences: tuple[Iterable[Any], ...]) -> list[Any]:
            group = submit_items(submitter, func, sequences)
            if block:
                return await results_of(group)
            await self._check_accepted(*group)
            return [future.taskid for future in group]

        return Mapper(self, run, options, block=block)

    def parallel(
        self,
        clear_before: bool = False,
        clear_after: bool = False,
        retries: int = 0,
        recovery_task: BaseTask | None = None,
        depend: Depend | None = None,
        block: bool = True,
    ) -> Callable[[Callable[..., Any]], ParallelFunction[Any]]:
        """Return a decorator that makes `f(item, ...)` a parallel map `f(sequence, ...)`; see `mapper`."""
        return self.mapper(clear_before, clear_after, retries, recovery_task, depend, block).parallel()

    def adapt_to_blocking_client(self) -> BlockingTaskClient:
        """Return the blocking client over the same connection."""
        from taskfc_ext.client.blocking import BlockingTaskClient  # each face gives the other one

        return BlockingTaskClient(self)

    # submitting

    @signatures.as_submit
    def submit(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskFuture:
        """Queue `f(*args, **kwargs)` and return its future at once; it is sent with everything else that is queued.

        A future among the arguments is replaced by its result on the worker, and the task comes after it.

        Raises:
            UnpicklableArgument: the function or an argument cannot be sent; the message says which and why.
        """
        try:
            return self.submitter.submit(f, args, kwargs)
        except BaseException as error:
            shorten(error)
            raise

    async def put(self, value: object) -> TaskFuture:
        """Store a value once, and return its future, which is done: give it to any number of tasks as an argument.

        Each worker maps it without a copy, and sees nothing that others write. Of the options, only `name` counts.

        Raises:
            UnpicklableArgument: it cannot be sent; the message says which part and why.
            StoreError: there is no room for it.
        """
        future = self.submitter.put(value)
        endings = Endings()
        if future.call_at_end(endings.add):
            await endings.take()
        future.check_accepted()
        return future

    def submit_cell(
        self,
        source: str,
        names: Mapping[str, Any] | None = None,
        outs: str | Sequence[str] | None = None,
        *,
        keep: bool = False,
        settings: CellOptions | None = None,
        **options: Unpack[TaskOptions],
    ) -> TaskFuture:
        """Queue code as a cell runs it: its value is that of its last expression.

        Args:
            source: the code; IPython's syntax is understood.
            names: names and values that it starts with; a future stands for its result.
            outs: names that come back, as `future.ns.x`; `"*"`: all that the code binds.
            keep: run in the worker's persistent namespace instead of a fresh one.
            settings: settings of the notebook for the cell; the magics fill them in.
            **options: those of `with_options`.
        """
        if not isinstance(source, str):
            raise TypeError(f"source is a str, not {source!r}")
        submitter = self.submitter
        if options:
            submitter = Submitter(self.remote_reference, submitter.options.with_changes({**options}))
        return submitter.prepare(source, names or {}, check_names("outs", outs), keep=keep, settings=settings).submit()

    def with_options(self, **options: Unpack[TaskOptions]) -> FCTaskClient:
        """Return the same client, whose submissions have these options on top of its own.

        Args:
            **options: `retries`, `recovery_task`, `depend`, `clear_before`, `clear_after`, `cores`, `memory`, `gpus`,
                `resources` as in `MapTask`; and
                `name`: finds the task again; `priority`: higher ones go first;
                `timeout`: seconds of run time for one attempt;
                `after`: futures or ids of tasks that have to succeed first (`after_any=True`: to end);
                `on_lost`: `"retry"`, or `"fail"` for a task that must never run twice, when its worker dies;
                `retry_on`: the exception types that are worth a retry;
                `backoff`: seconds before the first retry, doubled for each further one;
                `seed`: of the random numbers of `random`, numpy and torch, the same for each attempt of each task.
        """
        other = copy.copy(self)
        other.submitter = Submitter(self.remote_reference, self.submitter.options.with_changes({**options}))
        return other

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until all earlier submissions have been accepted or refused; the future of a refused one raises.

        Raises:
            TimeoutError: `timeout` seconds have passed; the message says how many tasks are not accepted.
        """
        timeout = check_wait(timeout)
        try:
            await wait(self.remote_reference.flush(), timeout)
        except TimeoutError:
            n = self.remote_reference.n_unaccepted
            raise TimeoutError(f"{n} tasks have not been accepted after {timeout} s") from None

    async def future(self, id_or_name: int | str) -> TaskFuture:
        """Return a future of any task of this farm.

        Args:
            id_or_name: an id; a name, for the newest task of that name that this client's notebook or script has
                submitted; `"NOTEBOOK:name"`, for that of another one, which is called by its file's name or path.

        Raises:
            UnknownTask: there is no such task.
        """
        task = await find_task(self.list_tasks, self.remote_reference.describe, id_or_name, self.remote_reference.owner)
        return await self.remote_reference.future(task.taskid, label=task.label, name=task.name, retry_of=task.retry_of)

    # every worker

    async def broadcast(
        self,
        code_or_function: str | Callable[[], object],
        names: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        *,
        settings: CellOptions | None = None,
    ) -> int:
        """Run code on every worker, now and when workers join later; return the number of workers that have run it.

        The store keeps it: replacements of dead workers, workers that `scale` adds and workers of a restarted farm run
        it before their first task. Every worker runs it before any task that is submitted after this call.
        Code runs in the worker's persistent namespace, where string tasks and `--keep` cells find what it defines,
        also after that namespace was cleared. A function is called without arguments, once in each worker.

        Waits until all present workers have run it; a busy worker runs it after its task. A worker on which it fails
        goes on without it. A worker that it kills is replaced; after three such deaths no worker runs it any more, as
        the list of workers says. A broadcast cannot be aborted: one that hangs blocks its workers (`setting up` in
        their list) until the farm is restarted.

        Args:
            code_or_function: source text, with IPython's syntax, or a function.
            names: names and values that are bound in the namespace before the code runs.
            timeout: seconds to wait for the workers; 0 returns once it is in the store.
            settings: settings of the notebook for the code; the magics fill them in.

        Raises:
            BroadcastFailed: it raised on a worker, or killed three; the message names them and says why.
            TimeoutError: some workers have not run it yet; they will.
            UnpicklableArgument: the function or a value cannot be sent; the message says which and why.
        """
        timeout = check_wait(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        number = await send_broadcast(self.remote_reference, code_or_function, names, settings)
        if timeout == 0:
            return 0
        waiting = Call(AwaitBroadcast, {"number": number})
        try:
            answer = await wait_for_end(self.remote_reference, waiting, deadline)
        except TimeoutError:
            raise TimeoutError(f"broadcast {number} has not run on all workers after {timeout} s; it will") from None
        return workers_that_ran(number, msgspec.convert(answer, BroadcastReport, strict=False))

    async def clear_broadcasts(self) -> int:
        """Forget all broadcasts: workers that join later run none of them. Return the number of broadcasts.

        Present workers keep the effects.
        """
        return int(await self.remote_reference.ask(ClearBroadcasts))

    # the farm

    async def spin(self) -> None:
        """Check again which tasks can run; rejected tasks are offered to their workers again."""
        await self.remote_reference.ask(Spin)

    async def queue_status(self, verbose: bool = False) -> dict[str, Any]:
        """Return the numbers of waiting, scheduled, pending (that is: running), succeeded, failed and aborted tasks.

        While the farm's disk is full there is a seventh key, `no_room`: sentences with the place and what to do.

        Args:
            verbose: return lists of their ids instead.
        """
        status: dict[str, Any] = await self.remote_reference.ask(QueueStatus, verbose=bool(verbose))
        return status

    async def get_client_name(self) -> str:
        """Return this client's name in the controller."""
        return str(await self.remote_reference.ask(GetClientName))

    def unpackage(self, reply: Answer) -> Any:
        """Return the plain data of a controller's answer, or raise its error."""
        return replies.value_of(reply)

    async def list_tasks(
        self,
        taskids: Iterable[int] | None = None,
        states: Iterable[str] | None = None,
        name: str | None = None,
        owner: str | None = None,
        limit: int = 1000,
        origin: Origin = NO_CELL,
    ) -> list[TaskInfo]:
        """Return the tasks that pass every given filter, newest last.

        Args:
            taskids, states, name: theirs.
            owner: their notebook or script, or what it is called: its file's name, with or without the suffix.
            limit: the largest number of tasks, which are the newest. Without `taskids` the newest 20,000 are searched.
            origin: the cell that they come from; what is empty in it is any.
        """
        ids, of = check_filter(taskids, states)
        ask = self.remote_reference.ask
        found = await ask(ListTasks, taskids=ids, states=of, name=name, owner=owner, limit=limit, origin=origin)
        return msgspec.convert(found, list[TaskInfo])

    async def log(self, taskid: int) -> str:
        """Return the text that a task has printed so far, to stdout and stderr, in order.

        Raises:
            UnknownTask: there is no such task.
        """
        return log_of(await self.remote_reference.get_printed(check_id(taskid)))

    async def outputs(self, taskid: int) -> list[dict[str, Any]]:
        """Return what a task has displayed so far, as in a notebook's file, with its updates and clearings applied.

        Raises:
            UnknownTask: there is no such task.
        """
        return await self.remote_reference.get_outputs(check_id(taskid))

    async def details(self, taskid: int) -> Details:
        """Return a task as lists show it, with what it has printed and its failure, in one question.

        Raises:
            UnknownTask: there is no such task.
        """
        return (await self.remote_reference.get_details(check_id(taskid)))[0]

    async def submission(self, taskid: int) -> SubmittedTask:
        """Return a task as it was submitted: its options, and its code, arguments and inputs, pickled.

        Raises:
            UnknownTask: there is no such task.
            ResultExpired: a result that it takes was cleared, or its task did not succeed.
        """
        found = await self.remote_reference.ask(GetSubmission, ahead=True, taskid=check_id(taskid))
        return msgspec.convert(found, SubmittedTask)

    def read_payload(self, payload: Payload) -> Received:
        """Return the content of a payload of a `submission`, or a private mapping of it.

        Raises:
            OSError: its file is gone, since the task was cleared.
        """
        return self.remote_reference.payloads.read(payload)

    async def workers(self) -> list[WorkerInfo]:
        """Return the workers and their states."""
        return msgspec.convert(await self.remote_reference.ask(GetWorkers), list[WorkerInfo])

    async def engine(self) -> EngineInfo | None:
        """Return the engine on which the workers run, such as a Dask cluster; `None`: they run on this machine."""
        return msgspec.convert(await self.remote_reference.ask(GetEngine), EngineInfo | None)

    async def repairs(self) -> int:
        """Return how many contradictions the farm has repaired since its controller started; each is a bug."""
        return int(await self.remote_reference.ask(Ping))

    def watch(self) -> QueueWatch:
        """Follow the queue: return an async iterator over its messages, which begins now and ends with the client.

        The first message is a `QueueSnapshot`. The next ones are `QueueDelta`s, at most five a second, each with the
        difference since the message before. No delta is ever missing: when messages are lost, or read too slowly, a
        `QueueSnapshot` comes again.

        When the farm dies, is stopped, is suspended or comes back, a `FarmStatus` comes, with its `state` and, in
        `message`, a sentence about it. The iteration goes on, and a snapshot follows as soon as the farm runs again.
        Watching never starts a farm: while it does not run, a `FarmStatus` is the first message.

        It uses a connection of its own. `aclose()` closes that, as does the end of the loop when nothing else holds
        the iterator. `async for` of several readers needs a watch for each.

        Raises:
            ControllerUnavailable: this client is closed.
        """
        return self.remote_reference.watch()

    async def scale(self, n: int) -> int:
        """Set the number of workers, if the system allows it; surplus ones end when idle. Return the old number."""
        if not isinstance(n, int) or isinstance(n, bool):
            raise TypeError(f"n is an int, not {n!r}")
        if not 0 <= n <= MAX_WORKERS:
            raise ValueError(f"n is from 0 to {MAX_WORKERS:,}, not {n}")
        return int(await self.remote_reference.ask(Scale, n=n))

    async def stop(self) -> None:
        """Stop the farm. Unfinished work stays in its store; all open waits raise `ControllerStopped`."""
        try:
            replies.value_of(await wait_for_answer(self.remote_reference.stop(), self.remote_reference.farm))
        except ControllerStopped:
            pass  # somebody else stopped it first

    # the end

    async def close(self) -> None:
        """Disconnect once all submissions are accepted; tasks go on.

        Raises:
            TimeoutError: that took more than 10 seconds. The message says how many tasks may be lost; the client is
                closed all the same.
        """
        if self.remote_reference.is_closed:
            return
        try:
            if self.remote_reference.n_unaccepted:
                await self.flush(FLUSH_AT_CLOSE)
        except TaskFCError:
            pass  # the futures raise it
        finally:
            self.remote_reference.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of farm {self.remote_reference.farm_name!r}>"

    # inside

    def _submit_task(self, task: BaseTask) -> TaskFuture:
        if not isinstance(task, MapTask | StringTask):
            raise TypeError(f"run takes a MapTask or a StringTask, not {task!r}")
        submitter = Submitter(self.remote_reference, self.submitter.options.of_task(task))
        if isinstance(task, StringTask):
            return submitter.submit_string(task)
        return submitter.submit(task.function, task.args, task.kwargs)

    async def _check_accepted(self, *futures: TaskFuture) -> None:
        await self.flush()
        for future in futures:
            future.check_accepted()

    async def _result(self, future: TaskFuture) -> Any:
        try:
            return await wait(future)
        except Exception:
            if future.holds_its_exception:
                return future.task_result()
            raise

    async def check_store(self, *futures: TaskFuture) -> None:
        """Raise `UnknownTask` if a future's task was in an earlier store of this farm. For this package."""
        await self.remote_reference.check_store(futures)

    async def _ids(self, tasks: Task | Iterable[Task]) -> tuple[int, ...]:
        return await ids_of(tasks, self.flush, self.remote_reference.check_store)

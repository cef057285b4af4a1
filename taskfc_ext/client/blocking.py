"""`BlockingTaskClient`: the client for code that cannot await, such as a notebook's cell.

Each method is one line: `drive` runs the async client's coroutine in the calling thread. Ctrl-C ends the wait at once
and harms no task. The docstrings are those of the async client.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from taskfc_ext.border import all_at_border, shorten
from taskfc_ext.client import signatures
from taskfc_ext.client.aio import FCTaskClient
from taskfc_ext.client.future.future import TaskFuture
from taskfc_ext.client.future.waiting import drive, iterate
from taskfc_ext.client.group.group import TaskGroup
from taskfc_ext.client.local import Unpicklable
from taskfc_ext.client.mapper import Mapper, ParallelFunction
from taskfc_ext.client.session.replies import Answer
from taskfc_ext.client.session.subscriber import News
from taskfc_ext.client.submit.options import Task, TaskOptions
from taskfc_ext.protocol.infos import Details, EngineInfo, SubmittedTask, TaskInfo, WorkerInfo
from taskfc_ext.protocol.payloads import Payload
from taskfc_ext.protocol.spec import NO_CELL, Origin
from taskfc_ext.serialize import CellOptions, Received
from taskfc_ext.tasks import BaseTask, Depend

C = TypeVar("C", bound=type)


def _documented_by_async_client(cls: C) -> C:
    for name, method in [*vars(cls).items()]:
        if not name.startswith("_"):
            method.__doc__ = getattr(FCTaskClient, name).__doc__
    return all_at_border(cls)


@_documented_by_async_client
class BlockingTaskClient(Unpicklable):
    """A client of a task controller whose methods block. `TaskClient()` connects one; a `with` closes it.

    Any thread may use it. In the main thread, a wait for several tasks shows a bar after 2 seconds.

    Args:
        client: the async client that it drives.
    """

    def __init__(self, client: FCTaskClient) -> None:
        self._client = client
        self.submitter = client.submitter

    # the interface of the older system

    def run(self, task: BaseTask, block: bool = False) -> Any:
        return drive(self._client.run(task, block))

    def get_task_result(self, taskid: int, block: bool = False) -> Any:
        return drive(self._client.get_task_result(taskid, block))

    def abort(self, taskid: int) -> None:
        drive(self._client.abort(taskid))

    def barrier(self, taskids: Task | Iterable[Task] | None = None, timeout: float | None = None) -> None:
        drive(self._client.barrier(taskids, timeout))

    def spin(self) -> None:
        drive(self._client.spin())

    def queue_status(self, verbose: bool = False) -> dict[str, Any]:
        return drive(self._client.queue_status(verbose))

    def clear(self, taskids: Task | Iterable[Task] | None = None) -> int:
        return drive(self._client.clear(taskids))

    def hold(self, taskids: Task | Iterable[Task]) -> list[int]:
        return drive(self._client.hold(taskids))

    def release(self, taskids: Task | Iterable[Task]) -> None:
        drive(self._client.release(taskids))

    def move(self, taskids: Task | Iterable[Task], priority: int) -> None:
        drive(self._client.move(taskids, priority))

    def retry(self, task: Task) -> TaskFuture:
        return drive(self._client.retry(task))

    def check_store(self, *futures: TaskFuture) -> None:
        drive(self._client.check_store(*futures))

    def resubmit(self, task: Task, *, here: bool = True) -> dict[int, int]:
        return drive(self._client.resubmit(task, here=here))

    @signatures.as_map
    def map(
        self, func: Callable[..., Any], *sequences: Iterable[Any], chunksize: int = 1, block: bool = True
    ) -> list[Any] | TaskGroup[Any]:
        return drive(self._client.map(func, *sequences, chunksize=chunksize, block=block))

    @signatures.as_map_async
    def map_async(self, func: Callable[..., Any], *sequences: Iterable[Any], chunksize: int = 1) -> TaskGroup[Any]:
        return self._client.map_async(func, *sequences, chunksize=chunksize)

    @signatures.as_imap
    def imap(
        self, func: Callable[..., Any], *iterables: Iterable[Any], window: int | None = None, ordered: bool = True
    ) -> Generator[Any, None, None]:
        return iterate(self._client.imap(func, *iterables, window=window, ordered=ordered))

    def mapper(
        self,
        clear_before: bool = False,
        clear_after: bool = False,
        retries: int = 0,
        recovery_task: BaseTask | None = None,
        depend: Depend | None = None,
        block: bool = True,
    ) -> Mapper[Any]:
        mapper = self._client.mapper(clear_before, clear_after, retries, recovery_task, depend, block)
        return mapper.adapt_to(self, drive)

    def parallel(
        self,
        clear_before: bool = False,
        clear_after: bool = False,
        retries: int = 0,
        recovery_task: BaseTask | None = None,
        depend: Depend | None = None,
        block: bool = True,
    ) -> Callable[[Callable[..., Any]], ParallelFunction[Any]]:
        return self.mapper(clear_before, clear_after, retries, recovery_task, depend, block).parallel()

    def get_client_name(self) -> str:
        return drive(self._client.get_client_name())

    def unpackage(self, reply: Answer) -> Any:
        return self._client.unpackage(reply)

    def adapt_to_blocking_client(self) -> BlockingTaskClient:
        return self

    # submitting

    @signatures.as_submit
    def submit(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskFuture:
        try:
            return self.submitter.submit(f, args, kwargs)
        except BaseException as error:
            shorten(error)
            raise

    def put(self, value: object) -> TaskFuture:
        return drive(self._client.put(value))

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
        return self._client.submit_cell(source, names, outs, keep=keep, settings=settings, **options)

    def with_options(self, **options: Unpack[TaskOptions]) -> BlockingTaskClient:
        return BlockingTaskClient(self._client.with_options(**options))

    def flush(self, timeout: float | None = None) -> None:
        drive(self._client.flush(timeout))

    def future(self, id_or_name: int | str) -> TaskFuture:
        return drive(self._client.future(id_or_name))

    # every worker

    def broadcast(
        self,
        code_or_function: str | Callable[[], object],
        names: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        *,
        settings: CellOptions | None = None,
    ) -> int:
        return drive(self._client.broadcast(code_or_function, names, timeout, settings=settings))

    def clear_broadcasts(self) -> int:
        return drive(self._client.clear_broadcasts())

    # the farm

    def list_tasks(
        self,
        taskids: Iterable[int] | None = None,
        states: Iterable[str] | None = None,
        name: str | None = None,
        owner: str | None = None,
        limit: int = 1000,
        origin: Origin = NO_CELL,
    ) -> list[TaskInfo]:
        return drive(self._client.list_tasks(taskids, states, name, owner, limit, origin))

    def log(self, taskid: int) -> str:
        return drive(self._client.log(taskid))

    def details(self, taskid: int) -> Details:
        return drive(self._client.details(taskid))

    def submission(self, taskid: int) -> SubmittedTask:
        return drive(self._client.submission(taskid))

    def read_payload(self, payload: Payload) -> Received:
        return self._client.read_payload(payload)

    def outputs(self, taskid: int) -> list[dict[str, Any]]:
        return drive(self._client.outputs(taskid))

    def workers(self) -> list[WorkerInfo]:
        return drive(self._client.workers())

    def engine(self) -> EngineInfo | None:
        return drive(self._client.engine())

    def repairs(self) -> int:
        return drive(self._client.repairs())

    def watch(self) -> Iterator[News]:
        return iterate(self._client.watch())

    def scale(self, n: int) -> int:
        return drive(self._client.scale(n))

    def stop(self) -> None:
        drive(self._client.stop())

    def close(self) -> None:
        drive(self._client.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._client).replace("FCTaskClient", "BlockingTaskClient")

"""A real shell with the magics, and a fake farm in this process."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from types import SimpleNamespace
from typing import Any

import pytest

from taskfc_ext import serialize
from taskfc_ext.client.future.future import FINISHED, TaskFuture
from taskfc_ext.client.future.outcome import Facts
from taskfc_ext.client.future.template import Template
from taskfc_ext.client.submit.options import Options
from taskfc_ext.errors import RequestRefused, UnknownTask, UnknownTasks
from taskfc_ext.ipython import extension
from taskfc_ext.protocol.infos import Details, EngineInfo, SubmittedTask, TaskInfo, WorkerInfo
from taskfc_ext.protocol.payloads import Failure, Payload, Reason, encode_failure
from taskfc_ext.protocol.spec import NO_CELL, Kind, Origin, Spec, is_from
from taskfc_ext.view.wording import KEPT
from tests.shells import end_shell, new_shell


class FakeFarm:
    """Accepts tasks and ends them on the test's command: client, owner of futures, and controller in one."""

    def __init__(self) -> None:
        self.name = "default"
        self.owner = ""
        self.runs = False
        self.starts: list[tuple[str, int | None, bool]] = []
        self.engines: list[dict[str, Any]] = []
        self.asked: list[tuple[Any, ...]] = []
        self.submitted: list[dict[str, Any]] = []
        self.futures: list[TaskFuture] = []
        self.infos: list[TaskInfo] = []
        self.origins: list[Origin] = []
        self._others: defaultdict[int, list[TaskFuture]] = defaultdict(list)
        self._ends: dict[int, tuple[Payload, Facts]] = {}
        self.logs: dict[int, str] = {}
        self.displays: dict[int, list[dict[str, Any]]] = {}
        self.submissions: dict[Any, Any] = {}
        self.n_workers = 2
        self.interrupt_waits = False
        self.at_barrier: Callable[[], None] = lambda: None
        self.n_looks = 0
        self.store_began = 0.0
        self.broadcast_error: Exception | None = None

    # what a test does

    def set(self, taskid: int, **changes: Any) -> None:
        info = self.infos[taskid]
        self.infos[taskid] = type(info)(**{field: getattr(info, field) for field in info.__struct_fields__} | changes)

    def succeed(self, taskid: int, value: object = None, ns: dict[str, Any] | None = None, output: str = "") -> None:
        self.set(taskid, state="succeeded", attempts=1)
        payload = serialize.dump_value(serialize.SourceResult(value, ns or {}, is_cell=True), what="the result")
        self._settle(taskid, payload, Facts("", 0, 1, 0.0, 1.5, 2.0, (output,)))

    def fail(self, taskid: int, error: Exception, traceback: str = "") -> None:
        self.set(taskid, state="failed", reason="error", attempts=1)
        failure = serialize.dump_exception(error, traceback=traceback)
        self._end(taskid, failure)

    def _end(self, taskid: int, failure: Failure) -> None:
        self._settle(taskid, encode_failure(failure), Facts(failure.reason.value, 0, 1, 0.0, 1.5, 2.0, ()))

    def _settle(self, taskid: int, payload: Payload, facts: Facts) -> None:
        self._ends[taskid] = payload, facts
        for future in (self.futures[taskid], *self._others[taskid]):
            if not future.done():
                future._settle(FINISHED, payload=payload, facts=facts)

    def refuse(self, error: Exception) -> None:
        """Refuse the newest task, as a controller does that was just asked."""
        self.futures[-1]._place = None
        self.futures[-1]._settle_with(error)

    # the client

    def with_options(self, **options: Any) -> FakeSubmitter:
        return FakeSubmitter(self, Options().with_changes(options), options)

    def add(self, source: str, options: Options, origin: Origin = NO_CELL) -> TaskFuture:
        taskid = len(self.futures)
        spec = Spec(kind=Kind.CELL, code=b"0" * 16, label=source.split("\n")[0][:40])
        future = TaskFuture(Template(FakeOwner(self), spec, label=spec.label, name=options.name), taskid=taskid)
        self.futures.append(future)
        self.origins.append(origin)
        self.infos.append(
            TaskInfo(
                taskid=taskid,
                name=options.name,
                label=spec.label,
                state="scheduled",
                owner=self.owner,
                submitted=time.time(),
            )
        )
        return future

    def flush(self, timeout: float | None = None) -> None:
        self.asked.append(("flush",))

    def check_store(self, *futures: TaskFuture) -> None:
        for future in futures:
            future.check_store(self.store_began)

    def broadcast(self, code_or_function: Any, names: Any = None, timeout: float | None = None) -> int:
        self.asked.append(("broadcast", code_or_function, names))
        if self.broadcast_error is not None:
            raise self.broadcast_error
        return self.n_workers

    def future(self, taskid: int) -> TaskFuture:
        if not 0 <= taskid < len(self.futures):
            raise UnknownTask(f"there is no task {taskid}", taskid=taskid)
        future = TaskFuture(self.futures[taskid]._template, taskid=taskid)
        self._others[taskid].append(future)
        if taskid in self._ends:
            payload, facts = self._ends[taskid]
            future._settle(FINISHED, payload=payload, facts=facts)
        return future

    def list_tasks(
        self,
        taskids: Sequence[int] | None = None,
        states: Sequence[str] | None = None,
        name: str | None = None,
        owner: str | None = None,
        limit: int = 1000,
        origin: Origin = NO_CELL,
    ) -> list[TaskInfo]:
        found = [
            info
            for info in self.infos
            if (taskids is None or info.taskid in taskids)
            and (states is None or info.state in states)
            and (name is None or info.name == name)
            and (owner is None or info.owner == owner)
            and is_from(self.origins[info.taskid], origin)
        ]
        return found[-limit:]

    def queue_status(self, verbose: bool = False) -> dict[str, Any]:
        names = ("waiting", "scheduled", "succeeded", "failed", "aborted")
        counts: dict[str, Any] = {state: sum(info.state == state for info in self.infos) for state in names}
        return counts | {"pending": sum(info.state == "running" for info in self.infos)}

    def barrier(self, taskids: Any = None, timeout: float | None = None) -> None:
        self.asked.append(("barrier", taskids, timeout))
        self.at_barrier()
        if self.interrupt_waits:
            raise KeyboardInterrupt

    def abort(self, taskid: Any) -> None:
        taskid = taskid if isinstance(taskid, int) else taskid.taskid
        self.asked.append(("abort", taskid))
        if taskid >= len(self.infos) or self.infos[taskid].state == "succeeded":
            raise UnknownTask(f"task {taskid} has ended already", taskid=taskid)
        self.set(taskid, state="aborted", reason="aborted")
        self._end(taskid, Failure(reason=Reason.ABORTED, message=f"task {taskid} was aborted"))

    def resubmit(self, taskid: int) -> dict[int, int]:
        """Run it again, with all later tasks that failed by a dependency, as if these were its dependants."""
        self.asked.append(("retry", taskid))
        if not 0 <= taskid < len(self.futures):
            raise UnknownTask(f"there is no task {taskid}", taskid=taskid)
        if self._is_live(taskid):
            raise RequestRefused(f"task {taskid} has not ended", hint="abort it first")
        again = [taskid, *(info.taskid for info in self.infos[taskid + 1 :] if info.reason == "dependency")]
        pairs = {}
        for old in again:
            future = self.add(self.infos[old].label, Options(name=self.infos[old].name))
            pairs[old] = future.taskid or 0
            future._template.retry_of = old
            self.set(pairs[old], retry_of=old)
        return pairs

    def submission(self, taskid: int) -> SubmittedTask:
        """Return the recorded task that the test has put into `submissions`."""
        found = self.submissions[self.future(taskid).taskid]
        if isinstance(found, Exception):
            raise found
        return found

    def read_payload(self, payload: Any) -> Any:
        """Return a payload of a submission; here none stands in a file."""
        return payload

    def hold(self, taskids: Sequence[int]) -> list[int]:
        given = [taskid for taskid in self._steer("hold", taskids, held=True) if self.infos[taskid].worker >= 0]
        for taskid in given:
            self.set(taskid, held=False)
        self._raise_for_the_ended(taskids)
        return given

    def release(self, taskids: Sequence[int]) -> None:
        self._steer("release", taskids, held=False)
        self._raise_for_the_ended(taskids)

    def move(self, taskids: Sequence[int], priority: int) -> None:
        self._steer("move", taskids, priority=priority)
        self._raise_for_the_ended(taskids)

    def _is_live(self, taskid: int) -> bool:
        return taskid < len(self.infos) and self.infos[taskid].state in ("waiting", "scheduled", "running")

    def _steer(self, what: str, taskids: Sequence[int], **changes: Any) -> list[int]:
        self.asked.append((what, *taskids))
        live = [taskid for taskid in taskids if self._is_live(taskid)]
        for taskid in live:
            self.set(taskid, **changes)
        return live

    def _raise_for_the_ended(self, taskids: Sequence[int]) -> None:
        wrong = tuple(taskid for taskid in taskids if not self._is_live(taskid))
        if wrong:
            raise UnknownTasks(f"not among the unfinished tasks: {wrong}", taskids=wrong)

    def clear(self, taskids: Sequence[int] | None = None) -> int:
        self.asked.append(("clear", taskids))
        return len(taskids or ())

    def spin(self) -> None:
        self.asked.append(("spin",))

    def log(self, taskid: int) -> str:
        return self.logs.get(taskid, "")

    def outputs(self, taskid: int) -> list[dict[str, Any]]:
        return self.displays.get(taskid, [])

    def engine(self) -> EngineInfo | None:
        return None

    def workers(self) -> list[WorkerInfo]:
        return [WorkerInfo(worker=i, pid=100 + i, state="idle") for i in range(self.n_workers)]

    def scale(self, n: int) -> int:
        before, self.n_workers = self.n_workers, n
        return before

    def close(self) -> None:
        self.asked.append(("close",))

    def describe(self, taskid: int) -> TaskInfo:
        self.n_looks += 1
        return self.infos[taskid]

    def details(self, taskid: int) -> tuple[Details, list[dict[str, Any]]]:
        return Details(task=self.describe(taskid), printed=(self.log(taskid),)), self.outputs(taskid)


def future_on(farm_name: str, like: TaskFuture, taskid: int) -> TaskFuture:
    """Return the future of a task of another farm, with the code and the name of `like`."""
    owner: Any = SimpleNamespace(farm_name=farm_name, lending=None)
    return TaskFuture(Template(owner, like._template.spec, label=like.label, name=like.name), taskid=taskid)


class FakeOwner:
    """The owner of the farm's futures."""

    lending = None

    def __init__(self, farm: FakeFarm) -> None:
        self._farm = farm

    @property
    def farm_name(self) -> str:
        return self._farm.name

    def check_may_wait(self) -> None:
        if self._farm.interrupt_waits:
            raise KeyboardInterrupt

    async def check_store(self, futures: Sequence[TaskFuture]) -> None:
        self._farm.check_store(*futures)

    async def cancel(self, future: TaskFuture) -> bool:
        raise CancelledError

    async def abort(self, future: TaskFuture) -> None:
        self._farm.abort(future)

    async def abort_all(self, futures: Sequence[TaskFuture]) -> int:
        for future in futures:
            self._farm.abort(future)
        return len(futures)

    async def retry_all(self, futures: Sequence[TaskFuture]) -> list[TaskFuture]:
        return [await self.retry(future.taskid or 0) for future in futures]

    async def retry(self, taskid: int, like: Template | None = None) -> TaskFuture:
        return self._farm.futures[self._farm.resubmit(taskid)[taskid]]

    async def describe(self, taskid: int) -> TaskInfo:
        return self._farm.describe(taskid)

    async def get_printed(self, taskid: int) -> tuple[str, ...]:
        return (self._farm.log(taskid),)

    async def get_outputs(self, taskid: int) -> list[dict[str, Any]]:
        return self._farm.outputs(taskid)

    async def get_details(self, taskid: int) -> tuple[Details, list[dict[str, Any]]]:
        return self._farm.details(taskid)


class FakeSubmitter:
    """The client that `with_options` returns."""

    def __init__(self, farm: FakeFarm, options: Options, given: dict[str, Any]) -> None:
        self._farm = farm
        self._options = options
        self._given = given
        self.flush = farm.flush
        self.submitter = self

    def prepare(self, source: str, names: dict[str, Any], *args: Any, **options: Any) -> Any:
        return SimpleNamespace(submit=lambda: self.submit_cell(source, names, *args, **options))

    def submit_cell(
        self,
        source: str,
        names: dict[str, Any],
        outs: Sequence[str] = (),
        *,
        keep: bool = False,
        origin: Origin = NO_CELL,
        defines: frozenset[str] = frozenset(),
    ) -> TaskFuture:
        future = self._farm.add(source, self._options, origin)
        future.defined_names = defines
        sent = {"source": source, "names": names, "outs": tuple(outs), "keep": keep, "options": self._given}
        self._farm.submitted.append(sent)
        return future


class FakeFarms:
    """Every name is the same farm."""

    def __init__(self, farm: FakeFarm) -> None:
        self.farm = farm

    def names(self) -> list[str]:
        return [self.farm.name] if self.farm.runs else []

    def runs(self, name: str) -> bool:
        return self.farm.runs and name == self.farm.name

    def identity(self, name: str) -> str:
        return "its processes" if self.runs(name) else ""

    def start(self, name: str, n_workers: int | None, *, fresh: bool, **engine: Any) -> None:
        self.farm.starts.append((name, n_workers, fresh))
        self.farm.engines.append(engine)
        self.farm.name, self.farm.runs = name, True

    def memory_note(self, name: str, *, restarted: bool = False) -> str:
        return ""

    def stop(self, name: str) -> str:
        self.farm.runs = False
        return KEPT

    def restart(self, name: str, n_workers: int | None, **engine: Any) -> None:
        self.farm.runs = True
        self.farm.n_workers = n_workers or self.farm.n_workers

    def connect(self, name: str, *, owner: str) -> FakeFarm:
        self.farm.name, self.farm.owner, self.farm.runs = name, owner, True
        return self.farm


class Shell:
    """A shell without a kernel, with its displays."""

    def __init__(self, farm: FakeFarm, *, live: bool = False) -> None:
        self.ip = new_shell()
        if live:
            self.ip.kernel = object()
        self.farm = farm
        extension.load(self.ip, FakeFarms(farm))

    @property
    def magics(self) -> Any:
        return self.ip.magics_manager.registry["TaskMagics"]

    @property
    def ns(self) -> dict[str, Any]:
        return self.ip.user_ns

    @property
    def shown(self) -> list[dict[str, Any]]:
        return self.ip.display_pub.outputs

    def run(self, cell: str) -> Any:
        """Run a cell and return its value, or raise its exception."""
        return self.ip.run_cell(cell).result

    def texts(self) -> list[str]:
        return [output["data"]["text/plain"] for output in self.shown]

    def close(self) -> None:
        extension.unload(self.ip)
        end_shell(self.ip)


@pytest.fixture
def farm() -> FakeFarm:
    return FakeFarm()


@pytest.fixture
def shell(farm: FakeFarm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.setenv("JPY_SESSION_NAME", "folder/my notebook.ipynb")
    made = Shell(farm)
    yield made
    made.close()


@pytest.fixture
def live_shell(farm: FakeFarm) -> Iterator[Shell]:
    """A shell whose displays can be updated, as in a notebook."""
    made = Shell(farm, live=True)
    yield made
    made.close()

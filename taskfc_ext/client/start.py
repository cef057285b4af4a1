"""Start of farms, and clients of them: `start`, `attach`, `restart`, `TaskClient`.

The modules of the clients are imported when a client is made, and not before a farm is started: see `launch`.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

from taskfc_ext.border import all_at_border, at_border
from taskfc_ext.client.connect import async_client, blocking_client, load_clients
from taskfc_ext.client.context.owner import default_owner
from taskfc_ext.client.farm.engine import IDLE, Engine, engine_of, tell
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.farm.launch import LocalFarm, launch, stored_options
from taskfc_ext.client.farm.options import UNCHANGED, Unchanged, default_n_workers, farm_options, store_fields
from taskfc_ext.drivers.aside import put_aside
from taskfc_ext.drivers.connection_file import ConnectionInfo
from taskfc_ext.drivers.files import open_private, try_lock
from taskfc_ext.drivers.paths import FarmPaths, prepare
from taskfc_ext.drivers.processes import ENGINE
from taskfc_ext.errors import BadEngine, ControllerUnavailable, EngineWarning, StartFailed
from taskfc_ext.protocol.limits import MAX_WORKERS
from taskfc_ext.protocol.options import MAX_DEATHS, UNREACHABLE_AFTER, EngineOptions, FarmOptions
from taskfc_ext.tasks import check_resources

if TYPE_CHECKING:
    from taskfc_ext.client.aio import FCTaskClient
    from taskfc_ext.client.blocking import BlockingTaskClient


LET_GO_WITHIN = 2.0
"""Seconds for which the last process of a farm that was stopped may still hold the store's lock: it exits."""

FIRST_WORKER = 10.0
"""Seconds that a start on an engine waits for the first worker, or for the reason why there is none."""


@all_at_border
class Controller:
    """A farm that runs. As a context manager it stops the farm at the end, unless it was only attached to.

    Attributes:
        name: the farm's.
        attached: whether the farm ran before this was made.
        put_aside: the folder with the store that the farm had before a start with `fresh`; `None`: there was none.
    """

    def __init__(self, farm: LocalFarm, *, attached: bool) -> None:
        self.name = farm.name
        self.attached = attached
        self.put_aside: Path | None = None
        self._farm = farm

    def client(self, *, owner: str = "", label: str = "") -> BlockingTaskClient:
        """Return a new client."""
        return blocking_client(self._farm, owner=owner or default_owner(), label=label)

    async def async_client(self, *, owner: str = "", label: str = "") -> FCTaskClient:
        """Return a new client for code that awaits."""
        return async_client(self._farm, owner=owner or default_owner(), label=label)

    def scale(self, n: int) -> int:
        """Set the number of workers; return the previous number."""
        with self.client() as client:
            return client.scale(n)

    def stop(self) -> None:
        """Stop the farm and wait until its processes are gone; unfinished work stays in its store."""
        stop(self._farm)

    @property
    def connection_file(self) -> Path:
        """The file by which clients find the farm."""
        return self._farm.paths.connection_file

    @property
    def pid(self) -> int:
        """The controller's process now; another one after a death."""
        return self._running().pid

    @property
    def supervisor_pid(self) -> int:
        """The process that starts and watches all others."""
        return self._running().supervisor_pid

    @property
    def worker_pids(self) -> list[int]:
        """The worker processes now."""
        with self.client() as client:
            return [worker.pid for worker in client.workers()]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.attached:
            self.stop()

    def __repr__(self) -> str:
        return f"<Controller {self.name!r}>"

    def _running(self) -> ConnectionInfo:
        found = self._farm.connection()
        if found is None:
            raise ControllerUnavailable(f"farm {self.name!r} does not run", hint="start() it")
        return found


@at_border
def start(
    workers: int | None = None,
    *,
    name: str = "default",
    store: Literal["disk", "memory"] | None = None,
    fresh: bool = False,
    properties: Mapping[str, Any] | None = None,
    unreachable_after: float = UNREACHABLE_AFTER,
    max_deaths: int = MAX_DEATHS,
    on: object = None,
    resources: Mapping[str, float] | None = None,
    idle: float | None = None,
    keep_days: float | Unchanged | None = UNCHANGED,
    keep_bytes: int | str | Unchanged | None = UNCHANGED,
    idle_stop: float | Unchanged | None = UNCHANGED,
    durability: Literal["process", "disk"] | Unchanged = UNCHANGED,
) -> Controller:
    """Start a farm, or attach to it if it runs. Its workers begin with our working directory and import path.

    Args:
        workers: number of workers; by default one for each core that we may use. Ignored when the farm runs. With
            `on`, the most workers that there may be, by default as many as the engine has room for.
        name: the farm's name; each has its own queue and store.
        store: `"disk"`, the default: tasks and results are kept on the disk. `"memory"`: in memory only. The farm
            begins empty, writes none of them to the disk, and they are gone when it stops, or when its controller dies:
            open waits raise `ControllerLost` then. What the farm has on the disk stays there for the next start with
            `"disk"`.
        fresh: begin with an empty store. The one before is put aside, and the newest three of these are kept. A store
            in memory is empty in any case.
        properties: properties of each worker, which `depend` functions get.
        unreachable_after: seconds after which a task fails that all workers reject; 30 by default.
        max_deaths: a task fails when so many workers have died of it; 3 by default.
        on: the engine whose slots the workers run in: the address of a Dask scheduler (`"tcp://head:8786"`), a
            scheduler file, a live `distributed.Client` or `Cluster`; the address of a Ray cluster
            (`"ray://head:10001"`), or `"ray"`: this machine is a node of it; `None`: this machine.
        resources: name -> amount. On this machine, own resources of the farm for tasks that name them, such as
            `{"licence": 2}`; cores, memory and GPUs (`CUDA_VISIBLE_DEVICES`, else all NVIDIA devices) are found at
            each start. On an engine, those that each slot takes, such as `{"GPU": 1}`.
        idle: seconds after which an idle slot ends; 60 by default.
        keep_days: days for which finished tasks are kept, with their results; `None`: for ever. This and the options
            below are by default as they were at the last start on this store; at the first, 7 days.
        keep_bytes: bytes that the store may take, as an int or a size such as `"10 GB"`, which is the default; the
            tasks that ended first make room. `None`: no limit.
        idle_stop: hours without a client and without an unfinished task, after which the farm stops; the next use
            starts it again, with all results. By default 12; `None`: never.
        durability: of a store on the disk. `"process"`, the default: accepted tasks and results survive the death of
            any process; `"disk"`: each commit is written to the disk before it is answered, so they survive a power cut
            as well.

    Raises:
        StartFailed: the farm cannot be started; the message says why, and what to do.
        TypeError, ValueError: an argument is not possible; the message names it.
    """
    _check_workers("start", workers)
    engine = _engine("start", on, resources, idle)
    farm = _farm(name)
    before = None if fresh else stored_options(farm.paths)
    if store == "memory" and durability == "disk":
        raise ValueError("start: store='memory' writes nothing to the disk, so it cannot have durability='disk'")
    options = farm_options(
        workers,
        store=store or "disk",
        properties=properties,
        unreachable_after=unreachable_after,
        max_deaths=max_deaths,
        resources=None if engine is not None else resources,
        engine=engine.options if engine is not None else None,
        of_store=store_fields(
            before, keep_days=keep_days, keep_bytes=keep_bytes, idle_stop=idle_stop, durability=durability
        ),
    )
    aside: Path | None = None
    running = farm.is_served()
    if not running and options.is_in_memory and farm.condition() is Condition.DEAD:
        running = not _settle(farm)
    if running and engine is not None:
        _check_same_engine(farm, engine, resources)
    if running and store is not None and options.is_in_memory != farm.is_in_memory:
        here = "in memory only" if farm.is_in_memory else "on the disk"
        raise StartFailed(f"farm {name!r} runs, and keeps its tasks {here}", hint="stop it first")
    if fresh and (running or not options.is_in_memory):
        if running:
            raise StartFailed(f"farm {name!r} runs, so its store is in use", hint="stop it first")
        prepare(farm.paths)
        aside = empty_store(farm.paths)
    if running:
        return Controller(farm, attached=True)
    started = _launch(farm, options, engine)
    started.put_aside = aside
    return started


@at_border
def attach(name: str = "default", *, owner: str = "", label: str = "") -> BlockingTaskClient:
    """Return a client of a farm that runs; never starts one.

    Raises:
        ControllerUnavailable: it does not run.
    """
    farm = _farm(name)
    if farm.connection() is None:
        raise ControllerUnavailable(f"farm {name!r} does not run", hint="TaskClient() or start() starts it")
    return blocking_client(farm, owner=owner, label=label)


@at_border
def TaskClient(name: str = "default", *, owner: str = "", label: str = "") -> BlockingTaskClient:
    """Return a client of the farm `name`, which is started if it does not run.

    Args:
        name: the farm's name.
        owner: the notebook or script that the tasks belong to.
        label: the client's name in lists.

    Raises:
        ControllerUnavailable: this is a task on an engine, and the farm does not run on its host.
    """
    farm = _farm(name)
    match farm.condition():
        case Condition.DEAD | Condition.LOST | Condition.ASLEEP:
            farm.revive()
        case Condition.STOPPED:
            if os.environ.get(ENGINE):
                raise ControllerUnavailable(
                    f"farm {name!r} does not run on this host, and a task on an engine starts none there",
                    hint="submit tasks from the notebook",
                )
            start(name=name)
    return blocking_client(farm, owner=owner or default_owner(), label=label)


@at_border
def restart(
    name: str = "default",
    workers: int | None = None,
    *,
    on: object = UNCHANGED,
    resources: Mapping[str, float] | None = None,
    idle: float | None = None,
) -> Controller:
    """Stop a farm if it runs, and start it as it was started, with its queue; empty if it keeps that in memory only.

    Args:
        name: the farm's name.
        workers: another number of workers.
        on: another engine, as in `start`: the queue moves there; `None`: it comes home to this machine. The engine
            where it was: what is not named here stays as it was.
        resources: others than before, see `start`; those of an engine only with `on`.
        idle: see `start`; only with `on`.
    """
    _check_workers("restart", workers)
    farm = _farm(name)
    kept = stored_options(farm.paths) or farm_options(workers)
    engine, where = None, kept.engine
    if on is not UNCHANGED:
        engine = _engine("restart", on, resources, idle)
        if engine is not None and where is not None and engine.options.url == where.url:
            engine = _as_before(engine, where, resources, idle)
        where = engine.options if engine is not None else None
    elif idle is not None or (resources is not None and where is not None):
        raise BadEngine("restart: idle and resources of an engine are given together with on=")
    has_moved = _url_of(where) != _url_of(kept.engine)
    changes: dict[str, Any] = {"engine": where}
    if workers is not None or has_moved:
        changes["n_workers"] = default_n_workers(workers, where)
    if resources is not None and where is None:
        changes["resources"] = check_resources(resources, "restart: resources") or {}
    options = msgspec.structs.replace(kept, **changes)
    if farm.condition() is Condition.ALIVE:
        stop(farm)  # only now: a wrong argument must not stop it
    return _launch(farm, options, engine)


def _url_of(engine: EngineOptions | None) -> str | None:
    return None if engine is None else engine.url


def _as_before(engine: Engine, before: EngineOptions, resources: object, idle: float | None) -> Engine:
    """Return the engine on which the farm was, with what is not named now as it was."""
    options = msgspec.structs.replace(
        engine.options,
        idle=before.idle if idle is None else engine.options.idle,
        resources=before.resources if resources is None else engine.options.resources,
    )
    return engine._replace(options=options)


def _settle(farm: LocalFarm) -> bool:
    """Let a dead farm record in its store on the disk how its tasks have ended; `False` if somebody is starting it."""
    is_dead = launch(farm.paths, None, at_rest=True)
    if is_dead:
        stop(farm)
    return is_dead


def _launch(farm: LocalFarm, options: FarmOptions, engine: Engine | None) -> Controller:
    """Start a farm, or attach to it if another process has started it meanwhile.

    Args:
        options: its options.
        engine: the engine in them, if `on` has named it.
    """
    secrets = engine.secrets if engine is not None else b""
    started = launch(farm.paths, options, secrets=secrets, meanwhile=load_clients)
    if engine is not None and started:
        tell(engine)
    if started and options.engine is not None and options.n_workers:
        await_first_worker(farm)
    return Controller(farm, attached=not started)


def _engine(where: str, on: object, resources: Mapping[str, float] | None, idle: float | None) -> Engine | None:
    if on is not None:
        return engine_of(on, resources=resources, idle=IDLE if idle is None else idle)
    if idle is not None:
        raise BadEngine(f"{where}: idle is of an engine, and given together with on=")
    return None


def await_first_worker(farm: LocalFarm) -> None:
    """Wait for the first worker on an engine, or for the reason why there is none; at most `FIRST_WORKER` seconds."""
    deadline = time.monotonic() + FIRST_WORKER
    with blocking_client(farm, owner="", label="start") as client:
        while not client.workers() and time.monotonic() < deadline:
            state = client.engine()
            if state is not None and state.text:
                warnings.warn(f"{state.url}: {state.text}; tasks wait until it works", EngineWarning, stacklevel=3)
                return
            time.sleep(0.05)


def _check_same_engine(farm: LocalFarm, engine: Engine, resources: Mapping[str, float] | None) -> None:
    kept = stored_options(farm.paths)
    here = None if kept is None else kept.engine
    if here is None or here.url != engine.options.url:
        where = "on this machine" if here is None else f"on {here.url}"
        raise StartFailed(
            f"farm {farm.name!r} runs {where}",
            hint=f"restart({farm.name!r}, on=...) moves its queue to {engine.options.url}",
        )
    if resources is not None and engine.options.resources != here.resources:
        raise StartFailed(
            f"farm {farm.name!r} runs with {here.resources or 'no resources'} for each slot",
            hint=f"restart({farm.name!r}, on=..., resources=...) changes them",
        )


def stop(farm: LocalFarm) -> None:
    """Stop a farm, if it runs, and wait until its processes are gone; see `client.stop`.

    Raises:
        TimeoutError: they have not ended after 20 seconds.
    """
    from taskfc_ext.client.stop import stop_farm

    stop_farm(farm)


def empty_store(paths: FarmPaths) -> Path | None:
    """Put the store of a farm that does not run aside; return the folder where it is now, or `None` if it was empty.

    Raises:
        StartFailed: the store is in use, or cannot be moved.
    """
    with open(open_private(paths.lock), "r+b") as lock:
        deadline = time.monotonic() + LET_GO_WITHIN
        while not try_lock(lock.fileno()):
            if time.monotonic() > deadline:
                raise StartFailed(f"the store {paths.store} is in use", hint="stop the farm first")
            time.sleep(0.01)
        try:
            return put_aside(paths)
        except OSError as error:
            raise StartFailed(f"the store {paths.store} cannot be put aside: {error}") from error


def _farm(name: object) -> LocalFarm:
    if not isinstance(name, str):
        more = "; the number of workers is given as workers= to start() or restart()" if isinstance(name, int) else ""
        raise TypeError(f"a farm's name is a str, such as 'default', not {name!r}{more}")
    return LocalFarm(name)


def _check_workers(where: str, workers: object) -> None:
    if workers is None:
        return
    if not isinstance(workers, int) or isinstance(workers, bool):
        more = "; a farm's name is given as name=" if isinstance(workers, str) else ""
        raise TypeError(f"{where}: workers is an int, or None for one a core, not {workers!r}{more}")
    if not 0 <= workers <= MAX_WORKERS:
        raise ValueError(f"{where}: workers is from 0 to {MAX_WORKERS:,}, or None for one a core, not {workers}")

"""The options of a farm: given to `start`, kept in the store, read by supervisor, controller and workers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from taskfc_ext.protocol.ids import Seconds, Workers
from taskfc_ext.protocol.limits import MAX_AMOUNT, MAX_DAYS, MAX_RESOURCES
from taskfc_ext.protocol.resources import ResourceAmount, ResourceName

DAY, HOUR = 86_400.0, 3_600.0
"""Seconds of a day and of an hour."""

UNREACHABLE_AFTER = 30.0
"""Default of `unreachable_after`: seconds after which a task fails that all workers reject."""

MAX_DEATHS = 3
"""Default of `max_deaths`: a task fails as *poisoned* when so many workers have died of it.

The docstring of `start` and the page on deaths have both figures.
"""

KEEP_DAYS = 7.0
"""Default of `keep_days`: days for which finished tasks are kept."""

KEEP_BYTES = 10 * 10**9
"""Default of `keep_bytes`: bytes that a store may take."""

IDLE_STOP = 12.0
"""Default of `idle_stop`: hours without client and unfinished task after which a farm stops."""

MAX_PLACE_LOSSES = 10
"""A task fails as *poisoned* when so many places on an engine were lost while it may have run.

More than deaths, since places are preempted for many reasons; limited, since a task may end its place each time.
"""


class EngineOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The engine in whose slots a farm's workers run. It holds no secret: a live client hands those over each time.

    Attributes:
        url: the engine's address, as lists show it; "ray": that of the Ray cluster that this machine is a node of.
        idle: seconds after which a slot without work is given back; 0: never.
        resources: the engine's resources that each slot holds.
    """

    kind: Literal["dask", "ray", "fake"]
    url: str
    idle: Seconds = 60.0
    resources: dict[str, float] = {}


class FarmOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a farm. A client that restarts a dead farm finds them in its store.

    `cwd`, `sys_path` and `python` are those of the client that started the farm: workers begin with them. The
    environment is never stored: it is that of the process that starts the farm.

    Attributes:
        n_workers: the number of workers; with an engine at most so many, as its demand and its places permit.
        store: the place of tasks and results: on the disk, or in memory, where they end with the controller. "sqlite"
            is the disk, too: earlier versions have stored it.
        resources: own resources of the farm on this machine, name -> amount. Cores, memory and GPUs are found at each
            start.
        engine: the engine that has the workers; `None`: they are processes of this machine.
        durability: what accepted tasks and their results survive: the death of any process, or a power cut as well.
            Without meaning while the store is in memory.
        keep_days: days for which finished tasks are kept; 0: for ever.
        idle_stop: hours without a client and without an unfinished task after which the farm stops; 0: never.
        keep_bytes: bytes that the store may take, at least a megabyte; 0: no limit.
    """

    n_workers: Workers
    python: str
    cwd: str
    sys_path: tuple[str, ...]
    store: Literal["disk", "memory", "sqlite"] = "disk"
    unreachable_after: Seconds = UNREACHABLE_AFTER
    max_deaths: Annotated[int, Meta(ge=1, le=1000)] = MAX_DEATHS
    properties: dict[str, Any] = {}
    resources: Annotated[dict[ResourceName, ResourceAmount], Meta(max_length=MAX_RESOURCES)] = {}
    engine: EngineOptions | None = None
    durability: Literal["process", "disk"] = "process"
    keep_days: Annotated[float, Meta(ge=0, le=MAX_DAYS)] = KEEP_DAYS
    idle_stop: Annotated[float, Meta(ge=0, le=24 * MAX_DAYS)] = IDLE_STOP
    keep_bytes: Annotated[int, Meta(ge=0, le=MAX_AMOUNT)] = KEEP_BYTES

    @property
    def is_in_memory(self) -> bool:
        """Whether tasks and results are in memory only."""
        return self.store == "memory"

    @property
    def is_synced(self) -> bool:
        """Whether each commit is written to the disk before it is answered."""
        return self.durability == "disk" and not self.is_in_memory


def age_text(seconds: float) -> str:
    """Return an age in words: `7 days`, `12 hours`, `90 seconds`."""
    unit, size = ("day", DAY) if seconds >= DAY else ("hour", HOUR) if seconds >= HOUR else ("second", 1.0)
    n = f"{seconds / size:.3g}"
    return f"{n} {unit}" if n == "1" else f"{n} {unit}s"

"""The options of a farm: given to `start`, kept in the store, read by supervisor, controller and workers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from taskfc_ext.protocol.ids import Seconds, Workers

UNREACHABLE_AFTER = 30.0
"""Default of `unreachable_after`: seconds after which a task fails that all workers reject."""

MAX_DEATHS = 3
"""Default of `max_deaths`: a task fails as *poisoned* when so many workers have died of it.

The docstring of `start` and the page on deaths have both figures.
"""


class EngineOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The engine that runs a farm's workers in its slots. Holds no secrets.

    Attributes:
        kind: its kind; `fake`: slots in the bridge itself, for tests.
        url: its address.
        idle: seconds after which an idle slot ends while there is no demand for it.
        resources: of the engine, that each slot takes.
    """

    kind: Literal["dask", "ray", "fake"]
    url: str
    idle: Seconds = 60.0
    resources: dict[str, float] = {}


class FarmOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a farm. A client that restarts a dead farm finds them in its store.

    `cwd`, `sys_path` and `python` are those of the client that started the farm: workers begin with them. The
    environment is never stored: it is that of the process that starts the farm.
    """

    n_workers: Workers
    python: str
    cwd: str
    sys_path: tuple[str, ...]
    store: Literal["sqlite"] = "sqlite"
    unreachable_after: Seconds = UNREACHABLE_AFTER
    max_deaths: Annotated[int, Meta(ge=1, le=1000)] = MAX_DEATHS
    properties: dict[str, Any] = {}
    engine: EngineOptions | None = None

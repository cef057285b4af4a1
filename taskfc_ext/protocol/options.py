"""The options of a farm: given to `start`, kept in the store, read by supervisor, controller and workers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from taskfc_ext.protocol.ids import Seconds, Workers


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
    unreachable_after: Seconds = 30.0
    max_deaths: Annotated[int, Meta(ge=1, le=1000)] = 3
    properties: dict[str, Any] = {}

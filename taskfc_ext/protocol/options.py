"""The options of a farm: given to `start`, kept in the store, read by supervisor, controller and workers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from taskfc_ext.protocol.ids import Seconds, Workers


class FarmOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a farm was started with; a client that restarts a dead farm finds them in its store.

    `cwd` and `sys_path` are the starting client's, `python` its interpreter: workers begin with them.
    The environment is never kept: whoever restarts the farm supplies it.
    """

    n_workers: Workers
    python: str
    cwd: str
    sys_path: tuple[str, ...]
    store: Literal["sqlite"] = "sqlite"
    unreachable_after: Seconds = 30.0
    max_deaths: Annotated[int, Meta(ge=1, le=1000)] = 3
    properties: dict[str, Any] = {}

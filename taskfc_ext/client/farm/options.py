"""Options of a farm that this process starts. Those of its store stay as they were, unless `start` names them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from taskfc_ext.drivers.cores import available_cores
from taskfc_ext.errors import StartFailed
from taskfc_ext.protocol.codec import as_argument_error
from taskfc_ext.protocol.limits import MAX_WORKERS
from taskfc_ext.protocol.options import MAX_DEATHS, UNREACHABLE_AFTER, EngineOptions, FarmOptions
from taskfc_ext.protocol.resources import check_size, parse_size
from taskfc_ext.tasks import check_resources


class Unchanged(Enum):
    """The type of `UNCHANGED`."""

    UNCHANGED = "unchanged"

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED = Unchanged.UNCHANGED
"""The value of an argument for what was before: of `restart(on=)`, and of the options of a store."""


def store_fields(before: FarmOptions | None, **given: object) -> dict[str, Any]:
    """Return the fields of `FarmOptions` for the options of a store.

    Args:
        before: the options of the last start on this store; `None`: there was none.
        given: the arguments of `start`, with their names there.

    Raises:
        TypeError, ValueError: an argument is not possible.
    """
    fields: dict[str, Any] = {}
    for name, value in given.items():
        if value is not UNCHANGED:
            fields[name] = _number_of_bytes(value) if name == "keep_bytes" else 0.0 if value is None else value
        elif before is not None:
            fields[name] = getattr(before, name)
    return fields


def _number_of_bytes(value: object) -> int:
    if value is None:
        return 0
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise TypeError(f"start: keep_bytes is a number of bytes or a size such as '10 GB', not {value!r}")
    try:
        if isinstance(value, str):
            return parse_size(value)
        if value:  # 0, as in the stored options: no limit
            check_size(value, f"{value:,}")
    except ValueError as error:
        raise ValueError(f"start: keep_bytes is {error}") from None
    return value


def farm_options(
    workers: int | None = None,
    *,
    store: Literal["disk", "memory"] = "disk",
    properties: Mapping[str, Any] | None = None,
    unreachable_after: float = UNREACHABLE_AFTER,
    max_deaths: int = MAX_DEATHS,
    resources: Mapping[str, float] | None = None,
    engine: EngineOptions | None = None,
    of_store: Mapping[str, Any] = MappingProxyType({}),
) -> FarmOptions:
    """Return the options of a farm that this process starts.

    `of_store`: see `store_fields`.

    Raises:
        TypeError, ValueError: an option is not possible; the message names it.
        StartFailed: our working directory is gone.
    """
    try:
        here = os.getcwd()
    except FileNotFoundError:
        raise StartFailed(
            "the working directory of this process is gone, and workers start in it", hint="os.chdir() to one that is"
        ) from None
    if store not in ("disk", "memory"):
        raise ValueError(f"start: store is 'disk' or 'memory', not {store!r}")
    given = {"store": store, "unreachable_after": unreachable_after, "max_deaths": max_deaths, "properties": properties}
    options = FarmOptions(
        n_workers=default_n_workers(workers, engine),
        python=sys.executable,
        cwd=here,
        sys_path=tuple([os.path.join(here, entry) for entry in sys.path]),  # relative ones mean nothing elsewhere
        store=store,
        unreachable_after=unreachable_after,
        max_deaths=max_deaths,
        properties=dict(properties or {}),
        resources=check_resources(resources, "start: resources") or {},
        engine=engine,
        **of_store,
    )
    try:
        return msgspec.json.decode(msgspec.json.encode(options), type=FarmOptions)
    except msgspec.ValidationError as error:
        problem = as_argument_error(error, {**given, **of_store, "n_workers": workers})
        raise type(problem)(f"start: {problem}") from None
    except (TypeError, UnicodeEncodeError) as error:
        raise TypeError(f"start: properties are plain data, as in JSON: {error}") from None


def default_n_workers(workers: int | None, engine: EngineOptions | None) -> int:
    """Return `workers`, or the default: one a core, and on an engine as many as there may be."""
    if workers is not None:
        return workers
    return available_cores() if engine is None else MAX_WORKERS

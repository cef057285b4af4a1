"""A task farm for notebooks: put `%%task` on a slow cell and the kernel is free again."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import taskfc_ext.drivers.environment  # noqa: F401  first: it notes the environment before user code changes it
from taskfc_ext.version import __version__

if TYPE_CHECKING:
    from taskfc_ext.client.aio import FCTaskClient as FCTaskClient
    from taskfc_ext.client.blocking import BlockingTaskClient as BlockingTaskClient
    from taskfc_ext.client.executor import TaskExecutor as TaskExecutor
    from taskfc_ext.client.future.future import TaskFuture as TaskFuture
    from taskfc_ext.client.group.group import TaskGroup as TaskGroup
    from taskfc_ext.client.libraries import register_joblib_backend as register_joblib_backend
    from taskfc_ext.client.start import Controller as Controller
    from taskfc_ext.client.start import TaskClient as TaskClient
    from taskfc_ext.client.start import attach as attach
    from taskfc_ext.client.start import restart as restart
    from taskfc_ext.client.start import start as start
    from taskfc_ext.errors import BadEngine as BadEngine
    from taskfc_ext.errors import BroadcastFailed as BroadcastFailed
    from taskfc_ext.errors import ControllerLost as ControllerLost
    from taskfc_ext.errors import ControllerStopped as ControllerStopped
    from taskfc_ext.errors import ControllerUnavailable as ControllerUnavailable
    from taskfc_ext.errors import DependencyFailed as DependencyFailed
    from taskfc_ext.errors import EngineWarning as EngineWarning
    from taskfc_ext.errors import FarmError as FarmError
    from taskfc_ext.errors import LoadingFailed as LoadingFailed
    from taskfc_ext.errors import MemoryLimitExceeded as MemoryLimitExceeded
    from taskfc_ext.errors import NotEnoughResources as NotEnoughResources
    from taskfc_ext.errors import ProtocolError as ProtocolError
    from taskfc_ext.errors import RemoteError as RemoteError
    from taskfc_ext.errors import RepeatedStreamWarning as RepeatedStreamWarning
    from taskfc_ext.errors import RequestRefused as RequestRefused
    from taskfc_ext.errors import ResultExpired as ResultExpired
    from taskfc_ext.errors import StartFailed as StartFailed
    from taskfc_ext.errors import StorageFull as StorageFull
    from taskfc_ext.errors import StoreError as StoreError
    from taskfc_ext.errors import TaskAborted as TaskAborted
    from taskfc_ext.errors import TaskError as TaskError
    from taskfc_ext.errors import TaskFCError as TaskFCError
    from taskfc_ext.errors import TaskRejectError as TaskRejectError
    from taskfc_ext.errors import TasksFailed as TasksFailed
    from taskfc_ext.errors import TaskTimeout as TaskTimeout
    from taskfc_ext.errors import TaskUnreachable as TaskUnreachable
    from taskfc_ext.errors import UnknownTask as UnknownTask
    from taskfc_ext.errors import UnknownTasks as UnknownTasks
    from taskfc_ext.errors import UnpicklableArgument as UnpicklableArgument
    from taskfc_ext.errors import UnpicklableResult as UnpicklableResult
    from taskfc_ext.errors import VersionMismatch as VersionMismatch
    from taskfc_ext.errors import WorkerLost as WorkerLost
    from taskfc_ext.protocol.infos import EngineInfo as EngineInfo
    from taskfc_ext.protocol.infos import TaskInfo as TaskInfo
    from taskfc_ext.protocol.infos import WorkerInfo as WorkerInfo
    from taskfc_ext.protocol.snapshots import FarmStatus as FarmStatus
    from taskfc_ext.protocol.snapshots import QueueDelta as QueueDelta
    from taskfc_ext.protocol.snapshots import QueueSnapshot as QueueSnapshot
    from taskfc_ext.tasks import BaseTask as BaseTask
    from taskfc_ext.tasks import MapTask as MapTask
    from taskfc_ext.tasks import StringTask as StringTask
    from taskfc_ext.tasks import TaskResult as TaskResult
    from taskfc_ext.worker.output.progress import track as track

_HOMES = {
    "BaseTask": "tasks",
    "BlockingTaskClient": "client.blocking",
    "BroadcastFailed": "errors",
    "Controller": "client.start",
    "ControllerLost": "errors",
    "ControllerStopped": "errors",
    "ControllerUnavailable": "errors",
    "DependencyFailed": "errors",
    "EngineInfo": "protocol.infos",
    "FCTaskClient": "client.aio",
    "BadEngine": "errors",
    "EngineWarning": "errors",
    "FarmError": "errors",
    "FarmStatus": "protocol.snapshots",
    "LoadingFailed": "errors",
    "MapTask": "tasks",
    "MemoryLimitExceeded": "errors",
    "NotEnoughResources": "errors",
    "ProtocolError": "errors",
    "QueueDelta": "protocol.snapshots",
    "QueueSnapshot": "protocol.snapshots",
    "RemoteError": "errors",
    "RepeatedStreamWarning": "errors",
    "RequestRefused": "errors",
    "ResultExpired": "errors",
    "StartFailed": "errors",
    "StorageFull": "errors",
    "StoreError": "errors",
    "StringTask": "tasks",
    "TaskAborted": "errors",
    "TaskClient": "client.start",
    "TaskError": "errors",
    "TaskExecutor": "client.executor",
    "TaskFCError": "errors",
    "TaskFuture": "client.future.future",
    "TaskGroup": "client.group.group",
    "TaskInfo": "protocol.infos",
    "TaskRejectError": "errors",
    "TaskResult": "tasks",
    "TaskTimeout": "errors",
    "TasksFailed": "errors",
    "TaskUnreachable": "errors",
    "UnknownTask": "errors",
    "UnknownTasks": "errors",
    "UnpicklableArgument": "errors",
    "UnpicklableResult": "errors",
    "VersionMismatch": "errors",
    "WorkerInfo": "protocol.infos",
    "WorkerLost": "errors",
    "attach": "client.start",
    "register_joblib_backend": "client.libraries",
    "restart": "client.start",
    "start": "client.start",
    "track": "worker.output.progress",
}
"""The module of each public name. Imported on first use: a worker imports this package and needs none of them."""

__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


def load_ipython_extension(shell: Any) -> None:
    """Register the magics; called by `%load_ext taskfc_ext`. Starts no farm."""
    from taskfc_ext.ipython.extension import load  # IPython is slow to import

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Remove the magics; called by `%unload_ext taskfc_ext`. Farms keep running."""
    from taskfc_ext.ipython.extension import unload  # IPython is slow to import

    unload(shell)

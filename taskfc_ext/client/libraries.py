"""Registration of the farm with libraries. They and the clients are imported late, as workers import this module."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskfc_ext.client.joblib_backend import TaskFCBackend


def register_joblib_backend() -> None:
    """Register the joblib backend `"taskfc"`, for joblib and scikit-learn; may be called again.

    `joblib.parallel_config(backend="taskfc")` then runs `joblib.Parallel` on the farm `default`, which is started if it
    does not run, and `parallel_config(backend="taskfc", client=tc)` on the farm of a client and with its options.
    Where `n_jobs` is not given it is -1: one job for each worker. Nested calls of `Parallel` run in their task: in
    threads, or sequentially, as with joblib's own backends.

    Raises:
        ModuleNotFoundError: joblib is not installed.
    """
    try:
        import joblib
    except ModuleNotFoundError as error:
        if error.name != "joblib":
            raise
        raise ModuleNotFoundError(
            "joblib is not installed; install it with: pip install joblib", name="joblib"
        ) from None

    joblib.register_parallel_backend("taskfc", _make_backend)


def _make_backend(**options: Any) -> TaskFCBackend:
    from taskfc_ext.client.joblib_backend import TaskFCBackend

    return TaskFCBackend(**options)


def joblib_batch(batch: Callable[[], Any]) -> Any:
    """Run a batch of calls of `joblib.Parallel`, which may name the backend. Lists show the task under this name."""
    register_joblib_backend()
    return batch()

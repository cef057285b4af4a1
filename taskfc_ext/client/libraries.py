"""Registration of the farm with libraries, which are imported only here, on request."""

from __future__ import annotations


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

    from taskfc_ext.client.joblib_backend import TaskFCBackend

    joblib.register_parallel_backend("taskfc", TaskFCBackend)

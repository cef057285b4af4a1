"""The joblib backend `"taskfc"`: each batch of calls is a task."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any

from joblib.parallel import AutoBatchingMixin, FallbackToBackend, ParallelBackendBase, SequentialBackend

from taskfc_ext.client.aio import FCTaskClient
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.executor import TaskExecutor
from taskfc_ext.client.libraries import joblib_batch
from taskfc_ext.client.start import TaskClient


class TaskFCBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Runs `joblib.Parallel` on a farm; see `register_joblib_backend`.

    Args:
        client: the client that submits the tasks; by default one of its own for the farm `default`.
        **options: those of all backends, filled in by joblib.
    """

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(self, client: BlockingTaskClient | FCTaskClient | None = None, **options: Any) -> None:
        super().__init__(**options)
        if client is not None and not isinstance(client, BlockingTaskClient | FCTaskClient):
            raise TypeError(f"client is what TaskClient() returns, not {client!r}")
        self._client = None if client is None else client.adapt_to_blocking_client()
        self._executor: TaskExecutor | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return the number of jobs that can run at once. Negative numbers count from that of the workers."""
        if n_jobs == 0:
            # the words of joblib's own backends
            raise ValueError("n_jobs == 0 in Parallel has no meaning; -1 means one job for each worker")
        if n_jobs is None:
            return 1
        return n_jobs if n_jobs > 0 else max(1, self._n_workers() + 1 + n_jobs)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_: Any) -> int:
        """Prepare for a call of `Parallel`; return the number of jobs. One job runs in this process, without a farm."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        self._executor = TaskExecutor(n_jobs, client=self._connect())
        return n_jobs

    def submit(
        self, func: Callable[[], Any], callback: Callable[[Any], object] | None = None
    ) -> concurrent.futures.Future[Any]:
        """Submit a batch of calls. An error is that of the future, as joblib also submits in a callback."""
        try:
            if self._executor is None:
                raise RuntimeError("this call of Parallel has ended")
            future: concurrent.futures.Future[Any] = self._executor.submit(joblib_batch, func)
        except Exception as error:  # noqa: BLE001 - joblib raises it
            future = concurrent.futures.Future()
            future.set_exception(error)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, future: concurrent.futures.Future[Any]) -> Any:
        """Return the results of a batch that has ended, or raise its error."""
        return future.result()

    def terminate(self) -> None:
        """End the call; its tasks have ended, or were aborted."""
        if self._executor is not None:
            self._executor.shutdown(wait=False)
            self._executor = None
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Abort the tasks of the call, after an error or an interrupt."""
        if self._executor is not None:
            self._executor._abort_all()
            self._executor = None
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel)

    def _connect(self) -> BlockingTaskClient:
        if self._client is None:
            self._client = TaskClient()
        return self._client

    def _n_workers(self) -> int:
        return sum(not worker.is_substitute for worker in self._connect().workers())

"""The workers of a farm: keeps the wanted number running, each under an id that is never reused."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from taskfc_ext.drivers.backoff import StartBackoff
from taskfc_ext.drivers.cores import thread_pool_environment
from taskfc_ext.drivers.paths import FarmPaths
from taskfc_ext.drivers.processes import FARM, FARM_PID, FARM_WORKER
from taskfc_ext.drivers.worker_ids import reserve_ids, restore_ids
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.protocol.supervisor_messages import (
    LimitMemory,
    Revoke,
    Revoked,
    SetWorkers,
    StopAttempt,
    WorkerDown,
    WorkerUp,
)
from taskfc_ext.supervisor.backoff import EARLY
from taskfc_ext.supervisor.log import log
from taskfc_ext.supervisor.pool import Commands, News
from taskfc_ext.supervisor.stored_options import restore_options, store_n_workers
from taskfc_ext.supervisor.worker_process import WorkerProcess

LOGS_KEPT = 50
"""Logs of dead workers, the newest."""

AT_ONCE = 8
"""Workers started in one turn (100 ms): the controller has to receive each `WorkerUp` before the worker's `Ready`."""


class Workers:
    """The workers of a farm at home, kept at the wanted number; see `Pool`.

    Args:
        paths: the files of the farm.
        options: of the farm.
        commands: makes the commands of the workers.
        dead: ends of earlier workers that no controller has recorded yet.
        umask: of the workers; -1: that of this process.
    """

    def __init__(
        self,
        paths: FarmPaths,
        options: FarmOptions,
        commands: Commands,
        dead: Iterable[WorkerDown] = (),
        *,
        umask: int = -1,
    ) -> None:
        self._paths = paths
        self._options = options
        self._commands = commands
        self._umask = umask
        self._backoff = StartBackoff()
        self._kept_logs = _logs(paths)
        self._closed = False
        self._n_substitutes = 0
        self._next_id = 0
        self._alive: dict[int, WorkerProcess] = {}
        self._dead = {down.worker: down for down in dead}

    engine = None
    sockets = ()

    @property
    def n(self) -> int:
        """The wanted number of workers, without substitutes."""
        return self._options.n_workers

    @property
    def ups(self) -> Sequence[WorkerUp]:
        """See `Pool`."""
        return [process.up for process in self._alive.values()]

    @property
    def dead(self) -> Sequence[WorkerDown]:
        """See `Pool`."""
        return list(self._dead.values())

    @property
    def pids(self) -> Iterable[int]:
        """See `Pool`."""
        return [process.pid for process in self._alive.values()]

    @property
    def is_over(self) -> bool:
        """See `Pool`."""
        return not self._alive

    @property
    def _missing(self) -> int:
        wanted = self.n + self._n_substitutes
        return 0 if self._closed else wanted - sum(not process.is_ending for process in self._alive.values())

    def fill(self, now: float) -> list[WorkerUp]:
        """Start missing workers, at most `AT_ONCE`, and none during a back-off; return them."""
        missing = min(self._missing, AT_ONCE)
        if missing <= 0 or now < self._backoff.not_before:
            return []
        started: list[WorkerUp] = []
        try:
            first = reserve_ids(self._paths, missing, log=log, at_least=self._next_id)
            self._next_id = first + missing
            environ = self._environ()
            for worker in range(first, first + missing):
                process = self._start(worker, environ)
                self._alive[worker] = process
                started.append(process.up)
        except OSError as error:  # no memory, no more processes, a full disk
            delay = self._backoff.note_refused_start(now)
            log(f"a worker could not be started: {error}; next try in {delay:g} s")
        return started

    def _start(self, worker: int, environ: Mapping[str, str]) -> WorkerProcess:
        command = self._commands("worker", self._paths.name, worker)
        wanted = (self._options.cwd, os.path.expanduser("~"))
        folder = next((path for path in wanted if os.path.isdir(path) and os.access(path, os.X_OK)), "/")
        environ = {**environ, FARM_WORKER: str(worker)}
        return WorkerProcess(self._paths, worker, command, environ, folder, umask=self._umask)

    def _environ(self) -> dict[str, str]:
        ours = {FARM: self._paths.tag, FARM_PID: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
        return {**os.environ, **thread_pool_environment(self.n), **ours}

    def reap(self, now: float) -> list[News]:
        """Reap ended workers; return their ends, which are kept until `forget_noted`."""
        downs: list[News] = []
        for process in [process for process in self._alive.values() if process.has_ended()]:
            ready = process.page.ready or now - process.started_at >= EARLY
            down = process.bury()
            del self._alive[process.worker]
            self._dead[down.worker] = down
            downs.append(down)
            self._keep_log(process)
            self._judge_start(down, ready, now)
        return downs

    def _judge_start(self, down: WorkerDown, ready: bool, now: float) -> None:
        if ready:
            self._backoff.note_good_start()
        elif not down.planned:
            delay = self._backoff.note_failed_start(now)
            if delay:
                log(f"workers die before they are ready; the next one starts in {delay:g} s")
        if not down.planned:
            log(f"worker={down.worker} pid={down.pid} {down.note.splitlines()[0]}")

    def _keep_log(self, process: WorkerProcess) -> None:
        if process.log_path.exists():
            self._kept_logs.append(process.worker)
        while len(self._kept_logs) > LOGS_KEPT:
            self._paths.worker_log(self._kept_logs.popleft()).unlink(missing_ok=True)

    def resume_stopped(self) -> None:
        """See `Pool`. A thread that an earlier task has left can suspend its worker, and the next task would wait."""
        for process in self._alive.values():
            if process.resume_if_stopped():
                log(f"worker={process.worker} pid={process.pid} was suspended without an attempt; resumed it")

    def confirm(self) -> None:
        """See `Pool`: workers at home connect by themselves."""

    def forget_noted(self, workers: Iterable[int]) -> None:
        """Forget the ends of these workers, which are in the store."""
        for worker in workers:
            self._dead.pop(worker, None)

    def resize(self, message: SetWorkers, now: float) -> None:
        """End the retired workers, and store the wanted number for a restart (without substitutes)."""
        self.end(message.retire, now)
        self._n_substitutes = message.substitutes
        if message.n != self.n:
            self._options = store_n_workers(self._paths, self._options, message.n)

    def restore_files(self) -> None:
        """See `Pool`."""
        restore_options(self._paths, self._options)
        if self._next_id and restore_ids(self._paths, self._next_id):
            log(f"{self._paths.next_worker} was missing; wrote it again")

    def demand(self, n: int) -> None:
        """See `Pool`: at home there is a worker for each place, whatever the demand."""

    def end(self, workers: Iterable[int], now: float) -> None:
        """End these workers: SIGTERM now, SIGKILL after `GRACE` seconds."""
        for worker in workers:
            if worker in self._alive:
                self._alive[worker].end(now)

    def start_no_more(self) -> None:
        """Do not replace workers any more."""
        self._closed = True

    def end_all(self, now: float) -> None:
        """End all workers, and start no more."""
        self.start_no_more()
        self.end(self._alive, now)

    def act_on_time(self, now: float) -> None:
        """Kill the workers that did not end in time, and end those whose attempt uses more memory than it may."""
        for process in self._alive.values():
            process.act_on_time(now)

    def stop_attempt(self, message: StopAttempt) -> None:
        """Take one step to stop an attempt."""
        process = self._alive.get(message.worker)
        if process is not None:  # else its WorkerDown is on its way
            process.stop_attempt(message.lease, message.step)

    def revoke(self, message: Revoke) -> Revoked | None:
        """Revoke the leases of a worker that have not started; `None`: it has ended, or its page is destroyed."""
        process = self._alive.get(message.worker)
        return None if process is None else process.revoke(message.until)

    def limit_memory(self, message: LimitMemory) -> None:
        """Limit the memory of one attempt."""
        process = self._alive.get(message.worker)
        if process is not None:
            process.limit_memory(message.lease, message.limit)

    def ask_to_reconnect(self) -> None:
        """Ask all workers to connect to a new controller, which decides again on the number of substitutes."""
        self._n_substitutes = 0
        for process in self._alive.values():
            process.ask_to_reconnect()

    def wake_at(self) -> float | None:
        """Return the time of the next call of `act_on_time` and `fill`."""
        times = [at for process in self._alive.values() if (at := process.wake_at()) is not None]
        if self._missing > 0:
            times.append(self._backoff.not_before)
        return min(times, default=None)


def _logs(paths: FarmPaths) -> deque[int]:
    found = (re.fullmatch(r"worker-(\d+)\.log", file.name) for file in paths.store.iterdir())
    return deque(sorted(int(match[1]) for match in found if match))

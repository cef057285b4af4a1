"""The workers of a farm: keeps the wanted number running, each under an id that is never reused."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

from taskfc_ext.drivers.cores import thread_pool_environment
from taskfc_ext.drivers.files import replace_file
from taskfc_ext.drivers.paths import FarmPaths
from taskfc_ext.drivers.processes import FARM, FARM_PID, FARM_WORKER
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.protocol.supervisor_messages import LimitMemory, SetWorkers, StopAttempt, WorkerDown, WorkerUp
from taskfc_ext.supervisor.backoff import EARLY, WorkerBackoff
from taskfc_ext.supervisor.log import log
from taskfc_ext.supervisor.memory_watch import MemoryWatch
from taskfc_ext.supervisor.worker_process import WorkerProcess

LOGS_KEPT = 50
"""Logs of dead workers, the newest."""

AT_ONCE = 8
"""Workers started in one turn (100 ms): the controller has to receive each `WorkerUp` before the worker's `Ready`."""


class Commands(Protocol):
    """Makes the command that runs a role: `python_command`, or a stand-in under test."""

    def __call__(self, role: str, *args: object) -> list[str]: ...


class Workers:
    """The workers of a farm, kept at the wanted number.

    Args:
        dead: ends of earlier workers that no controller has recorded yet.
    """

    def __init__(
        self, paths: FarmPaths, options: FarmOptions, commands: Commands, dead: Iterable[WorkerDown] = ()
    ) -> None:
        self._paths = paths
        self._options = options
        self._commands = commands
        self._backoff = WorkerBackoff()
        self._kept_logs = _logs(paths)
        self._closed = False
        self._n_substitutes = 0
        self.alive: dict[int, WorkerProcess] = {}
        self.dead = {down.worker: down for down in dead}

    @property
    def n(self) -> int:
        """The wanted number of workers, without substitutes."""
        return self._options.n_workers

    @property
    def _missing(self) -> int:
        wanted = self.n + self._n_substitutes
        return 0 if self._closed else wanted - sum(not process.ending for process in self.alive.values())

    def fill(self, now: float) -> list[WorkerUp]:
        """Start missing workers, at most `AT_ONCE`, and none during a back-off; return them."""
        missing = min(self._missing, AT_ONCE)
        if missing <= 0 or now < self._backoff.not_before:
            return []
        started: list[WorkerUp] = []
        try:
            first = reserve_ids(self._paths, missing)
            environ = self._environ()
            for worker in range(first, first + missing):
                process = self._start(worker, environ)
                self.alive[worker] = process
                started.append(process.up)
        except OSError as error:  # no memory, no more processes, a full disk
            delay = self._backoff.note_refused_start(now)
            log(f"a worker could not be started: {error}; next try in {delay:g} s")
        return started

    def _start(self, worker: int, environ: Mapping[str, str]) -> WorkerProcess:
        command = self._commands("worker", self._paths.name, worker)
        wanted = (self._options.cwd, os.path.expanduser("~"))
        folder = next((path for path in wanted if os.path.isdir(path) and os.access(path, os.X_OK)), "/")
        return WorkerProcess(self._paths, worker, command, {**environ, FARM_WORKER: str(worker)}, folder)

    def _environ(self) -> dict[str, str]:
        ours = {FARM: self._paths.tag, FARM_PID: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
        return {**os.environ, **thread_pool_environment(self.n), **ours}

    def reap(self, now: float) -> list[WorkerDown]:
        """Reap ended workers; return their ends, which are kept until `forget_noted`."""
        downs = []
        for process in [process for process in self.alive.values() if process.has_ended()]:
            ready = process.page.ready or now - process.started_at >= EARLY
            down = process.reap()
            del self.alive[process.worker]
            self.dead[down.worker] = down
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

    def forget_noted(self, workers: Iterable[int]) -> None:
        """Forget the ends of these workers, which are in the store."""
        for worker in workers:
            self.dead.pop(worker, None)

    def resize(self, message: SetWorkers, now: float) -> None:
        """End the retired workers, and store the wanted number for a restart (without substitutes)."""
        self.end(message.retire, now)
        self._n_substitutes = message.substitutes
        if message.n != self.n:
            self._options = msgspec.structs.replace(self._options, n_workers=message.n)
            try:
                replace_file(self._paths.options, msgspec.json.encode(self._options))
            except OSError as error:
                log(f"cannot store the number of workers for a restart: {error}")

    def end(self, workers: Iterable[int], now: float) -> None:
        """End these workers: SIGTERM now, SIGKILL after `GRACE` seconds."""
        for worker in workers:
            if worker in self.alive:
                self.alive[worker].end(now)

    def start_no_more(self) -> None:
        """Do not replace workers any more."""
        self._closed = True

    def end_all(self, now: float) -> None:
        """End all workers, and start no more."""
        self.start_no_more()
        self.end(self.alive, now)

    def kill_overdue(self, now: float) -> None:
        """Kill the workers that did not end in time."""
        for process in self.alive.values():
            if process.kill_at is not None and process.kill_at <= now:
                process.kill()

    def stop_attempt(self, message: StopAttempt) -> None:
        """Take one step to stop an attempt."""
        process = self.alive.get(message.worker)
        if process is not None:  # else its WorkerDown is on its way
            process.stop_attempt(message.lease, message.step)

    def limit_memory(self, message: LimitMemory) -> None:
        """Watch the memory of one attempt from now on."""
        process = self.alive.get(message.worker)
        if process is not None:
            process.memory = MemoryWatch(process.process.pid, message.lease, message.limit)

    def check_memory(self, now: float) -> None:
        """End the workers whose attempt uses more memory than it may."""
        for process in self.alive.values():
            process.check_memory(now)

    def ask_to_reconnect(self) -> None:
        """Ask all workers to connect to a new controller, which decides again on the number of substitutes."""
        self._n_substitutes = 0
        for process in self.alive.values():
            process.ask_to_reconnect()

    def wake_at(self) -> float | None:
        """Return the time of the next call of `check_memory`, `kill_overdue` and `fill`."""
        times = [process.kill_at for process in self.alive.values() if process.kill_at is not None]
        times += [process.memory.check_at for process in self.alive.values() if process.memory is not None]
        if self._missing > 0:
            times.append(self._backoff.not_before)
        return min(times, default=None)


def reserve_ids(paths: FarmPaths, n: int) -> int:
    """Reserve `n` worker ids in the store, before any of them is used; return the first."""
    try:
        first = int(paths.next_worker.read_text())
    except FileNotFoundError:
        first = 0
    except ValueError:
        # damaged: continue with larger ids than any before, since ids must never be reused
        first = int(time.time())
        log(f"{paths.next_worker} is damaged; worker ids go on with {first}")
    replace_file(paths.next_worker, str(first + n).encode())
    return first


def _logs(paths: FarmPaths) -> deque[int]:
    found = (re.fullmatch(r"worker-(\d+)\.log", file.name) for file in paths.store.iterdir())
    return deque(sorted(int(match[1]) for match in found if match))

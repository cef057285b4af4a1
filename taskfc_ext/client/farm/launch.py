"""Start of a farm's processes: a supervisor in a session of its own, which starts all others."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec

from taskfc_ext.client.farm.interface import Condition, Farm
from taskfc_ext.drivers.connection_file import ConnectionInfo, last_connection, read_connection
from taskfc_ext.drivers.cores import thread_pool_environment
from taskfc_ext.drivers.files import open_private
from taskfc_ext.drivers.memory_folder import make_memory_folder, place_store
from taskfc_ext.drivers.options_file import read_options
from taskfc_ext.drivers.paths import FarmPaths, farm_paths, known_farms, prepare
from taskfc_ext.drivers.processes import environment_outside_farms, python_command
from taskfc_ext.drivers.stops import count_stops, has_stopped_idle, is_stopping
from taskfc_ext.errors import ControllerLost, ControllerStopped, ControllerUnavailable, StartFailed
from taskfc_ext.protocol.launch import LaunchRequest, LaunchStatus, decode_status, words_of
from taskfc_ext.protocol.options import FarmOptions

START_WITHIN = 30.0
"""Seconds until a controller has to answer; on an idle machine it takes 0.3."""

REVIVALS = 3
"""Supervisors that one revival starts, if each is killed before its farm answers."""

END_WITHIN = 5.0
"""Seconds that a supervisor which could not start its farm may take to end."""

_supervisors: list[subprocess.Popen[bytes]] = []
"""The supervisors that this process started. A parent has to collect its children, or they stay as zombies."""


def stopped_error(farm: Farm) -> ControllerStopped:
    """Return the error that ends waits for a farm that was stopped on purpose."""
    hint = "its tasks are in its store: start() carries on, and client.future(id) follows a task"
    if farm.is_in_memory:
        hint = "it kept its tasks in memory only: submit them again, which starts a fresh farm"
    return ControllerStopped(f"farm {farm.name!r} was stopped", hint=hint)


def died_error(farm: Farm) -> ControllerUnavailable:
    """Return the error that ends waits for a dead farm which is not started again for them."""
    return lost_error(farm) if farm.is_in_memory else ControllerUnavailable(f"farm {farm.name!r} has died")


def lost_error(farm: Farm) -> ControllerLost:
    """Return the error that ends waits for tasks that are gone with their store."""
    if farm.is_in_memory:
        fact = "kept its tasks in memory only, and its controller has died"
    else:
        fact = "was started with a fresh store meanwhile"
    return ControllerLost(f"farm {farm.name!r} {fact}", hint="its tasks are gone: submit them again")


def require_known(name: str) -> None:
    """Raise `ControllerUnavailable` if there is no farm `name`, running or stopped."""
    if name not in known_farms():
        raise ControllerUnavailable(f"there is no farm {name!r}", hint="list the farms with: taskfc list")


class Killed(StartFailed):
    """The supervisor was killed before it was ready."""


class LocalFarm:
    """A farm of this user on this machine; see `client.farm.interface.Farm`."""

    def __init__(self, name: str) -> None:
        self.paths = farm_paths(name)
        self._name = name

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def journal(self) -> Path:
        """Its store's journal; reads the connection file, as our environment may name another folder."""
        paths = self.current_paths()
        if paths.memory is not None and self.connection() is None:
            make_memory_folder(paths.memory)  # for uploads, with which a submission begins that starts the farm
        return paths.journal

    def current_paths(self) -> FarmPaths:
        """Return the paths of its files as it runs, or as it ran last."""
        found = last_connection(self.paths)
        if found is None:
            return place_store(self.paths, stored_options(self.paths))
        memory = Path(found.memory) if found.memory else None
        return replace(self.paths, store=Path(found.store) if found.store else self.paths.store, memory=memory)

    @property
    def is_in_memory(self) -> bool:
        """Whether it keeps its tasks in memory only, or did so when it ran last."""
        return self.current_paths().memory is not None

    @property
    def has_store_on_disk(self) -> bool:
        """Whether it has a journal on the disk."""
        return replace(self.current_paths(), memory=None).journal.exists()

    def connection(self) -> ConnectionInfo | None:
        """Return the content of its connection file; `None` when it does not run."""
        collect_children()
        return read_connection(self._name)

    def is_served(self) -> bool:
        """Return whether it runs, and is not being stopped: a start of one that is waits for its end."""
        found = self.connection()
        return found is not None and not is_stopping(self.paths, found.n_stops)

    def socket(self) -> Path:
        """Return the controller's socket for clients."""
        found = self.connection()
        return Path(found.clients) if found is not None else self.paths.clients

    def condition(self) -> Condition:
        """Return the condition of its processes. A farm that stops in order removes its connection file."""
        if self.connection() is not None:
            return Condition.ALIVE
        if _left_behind(self.paths):
            return Condition.LOST if self.is_in_memory else Condition.DEAD
        return Condition.ASLEEP if has_stopped_idle(self.paths) else Condition.STOPPED

    def stops(self) -> int:
        """Return how often it was stopped on purpose."""
        return count_stops(self.paths)

    def revive(self) -> None:
        """Start it again with the options in its store.

        Raises:
            ControllerStopped: it was stopped on purpose since this was called.
        """
        n_stops = self.stops()  # before the first try: a stop between two of them holds
        for _ in range(REVIVALS - 1):
            try:
                launch(self.paths, None, n_stops=n_stops)
            except Killed:
                continue  # the same killer may have met the next supervisor
            return
        launch(self.paths, None, n_stops=n_stops)


def launch(
    paths: FarmPaths,
    options: FarmOptions | None,
    *,
    at_rest: bool = False,
    n_stops: int | None = None,
    secrets: bytes = b"",
    meanwhile: Callable[[], object] = lambda: None,
) -> bool:
    """Start a farm, and return when its controller answers; `False` if one runs already.

    Args:
        paths: its files.
        options: `None` for those in the store.
        at_rest: without workers.
        n_stops: number of stops on purpose when this start was asked for; `None`: now.
        secrets: what the bridge to an engine needs to be let in, as one line of JSON; given to the supervisor only.
        meanwhile: called while the farm starts, which takes 0.3 s.

    Raises:
        StartFailed: the supervisor's report says why.
        ControllerStopped: it was stopped on purpose since this start was asked for.
    """
    request = LaunchRequest(at_rest=at_rest, n_stops=count_stops(paths) if n_stops is None else n_stops)
    prepare(paths)
    process = _spawn(paths, options, request, secrets)
    _supervisors.append(process)
    meanwhile()
    status = _read_status(process, paths)
    if status.error:
        _let_end(process)
        was_killed = process.returncode == -signal.SIGKILL
        raise (Killed if was_killed else StartFailed)(status.error, hint=status.hint)
    if status.stopped:
        raise stopped_error(LocalFarm(paths.name))
    return not status.running


def _spawn(
    paths: FarmPaths, options: FarmOptions | None, request: LaunchRequest, secrets: bytes
) -> subprocess.Popen[bytes]:
    stored = stored_options(paths) if options is None else options
    n_workers = stored.n_workers if stored is not None else 1  # the supervisor reports an error in them
    log = open_private(paths.supervisor_log, os.O_WRONLY | os.O_APPEND)
    try:
        process = subprocess.Popen(
            python_command("supervisor", paths.name, *words_of(request), python=_interpreter(stored)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**environment_outside_farms(), **thread_pool_environment(n_workers)},
            start_new_session=True,  # so that an interrupt or a hang-up of the terminal never reaches it
        )
    except OSError as error:  # no process, no memory, no descriptors
        raise StartFailed(
            f"farm {paths.name!r} cannot be started: no process can be started here: {error.strerror}",
            hint="end some processes, or raise the limits: ulimit -u, ulimit -n, or those of the control group",
        ) from error
    finally:
        os.close(log)
    assert process.stdin is not None
    try:
        process.stdin.write((msgspec.json.encode(options) if options is not None else b"") + b"\n" + secrets)
        process.stdin.close()
    except BrokenPipeError:
        pass  # it is gone, and its status says why
    return process


def _read_status(process: subprocess.Popen[bytes], paths: FarmPaths) -> LaunchStatus:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        in_time = bool(selector.select(START_WITHIN))
    if not in_time:
        process.terminate()
    with process.stdout as pipe:
        line = pipe.readline() if in_time else b""
    try:
        return decode_status(line)
    except msgspec.DecodeError:
        how = "ended before it was ready" if in_time else f"was not ready after {START_WITHIN:.0f} s"
        return LaunchStatus(error=f"farm {paths.name!r} {how}", hint=f"see {paths.supervisor_log}")


def _let_end(process: subprocess.Popen[bytes]) -> None:
    """Wait until a supervisor that has failed lets go of the store, so that the next start can have it."""
    try:
        process.wait(END_WITHIN)
    except subprocess.TimeoutExpired:
        pass  # the next start reports it


def _interpreter(options: FarmOptions | None) -> str:
    """Return the farm's own interpreter; ours if it is of the same environment, or gone."""
    if options is None or not os.access(options.python, os.X_OK):
        return sys.executable
    theirs, ours = (os.path.realpath(os.path.dirname(python)) for python in (options.python, sys.executable))
    return options.python if theirs != ours else sys.executable


def stored_options(paths: FarmPaths) -> FarmOptions | None:
    """Return the options of a farm's last start; `None` where they are not known."""
    try:
        return read_options(paths)
    except StartFailed:
        return None


def _left_behind(paths: FarmPaths) -> bool:
    try:
        recorded = paths.lock.read_bytes().strip()
    except OSError:
        recorded = b""
    return bool(recorded) or paths.connection_file.exists()


def collect_children() -> None:
    """Collect the supervisors that have ended."""
    for process in list(_supervisors):
        if process.poll() is not None:
            try:
                _supervisors.remove(process)
            except ValueError:
                pass  # another thread was faster

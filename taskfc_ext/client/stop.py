"""Stop of a farm in any state of its processes, and changes to the queue of a farm that does not run."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from taskfc_ext.client.connect import blocking_client, connect
from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.client.farm.launch import LocalFarm, collect_children, launch
from taskfc_ext.client.farm.silence import (
    ANSWER_WITHIN,
    describe_suspension,
    end_controller,
    resume_suspended,
    silence_error,
)
from taskfc_ext.client.session.replies import Answer, value_of
from taskfc_ext.drivers.connection_file import ConnectionInfo, identity_of, process_alive
from taskfc_ext.drivers.socket_folder import FolderRefused
from taskfc_ext.drivers.stops import was_stopped
from taskfc_ext.errors import ControllerLost, ControllerStopped, VersionMismatch
from taskfc_ext.protocol.client_messages import GetClientName

if TYPE_CHECKING:
    from taskfc_ext.client.blocking import BlockingTaskClient
    from taskfc_ext.client.session.controller import RemoteController

STOP_WITHIN = 20.0
"""Seconds for a farm to end: what runs is interrupted, terminated and killed within 4."""

_LOOK_EVERY = 0.02

_ANSWER_EVERY = 0.5
"""Seconds between checks whether a controller that has not answered is suspended."""

_STOP_TRIES = 3
"""Tries to stop a farm, if its processes are killed during each."""


def stop_farm(farm: LocalFarm) -> None:
    """Stop a farm, if it runs, and wait until its processes are gone.

    A farm that was killed, perhaps during the stop, is started once more: only a new controller can find out which
    tasks had run, and settle them. Suspended processes are resumed. A controller that does not answer is killed; its
    supervisor starts another one, which is then asked to stop. A farm that somebody starts meanwhile, after the end of
    this one, is left alone.

    Raises:
        TimeoutError: they have not ended after 20 seconds.
        ControllerLost: no controller has answered for so long; the message says in which state the processes are.
    """
    asked: ConnectionInfo | None = None
    for _ in range(_STOP_TRIES):
        is_started_here = False
        match farm.condition():
            case Condition.STOPPED | Condition.ASLEEP:
                return
            case Condition.DEAD | Condition.LOST:
                with suppress(ControllerStopped):  # somebody else was faster
                    is_started_here = launch(farm.paths, None, at_rest=True)
        running = farm.connection()
        if running is None:
            continue
        if asked is not None and not is_started_here and _began_after_stop_of(asked, running):
            return
        _stop_running(farm, running)
        asked = running


def _began_after_stop_of(asked: ConnectionInfo, running: ConnectionInfo) -> bool:
    """Return whether the processes that run are of a start after a stop of those that were asked to stop."""
    return not _is_same_start(asked, running) and was_stopped(asked.n_stops, running.n_stops)


def _is_same_start(one: ConnectionInfo, other: ConnectionInfo) -> bool:
    """Return whether both are of the same start of a farm. A supervisor stays when its controller dies."""
    return identity_of(one) == identity_of(other)


def _stop_running(farm: LocalFarm, running: ConnectionInfo) -> None:
    resume_suspended(running)
    try:
        with closing(connect(farm, owner="", label="stop")) as remote:
            _ask_to_stop(farm, running, remote)
    except (VersionMismatch, FolderRefused):  # it does not take our requests, but it takes a signal
        if process_alive(running.supervisor_pid, running.supervisor_started):
            with suppress(ProcessLookupError):
                os.kill(running.supervisor_pid, signal.SIGTERM)
    _wait_for_end(farm, running)


def _ask_to_stop(farm: LocalFarm, running: ConnectionInfo, remote: RemoteController) -> None:
    answer = remote.stop()
    if _is_answered(answer, ANSWER_WITHIN):
        return
    silent = farm.connection()  # perhaps the next controller of the same supervisor
    if silent is not None and _is_same_start(silent, running):
        end_controller(silent)
        resume_suspended(silent)  # its supervisor, which starts the next one
    if not _is_answered(answer, STOP_WITHIN):
        raise silence_error(farm)


def _is_answered(answer: Future[Answer], seconds: float) -> bool:
    """Return whether a request to stop has been answered within so many seconds."""
    try:
        value_of(answer.result(seconds))
    except TimeoutError:
        return False
    except (ControllerStopped, ControllerLost):
        pass  # somebody else stopped it first, or its tasks were in memory only, and there is no next controller
    return True


def _wait_for_end(farm: LocalFarm, running: ConnectionInfo) -> None:
    deadline = time.monotonic() + STOP_WITHIN
    pause = threading.Event()
    while process_alive(running.supervisor_pid, running.supervisor_started):
        if time.monotonic() > deadline:
            raise TimeoutError(f"farm {farm.name!r} has not ended; see {farm.paths.supervisor_log}")
        resume_suspended(running)  # again: a suspension may take effect late
        pause.wait(_LOOK_EVERY)
        collect_children()


def check_answers(farm: LocalFarm, remote: RemoteController) -> None:
    """Wait until the controller answers over this connection.

    Raises:
        ControllerLost: it does not answer within 3 seconds; the message says in which state its processes are.
    """
    answer = remote.call(GetClientName, ahead=True)
    deadline = time.monotonic() + ANSWER_WITHIN
    while time.monotonic() < deadline:
        wait((answer,), _ANSWER_EVERY)
        if answer.done() or describe_suspension(farm):
            break
    if not answer.done():
        answer.cancel()
        raise silence_error(farm)
    value_of(answer.result())


@contextmanager
def start_idle(farm: LocalFarm) -> Iterator[BlockingTaskClient]:
    """Start a farm without workers and connect to it; stop it at the end. No task runs meanwhile.

    Raises:
        StartFailed: the farm cannot be started; the message says why, and what to do.
    """
    is_started_here = launch(farm.paths, None, at_rest=True)
    ours = farm.connection()
    try:
        with blocking_client(farm, owner="", label="taskfc") as client:
            yield client
    finally:
        found = farm.connection()
        if is_started_here and (ours is None or found is None or _is_same_start(found, ours)):
            stop_farm(farm)  # and not one that somebody has started after a stop of ours

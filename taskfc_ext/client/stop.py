"""Stopping a farm, whatever state its processes are in, and changing the queue of one that does not run."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import wait
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
from taskfc_ext.client.session.replies import value_of
from taskfc_ext.drivers.connection_file import ConnectionInfo, process_alive
from taskfc_ext.drivers.socket_folder import FolderRefused
from taskfc_ext.errors import ControllerStopped, VersionMismatch
from taskfc_ext.protocol.client_messages import GetClientName

if TYPE_CHECKING:
    from taskfc_ext.client.blocking import BlockingTaskClient
    from taskfc_ext.client.session.controller import RemoteController

STOP_WITHIN = 20.0
"""Seconds for a farm to end: what runs is interrupted, terminated and killed within 4."""

_LOOK_EVERY = 0.02

_ANSWER_EVERY = 0.5
"""Seconds until it is looked up whether one who has not answered can."""

_STOP_TRIES = 3
"""Farms to stop, one after the other, if each is killed before it has stopped."""


def stop_farm(farm: LocalFarm) -> None:
    """Stop a farm, if it runs, and wait until its processes are gone.

    One that was killed, perhaps while we stop it, is started once more for that: only the next farm can settle what a
    killed one has left, since it finds out what had run and what had not. Suspended processes are resumed, and a
    controller that does not answer is killed: its supervisor starts another one, which is then asked to stop.

    Raises:
        TimeoutError: they were not, after 20 seconds.
    """
    for _ in range(_STOP_TRIES):
        match farm.condition():
            case Condition.STOPPED:
                return
            case Condition.DEAD:
                with suppress(ControllerStopped):  # by somebody else
                    launch(farm.paths, None, at_rest=True)
        _stop_running(farm)


def _stop_running(farm: LocalFarm) -> None:
    running = farm.connection()
    if running is None:
        return
    resume_suspended(running)
    try:
        with closing(connect(farm, owner="", label="stop")) as remote:
            _ask_to_stop(farm, remote)
    except (VersionMismatch, FolderRefused):  # it cannot be asked from here; a signal reaches it all the same
        with suppress(ProcessLookupError):
            os.kill(running.supervisor_pid, signal.SIGTERM)
    _wait_for_end(farm, running)


def _ask_to_stop(farm: LocalFarm, remote: RemoteController) -> None:
    answer = remote.stop()
    try:
        value_of(answer.result(ANSWER_WITHIN))
    except TimeoutError:
        end_controller(farm.connection())
        try:
            value_of(answer.result(STOP_WITHIN))  # of the next controller
        except TimeoutError:
            raise silence_error(farm) from None
    except ControllerStopped:
        pass  # by somebody else: it is what was wanted


def _wait_for_end(farm: LocalFarm, running: ConnectionInfo) -> None:
    deadline = time.monotonic() + STOP_WITHIN
    pause = threading.Event()
    while process_alive(running.supervisor_pid, running.supervisor_started):
        if time.monotonic() > deadline:
            raise TimeoutError(f"controller {farm.name!r} has not ended; see {farm.paths.supervisor_log}")
        resume_suspended(running)  # again: a signal takes its time to suspend a process, too
        pause.wait(_LOOK_EVERY)
        collect_children()


def check_answers(farm: LocalFarm, remote: RemoteController) -> None:
    """Return when the controller answers over this connection.

    Raises:
        ControllerLost: it does not within seconds; says what is to be seen of it.
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
    """Connect to a farm that does not run: its controller runs meanwhile, without workers, so that no task does.

    Raises:
        StartFailed: with what to do about it.
    """
    started = launch(farm.paths, None, at_rest=True)
    try:
        with blocking_client(farm, owner="", label="taskfc") as client:
            yield client
    finally:
        if started:
            stop_farm(farm)

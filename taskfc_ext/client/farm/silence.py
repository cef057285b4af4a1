"""Controllers that do not answer: their state as seen from outside, their resumption and their end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import signal
from contextlib import suppress
from typing import TypeVar

from taskfc_ext.client.farm.interface import Farm
from taskfc_ext.client.future.waiting import wait
from taskfc_ext.drivers.connection_file import ConnectionInfo, process_alive
from taskfc_ext.drivers.process_tree import is_stopped
from taskfc_ext.errors import ControllerLost
from taskfc_ext.text import name_option

T = TypeVar("T")

ANSWER_WITHIN = 3.0
"""Seconds for a controller to answer a check. A turn of its loop takes milliseconds."""

_LOOK_EVERY = 1.0


def silence_error(farm: Farm) -> ControllerLost:
    """Return the error for a controller that has not answered; it describes the state of its processes."""
    info = farm.connection()
    if info is None:
        message = f"farm {farm.name!r} has ended without an answer"
        return ControllerLost(message, hint=f"the tasks that it had accepted {_place(farm)}")
    who = f"the controller of farm {farm.name!r} (pid {info.pid}) does not answer"
    if is_stopped(info.pid):
        why = "a signal has suspended it (SIGSTOP)"
    elif is_stopped(info.supervisor_pid):
        why = f"a signal has suspended its supervisor, pid {info.supervisor_pid} (SIGSTOP)"
    elif not process_alive(info.pid, info.pid_started):
        why = "it has died, and its supervisor starts it again"
    else:
        why = f"it runs, and has been busy or stuck for {ANSWER_WITHIN:g} s"
    hint = f"`taskfc stop{name_option(farm.name)}` ends it; the tasks that it had accepted {_place(farm)}"
    return ControllerLost(f"{who}: {why}", hint=hint)


def _place(farm: Farm) -> str:
    return "are in memory only, and end with it" if farm.is_in_memory else "are in its store"


def describe_suspension(farm: Farm) -> str:
    """Return a sentence about the suspended process of a running farm; empty where no process is suspended."""
    info = farm.connection()
    if info is None:
        return ""
    for who, pid in (("controller", info.pid), ("supervisor", info.supervisor_pid)):
        if is_stopped(pid):
            return f"a signal has suspended its {who} (SIGSTOP); `kill -CONT {pid}` resumes it"
    return ""


async def wait_for_answer(future: concurrent.futures.Future[T], farm: Farm) -> T:
    """Wait for an answer, for as long as the controller is not suspended.

    Raises:
        ControllerLost: the controller is suspended.
    """
    was_suspended = False
    while True:
        try:
            return await wait(future, _LOOK_EVERY, keep=True)
        except TimeoutError:
            if future.done():
                break  # it was answered, or failed with a TimeoutError, while the caller's loop was busy
        except asyncio.CancelledError:
            future.cancel()  # the wait was shielded; a request that nobody waits for need not be sent
            raise
        is_suspended = bool(describe_suspension(farm))
        if is_suspended and was_suspended and not future.done():
            future.cancel()
            raise silence_error(farm)
        was_suspended = is_suspended
    return await wait(future)


def resume_suspended(info: ConnectionInfo) -> None:
    """Resume the suspended processes of a farm, so that it can stop in order."""
    for pid, started in ((info.supervisor_pid, info.supervisor_started), (info.pid, info.pid_started)):
        if process_alive(pid, started) and is_stopped(pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def end_controller(info: ConnectionInfo | None) -> None:
    """Kill a controller that does not answer: its supervisor starts another one, which does."""
    if info is not None and process_alive(info.pid, info.pid_started):
        with suppress(ProcessLookupError):
            os.kill(info.pid, signal.SIGKILL)

"""Controllers that do not answer: what is to be seen of them from outside, and how they are ended."""

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
"""Seconds for a controller to answer those who want to know how it is. A turn of its loop takes milliseconds."""

_LOOK_EVERY = 1.0


def silence_error(farm: Farm) -> ControllerLost:
    """Return the error for a controller that has not answered, with what is to be seen of its processes."""
    info = farm.connection()
    if info is None:
        message = f"controller {farm.name!r} has ended without an answer"
        return ControllerLost(message, hint="what it had accepted is in its store")
    who = f"controller {farm.name!r} (pid {info.pid}) does not answer"
    if is_stopped(info.pid):
        why = "a signal has suspended it (SIGSTOP)"
    elif is_stopped(info.supervisor_pid):
        why = f"a signal has suspended its supervisor, pid {info.supervisor_pid} (SIGSTOP)"
    elif not process_alive(info.pid, info.pid_started):
        why = "it has died, and its supervisor starts it again"
    else:
        why = f"it runs, and has been busy or stuck for {ANSWER_WITHIN:g} s"
    hint = f"`taskfc stop{name_option(farm.name)}` ends it; what it had accepted is in its store"
    return ControllerLost(f"{who}: {why}", hint=hint)


def describe_suspension(farm: Farm) -> str:
    """Return which process of a running farm a signal has suspended, and how it goes on; empty where none is."""
    info = farm.connection()
    if info is None:
        return ""
    for who, pid in (("controller", info.pid), ("supervisor", info.supervisor_pid)):
        if is_stopped(pid):
            return f"a signal has suspended its {who} (SIGSTOP); `kill -CONT {pid}` resumes it"
    return ""


async def wait_for_answer(future: concurrent.futures.Future[T], farm: Farm) -> T:
    """Wait for an answer for as long as there is somebody to give it.

    Raises:
        ControllerLost: the controller is suspended.
    """
    was_suspended = False
    while True:
        try:
            return await wait(future, _LOOK_EVERY, keep=True)
        except TimeoutError:
            if future.done():
                break  # the answer came, or failed with this, while the caller's loop was busy
        except asyncio.CancelledError:
            future.cancel()  # the wait was shielded, and what nobody waits for is not to be sent
            raise
        is_suspended = bool(describe_suspension(farm))
        if is_suspended and was_suspended and not future.done():
            future.cancel()
            raise silence_error(farm)
        was_suspended = is_suspended
    return await wait(future)


def resume_suspended(info: ConnectionInfo) -> None:
    """Let suspended processes of a farm go on, so that it can stop in order."""
    for pid, started in ((info.supervisor_pid, info.supervisor_started), (info.pid, info.pid_started)):
        if process_alive(pid, started) and is_stopped(pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def end_controller(info: ConnectionInfo | None) -> None:
    """Kill a controller that does not answer: its supervisor starts another one, which does."""
    if info is not None and process_alive(info.pid, info.pid_started):
        with suppress(ProcessLookupError):
            os.kill(info.pid, signal.SIGKILL)

"""The supervisor's process; a client starts `main`."""

from __future__ import annotations

import os
import sys
import traceback

import msgspec

from taskfc_ext.drivers.memory_folder import hold_memory, place_store
from taskfc_ext.drivers.paths import FarmPaths, farm_paths, prepare
from taskfc_ext.drivers.process_limits import raise_file_limit, require_limits_of_farm
from taskfc_ext.drivers.processes import python_command
from taskfc_ext.drivers.room import LOW, Reserve, free_bytes, is_for_want_of_room, refuse_start
from taskfc_ext.drivers.stops import count_stops
from taskfc_ext.errors import StartFailed, TaskFCError
from taskfc_ext.protocol.launch import LaunchStatus, parse_words
from taskfc_ext.supervisor.log import log
from taskfc_ext.supervisor.pool import Commands
from taskfc_ext.supervisor.socket_process import open_log
from taskfc_ext.supervisor.status import StatusPipe
from taskfc_ext.supervisor.supervisor import Supervisor
from taskfc_ext.supervisor.takeover import clear_away, settle_options, take_lock, take_over


def main(commands: Commands = python_command) -> None:
    """Run a farm until it is stopped. Arguments: its name, and the words of a `LaunchRequest`.

    Reads two lines from stdin, the options and the secrets of an engine, and writes a `LaunchStatus` to stdout. After
    that it holds no terminal, pipe or folder of the process that started it.
    """
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # descriptors that the starting process had open
    raise_file_limit()  # after that: it would take long where the limit is a thousand million
    umask = os.umask(0o077)  # no file of the farm is for others; those that tasks make are as the user wants them
    given, _, secrets = sys.stdin.buffer.read().partition(b"\n")
    status = StatusPipe(os.dup(1))  # not inheritable, so that closing it ends the pipe
    with open(os.devnull, "r+b", buffering=0) as null:
        os.dup2(null.fileno(), 0)
        os.dup2(null.fileno(), 1)
    name = sys.argv[1]
    try:
        paths = farm_paths(name)
        prepare(paths)
        log_fd = open_log(paths.supervisor_log)
        os.dup2(log_fd, 2)
        os.close(log_fd)
        _supervise(paths, given, secrets, status, commands, umask)
    except (TaskFCError, ValueError, OSError) as error:
        if isinstance(error, OSError):
            error = _explain(error, farm_paths(name))
        status.send(LaunchStatus(error=getattr(error, "message", str(error)), hint=getattr(error, "hint", "")))
        log(f"ended: {error}")
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 -- the edge of the process
        log(traceback.format_exc())
        status.send(LaunchStatus(error=f"the supervisor failed: {type(error).__name__}: {error}"))
        sys.exit(1)


def _explain(error: OSError, paths: FarmPaths) -> TaskFCError:
    """Return the error that tells a user about `error`."""
    full = refuse_start(paths.written) if is_for_want_of_room(error) else None
    return full or StartFailed(f"the supervisor failed: {error}", hint=f"see {paths.supervisor_log}")


def _supervise(
    paths: FarmPaths, given: bytes, secrets: bytes, status: StatusPipe, commands: Commands, umask: int
) -> None:
    if free_bytes(paths.store) < LOW:
        Reserve(paths.reserve).give_back()  # a start writes little, and it is kept for that
    lock_fd = take_lock(paths)
    if lock_fd is None:
        status.send(LaunchStatus(running=True))
        return
    request = parse_words(sys.argv[2:])
    if request.n_stops not in (None, count_stops(paths)):
        os.close(lock_fd)
        status.send(LaunchStatus(stopped=True))
        return
    options = settle_options(paths, given)
    if request.at_rest:
        options = msgspec.structs.replace(options, n_workers=0)  # only now: the stored options do not change
    require_limits_of_farm(options.n_workers if options.engine is None else 0)
    paths = place_store(paths, options)
    dead = take_over(paths, lock_fd)
    log(f"farm {paths.name} starts with {options.n_workers} workers, pid={os.getpid()} tag={paths.tag}")
    with hold_memory(paths):
        supervisor = Supervisor(
            paths, options, lock_fd=lock_fd, status=status, dead=dead, commands=commands, secrets=secrets, umask=umask
        )
        supervisor.run()
    clear_away(paths, is_lost=supervisor.is_lost)
    status.send(LaunchStatus(error="the farm was stopped before it was ready"))  # dropped if it was ready
    log("ended")

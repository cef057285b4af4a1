"""The controller's process; the supervisor starts `main`."""

from __future__ import annotations

import gc
import logging
import os
import platform
import signal
import socket
import sys
from contextlib import suppress

from taskfc_ext.controller.loop import Controller, SupervisorLost
from taskfc_ext.core.scheduler import Scheduler
from taskfc_ext.core.state.limits import Limits
from taskfc_ext.drivers.connection_file import (
    ConnectionInfo,
    boot_id,
    host_name,
    process_started,
    remove_connection,
    write_connection,
)
from taskfc_ext.drivers.environment import farm_environment
from taskfc_ext.drivers.machine import machine_totals
from taskfc_ext.drivers.memory import keep_little_memory
from taskfc_ext.drivers.memory_folder import place_store
from taskfc_ext.drivers.options_file import read_options
from taskfc_ext.drivers.paths import FarmPaths, check_store, farm_paths
from taskfc_ext.drivers.process_limits import raise_file_limit
from taskfc_ext.drivers.rescue import HeldLock
from taskfc_ext.drivers.room import Reserve, total_bytes
from taskfc_ext.drivers.signals import SignalQueue, is_stray, signal_queue
from taskfc_ext.drivers.stops import count_stops, note_idle_stop, note_stop
from taskfc_ext.drivers.store import Store
from taskfc_ext.drivers.transport import Router, finish
from taskfc_ext.drivers.uploads import remove_dead
from taskfc_ext.errors import StorageFull, StoreError, TaskFCError
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.limits import MAX_CLIENT_FRAME
from taskfc_ext.protocol.options import DAY, HOUR, FarmOptions
from taskfc_ext.protocol.resources import slot_totals
from taskfc_ext.protocol.supervisor_messages import Serving, StoreRefused
from taskfc_ext.version import __version__

logger = logging.getLogger(__name__)


def main() -> None:
    """Serve a farm until it is stopped. Arguments: its name, the descriptors of the socket pair and of the lock."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    raise_file_limit()
    name, supervisor_fd, lock_fd = sys.argv[1], *map(int, sys.argv[2:4])
    paths = farm_paths(name)
    supervisor = socket.socket(fileno=supervisor_fd)
    try:
        serve(paths, supervisor, lock_fd)
    except SupervisorLost:
        logger.warning("the supervisor is gone; so is this controller")
        sys.exit(1)
    except StorageFull as error:  # there may be room for the next one
        logger.error("%s", error)
        sys.exit(1)
    except StoreError as error:
        logger.error("%s", error)
        with suppress(OSError):  # the supervisor is gone
            supervisor.send(codec.encode([StoreRefused(error.message, error.hint)]))
        sys.exit(1)
    except TaskFCError as error:
        logger.error("%s", error)
        sys.exit(1)
    except Exception:
        logger.exception("the controller failed")
        sys.exit(1)


def serve(paths: FarmPaths, supervisor: socket.socket, lock_fd: int) -> None:
    """Replay the store, write the connection file, and run the loop until the farm is stopped.

    Args:
        paths: the files of the farm.
        supervisor: this process's end of the socket pair.
        lock_fd: the lock; inherited, it keeps the store locked for as long as this process lives.

    Raises:
        SupervisorLost: the supervisor is gone.
        StoreError: the store cannot be used.
    """
    check_store(paths)
    options = read_options(paths)
    paths = place_store(paths, options)
    check_store(paths)
    with signal_queue((signal.SIGTERM, signal.SIGINT)) as signals:
        _serve(paths, options, supervisor, signals, lock_fd)


def _serve(
    paths: FarmPaths, options: FarmOptions, supervisor: socket.socket, signals: SignalQueue, lock_fd: int
) -> None:
    keep_little_memory()
    store = _open_store(paths, is_synced=options.is_synced)
    for warning in store.warnings:
        logger.warning("%s", warning)
    scheduler = Scheduler(
        store.records(),
        name=paths.name,
        unreachable_after=options.unreachable_after,
        max_deaths=options.max_deaths,
        engine_idle=options.engine.idle if options.engine is not None else 0.0,
        environ=farm_environment() if options.engine is None else None,
        limits=Limits(options.keep_days * DAY, _byte_limit(paths, options), options.idle_stop * HOUR),
        totals=machine_totals(options.resources) if options.engine is None else slot_totals(options.engine.resources),
    )
    clients, workers = Router(paths.clients, largest=MAX_CLIENT_FRAME), Router(paths.workers)
    controller = Controller(paths.name, scheduler, store, clients, workers, supervisor)
    controller.before_shutdown(lambda is_idle: note_idle_stop(paths) if is_idle else note_stop(paths))
    controller.watch(signals.fileno(), lambda: _on_signals(signals, controller))
    _make_collections_rare()
    controller.begin()
    controller.await_supervisor()
    info = _connection_info(paths, scheduler.farm.supervisor_pid)
    write_connection(paths, info)
    lock = HeldLock(paths.lock, lock_fd)
    controller.add_chore(store.check_files)
    controller.add_chore(lambda: _publish_again_if_vanished(paths, info, lock))
    remove_dead(paths.uploads, for_seconds=0)  # what they sent to the controller before is lost
    controller.add_chore(lambda: remove_dead(paths.uploads))
    controller.add_chore(store.remove_cleared)
    supervisor.send(codec.encode([Serving()]))
    logger.info("serving %s: pid=%d tasks=%d incarnation=%d", paths.name, os.getpid(), len(scheduler.farm.tasks),
                scheduler.farm.incarnation)  # fmt: skip
    controller.run()
    clients.close()
    workers.close()
    store.close()
    remove_connection(paths)
    finish()
    logger.info("stopped")


def _byte_limit(paths: FarmPaths, options: FarmOptions) -> int:
    """Return the bytes that the store may take; in memory at most half of what may be taken at all. 0: no limit."""
    if paths.memory is None:
        return options.keep_bytes
    half = total_bytes(paths.memory) // 2
    return min(options.keep_bytes or half, half)


def _open_store(paths: FarmPaths, *, is_synced: bool) -> Store:
    """Open the store; on a full disk, in the room of its reserve."""
    reserve = Reserve(paths.reserve)
    try:
        store = Store(paths.journal, is_synced=is_synced)
    except StorageFull:
        if not reserve.give_back():
            raise
        store = Store(paths.journal, is_synced=is_synced)
    reserve.make()
    return store


def _publish_again_if_vanished(paths: FarmPaths, info: ConnectionInfo, lock: HeldLock) -> None:
    """Write the connection file and the lock again if a task, or a cleaner of runtime folders, has removed them."""
    gone = [paths.lock] if lock.renew() else []
    if not paths.connection_file.exists():
        gone.append(paths.connection_file)
    if gone:
        logger.warning("missing, and written again: %s", ", ".join(map(str, gone)))
        write_connection(paths, info)


def _on_signals(signals: SignalQueue, controller: Controller) -> None:
    """Stop the farm on a SIGTERM that no task has sent; ignore all other signals."""
    supervisor = os.getppid()
    for received in signals.receive():
        if received.number == signal.SIGTERM and not is_stray(received, supervisor, trusted=supervisor):
            controller.ask_to_stop()
        else:
            logger.warning("ignored signal %d from pid=%s", received.number, received.sender)


def _make_collections_rare() -> None:
    """Make garbage collections rare: tasks hold no cycles, and a full collection takes milliseconds per 100,000."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def _connection_info(paths: FarmPaths, supervisor_pid: int) -> ConnectionInfo:
    return ConnectionInfo(
        name=paths.name,
        protocol=PROTOCOL,
        version=__version__,
        host=host_name(),
        boot_id=boot_id(),
        pid=os.getpid(),
        pid_started=process_started(os.getpid()) or 0,
        supervisor_pid=supervisor_pid,
        supervisor_started=process_started(supervisor_pid) or 0,  # it has ended: it is no process of any time
        clients=str(paths.clients),
        python=platform.python_version(),
        store=str(paths.store),
        memory=str(paths.memory or ""),
        n_stops=count_stops(paths),
    )

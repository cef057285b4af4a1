"""The worker's process. The supervisor runs `main` with the arguments NAME, WORKER_ID, PAGE_FD and LIFE_FD."""

from __future__ import annotations

import faulthandler
import logging
import os
import platform
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO, cast

from taskfc_ext import worker
from taskfc_ext.drivers.memory import offer_to_be_ended
from taskfc_ext.drivers.memory_folder import place_store
from taskfc_ext.drivers.options_file import read_options
from taskfc_ext.drivers.paths import check_store, farm_paths
from taskfc_ext.drivers.process_tree import become_subreaper
from taskfc_ext.drivers.processes import FARM_PID, Page, die_with_parent
from taskfc_ext.drivers.uploads import LargePayloads
from taskfc_ext.location import add_sources
from taskfc_ext.protocol.ids import PROTOCOL
from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.protocol.worker_messages import Ready
from taskfc_ext.serialize.processes import serve_multiprocessing
from taskfc_ext.worker.connection import LifePipe, WorkerDealer
from taskfc_ext.worker.context.elsewhere import PrivateFolder, path_here
from taskfc_ext.worker.context.import_hook import when_imported
from taskfc_ext.worker.helper_thread import HelperThread
from taskfc_ext.worker.link import Connection, Link
from taskfc_ext.worker.loop import Loop
from taskfc_ext.worker.output import progress
from taskfc_ext.worker.output.capture import Capture, LogStream
from taskfc_ext.worker.output.descriptors import divert_stdout, set_line_buffering, tap_stderr
from taskfc_ext.worker.output.figures import choose_backend, draw_as_in_a_notebook
from taskfc_ext.worker.output.stdin import refuse_breakpoints
from taskfc_ext.worker.run import forking
from taskfc_ext.worker.run.execute import Executor, Payloads
from taskfc_ext.worker.run.exits import offer_exits
from taskfc_ext.worker.run.interrupt import Guard

logger = logging.getLogger(__name__)

IDLE_MS = 1000
"""Longest wait for messages: a thread left by a task may change a property meanwhile."""

STALLED_MS = 20
"""Longest wait while unsent messages are queued."""


def main() -> None:
    """Run tasks until the supervisor dies or ends this process."""
    log_handler = prepare_process(int(os.environ[FARM_PID]))
    name, worker_id, page_fd, life_fd = sys.argv[1], *map(int, sys.argv[2:5])
    paths = farm_paths(name)
    check_store(paths)  # first: its options set the module path
    options = read_options(paths)
    paths = place_store(paths, options)
    page = Page(page_fd)
    os.close(page_fd)
    run_worker(
        worker_id,
        options,
        page=page,
        life=LifePipe(life_fd),
        connect=lambda: WorkerDealer(paths.workers, life_fd),
        payloads=LargePayloads(lambda: paths.journal, f"w{worker_id}x{os.urandom(4).hex()}"),
        log=paths.worker_log(worker_id),
        log_handler=log_handler,
    )


def prepare_process(parent: int) -> logging.StreamHandler[TextIO]:
    """Prepare this process for its parent and for signals; return the handler of its log. Call this first."""
    die_with_parent(parent)
    become_subreaper()
    offer_to_be_ended()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a shell or nohup may have set it to be ignored
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    faulthandler.enable()
    return _set_up_log()


def run_worker(
    worker_id: int,
    options: FarmOptions,
    *,
    page: Page,
    life: LifePipe,
    connect: Callable[[], Connection],
    payloads: Payloads,
    log: Path,
    log_handler: logging.StreamHandler[TextIO],
    private_folder: PrivateFolder | None = None,
) -> NoReturn:
    """Run tasks until this process is ended.

    Args:
        worker_id: the worker's id.
        options: the farm's.
        page: shared memory that records each start and end.
        life: orders reconnects; its end ends this process.
        connect: opens a connection to the controller.
        payloads: writes large results and reads large arguments.
        log: the file that descriptor 2 writes to.
        log_handler: writes this package's own records there.
        private_folder: for tasks whose working directory is not here, if this may be another machine than the client's.
    """
    sys.argv[1:] = []
    _apply_start_options(options, is_hosted=private_folder is not None)
    worker.properties.initialize(options.properties)
    link = Link(connect, _make_ready(worker_id))
    page.words[Page.READY] = 1
    guard = Guard(page)
    guard.install()
    capture = _make_capture(log)
    capture.install()
    log_handler.setStream(cast(TextIO, LogStream(capture)))
    forking.prepare(guard.disarm, capture.detach)
    choose_backend()  # first: the executor notes the worker's own environment
    executor = Executor(worker.properties, guard, capture.displays, payloads, private_folder)
    link.report_codes(lambda: executor.codes)
    executor.modules.install()
    when_imported("IPython", executor.offer_shell)
    when_imported("multiprocessing", serve_multiprocessing)
    when_imported("matplotlib", draw_as_in_a_notebook)
    refuse_breakpoints()
    offer_exits()
    loop = Loop(link, page, guard, executor, capture, life, worker.properties)
    progress.enable_in_worker(lambda: loop.lease)
    executor.settings.watch_imports()  # last, so that it is the first finder and its hook sees all others' changes
    helper = HelperThread(loop, _preload)
    helper.start()
    try:
        while True:
            if not loop.turn(helper.wake):
                link.connection.wait(STALLED_MS if link.is_stalled else IDLE_MS)
                link.reconnect_if_astray()
    except BaseException:  # noqa: BLE001  logged
        _die(worker_id)


def _set_up_log() -> logging.StreamHandler[TextIO]:
    """Send the package's own records to the worker's log. The root logger is left to the tasks: they see its output."""
    handler: logging.StreamHandler[TextIO] = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    package_logger = logging.getLogger("taskfc_ext")
    package_logger.setLevel(logging.INFO)
    package_logger.addHandler(handler)
    package_logger.propagate = False
    return handler


def _make_capture(log: Path) -> Capture:
    """Return the capture of the tasks' output, including the output of C code and of subprocesses."""
    log_out = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
    flush_c = set_line_buffering()
    try:
        tap_out = divert_stdout()
    except OSError as error:
        logger.warning("stdout of C code and programs goes to the log: cannot create a temporary file (%s)", error)
        return Capture(log_out, sys.stderr)
    return Capture(log_out, sys.stderr, tap_out=tap_out, tap_err=tap_stderr(log), flush_c=flush_c)


def _die(worker_id: int) -> NoReturn:
    try:
        logger.exception("worker=%d failed", worker_id)
    finally:  # even if a task broke logging; `_exit`, because threads left by a task must not delay the end
        os._exit(1)


def _apply_start_options(options: FarmOptions, *, is_hosted: bool) -> None:
    """Set the working directory and module path of the client that started the farm."""
    try:
        os.chdir(options.cwd)
    except OSError as error:
        if not is_hosted:  # else the folder of the slot does
            home = os.path.expanduser("~")
            logger.warning("cannot work in %s (%s): using %s", options.cwd, error, home)
            os.chdir(home)
    sys.path[:] = path_here(options.sys_path) if is_hosted else options.sys_path
    add_sources(sys.path)


def _make_ready(worker_id: int) -> Callable[[tuple[int, ...]], Ready]:
    return lambda leases: Ready(
        protocol=PROTOCOL, worker=worker_id, pid=os.getpid(), python=platform.python_version(), leases=leases
    )


def _preload() -> None:
    """Import the modules that the first cell needs."""
    import taskfc_ext.worker.run.cell  # noqa: F401

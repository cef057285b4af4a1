"""Thread for the done-callbacks of futures: a slow callback delays neither results nor the caller."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

logger = logging.getLogger("concurrent.futures")
"""Failures of callbacks are logged as those of any executor's futures."""

Callback = Callable[[Any], object]


class CallbackThread:
    """Runs callbacks one after the other, in the order in which their futures ended. Starts on first use."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[Sequence[Callback], object]] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def run_later(self, callbacks: Sequence[Callback], future: object) -> None:
        """Queue `callbacks`, each to be called with `future`. Raises nothing: the caller has more futures to settle."""
        self._queue.put((callbacks, future))
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="taskfc-callbacks", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter exits; the next callback tries again
            logger.exception("done-callbacks wait for a thread")
        else:
            self._thread = thread

    def _run(self) -> None:
        while True:
            callbacks, future = self._queue.get()
            for callback in callbacks:
                try:
                    callback(future)
                except BaseException:  # noqa: BLE001 - SystemExit, too: it would end this thread, and later callbacks
                    show_failure(future)
            del callbacks, future  # an idle thread keeps no result alive


def show_failure(future: object) -> None:
    """Log the exception that a done-callback of `future` raised, as `concurrent.futures` does."""
    with suppress(BaseException):  # a handler or a filter of the user's may fail as well
        logger.exception("exception calling callback for %r", future)

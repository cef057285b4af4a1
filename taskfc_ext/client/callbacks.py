"""The thread that runs the done-callbacks of futures, so that a slow one holds up neither results nor the caller."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

logger = logging.getLogger(__name__)

Callback = Callable[[Any], object]


class CallbackThread:
    """Runs callbacks one after the other, in the order in which their futures ended. Starts on first use."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[Sequence[Callback], object]] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def run_later(self, callbacks: Sequence[Callback], future: object) -> None:
        """Queue `callbacks`, each to be called with `future`."""
        self._queue.put((callbacks, future))
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="taskfc-callbacks", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while True:
            callbacks, future = self._queue.get()
            for callback in callbacks:
                try:
                    callback(future)
                except Exception:
                    logger.exception("a done-callback failed for %r", future)
            del callbacks, future  # an idle thread keeps no result alive

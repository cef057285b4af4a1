"""I/O thread of a client. The kernel's own event loop is busy while a cell runs."""

from __future__ import annotations

import asyncio
import threading

from taskfc_ext.client.future.waiting import mark_io_thread, unmark_io_thread
from taskfc_ext.drivers.process_limits import no_threads, require_files

_FILES = 15
"""Descriptors of a loop and of its connection to the farm."""


class IOThread:
    """A daemon thread that runs an asyncio loop. It prints nothing and runs none of the user's code.

    Raises:
        FarmError: this process has too few descriptors or threads left.
    """

    def __init__(self, name: str = "taskfc-io") -> None:
        require_files(_FILES, "a client of a farm")
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self.loop.close()
            raise no_threads("a client of a farm") from error

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        mark_io_thread()
        try:
            self.loop.run_forever()
        finally:
            unmark_io_thread()
            self.loop.close()

    def stop(self) -> None:
        """End the thread; waits for it unless it is the caller."""
        try:
            self.loop.call_soon_threadsafe(self.loop.stop)
        except RuntimeError:
            return  # stopped before
        if threading.current_thread() is not self._thread:
            self._thread.join()

"""I/O thread of a client. The kernel's own event loop is busy while a cell runs."""

from __future__ import annotations

import asyncio
import threading

from taskfc_ext.client.future.waiting import mark_io_thread, unmark_io_thread


class IOThread:
    """A daemon thread that runs an asyncio loop. It prints nothing and runs none of the user's code."""

    def __init__(self, name: str = "taskfc-io") -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

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

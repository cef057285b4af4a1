"""The cards that are on screen: shown under their cell, and updated there until their task has ended.

One thread of our own publishes the updates, each in the context of the cell that the card stands under: without it,
ipykernel 7.0 knows no parent message in a thread, and others would name whatever cell ran last. Nothing is ever
printed from that thread, and where nothing can be updated (a plain terminal) it is never started.

nbclient drops what names another parent than the cell that it runs, so after every cell the main thread
publishes once more what has changed: a notebook that is saved then has the state of its end.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from taskfc_ext.ipython.display import Bundle, Card, card_bundle

logger = logging.getLogger(__name__)

MAX_LIVE = 50
"""Cards that are kept up to date at once; older ones keep the state and the time that they last showed."""

FASTEST, SLOWEST = 0.5, 10.0
"""Seconds between two updates of a card. They grow with the task's run time: an hour is not thousands of updates."""


class Publish(Protocol):
    """Sends a bundle to the front end, new or in place of the one with that id."""

    def __call__(self, bundle: Bundle, *, display_id: str, update: bool) -> None: ...


Look = Callable[[Any, datetime], Card]
"""Makes a card of a future, as it is now. May ask the controller."""


@dataclass(slots=True, eq=False)
class _Shown:
    future: Any
    display_id: str
    context: contextvars.Context
    card: Card
    due: float
    settled: bool = False  # it shows the end
    unseen: bool = False  # changed since the main thread published it


class CardBoard:
    """Shows cards and keeps them up to date.

    Args:
        publish: how to send.
        look: how to make a card.
        is_live: whether what was sent can be updated.
        clock: monotonic seconds.
    """

    def __init__(
        self, publish: Publish, look: Look, *, is_live: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.is_live = is_live
        self._publish = publish
        self._look = look
        self._clock = clock
        self._changed = threading.Condition()
        self._publishing = threading.Lock()  # what is newer must not be overtaken by what is older
        self._shown: list[_Shown] = []
        self._thread: threading.Thread | None = None
        self._closed = False
        self._early: Any = None

    def show(self, future: Any) -> None:
        """Show the card of `future` under the running cell."""
        if self._early is future:
            self._early = None
            return
        settled = future.done()  # before looking: a task may have ended whose result is still on its way here
        card = self._look(future, datetime.now())
        entry = _Shown(future, uuid.uuid4().hex, contextvars.copy_context(), card, self._clock() + FASTEST)
        self._publish(card_bundle(card), display_id=entry.display_id, update=False)
        if self.is_live and not settled:
            self._follow(entry)

    def show_early(self, future: Any) -> None:
        """Show the card of a future that the running cell is going to wait for, and will then return."""
        self.show(future)
        self._early = future

    def after_cell(self) -> None:
        """Publish what has changed, from the main thread; called when a cell has run."""
        self._early = None
        for entry in self._entries():
            if entry.future.done() and not entry.settled:
                self._look_again(entry)
            with self._publishing:
                if entry.unseen:
                    self._send(entry)
                    entry.unseen = False
            if entry.settled:
                self._drop(entry)

    def close(self) -> None:
        """End the thread; the cards stay as they are."""
        with self._changed:
            self._closed = True
            self._shown.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout=2)  # it may be asking a controller that does not answer

    def update(self) -> float | None:
        """Update every card that is due; return when the next one will be, or `None` where there is none."""
        for entry in self._entries():
            if not entry.settled and (entry.future.done() or self._clock() >= entry.due) and self._look_again(entry):
                with self._publishing:
                    self._send_from_thread(entry)
        return min((entry.due for entry in self._entries() if not entry.settled), default=None)

    def _look_again(self, entry: _Shown) -> bool:
        """Bring an entry up to date; return whether that shows."""
        settled = entry.future.done()
        try:
            card = self._look(entry.future, datetime.now())
        except Exception:  # the controller may be away, and results run the user's code
            logger.debug("the card of %r could not be updated", entry.future, exc_info=True)
            card = entry.card
        entry.due = self._clock() + max(FASTEST, min(SLOWEST, (card.elapsed or 0.0) / 20))
        with self._publishing:
            if entry.settled or replace(card, seen=entry.card.seen) == entry.card:
                entry.settled |= settled
                return False
            entry.card, entry.settled, entry.unseen = card, settled, True
        return True

    def _send_from_thread(self, entry: _Shown) -> None:
        try:
            entry.context.run(self._send, entry)
        except Exception:  # a kernel that cannot publish in a thread: the main thread does when a cell has run
            logger.debug("the card of %r could not be published", entry.future, exc_info=True)

    def _send(self, entry: _Shown) -> None:
        self._publish(card_bundle(entry.card), display_id=entry.display_id, update=True)

    def _entries(self) -> list[_Shown]:
        with self._changed:
            return list(self._shown)

    def _drop(self, entry: _Shown) -> None:
        with self._changed:
            if entry in self._shown:
                self._shown.remove(entry)

    def _follow(self, entry: _Shown) -> None:
        with self._changed:
            self._shown = [*self._shown, entry][-MAX_LIVE:]
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="taskfc-cards", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        entry.future.add_done_callback(self._on_done)

    def _on_done(self, future: Any) -> None:
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            due = self.update()
            with self._changed:
                if self._closed or all(entry.settled for entry in self._shown):
                    self._thread = None
                    return
                if due is not None and not any(entry.future.done() and not entry.settled for entry in self._shown):
                    self._changed.wait(max(0.05, due - self._clock()))

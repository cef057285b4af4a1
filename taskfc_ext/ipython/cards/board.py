"""The cards on screen: each is shown under its cell and updated there until its task has ended.

One thread publishes the updates, each in the context of the cell of the card: otherwise ipykernel 7.0 finds no parent
message in a thread, and other kernels name the cell that ran last. This thread never prints. Where nothing can be
updated (a plain terminal) it does not start.

nbclient drops messages whose parent is not the running cell. After every cell the main thread therefore publishes
again whatever has changed, so that the saved notebook shows the end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import replace
from datetime import datetime
from typing import Any

from taskfc_ext.condition import Condition
from taskfc_ext.errors import TaskFCError
from taskfc_ext.ipython.cards.group_card import is_group
from taskfc_ext.ipython.cards.live_card import RESERVED, AnyCard, Choice, LiveCard, MakeButtons, Publish
from taskfc_ext.ipython.cards.render import Card
from taskfc_ext.protocol.states import State
from taskfc_ext.view.wording import describe_abort, describe_retry

logger = logging.getLogger(__name__)

MAX_LIVE = 50
"""Cards that are updated at the same time; older ones stay as they are and show the time of that."""

MAX_BUTTONS = 500
"""Cards that have buttons; with more, the oldest card loses its buttons."""

SOON, SOON_AT_MOST = 0.2, 1.0
"""Seconds between two requests about a task that has not begun, so that its begin shows soon."""

FASTEST, SLOWEST = 0.5, 10.0
"""Seconds between two updates of a card; they grow with the run time of the task."""

SHARE = 50
"""Making a card takes at most this part of the time of its thread: a group may have 100,000 tasks."""

BYTES_PER_SECOND = 200_000
"""Limit for the updates of one card; Jupyter's server drops the output of a kernel that sends a million."""

MakeCard = Callable[[Any, datetime], AnyCard]
"""Makes the card of a future or a group, as it is now. May ask the controller."""


class CardBoard:
    """Shows cards and keeps them up to date.

    Args:
        publish: sends a bundle.
        make_card: makes a card.
        is_live: whether a published card can be updated.
        make_buttons: makes the buttons beneath a live card.
        context: returns the context of the running cell; new outputs appear under that cell.
        sees_updates_only: tells whether the front end takes only updates for a cell while another cell runs.
        find_again: returns a new future for a task whose farm was stopped, when that runs again; else `None`.
        clock: monotonic seconds.

    Attributes:
        chosen: what the main thread has to do after clicks that have submitted a cell.
        renewed: ids of tasks with the future that takes the place of theirs: a button has run them again, or their
            farm runs again. The main thread takes them from here and rebinds the names of the notebook.
    """

    def __init__(
        self,
        publish: Publish,
        make_card: MakeCard,
        *,
        is_live: bool,
        make_buttons: MakeButtons = lambda act, farm, taskid, verbs, labels: None,
        context: Callable[[], Context] = copy_context,
        sees_updates_only: Callable[[], bool] = lambda: False,
        find_again: Callable[[Any], Any] = lambda future: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_live = is_live
        self.chosen: deque[Callable[[], None]] = deque()
        self.renewed: deque[tuple[int, Any]] = deque()
        self._publish = publish
        self._make_card = make_card
        self._make_buttons = make_buttons
        self._context = context
        self._sees_updates_only = sees_updates_only
        self._find_again = find_again
        self._clock = clock
        self._changed = Condition()
        self._publishing = threading.Lock()  # an older update must not overtake a newer one
        self._shown: list[LiveCard] = []
        self._with_buttons: deque[LiveCard] = deque(maxlen=MAX_BUTTONS)
        self._asleep: deque[LiveCard] = deque(maxlen=MAX_LIVE)
        self._thread: threading.Thread | None = None
        self._closed = False
        self._early: Any = None

    def show(self, future: Any, choice: Choice | None = None) -> None:
        """Show the card of `future`, which may be a group, under the running cell, with the buttons of `choice`."""
        if self._early is future:
            self._early = None
        else:
            self._show(future, may_outlast_cell=True, choice=choice)

    def show_early(self, future: Any, choice: Choice | None = None) -> None:
        """Show the card of a future that the running cell waits for, or has, and then returns; once."""
        if self._early is future:
            return
        self._show(future, may_outlast_cell=False, choice=choice)
        self._early = future

    def _show(self, future: Any, *, may_outlast_cell: bool, choice: Choice | None = None) -> None:
        settled = future.done()  # first: the task may end while the card is made
        entry = LiveCard(future, self._make_card(future, datetime.now()), self._publish, self._context(), choice)
        entry.begun = self._clock()
        needs_places = may_outlast_cell and not settled and self.is_live and self._sees_updates_only()
        entry.show(reserve=RESERVED if needs_places else 0)
        if self.is_live:
            if entry.show_buttons(self._make_buttons, lambda verb: self._act(entry, verb)):
                if len(self._with_buttons) == MAX_BUTTONS:
                    self._with_buttons[0].retire()
                self._with_buttons.append(entry)
            else:
                entry.forget_choice()
            if not settled:
                self._follow(entry)

    def after_cell(self) -> None:
        """Publish the changes from the main thread, after a cell."""
        self._early = None
        for entry in self._entries():
            if entry.future.done() and not entry.is_settled:
                self._refresh(entry)
            with self._publishing:
                if entry.is_unpublished:
                    entry.update(again=True)
                    entry.is_unpublished = False
            if entry.is_settled:
                self._drop(entry)
                if isinstance(entry.card, Card) and entry.future.is_given_up:
                    self._asleep.append(entry)
        for _ in range(len(self._asleep)):
            self._wake(self._asleep.popleft())

    def _wake(self, entry: LiveCard) -> None:
        """Follow a task again whose farm was stopped, if that runs again."""
        try:
            future = self._find_again(entry.future)
            card = None if future is None else self._make_card(future, datetime.now())
        except Exception:  # it was stopped again, or results run user code
            logger.debug("the card of %r could not be updated", entry.future, exc_info=True)
            card = None
        if card is None:
            self._asleep.append(entry)
            return
        if entry.card.submitted not in (None, card.submitted):
            return  # the store is a fresh one: this is another task
        with self._publishing:
            entry.become(future, card)
            entry.begun = self._clock()
            entry.update(again=True)
            entry.is_unpublished = False
        self.renewed.append((future.taskid, future))
        self._follow(entry)

    def close(self) -> None:
        """End the thread and remove the buttons; the cards stay as they are."""
        with self._changed:
            self._closed = True
            self._shown.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout=2)  # it may wait for a controller that does not answer
        with self._publishing:
            for entry in list(self._with_buttons):
                entry.retire()
            self._with_buttons.clear()

    def update(self) -> float | None:
        """Update every card that is due; return when the next one is due, or `None` if there is none."""
        for entry in self._entries():
            if not entry.is_settled and (entry.future.done() or self._clock() >= entry.due) and self._refresh(entry):
                with self._publishing:
                    self._send_from_thread(entry)
        return min((entry.due for entry in self._entries() if not entry.is_settled), default=None)

    def _refresh(self, entry: LiveCard) -> bool:
        """Bring an entry up to date; return whether its card has changed."""
        future = entry.future
        settled = future.done()
        began = self._clock()
        try:
            card, is_stale = self._make_card(future, datetime.now()), False
            if isinstance(card, Card) and isinstance(entry.card, Card) and future.is_given_up:
                card = card.keep_seen(entry.card)
        except Exception:  # the controller may be away, and results run user code
            logger.debug("the card of %r could not be updated", future, exc_info=True)
            card, is_stale = entry.card, True
        now = self._clock()
        entry.due = now + max(self._pause(entry, card), SHARE * (now - began) if is_group(future) else 0.0)
        with self._publishing:
            if entry.future is not future:  # a click has replaced the task
                return False
            is_same = replace(card, as_of=entry.card.as_of) == entry.card and is_stale == entry.is_stale
            if entry.is_settled or is_same:
                entry.is_settled |= settled
                return False
            entry.card, entry.is_stale, entry.is_settled, entry.is_unpublished = card, is_stale, settled, True
            if settled:
                entry.forget_choice()
        return True

    def _pause(self, entry: LiveCard, card: AnyCard) -> float:
        if card.state in ("waiting", "scheduled"):
            return max(SOON, min(SOON_AT_MOST, (self._clock() - entry.begun) / 20))
        return max(FASTEST, min(SLOWEST, (card.elapsed or 0.0) / 20), entry.size / BYTES_PER_SECOND)

    def _send_from_thread(self, entry: LiveCard) -> None:
        try:
            entry.context.run(entry.update)
        except Exception:  # this kernel cannot publish in a thread; the main thread does after the next cell
            logger.debug("the card of %r could not be published", entry.future, exc_info=True)

    def _act(self, entry: LiveCard, verb: str) -> str:
        """Carry out a click and return a line about the result. Runs in a thread of the buttons."""
        future = entry.future
        if is_group(future):
            return self._act_on_group(entry, verb)
        if verb == "abort":
            running = [future.taskid] if future.state == State.RUNNING else []
            future.abort()
            self._soon(entry)
            return describe_abort([future.taskid], running)
        if verb == "retry":
            new = future.retry()
            self.renewed.append((future.taskid, new))
            said = describe_retry([future.taskid], {future.taskid: new.taskid})
        elif entry.choice is not None:
            new, said = entry.choice.act(verb)
        else:
            raise TaskFCError(f"too late to {verb} task {future.taskid}")
        card = self._make_card(new, datetime.now())
        with self._publishing:
            entry.become(new, card)
            entry.begun = self._clock()
            self._send_from_thread(entry)
        self._follow(entry)
        return said

    def _act_on_group(self, entry: LiveCard, verb: str) -> str:
        group = entry.future
        if verb == "abort":
            unfinished = [future for future in group if not future.done()]
            group.abort()
            self._soon(entry)
            taskids = [future.taskid for future in unfinished if future.taskid is not None]
            return describe_abort(taskids, [future.taskid for future in unfinished if not future.done()])
        new = {future.retry_of: future.taskid for future in group.retry_failed()}
        entry.is_settled = False
        self._follow(entry)
        return describe_retry(list(new), new)

    def _soon(self, entry: LiveCard) -> None:
        with self._changed:
            entry.due = 0.0
            self._changed.notify_all()

    def _entries(self) -> list[LiveCard]:
        with self._changed:
            return list(self._shown)

    def _drop(self, entry: LiveCard) -> None:
        with self._changed:
            if entry in self._shown:
                self._shown.remove(entry)

    def _follow(self, entry: LiveCard) -> None:
        with self._changed:
            entry.due = self._clock() + SOON
            shown = [*(each for each in self._shown if each is not entry), entry]
            left, self._shown = shown[:-MAX_LIVE], shown[-MAX_LIVE:]
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="taskfc-cards", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        if not is_group(entry.future):  # thousands of callbacks would cost more than looking now and then
            entry.future.add_done_callback(self._on_done)
        for old in left:
            if not old.is_settled:
                with self._publishing:
                    old.is_stale = True
                    self._send_from_thread(old)

    def _on_done(self, future: Any) -> None:
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            self.update()
            with self._changed:
                open_ones = [entry for entry in self._shown if not entry.is_settled]
                if self._closed or not open_ones:
                    self._thread = None
                    return
                if not any(entry.future.done() for entry in open_ones):
                    self._changed.wait(max(0.05, min(entry.due for entry in open_ones) - self._clock()))

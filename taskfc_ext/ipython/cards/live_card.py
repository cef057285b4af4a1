"""One card on screen: the card, the outputs of its task beneath it, and the buttons.

Each of the three is an output of its own under the cell. So an update of the card leaves the keyboard's focus on the
buttons, and the card in a saved notebook needs neither a widget nor a kernel.
"""

from __future__ import annotations

import contextvars
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from taskfc_ext.ipython.cards import rich
from taskfc_ext.ipython.cards.group_card import GroupCard, group_bundle
from taskfc_ext.ipython.cards.render import AS_OF, FARM_STOPPED, Bundle, Card, card_bundle
from taskfc_ext.protocol.states import UNFINISHED, UNSUCCESSFUL
from taskfc_ext.view.cards import OF_CARD

NOTHING: Bundle = {"text/plain": "", "text/html": "<!-- -->", "text/latex": "", "text/markdown": ""}
"""Replaces an output that is gone: invisible in every front end and in every format of nbconvert."""

EMPTY: dict[str, Any] = {"data": NOTHING, "metadata": {}}

RESERVED = 16
"""Places beneath a card for outputs that come while another cell runs; nbclient then takes only updates."""

TOO_MANY = "… and {} more outputs after the end of the cell: `--wait` keeps all of them"

NO_BROKEN_BUTTONS = (
    "<style>.jp-OutputArea-child:has(.taskfc-card) ~ .jp-OutputArea-child:has(> .lm-Panel.jp-OutputArea-output)"
    ":not(:has(.taskfc-buttons)) { display: none }</style>"
)
"""Hides JupyterLab's message about a widget that was lost with its kernel: it says nothing about the task."""

NO_TIME_IF_LIVE = (
    "<style>.jp-OutputArea-child:has(~ .jp-OutputArea-child .taskfc-buttons:not(.taskfc-mod-ended))"
    f" .{AS_OF} {{ display: none }}</style>"
)
"""Hides the time on a live card, and what to type to see it now. A saved notebook has no buttons and shows both, as the
page of a kernel that has ended does: there the card is out of date."""


class Publish(Protocol):
    """Sends a bundle to the front end, as a new output or as an update of the one with that id."""

    def __call__(
        self, bundle: Bundle, *, display_id: str, update: bool, metadata: dict[str, Any] | None = None
    ) -> None: ...


class Buttons(Protocol):
    """The buttons of one task, or of a group."""

    offers: list[str]
    state: str

    def bundle(self) -> Bundle: ...

    def belong_to(self, taskid: int) -> None: ...

    def belong_to_group(self, what: str, ranges: Sequence[tuple[int, int]]) -> None: ...

    def close(self) -> None: ...


class Choice(Protocol):
    """Verbs of a task in place of its usual ones, with the texts of their buttons."""

    @property
    def labels(self) -> dict[str, str]: ...

    def verbs_in(self, state: str) -> tuple[str, ...] | None:
        """Return the verbs that a task in this state has because of it; `None`: the usual ones."""

    def act(self, verb: str) -> tuple[Any, str]:
        """Carry out a verb; return the future of the task that the card shows then, and a line about it."""

    def release(self) -> None: ...


MakeButtons = Callable[[Callable[[str], str], str, int, tuple[str, ...], dict[str, str]], Buttons | None]
"""Makes the buttons of a task from: the action of a click, farm and id of the task, the offered verbs, the texts of
buttons that differ from the usual ones.

`None`: no buttons.
"""


AnyCard = Card | GroupCard
"""The contents of a card."""


def offers(card: AnyCard, choice: Choice | None = None) -> tuple[str, ...]:
    """Return the verbs that a card's task allows, as their buttons call them."""
    if card.taskid is None or card.reason == FARM_STOPPED:
        return ()
    if isinstance(card, GroupCard):
        has_failed = card.counts.failed + card.counts.aborted > 0
        return (*(("abort all",) if card.counts.unfinished else ()), *(("retry failed",) if has_failed else ()))
    if choice is not None and (verbs := choice.verbs_in(card.state)) is not None:
        return verbs
    return ("abort",) if card.state in UNFINISHED else ("retry",) if card.state in UNSUCCESSFUL else ()


class LiveCard:
    """A card under a cell.

    Args:
        future: the task, or a group of tasks; a retry replaces the task.
        card: the contents.
        publish: sends a bundle.
        context: that of the cell; by default the current one.
        choice: further verbs.

    Attributes:
        context: that of the cell; new outputs are published in it.
        due: the time of the next update.
        is_settled: whether it shows the end.
        is_unpublished: whether it has changed since the main thread published it.
        is_stale: whether it is not updated: the controller is away, or too many cards are live.
        size: bytes of the last update, approximately.
    """

    def __init__(
        self,
        future: Any,
        card: AnyCard,
        publish: Publish,
        context: contextvars.Context | None = None,
        choice: Choice | None = None,
    ) -> None:
        self.choice = choice
        self.future = future
        self.card = card
        self.context = contextvars.copy_context() if context is None else context
        self.begun = self.due = 0.0
        self.is_settled = False
        self.is_unpublished = False
        self.is_stale = False
        self.size = 0
        self._publish = publish
        self._id = uuid.uuid4().hex
        self._beneath: list[tuple[str, dict[str, Any]]] = []
        self._n_reserved = 0
        self._buttons: Buttons | None = None
        self._buttons_id = uuid.uuid4().hex

    def show(self, *, reserve: int = 0) -> None:
        """Publish the card, and beneath it the outputs of the task so far.

        Args:
            reserve: places for later outputs; more than these will not be shown.
        """
        self._n_reserved = reserve
        self._send_card(update=False)
        self._send_beneath()

    def show_buttons(self, make: MakeButtons, act: Callable[[str], str]) -> bool:
        """Publish the buttons; return whether there are any."""
        verbs = offers(self.card, self.choice)
        if not verbs or self.card.taskid is None:
            return False
        labels = self.choice.labels if self.choice is not None else {}
        self._buttons = make(act, self.card.farm, self.card.taskid, verbs, labels)
        if self._buttons is None:
            return False
        self._name_group()
        bundle = self._buttons.bundle()
        self._publish(bundle, display_id=self._buttons_id, update=False, metadata={OF_CARD: self._id})
        return True

    def update(self, *, again: bool = False) -> None:
        """Publish the card and its changed parts; `again`: also the parts that the front end may have missed."""
        self._send_card(update=True)
        self._send_beneath(again=again)
        self._offer()

    def become(self, future: Any, card: AnyCard) -> None:
        """Become the card of another task."""
        self.future, self.card = future, card
        self.is_settled, self.is_unpublished = False, True
        if self._buttons is not None and card.taskid is not None:
            self._buttons.belong_to(card.taskid)

    def forget_choice(self) -> None:
        """Release the choice, for good."""
        choice, self.choice = self.choice, None
        if choice is not None:
            choice.release()

    def retire(self) -> None:
        """Remove the buttons for good: a front end shows an error for a widget without its kernel."""
        self.forget_choice()
        buttons, self._buttons = self._buttons, None
        if buttons is not None:
            self._publish(NOTHING, display_id=self._buttons_id, update=True)
            buttons.close()

    def _send_card(self, *, update: bool) -> None:
        is_updated = not self.is_stale and self.card.reason != FARM_STOPPED
        is_live = is_updated and self.card.state in (*UNFINISHED, "stopping")
        make = partial(group_bundle, self.card) if isinstance(self.card, GroupCard) else partial(card_bundle, self.card)
        bundle = make(is_live=is_live, card_id=self._id)
        bundle["text/html"] += NO_BROKEN_BUTTONS + (NO_TIME_IF_LIVE if is_live else "")
        self.size = _size(bundle)
        self._publish(bundle, display_id=self._id, update=update)

    def _send_beneath(self, *, again: bool = False) -> None:
        """Publish the changed outputs beneath the card; `again`: all of them, if the front end may have missed some.

        Otherwise a figure is sent once: a Jupyter server drops more than a megabyte a second.
        """
        again = again and self._n_reserved > 0
        for place, output in enumerate(self._outputs_beneath()):
            data, metadata = output["data"], {**output["metadata"], OF_CARD: self._id}
            if place < len(self._beneath):
                display_id, shown = self._beneath[place]
                if shown == output and not again:
                    continue
                self._publish(data, display_id=display_id, update=True, metadata=metadata)
                self._beneath[place] = display_id, output
            else:
                display_id = uuid.uuid4().hex
                # a copy: the thread that updates cards is inside the context
                new = self.context.copy()
                new.run(self._publish, data, display_id=display_id, update=False, metadata=metadata)
                self._beneath.append((display_id, output))
            self.size += _size(data)

    def _outputs_beneath(self) -> list[dict[str, Any]]:
        wanted = rich.beneath(self.card.outputs)
        if self._n_reserved and len(wanted) > self._n_reserved:
            n_left = len(wanted) - self._n_reserved + 1
            wanted[self._n_reserved - 1 :] = [{"data": {rich.TEXT: TOO_MANY.format(n_left)}, "metadata": {}}]
        return wanted + [EMPTY] * (max(len(self._beneath), self._n_reserved) - len(wanted))

    def _name_group(self) -> None:
        if self._buttons is not None and isinstance(self.card, GroupCard):
            self._buttons.belong_to_group(self.card.title, self.card.ranges)

    def _offer(self) -> None:
        buttons = self._buttons
        if buttons is None:
            return
        self._name_group()
        verbs = list(offers(self.card, self.choice))
        if verbs != buttons.offers:
            buttons.offers = verbs
        if self.card.state != buttons.state:
            buttons.state = self.card.state
        if self.card.state == "succeeded":  # a page that was reloaded does not get this update
            self._publish(NOTHING, display_id=self._buttons_id, update=True)


def _size(bundle: Bundle) -> int:
    return sum(len(form) if isinstance(form, str) else len(repr(form)) for form in bundle.values())

"""A card with its outputs and buttons: which of them are sent, and when."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from taskfc_ext.ipython.cards.live_card import NOTHING, LiveCard, offers
from taskfc_ext.ipython.cards.render import Bundle, Card
from taskfc_ext.view.cards import CARD_TYPE, OF_CARD

SEEN = datetime(2026, 1, 1)


class FakeButtons:
    def __init__(self, taskid: int, verbs: tuple[str, ...]) -> None:
        self.offers = list(verbs)
        self.state = ""
        self.taskid = taskid
        self.closed = False

    def bundle(self) -> Bundle:
        return {"text/plain": "", "view": self.taskid}

    def belong_to(self, taskid: int) -> None:
        self.taskid = taskid

    def close(self) -> None:
        self.closed = True


class Page:
    """A front end: the outputs in their order, each in its last form."""

    def __init__(self) -> None:
        self.outputs: dict[str, Bundle] = {}
        self.n_sent = 0

    def __call__(
        self, bundle: Bundle, *, display_id: str, update: bool, metadata: dict[str, Any] | None = None
    ) -> None:
        assert update == (display_id in self.outputs)
        self.outputs[display_id] = bundle
        self.n_sent += 1

    @property
    def beneath(self) -> list[Bundle]:
        return list(self.outputs.values())[1:]


def card(state: str, *htmls: str, taskid: int | None = 3) -> Card:
    outputs = tuple({"data": {"text/html": html}, "metadata": {}} for html in htmls)
    return Card(as_of=SEEN, state=state, taskid=taskid, title="fit", outputs=outputs)


@pytest.fixture
def page() -> Page:
    return Page()


def with_buttons(entry: LiveCard, act: Callable[[str], str] = str) -> FakeButtons:
    made: list[FakeButtons] = []

    def make(act: Callable[[str], str], farm: str, taskid: int, verbs: tuple[str, ...], labels: object) -> FakeButtons:
        made.append(FakeButtons(taskid, verbs))
        return made[-1]

    entry.show_buttons(make, act)
    return made[0]


@pytest.mark.parametrize(
    ("state", "verbs"),
    [
        ("waiting", ("abort",)),
        ("scheduled", ("abort",)),
        ("running", ("abort",)),
        ("stopping", ()),
        ("succeeded", ()),
        ("failed", ("retry",)),
        ("aborted", ("retry",)),
        ("unknown", ()),
    ],
)
def test_the_verbs_of_each_state(state: str, verbs: tuple[str, ...]) -> None:
    assert offers(card(state)) == verbs
    assert offers(card(state, taskid=None)) == ()


def test_later_displays_are_added_beneath(page: Page) -> None:
    entry = LiveCard(None, card("running", "<b>1"), page)
    entry.show()
    assert page.beneath == [{"text/html": "<b>1"}]
    entry.card = card("running", "<b>1", "<b>2")
    entry.update()
    assert page.beneath == [{"text/html": "<b>1"}, {"text/html": "<b>2"}]
    assert page.n_sent == 4  # the first one stands as it was


def test_cleared_outputs_disappear(page: Page) -> None:
    entry = LiveCard(None, card("running", "<b>1", "<b>2"), page)
    entry.show()
    entry.card = card("running", "<b>new")
    entry.update()
    assert page.beneath == [{"text/html": "<b>new"}, NOTHING]


def test_the_buttons_follow_the_state(page: Page) -> None:
    entry = LiveCard(None, card("scheduled"), page)
    entry.show()
    buttons = with_buttons(entry)
    assert page.beneath == [{"text/plain": "", "view": 3}]
    for state, verbs in (("running", ["abort"]), ("stopping", []), ("aborted", ["retry"])):
        entry.card = card(state)
        entry.is_settled = state == "aborted"
        entry.update()
        assert (buttons.offers, buttons.state) == (verbs, state)
    assert page.beneath == [{"text/plain": "", "view": 3}]  # one view for all of it
    entry.update(again=True)
    assert not buttons.closed


def test_the_buttons_of_a_successful_task_disappear(page: Page) -> None:
    entry = LiveCard(None, card("running"), page)
    entry.show()
    buttons = with_buttons(entry)
    entry.card, entry.is_settled = card("succeeded"), True
    entry.update()
    assert page.beneath == [NOTHING]
    assert buttons.state == "succeeded"
    assert not buttons.closed  # a page that was loaded anew does not hear of that, and says what they know


def test_a_retry_replaces_the_failed_task(page: Page) -> None:
    entry = LiveCard("old", card("failed"), page)
    entry.show()
    buttons = with_buttons(entry)
    entry.is_settled = True
    entry.become("new", card("scheduled", taskid=4))
    entry.update()
    assert (entry.future, entry.is_settled, buttons.taskid, buttons.offers) == ("new", False, 4, ["abort"])
    assert len(page.outputs) == 2


def test_buttons_are_taken_away_once(page: Page) -> None:
    entry = LiveCard(None, card("failed"), page)
    entry.show()
    buttons = with_buttons(entry)
    entry.retire()
    assert (buttons.closed, page.beneath) == (True, [NOTHING])
    n_sent = page.n_sent
    entry.retire()
    assert page.n_sent == n_sent


def test_a_successful_task_gets_no_buttons(page: Page) -> None:
    entry = LiveCard(None, card("succeeded"), page)
    assert not entry.show_buttons(lambda act, farm, taskid, verbs, labels: pytest.fail("no buttons are wanted"), str)
    assert page.outputs == {}


cell: ContextVar[str] = ContextVar("cell", default="none")


def test_a_new_output_is_sent_in_the_context_of_its_cell_and_an_update_in_that_of_the_caller() -> None:
    seen: list[tuple[str, str]] = []

    def publish(bundle: Bundle, *, display_id: str, update: bool, metadata: dict[str, Any] | None = None) -> None:
        if "as of" not in bundle.get("text/plain", ""):
            seen.append((bundle["text/html"], cell.get()))

    token = cell.set("its own")
    entry = LiveCard(None, card("running", "<b>1"), publish)
    entry.show()
    cell.reset(token)
    entry.card = card("running", "<b>changed", "<b>2")
    entry.context.run(entry.update)  # as the thread does, in that context itself
    entry.card = card("running", "<b>again", "<b>2", "<b>3")
    entry.update()
    assert seen == [
        ("<b>1", "its own"),
        ("<b>changed", "its own"),
        ("<b>2", "its own"),
        ("<b>again", "none"),
        ("<b>3", "its own"),
    ]


def test_reserved_places_take_later_outputs(page: Page) -> None:
    entry = LiveCard(None, card("running"), page)
    entry.show(reserve=3)
    assert page.beneath == [NOTHING] * 3
    entry.card = card("running", "<b>1", "<b>2")
    entry.update()
    assert page.beneath == [{"text/html": "<b>1"}, {"text/html": "<b>2"}, NOTHING]
    entry.card = card("succeeded", *"12345")
    entry.update(again=True)
    texts = [bundle.get("text/html") or bundle["text/plain"] for bundle in page.beneath]
    assert texts == ["1", "2", "… and 3 more outputs after the end of the cell: `--wait` keeps all of them"]


def test_the_size_of_an_update_counts_all_that_was_sent(page: Page) -> None:
    entry = LiveCard(None, card("running"), page)
    entry.show()
    plain = entry.size
    entry.card = card("running", "x" * 10_000)
    entry.update()
    assert plain + 10_000 <= entry.size < plain + 11_000
    entry.update()
    assert entry.size == plain


@pytest.mark.parametrize(("reserve", "n_again"), [(0, 1), (3, 4)])
def test_outputs_are_sent_again_only_where_they_may_have_been_missed(page: Page, reserve: int, n_again: int) -> None:
    entry = LiveCard(None, card("succeeded", "<b>1"), page)
    entry.show(reserve=reserve)
    n_sent = page.n_sent
    entry.update(again=True)
    assert page.n_sent - n_sent == n_again


def test_an_output_that_was_not_sent_is_sent_with_the_next_update(page: Page) -> None:
    entry = LiveCard(None, card("running", "<b>1"), page)
    entry.show()
    entry.card = card("running", "<b>changed", "<b>2")
    entry._publish = refuse
    with pytest.raises(LookupError):
        entry.update()
    entry._publish = page
    entry.update()
    assert page.beneath == [{"text/html": "<b>changed"}, {"text/html": "<b>2"}]


def refuse(bundle: Bundle, *, display_id: str, update: bool, metadata: dict[str, Any] | None = None) -> None:
    raise LookupError("parent_header")


def test_all_that_the_kernel_shows_of_a_card_has_its_id() -> None:
    marks: list[Any] = []

    def publish(bundle: Bundle, *, metadata: dict[str, Any] | None = None, **_: object) -> None:
        marks.append(bundle[CARD_TYPE]["card"] if CARD_TYPE in bundle else (metadata or {}).get(OF_CARD))

    entry = LiveCard(None, replace(card("running", "<b>one</b>"), submitted=1.0), publish)
    entry.show()
    with_buttons(entry)
    entry.card = replace(card("running", "<b>one</b>", "<b>two</b>"), submitted=1.0)
    entry.update()
    assert len(marks) == 5
    assert len(set(marks)) == 1

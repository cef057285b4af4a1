from __future__ import annotations

import json
import threading
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import pytest
from IPython.core.formatters import DisplayFormatter

from taskfc_ext import serialize
from taskfc_ext.client.future.future import FINISHED
from taskfc_ext.client.future.outcome import Facts
from taskfc_ext.errors import ControllerStopped, ControllerUnavailable
from taskfc_ext.ipython.cards.board import FASTEST, MAX_LIVE, SLOWEST, SOON, CardBoard
from taskfc_ext.ipython.cards.render import AS_OF, Bundle, Card, card_text
from taskfc_ext.ipython.cards.snapshot import make_card
from tests.processes import DEADLINE, until

cell: ContextVar[str] = ContextVar("cell", default="none")


class Sent:
    """Publishes into a list, with the context it was done in."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bool, str, str]] = []
        self.bundles: list[Bundle] = []
        self.final = threading.Event()

    def __call__(
        self, bundle: Bundle, *, display_id: str, update: bool, metadata: dict[str, Any] | None = None
    ) -> None:
        self.bundles.append(bundle)
        text = bundle["text/plain"].split(" · as of")[0]
        self.messages.append((text, update, display_id, cell.get()))
        if "succeeded" in text:
            self.final.set()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(sent: Sent, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = CardBoard(sent, make_card, is_live=True, clock=clock)
    start = threading.Thread.start

    def start_others(thread: threading.Thread) -> None:
        if thread.name != "taskfc-cards":  # the tests call `update` themselves
            start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_others)
    yield made
    made._thread = None
    made.close()


def submit(farm: Any) -> Any:
    return farm.with_options(name="fit").submit_cell("fit()", {})


def test_a_card_is_shown_and_updated_in_place(board: CardBoard, farm: Any, sent: Sent, clock: Clock) -> None:
    future = submit(farm)
    board.show(future)
    assert board.update() == SOON
    farm.set(0, state="running", attempts=1, elapsed=0.2)
    farm.logs[0] = "hello\n"
    assert len(sent.messages) == 1  # not due yet
    clock.now = SOON
    assert board.update() == SOON + FASTEST
    farm.succeed(0, 42)
    assert board.update() is None
    texts, updates, ids, _ = zip(*sent.messages, strict=True)
    assert texts == (
        "○ task 0 fit · scheduled",
        "▶ task 0 fit · running · 0.20 s",
        "✔ task 0 fit · succeeded · 1.50 s",
    )
    assert updates == (False, True, True)
    assert len(set(ids)) == 1


def test_a_task_whose_end_is_known_before_its_result_is_followed(board: CardBoard, farm: Any, sent: Sent) -> None:
    future = submit(farm)
    farm.set(0, state="succeeded", attempts=1, elapsed=0.1)
    board.show(future)
    farm.succeed(0, 42)
    assert board.update() is None
    assert [message[0] for message in sent.messages] == [
        "✔ task 0 fit · succeeded · 0.10 s",
        "✔ task 0 fit · succeeded · 1.50 s",
    ]


def test_an_unchanged_card_is_not_sent(board: CardBoard, farm: Any, sent: Sent, clock: Clock) -> None:
    board.show(submit(farm))
    for turn in range(1, 5):
        clock.now = turn * FASTEST
        board.update()
    assert len(sent.messages) == 1


def test_updates_become_rarer_with_the_run_time(board: CardBoard, farm: Any, clock: Clock) -> None:
    board.show(submit(farm))
    for elapsed, pause in ((1.0, FASTEST), (60.0, 3.0), (3600.0, SLOWEST)):
        farm.set(0, state="running", attempts=1, elapsed=elapsed)
        clock.now += 100
        due = board.update()
        assert due is not None
        assert due - clock.now == pytest.approx(pause)


def test_an_update_is_sent_in_the_context_of_its_cell(board: CardBoard, farm: Any, sent: Sent, clock: Clock) -> None:
    token = cell.set("In[1]")
    board.show(submit(farm))
    cell.reset(token)
    farm.set(0, state="running")
    clock.now = 1
    board.update()
    assert [message[3] for message in sent.messages] == ["In[1]", "In[1]"]


def test_the_next_cell_sends_a_changed_card_once_more(board: CardBoard, farm: Any, sent: Sent, clock: Clock) -> None:
    board.show(submit(farm))
    farm.succeed(0, 42)
    board.update()
    token = cell.set("In[2]")
    board.after_cell()
    board.after_cell()
    cell.reset(token)
    assert [message[3] for message in sent.messages[1:]] == ["none", "In[2]"]
    assert sent.messages[1][0] == sent.messages[2][0]


def test_the_end_is_shown_after_the_cell_that_saw_it(board: CardBoard, farm: Any, sent: Sent) -> None:
    board.show(submit(farm))
    farm.succeed(0, 42)
    board.after_cell()
    assert "succeeded" in sent.messages[-1][0]
    assert board.update() is None


def test_a_farm_that_is_away_does_not_end_the_updates(board: CardBoard, farm: Any, sent: Sent, clock: Clock) -> None:
    future = submit(farm)
    board.show(future)
    details = farm.details

    def away(taskid: int) -> None:
        raise ControllerUnavailable("no controller answers")

    farm.details = away
    clock.now = 1
    assert board.update() == 1 + SOON
    farm.details = details
    farm.set(0, state="running")
    clock.now = 2
    board.update()
    assert "running" in sent.messages[-1][0]


def test_the_time_is_hidden_on_a_live_card_and_shown_on_a_stale_one(
    board: CardBoard, farm: Any, sent: Sent, clock: Clock
) -> None:
    def hides_the_time() -> bool:
        html = sent.bundles[-1]["text/html"]
        assert "as of " in html, "a saved notebook shows it"
        return f'class="{AS_OF}"' in html and f".{AS_OF} {{ display: none }}" in html

    future = submit(farm)
    farm.set(0, state="running")
    board.show(future)
    assert hides_the_time()
    details = farm.details
    farm.details = lambda taskid: farm.infos[99]
    clock.now = 10
    board.update()
    assert not hides_the_time(), "the controller is away"
    farm.details = details
    clock.now = 20
    board.update()
    assert hides_the_time()
    for _ in range(MAX_LIVE):
        board.show(submit(farm))
    (html,) = [bundle["text/html"] for bundle in sent.bundles if "task 0 " in bundle["text/plain"]][-1:]
    assert AS_OF not in html, "too many cards are live"
    farm.succeed(0, 42)
    board.show(future)
    assert not hides_the_time()


def test_the_next_cell_publishes_if_a_thread_cannot(board: CardBoard, farm: Any, sent: Sent) -> None:
    board.show(submit(farm))
    farm.succeed(0, 42)
    board._publish = no_parent
    assert board.update() is None
    board._publish = sent
    board.after_cell()
    assert "succeeded" in sent.messages[-1][0]


def no_parent(bundle: Bundle, **_: object) -> None:
    raise LookupError("parent_header")


def test_a_future_that_was_given_up_is_looked_at_once(board: CardBoard, farm: Any, sent: Sent) -> None:
    future = submit(farm)
    board.show(future)
    future._settle_with(ControllerStopped("the farm was stopped"))
    assert board.update() is None
    assert board.update() is None
    assert sent.messages[-1][0] == "◌ task 0 fit · waiting (farm stopped)"


def test_a_card_whose_farm_was_stopped_goes_on_when_that_runs_again(farm: Any, sent: Sent, clock: Clock) -> None:
    found: list[Any] = []
    board = CardBoard(
        sent, make_card, is_live=True, clock=clock, find_again=lambda future: found.pop() if found else None
    )
    future = submit(farm)
    farm.set(0, state="running", attempts=1)
    farm.logs[0] = "half way\n"
    board.show(future)
    future._settle_with(ControllerStopped("the farm was stopped"))
    board.after_cell()
    assert sent.messages[-1][0] == "◌ task 0 fit · waiting (farm stopped)"
    assert "half way" in sent.bundles[-1]["text/plain"]
    board.after_cell()
    n_sent = len(sent.messages)
    found.append(farm.future(0))
    board.after_cell()
    assert [message[0] for message in sent.messages[n_sent:]] == ["▶ task 0 fit · running"]
    assert len({message[2] for message in sent.messages}) == 1  # all in its place
    assert [taskid for taskid, _ in board.renewed] == [0]  # the notebook's name follows the task again, too
    board.close()


def test_a_finished_task_is_shown_and_forgotten(board: CardBoard, farm: Any, sent: Sent) -> None:
    future = submit(farm)
    farm.succeed(0, 1)
    board.show(future)
    assert len(sent.messages) == 1
    assert board.update() is None


def test_an_early_card_is_not_shown_twice(board: CardBoard, farm: Any, sent: Sent) -> None:
    future = submit(farm)
    board.show_early(future)
    board.show(future)
    assert len(sent.messages) == 1
    board.show(future)
    assert len(sent.messages) == 2


def test_nothing_is_followed_where_nothing_can_be_updated(farm: Any, sent: Sent) -> None:
    board = CardBoard(sent, make_card, is_live=False)
    board.show(submit(farm))
    farm.succeed(0, 42)
    board.after_cell()
    assert len(sent.messages) == 1
    assert board._thread is None


def test_the_thread_shows_the_end_and_goes(farm: Any, sent: Sent) -> None:
    board = CardBoard(sent, make_card, is_live=True)
    board.show(submit(farm))
    thread = board._thread
    assert thread is not None
    farm.succeed(0, 42)
    assert sent.final.wait(DEADLINE)
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert board._thread is None
    board.show(submit(farm))  # and a new one comes
    board.close()
    until(lambda: not [t for t in threading.enumerate() if t.name == "taskfc-cards"], "it goes at the end")


# what a card says of a future


def read_card(future: Any) -> Card:
    return make_card(future, datetime(2026, 1, 1))


def test_a_failed_task_shows_where_it_was_raised(farm: Any) -> None:
    future = submit(farm)
    farm.fail(0, ValueError("no"), 'File "<cell>", line 3\nValueError: no')
    card = read_card(future)
    assert (card.state, card.error) == ("failed", 'File "<cell>", line 3\nValueError: no')


def test_an_aborted_task(farm: Any) -> None:
    future = submit(farm)
    farm.abort(0)
    assert read_card(future).state == "aborted"


def test_none_is_no_result(farm: Any) -> None:
    future = submit(farm)
    farm.succeed(0, None, output="printed")
    assert (read_card(future).result, read_card(future).output) == ("", "printed")


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_a_repr_that_raises_does_no_harm(farm: Any) -> None:
    future = submit(farm)
    farm.succeed(0, Rude())
    assert read_card(future).result == "<Rude whose repr raised RuntimeError>"


def test_displays_of_a_running_task_are_on_its_card(board: CardBoard, farm: Any, sent: Sent, clock: Clock) -> None:
    board.show(submit(farm))
    farm.set(0, state="running", attempts=1)
    farm.displays[0] = [
        {"output_type": "display_data", "data": {"image/png": "AAAA", "text/plain": "<Figure>"}, "metadata": {}},
        {"output_type": "display_data", "data": {"text/html": "<table>", "text/plain": "a table"}, "metadata": {}},
    ]
    clock.now = 1
    board.update()
    card, figure, table = sent.bundles[-3:]
    assert "AAAA" not in card["text/html"]
    assert "<table>" not in card["text/html"]
    assert "<Figure>" not in card["text/plain"]
    assert figure == {"image/png": "AAAA", "text/plain": "<Figure>"}
    assert table == {"text/html": "<table>", "text/plain": "a table"}


class Table:
    def __repr__(self) -> str:
        return "a table"

    def _repr_html_(self) -> str:
        return "<table>"

    def _repr_latex_(self) -> str:
        raise RuntimeError("no")


def test_a_result_that_can_be_drawn_is(farm: Any) -> None:
    future = submit(farm)
    farm.succeed(0, Table())
    card = make_card(future, datetime(2026, 1, 1), DisplayFormatter())
    assert card.result == ""
    assert card.outputs[-1]["data"] == {"text/plain": "a table", "text/html": "<table>"}
    assert make_card(future, datetime(2026, 1, 1)).result == "a table"


def test_a_large_result_is_cut(farm: Any) -> None:
    future = submit(farm)
    farm.succeed(0, "x" * 10_000)
    assert len(read_card(future).result) < 2_100


def settle_cell(farm: Any, *bodies: dict[str, Any], value: object = None) -> Any:
    """Return the future of a cell whose worker has shown these outputs."""
    future = submit(farm)
    payload = serialize.dump_value(serialize.SourceResult(value, {}, is_cell=True), what="the result")
    displays = tuple(json.dumps(body).encode() for body in bodies)
    future._settle(FINISHED, payload=payload, facts=Facts("", 0, 1, 0.0, 1.5, 2.0, ("printed",), displays))
    return future


def make_output(output_type: str, **data: object) -> dict[str, Any]:
    return {"output_type": output_type, "data": {k.replace("_", "/"): v for k, v in data.items()}, "metadata": {}}


class NotHere:
    def __reduce__(self) -> Any:
        return (int, ("it is not to be unpickled",))


def test_a_value_that_its_task_has_formatted_is_not_unpickled(farm: Any) -> None:
    future = settle_cell(farm, make_output("execute_result", text_plain="0.333"), value=NotHere())
    card = make_card(future, datetime(2026, 1, 1), DisplayFormatter())
    assert (card.state, card.error, card.output, card.elapsed) == ("succeeded", "", "printed", 1.5)
    assert card_text(card).splitlines()[1:] == ["    printed", "    0.333"]


def test_displays_and_the_value_are_in_the_order_of_the_task(farm: Any) -> None:
    first, last = make_output("display_data", text_html="<b>1"), make_output("display_data", image_png="AAAA")
    value = make_output("execute_result", text_html="<b>2", text_plain="two")
    future = settle_cell(farm, first, value, last, value=2)
    assert [output["data"] for output in read_card(future).outputs] == [first["data"], value["data"], last["data"]]
    assert [output["data"] for output in future.outputs] == [first["data"], last["data"]]


def test_a_value_that_has_displayed_itself_is_not_shown_again(farm: Any) -> None:
    chart = make_output("display_data", text_html="<b>1")
    card = read_card(settle_cell(farm, chart, make_output("execute_result"), value=Table()))
    assert ([output["data"] for output in card.outputs], card.result) == ([chart["data"]], "")


class Money:
    def __init__(self, amount: int) -> None:
        self.amount = amount


def test_formatters_of_the_notebook_are_asked_too(farm: Any) -> None:
    formatter = DisplayFormatter()
    future = settle_cell(farm, make_output("execute_result", text_plain="<Money>"), value=Money(3))
    assert make_card(future, datetime(2026, 1, 1), formatter).outputs[0]["data"] == {"text/plain": "<Money>"}
    formatter.formatters["text/html"].for_type(Money, lambda money: f"<b>{money.amount}</b>")
    formatter.formatters["text/plain"].for_type(Money, lambda money, p, cycle: p.text(f"{money.amount} $"))
    (output,) = make_card(future, datetime(2026, 1, 1), formatter).outputs
    assert output["data"] == {"text/plain": "3 $", "text/html": "<b>3</b>"}
    broken = settle_cell(farm, make_output("execute_result", text_plain="a number"), value=NotHere())
    assert make_card(broken, datetime(2026, 1, 1), formatter).outputs[0]["data"] == {"text/plain": "a number"}


def test_a_card_that_shows_the_end_marks_the_result_as_read_in_the_main_thread(farm: Any) -> None:
    future = settle_cell(farm, make_output("execute_result", text_plain="3"), value=3)
    future.track_reads()
    thread = threading.Thread(target=read_card, args=(future,))
    thread.start()
    thread.join()
    assert not future.is_read
    read_card(future)
    assert future.is_read

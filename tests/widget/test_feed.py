"""Messages to the queue views of a notebook, and their requests."""

from __future__ import annotations

import json
import queue
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext.client.farm.interface import Condition
from taskfc_ext.errors import FarmError
from taskfc_ext.protocol.client_messages import (
    Changed,
    ClientMessage,
    ControllerMessage,
    GetDetails,
    Reply,
    Request,
    Watch,
    Watching,
)
from taskfc_ext.protocol.limits import MAX_SOURCE
from taskfc_ext.protocol.snapshots import Batch, Counts, QueueDelta, QueueSnapshot, Run
from taskfc_ext.protocol.states import StateCode
from taskfc_ext.testing import FakeFarm
from taskfc_ext.view.commands import Ask
from taskfc_ext.view.messages import Abort, AnyCommand, CommandAnswer, Scale
from taskfc_ext.widget.feed import QUIET_AFTER, QUIET_PACE, Feed
from tests.processes import DEADLINE

INFO = {"taskid": 1, "name": None, "label": "f", "state": "running"}
SHOWN = {"version": "1", "outputs": [b'{"output_type": "display_data", "data": {"application/json": NaN}}']}
DETAILS = {"task": INFO, **SHOWN}


def answer(message: ClientMessage) -> Sequence[ControllerMessage] | None:
    if isinstance(message, GetDetails):
        return [Reply(message.seq, DETAILS)]
    if not isinstance(message, Watch):
        return None
    batch = Batch(first=0, n=3, label="f")
    runs = (Run(0, 3, StateCode.SCHEDULED),)
    return [
        Watching(
            message.seq,
            QueueSnapshot(
                seq=41, farm="fake", incarnation=1, wall=1.0, counts=Counts(scheduled=3), n_workers=2,
                batches=(batch,), runs=runs,
            ),
        )
    ]  # fmt: skip


def make_changed(seq: int, n: int) -> Changed:
    return Changed(QueueDelta(seq=seq, farm="fake", wall=1.0, counts=Counts(running=n), n_workers=2))


class Page:
    """A feed, and all messages to its views."""

    def __init__(self, farm: FakeFarm) -> None:
        self.now = 1000.0
        self.commands: list[AnyCommand] = []
        self.answer: CommandAnswer | Exception = CommandAnswer(ok=True, said="Done.")
        self.sent: queue.Queue[dict[str, Any]] = queue.Queue()
        self.identity = ""
        self.feed = Feed(farm, self.sent.put, self.carry_out, on_identity=self.know, clock=lambda: self.now)

    def know(self, identity: str) -> None:
        self.identity = identity

    async def carry_out(self, command: AnyCommand, ask: Ask) -> CommandAnswer:
        self.commands.append(command)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def next(self, *kinds: str) -> dict[str, Any]:
        """Return the next message of one of these types, or the next answer."""
        while True:
            message = self.sent.get(timeout=DEADLINE)
            if message.get("type", "answer") in kinds:
                return message

    def say(self, content: object) -> None:
        self.feed.receive(content)


@pytest.fixture
def farm() -> Iterator[FakeFarm]:
    folder = Path(tempfile.mkdtemp(prefix="tf", dir="/tmp"))
    farm = FakeFarm(folder)
    farm.controller.rule = answer
    yield farm
    farm.close()
    shutil.rmtree(folder)


@pytest.fixture
def page(farm: FakeFarm) -> Iterator[Page]:
    page = Page(farm)
    yield page
    page.feed.close()


def test_a_view_gets_the_farm_and_its_queue_and_then_the_changes(farm: FakeFarm, page: Page) -> None:
    snapshot = page.next("snapshot")
    assert snapshot["batches"] == [{"first": 0, "n": 3, "label": "f"}]
    assert snapshot["runs"] == [[0, 3, StateCode.SCHEDULED, False]]
    farm.controller.send(make_changed(42, n=1))
    delta = page.next("delta")
    assert (delta["seq"], delta["counts"]) == (snapshot["seq"] + 1, {"running": 1})


def test_a_view_that_comes_later_asks_for_all_of_it(farm: FakeFarm, page: Page) -> None:
    page.next("snapshot")
    farm.controller.send(make_changed(42, n=1))
    first = page.next("delta")
    page.now += 45
    page.say({"ask": "watch", "farm": "fake"})
    (status,) = page.next("farms")["farms"]
    assert (status["name"], status["state"]) == ("fake", "live")
    again = page.next("snapshot")
    assert again["counts"] == {"running": 1}
    assert again["wall"] == first["wall"] + 45, "of now, though nothing has changed"
    assert again["seq"] == first["seq"] + 1, "numbered on, for the views that are there"


def test_the_death_and_return_of_the_farm_are_reported(farm: FakeFarm, page: Page) -> None:
    page.next("snapshot")
    before = page.identity
    farm.kill(then=Condition.DEAD)
    while (status := page.next("farms")["farms"][0])["state"] != "dead":
        pass
    assert "taskfc start" in status["message"]
    farm.rule = answer
    farm.revive()
    page.next("snapshot")
    assert page.identity not in ("", before)


def test_a_command_is_acknowledged_at_once_and_then_answered(page: Page) -> None:
    page.next("snapshot")
    page.say({"number": 5, "command": {"do": "abort", "taskids": [1, 2]}})
    assert page.next("answer") == {"number": 5, "heard": True}
    assert page.next("answer") == {"number": 5, "answer": {"ok": True, "said": "Done."}}
    assert page.commands == [Abort(taskids=(1, 2))]


def test_details_are_json_also_when_an_output_has_a_nan(page: Page) -> None:
    page.next("snapshot")
    page.say({"number": 5, "details": {"taskid": 1}})
    page.next("answer")
    details = page.next("answer")["details"]
    assert details["task"]["label"] == "f"
    assert details["outputs"] == [{"output_type": "display_data", "data": {"application/json": None}}]
    json.dumps(details, allow_nan=False)


def test_a_drawer_is_updated_in_one_round_trip(farm: FakeFarm, page: Page) -> None:
    page.next("snapshot")
    n_before = len(farm.controller.received)
    page.say({"number": 5, "details": {"taskid": 1, "known": "1", "source": True}})
    page.next("answer")
    page.next("answer")
    asked = [message for message in farm.controller.received[n_before:] if isinstance(message, Request)]
    assert [(type(message), getattr(message, "taskid", None)) for message in asked] == [(GetDetails, 1)]
    assert getattr(asked[0], "source", 0) == MAX_SOURCE


def test_a_command_for_other_processes_is_refused(page: Page) -> None:
    page.next("snapshot")
    page.say({"number": 5, "command": {"do": "abort", "taskids": [1], "identity": "of those before"}})
    page.next("answer")
    assert "was restarted or has ended" in page.next("answer")["problem"]
    page.say({"number": 6, "command": {"do": "abort", "taskids": [1], "identity": page.identity}})
    page.next("answer")
    assert page.next("answer")["answer"]["ok"]
    assert len(page.commands) == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [(FarmError("no farm\n<b>", hint="start it"), "no farm <b>"), (ValueError("odd"), "ValueError: odd")],
)
def test_an_error_is_sent_as_one_line(page: Page, error: Exception, said: str) -> None:
    page.next("snapshot")
    page.answer = error
    page.say({"number": 1, "command": {"do": "scale", "n": 3}})
    page.next("answer")
    assert page.next("answer")["problem"].startswith(said)
    assert page.commands == [Scale(n=3)]


@pytest.mark.parametrize(
    "content",
    [
        {"number": 1, "command": {"do": "explode"}},
        {"number": 1, "command": {"do": "abort", "taskids": []}},
        {"number": "1", "command": {"do": "stop"}},
        {"number": 1},
        {"ask": "watch"},
        {"eval": "1"},
        "text",
        None,
    ],
)
def test_an_invalid_message_has_no_effect(page: Page, content: object) -> None:
    page.next("snapshot")
    page.say(content)
    page.say({"number": 2, "command": {"do": "stop"}})
    assert page.next("answer") == {"number": 2, "heard": True}, "it goes on"
    assert [type(command).__name__ for command in page.commands] in ([], ["Stop"])


@pytest.mark.parametrize("content", [{"looking": True}, {"number": 1, "command": {"do": "stop"}}])
def test_a_message_after_the_end_has_no_effect(page: Page, content: object) -> None:
    page.next("snapshot")
    page.feed.close()
    page.say(content)
    assert not page.commands


@pytest.mark.parametrize(
    "word", [{"looking": True}, {"number": 1, "details": {"taskid": 1}}], ids=["looking", "asking"]
)
def test_little_is_sent_after_a_long_silence_of_the_views(farm: FakeFarm, page: Page, word: object) -> None:
    page.next("snapshot")
    page.now += QUIET_AFTER + 1
    for i in range(3):
        farm.controller.send(make_changed(42 + i, n=i))
    page.say(word)  # somebody does
    page.next("snapshot")  # all at once, also what was sent while nobody looked
    farm.controller.send(make_changed(45, n=9))
    while page.next("snapshot", "delta")["counts"] != {"running": 9}:
        pass
    assert QUIET_PACE > 1


def test_a_view_that_is_open_gets_nothing_again(farm: FakeFarm, page: Page) -> None:
    page.next("snapshot")
    page.now += QUIET_AFTER - 1
    page.say({"looking": True})
    farm.controller.send(make_changed(42, n=9))
    assert page.next("snapshot", "delta")["type"] == "delta"

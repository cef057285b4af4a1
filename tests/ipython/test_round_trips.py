"""The round trips of a card to the controller, counted at a real socket."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.ipython.cards.snapshot import make_card
from taskfc_ext.protocol.client_messages import ClientMessage, ControllerMessage, GetDetails, Reply, Request
from taskfc_ext.testing import FakeFarm
from tests.client.conftest import client, remote

__all__ = ["client", "remote"]

RUNNING = {
    "task": {"taskid": 0, "name": "fit", "label": "f", "state": "running", "attempts": 1, "elapsed": 2.0},
    "printed": ["one\n", "two\n"],
}
FIGURE = b'{"output_type": "display_data", "data": {"image/png": "aGVsbG8="}, "metadata": {}}'


def answer_details(message: ClientMessage) -> Sequence[ControllerMessage] | None:
    if not isinstance(message, GetDetails):
        return None
    outputs = None if message.known == "1.1" else [FIGURE]
    return [Reply(message.seq, {**RUNNING, "version": "1.1", "outputs": outputs})]


@pytest.fixture
def farm() -> Iterator[FakeFarm]:
    folder = Path(tempfile.mkdtemp(prefix="tf", dir="/tmp"))
    farm = FakeFarm(folder, running=False)
    farm.controller.rule = answer_details
    yield farm
    farm.close()
    shutil.rmtree(folder)


def test_a_card_is_updated_in_one_round_trip(farm: FakeFarm, client: BlockingTaskClient) -> None:
    future = client.submit(int)
    client.flush()
    n_before = len(farm.controller.received)
    cards = [make_card(future, datetime(2026, 1, 1)) for _ in range(2)]
    asked = [message for message in farm.controller.received[n_before:] if isinstance(message, Request)]
    assert [type(message) for message in asked] == [GetDetails, GetDetails]
    assert [getattr(message, "known", None) for message in asked] == ["", "1.1"], "a figure is sent once"
    for card in cards:
        assert (card.state, card.output, card.elapsed) == ("running", "one\ntwo\n", 2.0)
        assert [output["data"] for output in card.outputs] == [{"image/png": "aGVsbG8="}]

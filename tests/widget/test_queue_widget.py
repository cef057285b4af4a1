"""The live queue of a notebook as a widget."""

from __future__ import annotations

import queue
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskfc_ext.testing import FakeFarm
from taskfc_ext.view.commands import Ask, carry_out
from taskfc_ext.view.messages import AnyCommand, CommandAnswer, Start
from taskfc_ext.widget.queue_widget import QueueWidget
from tests.processes import DEADLINE


async def do(command: AnyCommand, ask: Ask) -> CommandAnswer:
    assert not isinstance(command, Start)
    return await carry_out(command, ask)


@pytest.fixture
def widget() -> Iterator[QueueWidget]:
    folder = Path(tempfile.mkdtemp(prefix="tf", dir="/tmp"))
    farm = FakeFarm(folder)
    widget = QueueWidget(farm, do)
    yield widget
    widget.close()
    widget.close()  # as the interpreter's exit may do once more
    farm.close()
    shutil.rmtree(folder)


def test_a_click_goes_through_to_the_controller_and_its_answer_comes_back(widget: QueueWidget) -> None:
    said: queue.Queue[dict[str, object]] = queue.Queue()
    widget._feed._send = said.put  # type: ignore[union-attr]  # the one way out
    widget._handle_custom_msg({"number": 1, "command": {"do": "abort", "taskids": [7]}}, [])
    while "answer" not in (message := said.get(timeout=DEADLINE)):
        pass
    answer: Any = message.pop("answer")
    assert (message, answer.keys(), answer["ok"]) == ({"number": 1}, {"ok", "said"}, False)
    assert answer["said"].startswith("There is no task 7: ")


def test_the_bundle_has_the_view_and_its_fallback(widget: QueueWidget) -> None:
    bundle = widget.bundle({"text/plain": "a table"})
    assert bundle["text/plain"] == "a table"
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id

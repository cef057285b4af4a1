"""One queue for each farm, however often it is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ipywidgets
import pytest

from taskfc_ext.errors import StartFailed
from taskfc_ext.ipython.cards.queue_widgets import QueueWidgets
from taskfc_ext.view.messages import CommandAnswer, Start

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def session() -> SimpleNamespace:
    return SimpleNamespace(name="one")


@pytest.fixture
def queues(session: Any, home: Path) -> Iterator[QueueWidgets]:
    queues = QueueWidgets(session, SimpleNamespace(retried=[]))  # type: ignore[arg-type]  # nothing is run again here
    yield queues
    queues.close()


def show_queue(queues: QueueWidgets) -> str:
    """Return which widget is shown."""
    bundle = queues.bundle({"text/plain": "a table"})
    assert bundle["text/plain"] == "a table"
    return str(bundle[VIEW]["model_id"])


def test_a_farm_has_one_queue_however_often_it_is_shown(queues: QueueWidgets, session: Any) -> None:
    first = show_queue(queues)
    assert show_queue(queues) == first
    session.name = "two"
    assert show_queue(queues) != first
    session.name = "one"
    assert show_queue(queues) == first


def test_a_queue_that_a_notebook_has_closed_is_made_again(queues: QueueWidgets) -> None:
    first = show_queue(queues)
    ipywidgets.Widget.close_all()
    assert show_queue(queues) not in ("", first)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (None, "Farm one runs."),
        (
            StartFailed("the store one.db is in use", hint="stop the farm first"),
            "The store one.db is in use: stop the farm first.",
        ),
    ],
)
def test_a_start_is_one_sentence(queues: QueueWidgets, session: Any, error: Exception | None, said: str) -> None:
    def start(name: str, n_workers: int | None, *, fresh: bool) -> None:
        assert (name, n_workers, fresh) == ("one", 2, False)
        if error is not None:
            raise error

    async def ask(*_: object, **fields: object) -> None:
        raise AssertionError("a start asks no controller")

    session.farms = SimpleNamespace(start=start)
    answer = asyncio.run(queues._carry_out("one", Start(n=2), ask))
    assert answer == CommandAnswer(ok=error is None, said=said)

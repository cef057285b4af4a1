"""A request at which the controller itself fails: it ends no more than two controllers, and nothing else is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfc_ext import start
from taskfc_ext.client.start import Controller
from taskfc_ext.errors import RequestRefused
from tests.processes import DEADLINE

FAULTS = '''
"""Faults of the controller of one test farm."""
import sys

if any("taskfc_ext.controller.app" in word for word in sys.orig_argv):
    from taskfc_ext.controller.answers import Answers
    from taskfc_ext.core.effects import SendList, SendLog
    from taskfc_ext.core.scheduler import Scheduler

    handle, complete, make_list = Scheduler.handle, Answers.complete_for_client, Answers._list

    def fail_to_handle(self, event, now):
        if getattr(getattr(event, "message", None), "name", None) == "wrong":
            raise KeyError("a fault of the scheduler")
        return handle(self, event, now)

    def fail_to_answer(self, message):
        if isinstance(message, SendLog):
            raise ZeroDivisionError("a fault of an answer")
        return complete(self, message)

    def fail_at_a_part(self, message):
        yield from make_list(self, message)
        if message.name == "part":
            raise IndexError("a fault of a part")

    Scheduler.handle, Answers.complete_for_client, Answers._list = fail_to_handle, fail_to_answer, fail_at_a_part
'''


@pytest.fixture
def faulty_farm(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Controller]:
    tmp_path.joinpath("sitecustomize.py").write_text(FAULTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with start(1) as controller:
        yield controller


def test_a_request_that_ends_controllers_is_refused_and_all_others_are_answered(faulty_farm: Controller) -> None:
    with faulty_farm.client() as client, faulty_farm.client() as other:
        before = faulty_farm.pid
        waiting = other.submit(lambda seconds: __import__("time").sleep(seconds) or "done", 3)
        wrong = client.with_options(name="wrong").submit(abs, -1)
        assert client.submit(abs, -2).result(DEADLINE) == 2  # sent after it
        with pytest.raises(RequestRefused, match=r"2 controllers failed .* KeyError: 'a fault of the scheduler'"):
            wrong.result(DEADLINE)
        assert waiting.result(DEADLINE) == "done"
        assert faulty_farm.pid != before
        before = faulty_farm.pid
        assert client.submit(abs, -3).result(DEADLINE) == 3
        assert faulty_farm.pid == before


@pytest.mark.parametrize("fault", ["an answer", "a part"])
def test_so_is_one_whose_answer_cannot_be_made(faulty_farm: Controller, fault: str) -> None:
    with faulty_farm.client() as client:
        done = client.submit(print, "x")
        done.result(DEADLINE)
        with pytest.raises(RequestRefused, match=f"2 controllers failed .* a fault of {fault}"):
            client.list_tasks(name="part") if fault == "a part" else client.log(done.taskid)
        assert client.submit(abs, -2).result(DEADLINE) == 2

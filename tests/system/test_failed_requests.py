"""Requests at which the controller itself fails: they end few controllers, and nothing else is lost."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskfc_ext import BlockingTaskClient, start
from taskfc_ext.client.start import Controller
from taskfc_ext.drivers.paths import farm_paths
from taskfc_ext.errors import RequestRefused
from taskfc_ext.protocol.snapshots import FarmState, FarmStatus
from tests.processes import DEADLINE, kill_and_wait

FAULTS = '''
"""One fault of the controller of a test farm: FAULT."""
import sys

if any("taskfc_ext.controller.app" in word for word in sys.orig_argv):
    from taskfc_ext.controller.answers import Answers
    from taskfc_ext.controller.endpoint import FCTaskControllerFromTaskController as Endpoint
    from taskfc_ext.core.effects import SendLog, SendSnapshot
    from taskfc_ext.core.scheduler import Scheduler
    from taskfc_ext.protocol.client_messages import GetResults

    def is_wrong(message):
        return getattr(message, "name", None) == "wrong"

    def fails_if(condition, method):
        def fail_or_go_on(self, *args):
            if condition(*args):
                raise ZeroDivisionError("FAULT")
            return method(self, *args)
        return fail_or_go_on

    def fails_at_its_end(method):
        def go_on_and_fail(self, message):
            yield from method(self, message)
            if is_wrong(message):
                raise ZeroDivisionError("FAULT")
        return go_on_and_fail

    def patch(cls, name, condition):
        setattr(cls, name, fails_if(condition, getattr(cls, name)))

    match "FAULT":
        case "a decision":
            patch(Scheduler, "handle", lambda event, now: is_wrong(getattr(event, "message", None)))
        case "a check":
            patch(Endpoint, "_unfit", lambda connection, specs, *_: "fail" in [spec.label for spec in specs])
        case "an answer":
            patch(Answers, "complete_for_client", lambda message: isinstance(message, SendLog))
        case "a part":
            Answers._list = fails_at_its_end(Answers._list)
        case "a recall":
            patch(Scheduler, "handle", lambda event, now: type(event).__name__ == "Recalled")
        case "a frame":
            patch(Endpoint, "packageSuccess", lambda *some: any(isinstance(getattr(m, "value", 0), str) for m in some))
        case "results":
            patch(Scheduler, "handle",
                  lambda event, now: isinstance(m := getattr(event, "message", None), GetResults) and 0 in m.taskids)
        case "a snapshot":
            patch(Answers, "complete_for_client", lambda message: isinstance(message, SendSnapshot))
'''


def fail() -> None:
    raise ValueError


@pytest.fixture
def farm_with(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Controller]]:
    """Start a farm whose controller has this fault."""
    farms: list[Controller] = []

    def make(fault: str) -> Controller:
        tmp_path.joinpath("sitecustomize.py").write_text(FAULTS.replace("FAULT", fault))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        farms.append(start(1))
        return farms[0]

    yield make
    for farm in farms:
        farm.stop()


def n_deaths() -> int:
    """Return how many controllers have failed at a request."""
    return len(re.findall("failed while it handled a request", farm_paths("default").supervisor_log.read_text()))


def submit_wrong(client: BlockingTaskClient) -> None:
    client.with_options(name="wrong").submit(abs, -1).result(DEADLINE)


def submit_fail(client: BlockingTaskClient) -> None:
    client.submit(fail).result(DEADLINE)


def read_log(client: BlockingTaskClient) -> None:
    client.log(0)


def list_wrong(client: BlockingTaskClient) -> None:
    client.list_tasks(name="wrong")


def retry_first(client: BlockingTaskClient) -> None:
    client.retry(0)


@pytest.mark.parametrize(
    ("fault", "request_it"),
    [
        ("a decision", submit_wrong),
        ("a check", submit_fail),
        ("an answer", read_log),
        ("a part", list_wrong),
        ("a recall", retry_first),
    ],
)
def test_a_request_that_ends_two_controllers_is_refused_and_all_others_are_answered(
    farm_with: Callable[[str], Controller], fault: str, request_it: Callable[[BlockingTaskClient], None]
) -> None:
    farm = farm_with(fault)
    with farm.client() as client, farm.client() as other:
        assert client.submit(abs, -1).result(DEADLINE) == 1
        waiting = other.submit(time.sleep, 2)
        mine = client.submit(time.sleep, 2)
        with pytest.raises(RequestRefused, match=f"2 controllers failed .* ZeroDivisionError: {fault}"):
            request_it(client)
        assert (waiting.result(DEADLINE), mine.result(DEADLINE)) == (None, None)
        assert client.submit(abs, -2).result(DEADLINE) == 2
        assert n_deaths() == 2


def test_a_client_whose_results_end_four_controllers_is_refused_and_no_other_one(
    farm_with: Callable[[str], Controller],
) -> None:
    farm = farm_with("results")
    with farm.client() as client, farm.client() as other:
        first = client.submit(time.sleep, 5)
        client.flush()
        waiting = other.submit(time.sleep, 2)
        other.flush()
        kill_and_wait(farm.pid)  # the client asks the next one for the result of task 0, with a new number each time
        with pytest.raises(RequestRefused, match=r"4 controllers failed .* this client; .* ZeroDivisionError: results"):
            first.result(DEADLINE)
        assert waiting.result(DEADLINE) is None
        assert n_deaths() == 4


def test_so_is_one_for_whom_no_frame_can_be_made(farm_with: Callable[[str], Controller]) -> None:
    farm = farm_with("a frame")
    with farm.client() as client, farm.client() as other:
        waiting = other.submit(time.sleep, 2)
        with pytest.raises(RequestRefused, match=r"4 controllers failed .* this client; .* ZeroDivisionError: a frame"):
            client.get_client_name()
        assert waiting.result(DEADLINE) is None
        assert n_deaths() == 4


def test_a_view_that_ends_four_controllers_is_refused_and_says_so(farm_with: Callable[[str], Controller]) -> None:
    farm = farm_with("a snapshot")

    def look(client: BlockingTaskClient) -> FarmStatus:
        for news in client.watch():
            if isinstance(news, FarmStatus) and news.state is FarmState.REFUSED:
                return news
        raise AssertionError

    with farm.client() as client:
        assert "ZeroDivisionError: a snapshot" in look(client).message
        assert client.submit(abs, -2).result(DEADLINE) == 2
        assert n_deaths() == 4

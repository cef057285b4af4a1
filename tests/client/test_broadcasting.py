"""Broadcasts, through both clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from taskfc_ext.client.aio import FCTaskClient
from taskfc_ext.client.blocking import BlockingTaskClient
from taskfc_ext.client.session.controller import RemoteController
from taskfc_ext.drivers.paths import uploads_of
from taskfc_ext.errors import BroadcastFailed, RequestRefused, UnpicklableArgument
from taskfc_ext.protocol.client_messages import AwaitBroadcast, Broadcast, ClearBroadcasts, Reply, Submit, Unwait
from taskfc_ext.protocol.code_in_messages import code_in
from taskfc_ext.protocol.infos import BroadcastReport
from taskfc_ext.protocol.payloads import Upload
from taskfc_ext.protocol.spec import Kind
from taskfc_ext.serialize import load_call, load_cell, load_function
from taskfc_ext.tasks import StringTask
from taskfc_ext.testing import FakeFarm


def warm_up() -> str:
    return "warm"


def answer_with(farm: FakeFarm, report: BroadcastReport | None) -> None:
    """Let the controller accept broadcasts as number 4, and tell that they went so; `None`: never."""

    def rule(message: Any) -> list[Reply] | None:
        match message:
            case Broadcast():
                return [Reply(message.seq, 4)]
            case AwaitBroadcast():
                return [] if report is None else [Reply(message.seq, report)]
            case ClearBroadcasts():
                return [Reply(message.seq, 3)]
            case Unwait():
                return [Reply(message.seq)]
        return None

    farm.controller.rule = rule


def wait_for_broadcast(farm: FakeFarm) -> Broadcast:
    (message,) = farm.controller.wait_for(Broadcast)
    assert isinstance(message, Broadcast)
    return message


def test_code_goes_with_its_names_behind_what_was_submitted_before(farm: FakeFarm, client: BlockingTaskClient) -> None:
    answer_with(farm, BroadcastReport(2))
    client.submit(warm_up)
    assert client.broadcast("\nimport math\nx = y", {"y": 3}) == 2
    message = wait_for_broadcast(farm)
    assert (message.code_kind, message.label, message.code) == (Kind.STRING, "x = y", b"\nimport math\nx = y")
    assert load_cell(message.body)[:2] == ({"y": 3}, ())
    kinds = [type(m) for m in farm.controller.received if isinstance(m, Submit | Broadcast)]
    assert kinds == [Submit, Broadcast]


def test_a_function_goes_as_one(farm: FakeFarm, remote: RemoteController) -> None:
    answer_with(farm, BroadcastReport(1))
    assert asyncio.run(FCTaskClient(remote).broadcast(warm_up)) == 1
    message = wait_for_broadcast(farm)
    assert (message.code_kind, message.label) == (Kind.FUNCTION, "warm_up")
    assert load_function(message.code)() == "warm"
    assert load_call(message.body) == ((), {})


def test_the_error_of_a_broadcast_names_worker_and_exception(farm: FakeFarm, client: BlockingTaskClient) -> None:
    answer_with(farm, BroadcastReport(1, {7: "ValueError: no data"}))
    with pytest.raises(BroadcastFailed) as caught:
        client.broadcast(warm_up)
    assert str(caught.value) == "broadcast 4 failed on 1 of 2 workers: worker 7: ValueError: no data"
    assert (caught.value.number, caught.value.workers) == (4, {7: "ValueError: no data"})


def test_a_broadcast_that_kills_its_workers_is_an_error(farm: FakeFarm, client: BlockingTaskClient) -> None:
    answer_with(farm, BroadcastReport(0, {}, "3 workers died in it (die), so it is skipped"))
    with pytest.raises(BroadcastFailed, match=r"^broadcast 4: 3 workers died in it"):
        client.broadcast(warm_up)


def test_a_wait_that_takes_too_long_is_given_up_and_the_broadcast_is_not(
    farm: FakeFarm, client: BlockingTaskClient
) -> None:
    answer_with(farm, None)
    asked: list[AwaitBroadcast] = []
    timeout = 0.01
    while not asked:  # on a loaded machine the time may be over before the controller is asked
        with pytest.raises(TimeoutError, match=rf"broadcast 4 has not run on all workers after {timeout} s"):
            client.broadcast(warm_up, timeout=timeout)
        asked = [message for message in farm.controller.received if isinstance(message, AwaitBroadcast)]
        timeout *= 4
    unwait = farm.controller.wait_for(Unwait)[0]
    assert isinstance(unwait, Unwait)
    assert unwait.barrier == asked[0].seq


def test_with_a_timeout_of_0_it_is_only_accepted(farm: FakeFarm, client: BlockingTaskClient) -> None:
    answer_with(farm, None)
    assert client.broadcast(warm_up, timeout=0) == 0
    assert not [message for message in farm.controller.received if isinstance(message, AwaitBroadcast)]


def test_they_can_be_forgotten(farm: FakeFarm, client: BlockingTaskClient) -> None:
    answer_with(farm, None)
    assert client.clear_broadcasts() == 3


@pytest.mark.parametrize(
    ("what", "names", "error", "text"),
    [(3, None, TypeError, "source text or a function"), (warm_up, {"x": 1}, TypeError, "names are for code"),
     ("x", {"x": (i for i in ())}, UnpicklableArgument, "`x`")],
)  # fmt: skip
def test_an_impossible_broadcast_is_an_error_before_anything_is_sent(
    farm: FakeFarm, client: BlockingTaskClient, what: Any, names: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        client.broadcast(what, names)
    assert not [message for message in farm.controller.received if isinstance(message, Broadcast)]


def test_a_large_broadcast_goes_in_files_which_are_removed(farm: FakeFarm, client: BlockingTaskClient) -> None:
    folder = uploads_of(farm.journal)
    kept: list[list[str]] = []

    def note_files(message: Any) -> None:
        if isinstance(message, Broadcast):
            kept.append([path.name for path in folder.rglob("*") if path.is_file()])

    farm.controller.rule = note_files
    array = bytes(range(256)) * 4096
    assert client.broadcast("size = len(array)", {"array": array}) == 1
    message = wait_for_broadcast(farm)
    assert isinstance(message.body, Upload)
    assert isinstance(message.code, bytes)
    assert message.body.size > len(array)
    sent = [message.body, *(define.body for define in code_in(message))]  # large modules of this process, too
    assert [sorted(files) for files in kept] == [sorted(body.file for body in sent if isinstance(body, Upload))]
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    taskid = client.run(StringTask("pair = size, array[-1]", pull=("pair",)))
    assert client.get_task_result(taskid, block=True)["pair"] == (len(array), 255)


def test_a_broadcast_whose_file_is_gone_is_refused(farm: FakeFarm, client: BlockingTaskClient) -> None:
    def remove_file(message: Any) -> None:
        if isinstance(message, Broadcast):
            for path in uploads_of(farm.journal).rglob("*"):
                if path.is_file():
                    path.unlink()

    farm.controller.rule = remove_file
    with pytest.raises(RequestRefused, match="the file with the code or the arguments is gone"):
        client.broadcast("x", {"x": bytes(100_000)})
    farm.controller.rule = None
    assert client.broadcast("y", {"y": bytes(100_000)}) == 1


def test_one_that_fits_into_no_frame_to_a_worker_is_an_error(
    client: BlockingTaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskfc_ext.client.submit.broadcast.MAX_BROADCAST", 100_000)
    with pytest.raises(UnpicklableArgument, match=r"is 100,\d{3} bytes pickled, over the limit of 100,000"):
        client.broadcast("x", {"x": bytes(100_000)})

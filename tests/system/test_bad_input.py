"""Bad input at a real controller: a clear error that says what to do, nothing lost, and nobody else notices."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfc_ext import BlockingTaskClient, StringTask, TaskClient, start
from taskfc_ext.client.start import Controller
from taskfc_ext.drivers.connection_file import read_connection
from taskfc_ext.drivers.paths import farm_paths
from taskfc_ext.drivers.transport import Dealer
from taskfc_ext.errors import (
    FarmError,
    UnknownTask,
    UnpicklableArgument,
    UnpicklableResult,
)
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import ErrorKind, GetWorkers, Hello, Ping, Refused, Welcome
from taskfc_ext.protocol.ids import PROTOCOL
from tests.processes import DEADLINE, until

PYTHON = f"{os.sys.version_info[0]}.{os.sys.version_info[1]}"


@pytest.fixture
def stranger(shared_farm: Controller) -> Iterator[Dealer]:
    """A peer on the controller's socket that says what it likes."""
    dealer = Dealer(farm_paths(shared_farm.name).clients, codec.from_controller)
    yield dealer
    dealer.close()


def answer_of(dealer: Dealer) -> object:
    return until(dealer.receive, "the controller answers")[0]


def still_works(client: BlockingTaskClient) -> bool:
    return client.submit(abs, -5).result(DEADLINE) == 5


# types and ids


@pytest.mark.parametrize("call", ["submit", "run", "abort", "barrier", "get_task_result", "clear", "scale", "map"])
def test_a_wrong_type_is_named(client: BlockingTaskClient, call: str) -> None:
    with pytest.raises(TypeError) as caught:
        getattr(client, call)("nonsense") if call != "map" else client.map(3, [1])
    assert "nonsense" in str(caught.value) or "3" in str(caught.value)
    assert still_works(client)


@pytest.mark.parametrize(
    "options",
    [
        {"retries": -1},
        {"retries": 1.5},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": "3"},
        {"priority": "high"},
        {"on_lost": "maybe"},
        {"name": "two words"},
        {"backoff": -1},
        {"after": "yesterday"},
        {"tmieout": 3},
    ],
    ids=str,
)
def test_a_wrong_option_is_named(client: BlockingTaskClient, options: dict[str, object]) -> None:
    (name,) = options
    with pytest.raises((TypeError, ValueError), match=name):
        client.with_options(**options).submit(abs, -1)
    assert still_works(client)


def test_unknown_ids(client: BlockingTaskClient) -> None:
    for call in (client.abort, client.get_task_result, client.barrier, client.log, client.future):
        with pytest.raises(UnknownTask, match="987654"):
            call(987654)
    with pytest.raises(UnknownTask, match="987654"):
        client.with_options(after=[987654]).submit(abs, -1).result(DEADLINE)


# what cannot travel


def test_an_unpicklable_argument_is_named_and_nothing_is_submitted(client: BlockingTaskClient) -> None:
    before = client.queue_status()
    with pytest.raises(UnpicklableArgument, match=r"argument 2 of .*_thread\.lock"):
        client.submit(print, 1, threading.Lock())
    with pytest.raises(UnpicklableArgument, match="lock"):
        client.run(StringTask("1", push={"lock": threading.Lock()}))
    assert client.queue_status() == before


def test_an_unpicklable_result_is_named(client: BlockingTaskClient) -> None:
    def make() -> object:
        return {"deep": [threading.Lock()]}

    with pytest.raises(UnpicklableResult, match=r"result of .*make.*'deep'.*_thread\.lock"):
        client.submit(make).result(DEADLINE)


def test_an_unpicklable_exception_still_tells_all(client: BlockingTaskClient) -> None:
    def fail() -> None:
        error = ValueError("with a lock")
        error.lock = threading.Lock()  # type: ignore[attr-defined]
        raise error

    with pytest.raises(Exception, match="with a lock"):
        client.submit(fail).result(DEADLINE)


# the wire


def test_another_protocol_version_is_told_both(client: BlockingTaskClient, stranger: Dealer) -> None:
    stranger.send([Hello(PROTOCOL + 1, "9.9", PYTHON, "f" * 16)])
    answer = answer_of(stranger)
    assert isinstance(answer, Refused)
    assert answer.error is ErrorKind.VERSION
    assert f"protocol {PROTOCOL + 1}" in answer.message
    assert answer.hint
    assert still_works(client)


def test_another_python_is_told_both(stranger: Dealer) -> None:
    stranger.send([Hello(PROTOCOL, "0.1.0", "2.7", "f" * 16)])
    answer = answer_of(stranger)
    assert isinstance(answer, Refused)
    assert "2.7" in answer.message
    assert PYTHON in answer.message


def test_a_request_before_hello_is_refused(stranger: Dealer) -> None:
    stranger.send([GetWorkers(seq=1)])
    answer = answer_of(stranger)
    assert isinstance(answer, Refused)
    assert answer.error is ErrorKind.SAY_HELLO


@pytest.mark.parametrize(
    "junk", [b"", b"junk", b"\xc1" * 100, b"\xdd\xff\xff\xff\xff", b"\x91" * 10_000, b"\x00" * 2**20]
)
def test_a_junk_frame_is_refused_and_the_connection_goes_on(
    client: BlockingTaskClient, stranger: Dealer, junk: bytes
) -> None:
    stranger.socket.send(junk)
    answer = answer_of(stranger)
    assert isinstance(answer, Refused)
    assert answer.error is ErrorKind.PROTOCOL
    stranger.send([Hello(PROTOCOL, "0.1.0", PYTHON, "e" * 16), Ping(seq=1)])
    assert isinstance(answer_of(stranger), Welcome)
    assert still_works(client)


def test_whoever_only_talks_junk_is_not_heard_any_more(client: BlockingTaskClient, stranger: Dealer) -> None:
    futures = [client.submit(abs, -i) for i in range(500)]
    for _ in range(200):
        stranger.socket.send(b"junk")
    refusals: list[object] = []
    until(lambda: refusals.extend(stranger.receive()) or len(refusals) >= 10, "ten refusals come")
    stranger.send([Hello(PROTOCOL, "0.1.0", PYTHON, "d" * 16)])
    assert [future.result(DEADLINE) for future in futures] == list(range(500))
    assert still_works(client)
    assert [answer for answer in (*refusals, *stranger.receive()) if not isinstance(answer, Refused)] == []
    assert len(refusals) == 10


def test_who_does_not_even_speak_zmq_harms_nobody(client: BlockingTaskClient, shared_farm: Controller) -> None:
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(farm_paths(shared_farm.name).clients))
            raw.sendall(os.urandom(4096))
    assert still_works(client)


# connection files


def test_a_stale_connection_file_is_no_farm(home: Path) -> None:
    with start(1) as farm:
        content = farm.connection_file.read_bytes()
        file = farm.connection_file
    file.write_bytes(content)
    file.chmod(0o600)
    assert read_connection("default") is None
    with TaskClient() as client:  # starts a new one
        assert client.submit(abs, -1).result(DEADLINE) == 1
        client.stop()
    until(lambda: read_connection("default") is None, "it has stopped")
    file.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("content", "mode", "says"), [(b"{", 0o600, "not understood"), (None, 0o644, "this user alone")]
)
def test_a_connection_file_that_is_not_to_be_trusted(home: Path, content: bytes | None, mode: int, says: str) -> None:
    with start(1) as farm:
        file = farm.connection_file
        good = file.read_bytes()
        file.write_bytes(good if content is None else content)
        file.chmod(mode)
        with pytest.raises(FarmError, match=says) as caught:
            TaskClient()
        assert "remove" in str(caught.value)
        file.write_bytes(good)
        file.chmod(0o600)

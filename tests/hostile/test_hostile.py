"""Short forms of the attacks, on a live farm: others are served meanwhile, memory stays, and the attacker is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfc_ext import BlockingTaskClient
from taskfc_ext.client.start import Controller
from taskfc_ext.drivers.memory import resident
from taskfc_ext.drivers.paths import farm_paths
from taskfc_ext.protocol import client_messages as said
from taskfc_ext.protocol import codec
from taskfc_ext.protocol.client_messages import ErrorKind
from taskfc_ext.protocol.limits import MAX_UNTAKEN, MAX_WAITS
from tests.hostile.attacks import SPEC
from tests.hostile.measure import RESULT_BYTES, echo, farm
from tests.hostile.peer import Peer
from tests.processes import DEADLINE, until

N_RESULTS = 300
N_GETS = 20


@pytest.fixture(scope="module")
def attacked(module_home: Path) -> Iterator[tuple[Controller, BlockingTaskClient]]:
    with farm("hostile", queue=5_000, results=N_RESULTS) as both:
        yield both


@pytest.fixture
def peer(attacked) -> Iterator[Peer]:
    peer = Peer(farm_paths("hostile").clients)
    peer.greet()
    yield peer
    peer.close()


def test_a_flood_of_pings_is_cut_off_and_others_are_served(attacked, peer):
    controller, client = attacked
    before = resident(controller.pid)
    for _ in range(200):
        peer.send_soon([peer.ask(said.Ping) for _ in range(1000)], DEADLINE)
        assert client.submit(echo, 1).result(timeout=DEADLINE) == 1
    refusal = until(lambda: next((m for m in peer.receive(1.0) if isinstance(m, said.Refused)), None), "it is told")
    assert (refusal.seq, refusal.error) == (0, ErrorKind.TOO_MUCH)
    assert client.submit(echo, 2).result(timeout=DEADLINE) == 2
    assert resident(controller.pid) - before < 64 * 2**20


def test_too_many_waits_are_refused_by_name_and_number(attacked, peer):
    _, client = attacked
    (unfinished,) = client.list_tasks(states=["waiting"], limit=1)
    asked = [peer.ask(said.Barrier, taskids=(unfinished.taskid,)) for _ in range(MAX_WAITS + 5)]
    for first in range(0, len(asked), 500):
        peer.send(*asked[first : first + 500])
    answers = peer.answers_to([request.seq for request in asked[-5:]], DEADLINE)
    assert {answer.error for answer in answers.values()} == {ErrorKind.TOO_MUCH}
    assert f"{MAX_WAITS:,} open waits" in answers[asked[-1].seq].message


def test_results_that_nobody_reads_take_no_memory_and_come_when_they_are_read(attacked):
    controller, client = attacked
    peer = Peer(farm_paths("hostile").clients, keep=1)
    peer.greet()
    ids = tuple(info.taskid for info in client.list_tasks(name="results", limit=N_RESULTS))
    before = resident(controller.pid)
    asked = [peer.ask(said.GetResults, taskids=ids) for _ in range(N_GETS)]
    for request in asked:
        peer.send(request)
    for number in range(50):
        assert client.submit(echo, number).result(timeout=DEADLINE) == number
    assert N_GETS * N_RESULTS * RESULT_BYTES > 5 * MAX_UNTAKEN
    assert resident(controller.pid) - before < 4 * MAX_UNTAKEN
    n_ended, open_requests = 0, {request.seq for request in asked}
    while open_requests:
        messages = peer.receive(DEADLINE)
        assert messages, "nothing more comes"
        for message in messages:
            if isinstance(message, said.Confirm):
                peer.send(said.Confirmed(message.number))
            elif isinstance(message, said.Ended):
                n_ended += len(message.ids)
            elif isinstance(message, said.Reply):
                open_requests.discard(message.seq)
    assert n_ended == N_GETS * N_RESULTS
    peer.close()


def test_frames_larger_than_any_of_ours_take_no_memory_and_end_their_connection(attacked):
    controller, client = attacked
    peer = Peer(farm_paths("hostile").clients, keep=1)
    peer.greet()
    before = resident(controller.pid)
    frame = codec.encode([peer.ask(said.Submit, spec=SPEC, bodies=(bytes(100 * 2**20),))])
    for number in range(5):
        peer.send_raw(frame, 1.0)
        assert client.submit(echo, number).result(timeout=DEADLINE) == number
    peer.close()
    assert resident(controller.pid) - before < 50 * 2**20


def test_junk_on_the_workers_socket_fills_no_log_and_ends_nothing(attacked):
    _, client = attacked
    log = farm_paths("hostile").controller_log
    before = log.stat().st_size
    peer = Peer(farm_paths("hostile").workers)
    for _ in range(5_000):
        peer.send_raw(b"\xc1junk", DEADLINE)
    for number in range(20):
        assert client.submit(echo, number).result(timeout=DEADLINE) == number
    peer.close()
    assert 0 < log.stat().st_size - before < 100_000, "it arrives, and is hardly worth a line"

"""Frames of a client, sent again: they run nothing a second time, whoever sends them."""

from __future__ import annotations

from pathlib import Path

import pytest
import zmq

from taskfc_ext import start
from taskfc_ext.drivers.paths import farm_paths
from taskfc_ext.drivers.transport import Dealer
from tests.chaos.ledger import read_runs, run_noted
from tests.processes import DEADLINE

REPLAYS = 100


def test_replayed_submissions_run_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames: list[bytes] = []
    send = Dealer.send_frame

    def send_and_record(self: Dealer, frame: bytes) -> bool:  # type: ignore[type-arg]
        frames.append(frame)
        return send(self, frame)

    monkeypatch.setattr(Dealer, "send_frame", send_and_record)
    runs = home / "runs"
    runs.mkdir()
    with start(1) as farm, farm.client() as client:
        assert client.submit(run_noted, str(runs), "key", 0.0).result(DEADLINE)[0] == "key"
        recorded = [*frames]
        with zmq.Context() as context:
            for _ in range(REPLAYS):
                with context.socket(zmq.DEALER) as thief:
                    thief.linger = 1000
                    thief.connect(f"ipc://{farm_paths('default').clients}")
                    for frame in recorded:
                        thief.send(frame)
                    assert thief.poll(1000 * DEADLINE), "it is answered"
        # behind all of them, in the same queue
        assert client.submit(run_noted, str(runs), "after", 0.0).result(DEADLINE)[0] == "after"
        assert {key: len(found) for key, found in read_runs(runs).items()} == {"key": 1, "after": 1}
        assert client.queue_status()["succeeded"] == 2

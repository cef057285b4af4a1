"""A store stays within its limits: weeks of tasks on a virtual clock, with the real store and the real scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfc_ext.controller.retention import CHECK_AGE_EVERY, Retention
from taskfc_ext.core.events import StoreRead
from taskfc_ext.core.state.limits import Limits
from taskfc_ext.drivers.files import bytes_in
from taskfc_ext.drivers.paths import payloads_of
from taskfc_ext.drivers.payload_files import LARGE
from taskfc_ext.drivers.store import Store
from taskfc_ext.protocol import client_messages as messages
from taskfc_ext.protocol.options import DAY
from taskfc_ext.protocol.payloads import Payload
from tests.core.conversation import Conversation, spec


class StoredFarm(Conversation):
    """A scheduler whose records are committed to a store, with the retention of the controller's loop."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.store: Store | None = None
        super().__init__(workers=1, limits=limits)
        self.checked = False
        self.store = Store(path)
        self.store.use_checks(self.farm.knows, lambda taskid: self.farm.knows(taskid) and taskid not in self.farm.tasks)
        self.store.commit(self.records)
        self.retention = Retention(self.store, self.farm)

    def keep(self, effects):
        if self.store is None:
            return super().keep(effects)
        if effects.records:
            self.store.commit(effects.records)
        return effects

    def run_task(self, value: bytes, body: Payload = b"") -> int:
        """Run a task with the body `body`, which returns `value`."""
        (body,), taskid = self.store.stage([body]), self.farm.next_id
        self.ask(messages.Submit, spec=spec(), bodies=(body,))
        (staged,) = self.store.stage([value])
        self.finish(0, value=staged)
        return taskid

    def retain(self) -> int:
        """Read the store for as long as that is due, as turns of the loop do; return how often."""
        n_reads = 0
        while self.retention.is_due(self.time):
            self.handle(self.retention.read(self.time))
            n_reads += 1
        return n_reads

    def on_disk(self) -> int:
        """Return the bytes of the journal and of the large payloads."""
        journal = self.store.path
        return journal.stat().st_size + bytes_in(payloads_of(journal))


@pytest.fixture
def make_farm(tmp_path: Path) -> Iterator:
    farms: list[StoredFarm] = []

    def make(**limits: float) -> StoredFarm:
        farms.append(StoredFarm(tmp_path / f"{len(farms)}.sqlite", Limits(**limits)))
        return farms[-1]

    yield make
    for farm in farms:
        farm.store.close()


def test_a_week_of_large_tasks_takes_no_more_than_the_limit(make_farm) -> None:
    # a 250th of 20 MB and of 10 GB, and a task each quarter of an hour
    size, limit, n = 80_000, 40_000_000, 700
    assert size > LARGE
    farm = make_farm(seconds=7 * DAY, n_bytes=limit)
    largest = 0
    for i in range(n):
        taskid = farm.run_task(b"%d" % i * (size // len(b"%d" % i)))
        farm.wait(900.0)
        farm.retain()
        farm.store.remove_cleared()
        if i % 20 == 0:
            largest = max(largest, farm.on_disk())
    assert limit * 0.8 < largest <= limit
    kept = farm.farm.finished_ids()
    assert kept == list(range(kept[0], taskid + 1))  # the newest, without a gap
    assert all(farm.store.payload(record.values[row]) for record, rows in farm.store.find_ended(kept) for row in rows)


def test_the_arguments_of_tasks_count_as_well(make_farm) -> None:
    farm = make_farm(n_bytes=8_000_000)
    for _ in range(150):
        farm.run_task(b"", body=b"a" * 100_000)
        farm.wait(60.0)
        farm.retain()
        farm.store.remove_cleared()
        farm.store.remove_cleared()
        assert farm.on_disk() <= 8_000_000
    assert len(farm.farm.finished_ids()) > 50


def test_tasks_expire_at_their_age_within_a_minute(make_farm) -> None:
    farm = make_farm(seconds=7 * DAY)
    for _ in range(3):
        farm.run_task(b"small")
        farm.wait(DAY)
    farm.retain()
    assert farm.farm.finished_ids() == [0, 1, 2]
    farm.wait(4 * DAY - 1)
    farm.retain()
    assert farm.farm.finished_ids() == [0, 1, 2]
    farm.wait(CHECK_AGE_EVERY + 1)
    farm.retain()
    assert farm.farm.finished_ids() == [1, 2]
    assert not list(farm.store.find_ended([0]))


def test_inputs_that_must_stay_do_not_stand_in_the_way_of_younger_tasks(make_farm) -> None:
    farm = make_farm(seconds=DAY)
    kept = [farm.run_task(b"kept") for _ in range(5)]
    others = [farm.run_task(b"other") for _ in range(5)]
    farm.ask(messages.Submit, spec=spec(), bodies=(b"",), inputs=tuple(kept))
    farm.wait(2 * DAY)
    assert farm.retain() == 1
    assert farm.farm.finished_ids() == kept
    assert not any(map(farm.farm.knows, others))


def test_what_was_expired_stays_so_after_a_restart(make_farm) -> None:
    farm = make_farm(seconds=DAY)
    for _ in range(30):
        farm.run_task(b"v" * 100_000)
    farm.wait(2 * DAY)
    farm.retain()
    farm.records = list(farm.store.records())
    farm.restart(alive=[0])
    assert not farm.farm.finished_ids()
    assert farm.farm.next_id == 30
    again = Store(farm.store.path)
    assert not list(payloads_of(farm.store.path).iterdir())
    again.close()


def test_a_look_at_a_store_within_its_limits_reads_one_record(make_farm, monkeypatch) -> None:
    farm = make_farm(seconds=7 * DAY, n_bytes=10**9)
    for _ in range(50):
        farm.run_task(b"small")
    read, usage = [], farm.store.usage
    oldest = usage.oldest_ended
    monkeypatch.setattr(usage, "oldest_ended", lambda wanted: (read.append(1) or each for each in oldest(wanted)))
    assert farm.retention.read(farm.time) == StoreRead(usage.n_bytes(), ())
    assert len(read) == 1

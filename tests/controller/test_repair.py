"""Tests of repairs: what is whole stays, and each loss is named and has an end."""

from __future__ import annotations

import pytest

from taskfc_ext.controller.repair import repair
from taskfc_ext.core.scheduler import Scheduler
from taskfc_ext.core.state.validate import validate
from taskfc_ext.drivers.paths import farm_paths, prepare
from taskfc_ext.drivers.store import Store
from taskfc_ext.errors import StoreError
from taskfc_ext.protocol.client_messages import Define
from taskfc_ext.protocol.payloads import decode_failure
from taskfc_ext.protocol.records import Began, Leased
from tests.damage.damages import change
from tests.drivers.test_store import find_values, make_ended, make_submitted


@pytest.fixture
def paths(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    paths = farm_paths("night")
    prepare(paths)
    store = Store(paths.journal)
    store.commit([Began(1, 0.0), Define(b"c" * 16, b"code")])
    store.commit([make_submitted(0, 2, name="fit"), Leased(1, (0, 1), 0), make_ended(0)])  # rows 3 to 5
    store.commit([make_ended(1), make_submitted(2, 2, name="plot"), make_submitted(4, 1, name="last")])  # 6 to 8
    store.commit([Leased(3, (2,), 0), make_ended(2), make_ended(4)])  # 9 to 11
    store.close()
    return paths


def open_repaired(paths) -> tuple[Store, Scheduler]:
    store = Store(paths.journal)
    scheduler = Scheduler(store.records())
    validate(scheduler.farm)
    return store, scheduler


def test_a_whole_store_stays_as_it_is(paths):
    assert repair(paths) is None


AGAIN = "tasks {}: no end is left; runs again at the next start"
SUBMISSION = "tasks 2, 3: the submission is lost, and with it the name"


@pytest.mark.parametrize(
    ("row", "loss", "values", "unfinished"),
    [
        (5, AGAIN.format("0, 3"), {1, 2, 4}, {0, 3}),
        (7, SUBMISSION, {0, 1, 2, 4}, set()),
        (11, AGAIN.format("3, 4"), {0, 1, 2}, {3, 4}),
    ],
)
@pytest.mark.parametrize("how", ["UPDATE journal SET body = x'00'", "DELETE FROM journal"])
def test_one_damaged_row_is_named_and_all_others_stay(paths, how, row, loss, values, unfinished):
    change(paths.journal, f"{how} WHERE seq = {row}")
    with pytest.raises(StoreError):
        open_repaired(paths)
    repaired = repair(paths)
    assert repaired.losses == (f"1 record after the first {row - 1} lost", loss)
    store, scheduler = open_repaired(paths)
    found = find_values(store, range(5))
    assert {taskid for taskid, value in found.items() if value == b"value %d" % taskid} == values
    assert set(scheduler.farm.tasks) == unfinished
    for taskid in set(found) - values:
        assert "the store was damaged" in decode_failure(found[taskid]).message
    store.close()
    assert (repaired.aside / paths.journal.name).exists()


def test_a_store_whose_first_page_is_destroyed_is_repaired_whole(paths):
    content = paths.journal.read_bytes()
    paths.journal.write_bytes(bytes(4096) + content[4096:])
    assert repair(paths).losses == ()
    store, scheduler = open_repaired(paths)
    assert find_values(store, range(5)) == {taskid: b"value %d" % taskid for taskid in (0, 1, 2, 4)}
    assert (set(scheduler.farm.tasks), store.code(b"c" * 16)) == ({3}, b"code")
    assert scheduler.farm.names == {"fit": 1, "plot": 3, "last": 4}
    store.close()

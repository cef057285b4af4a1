"""The words for a task and for the result of an action, the same in every face."""

from __future__ import annotations

import argparse
import time
from datetime import datetime

import pytest

from taskfc_ext.cli.output import format_tasks
from taskfc_ext.cli.status import format_status
from taskfc_ext.ipython.cards.render import tasks_table
from taskfc_ext.ipython.parse import values
from taskfc_ext.ipython.verbs.history import History
from taskfc_ext.protocol.infos import EngineInfo, TaskInfo, TaskProgress, WorkerInfo
from taskfc_ext.text import as_sentence
from taskfc_ext.view.selection import BadSelection, count_ids, names_one, parse_selection
from taskfc_ext.view.wording import (
    HELD,
    clock_time,
    describe_abort,
    describe_retry,
    describe_steering,
    engine_text,
    farm_caption,
    state_text,
)


def task(**facts) -> TaskInfo:
    return TaskInfo(**{"taskid": 3, "name": "fit", "label": "fit()", "state": "running", **facts})


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, "running"),
        ({"stopping": True}, "stopping"),
        ({"state": "scheduled", "stopping": True}, "stopping"),
        ({"state": "scheduled", "held": True}, "scheduled (held)"),
        ({"state": "failed", "reason": "error"}, "failed"),
        ({"state": "failed", "reason": "timeout"}, "failed (timeout)"),
        ({"state": "aborted", "reason": "aborted"}, "aborted"),
        ({"progress": TaskProgress(42, 100)}, "running 42 %"),
        ({"progress": TaskProgress(42)}, "running"),
    ],
)
def test_a_state_is_the_same_in_the_terminal_in_a_table_and_in_the_history(facts, text):
    info = task(**facts)
    assert state_text(info) == text
    assert text in format_tasks([info])
    assert any(cell.endswith(f" {text}") for cell in tasks_table("", [info]).rows[0])
    assert any(cell.endswith(f" {text}") for cell in History([info], "")._table().rows[0])


def test_a_result_names_few_tasks_and_counts_many():
    assert describe_abort([1, 2, 3], {2, 3}, [4]) == (
        "Aborted task 1; stopping tasks 2, 3; task 4 had ended or was already stopping."
    )
    assert describe_abort([], (), [4, 5]) == "Nothing was done; tasks 4, 5 had ended or were already stopping."
    many = list(range(11))
    assert describe_steering(HELD, many, ended=()) == "Held 11 tasks (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...)."
    assert describe_retry(many, {old: old + 20 for old in many}) == (
        "11 tasks (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...) run again."
    )
    assert as_sentence("is it done?") == "Is it done?"


def test_terminal_and_magics_read_tasks_alike():
    assert parse_selection("3, 5-7,fit") == (range(3, 4), range(5, 8), "fit") == values.parse_selection("3,5-7, fit")
    assert count_ids(parse_selection("3,1-999999999999,fit")) == 10**12
    assert [names_one(parse_selection(text)) for text in ("3", "fit", "3-3", "3-4", "3,fit", "")] == [
        *(True, True, True),
        *(False, False, False),
    ]


@pytest.mark.parametrize("text", ["7-3", "a b", "3-", "-3", "a/b"])
def test_a_text_that_names_no_tasks_is_refused(text):
    with pytest.raises(BadSelection) as caught:
        parse_selection(text)
    with pytest.raises(argparse.ArgumentTypeError, match=str(caught.value)[:10]):
        values.parse_selection(text)


# an engine


def engine(**facts) -> EngineInfo:
    known = {"kind": "dask", "url": "tcp://head:8786", "state": "connected", "since": time.time(), "n_places": 3}
    return EngineInfo(**{**known, "limit": 40, **facts})


@pytest.mark.parametrize(
    ("facts", "n_workers", "text"),
    [
        ({}, 12, "12 of at most 40 workers on 3 hosts"),
        ({"limit": 1, "n_places": 1}, 1, "1 of at most 1 worker on 1 host"),
        ({"n_places": 0}, 0, "0 of at most 40 workers"),
        ({"limit": 10_000}, 1234, "1,234 workers on 3 hosts"),
        ({"state": "connecting"}, 0, "connecting"),
        ({"state": "connecting", "text": "no answer"}, 0, "connecting (no answer)"),
        (
            {"state": "lost", "text": "connection\nrefused", "since": datetime(2025, 11, 29, 12, 1).timestamp()},
            0,
            "not reachable since 2025-11-29 12:01 (connection refused), trying",
        ),
    ],
)
def test_an_engine_in_words(facts, n_workers, text):  # labextension/tests/queue/engine.test.ts has the same
    assert engine_text(engine(**facts), n_workers) == f"Dask tcp://head:8786 · {text}"


def test_an_engine_without_an_address_has_its_name_alone():
    assert engine_text(engine(kind="ray", url="ray"), 2) == "Ray · 2 of at most 40 workers on 3 hosts"


def test_a_time_of_today_has_no_date():
    at = datetime.now()
    assert clock_time(at.timestamp()) in (f"{at:%H:%M}", f"{at:%Y-%m-%d %H:%M}")  # midnight may pass between
    assert len(clock_time(0.0)) == len("1970-01-01 00:00")


def test_the_caption_of_a_farm_on_an_engine():
    counts = {"waiting": 20, "scheduled": 100, "pending": 8, "failed": 1}
    dask = "default · Dask tcp://head:8786 · 12 of at most 40 workers on 3 hosts"
    assert farm_caption("default", counts, 12, engine()) == f"{dask} · 8 running · 120 queued · 1 failed"
    assert farm_caption("default", {}, 12, engine()) == f"{dask} · no tasks"


def test_the_terminal_shows_the_engine_and_the_hosts_of_workers():
    counts = dict.fromkeys(("waiting", "scheduled", "pending", "succeeded", "failed", "aborted"), 0)
    workers = [WorkerInfo(worker=3, pid=71, state="busy", running=9, place="node7")]
    lines = format_status("default", counts, workers, engine(kind="ray", url="ray://head:10001")).split("\n")
    assert lines[0] == "default · Ray ray://head:10001 · 1 of at most 40 workers on 3 hosts · no tasks"
    assert [line.split() for line in lines[-2:]] == [
        ["worker", "pid", "state", "task", "host"],
        ["3", "71", "busy", "9", "node7"],
    ]
    lines = format_status("default", counts, [WorkerInfo(worker=0, pid=1, state="idle")], None).split("\n")
    assert (lines[0], lines[-2].split()) == ("default: running, 1 worker", ["worker", "pid", "state", "task"])

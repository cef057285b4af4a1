"""The words for a task and for the result of an action, the same in every face."""

from __future__ import annotations

import argparse

import pytest

from taskfc_ext import cli
from taskfc_ext.ipython.cards.render import tasks_table
from taskfc_ext.ipython.parse import values
from taskfc_ext.ipython.verbs.history import History
from taskfc_ext.protocol.infos import TaskInfo, TaskProgress
from taskfc_ext.text import as_sentence
from taskfc_ext.view.selection import BadSelection, count_ids, names_one, parse_selection
from taskfc_ext.view.wording import HELD, describe_abort, describe_retry, describe_steering, state_text


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
    assert text in cli._task_cells(info)
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

"""The details of one task, made from one answer of the controller."""

from __future__ import annotations

import asyncio

import pytest

from taskfc_ext.errors import UnknownTask
from taskfc_ext.protocol.client_messages import GetDetails
from taskfc_ext.protocol.limits import MAX_SOURCE
from taskfc_ext.view.details import task_details
from taskfc_ext.view.messages import MAX_LOG

ANSWER = {
    "task": {"taskid": 3, "name": "fit", "label": "f", "state": "failed", "reason": "error"},
    "printed": ["\x1b[31mred\x1b[0m\n", "10 %\r20 %\n"],
    "n_cut": 0,
    "version": "2.1",
    "outputs": [b'{"output_type": "display_data"}'],
    "failure": {"reason": "error", "message": "no", "type_name": "ValueError", "traceback": "line\x07 1", "note": "!"},
}


def details(*, with_source=False, **other):
    async def ask(kind, **fields):
        asked.append(kind(seq=1, **fields))
        return {**ANSWER, **other}

    asked: list = []
    return asyncio.run(task_details(3, "2.0", ask, with_source=with_source)), asked


def test_text_of_a_task_is_safe_to_print():
    found, _ = details()
    assert (found.task.name, found.task.state, found.log, found.n_cut) == ("fit", "failed", "red\n20 %\n", 0)
    assert (found.exception, found.traceback, found.note) == ("ValueError", "line 1", "!")
    assert (found.version, found.outputs) == ("2.1", ({"output_type": "display_data"},))


def test_details_take_one_round_trip():
    _, asked = details()
    assert asked == [GetDetails(seq=1, taskid=3, known="2.0", tail=2 * MAX_LOG)]


def test_the_source_comes_where_it_is_wanted():
    found, asked = details(with_source=True, source="x = \x1b[31m1\n", n_source_cut=7, size=0)
    assert asked[0].source == MAX_SOURCE
    assert (found.source, found.n_source_cut, found.size) == ("x = 1\n", 7, 0)


def test_outputs_that_the_view_has_are_not_sent_again():
    found, _ = details(version="2.0", outputs=None, failure=None)
    assert (found.outputs, found.version, found.traceback, found.exception) == (None, "2.0", "", "")


def test_of_a_long_log_the_end_is_kept():
    found, _ = details(printed=["ab" * (MAX_LOG - 2), "last"], n_cut=9)
    assert (len(found.log), found.n_cut, found.log[-6:]) == (MAX_LOG, MAX_LOG + 9, "ablast")


def test_a_missing_task_is_named():
    async def ask(kind, **fields):
        raise UnknownTask("there is no task 3", taskid=3, hint="it was cleared or never existed")

    with pytest.raises(UnknownTask, match="no task 3") as caught:
        asyncio.run(task_details(3, "2.0", ask))
    assert caught.value.hint == "it was cleared or never existed"

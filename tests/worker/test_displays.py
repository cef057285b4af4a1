"""Displays of tasks: their limits, and the reports to a controller."""

from __future__ import annotations

import json
from typing import Any

import pytest

from taskfc_ext.protocol.outputs import MAX_DISPLAYS
from taskfc_ext.protocol.worker_messages import Displayed
from taskfc_ext.worker.output import displays as module
from taskfc_ext.worker.output.displays import DISPLAY_EVERY, LARGEST, PACE, DisplayReporter, Displays


@pytest.fixture
def displays() -> Displays:
    return Displays()


def add(displays: Displays, text: str, **options: Any) -> None:
    displays.add({"text/plain": text}, **options)


def texts(bodies: tuple[bytes, ...]) -> list[str]:
    return [json.loads(body)["data"]["text/plain"] for body in bodies]


def test_an_attempt_starts_without_displays(displays: Displays) -> None:
    add(displays, "a")
    displays.clear(wait=True)
    assert texts(displays.end()) == ["a"]
    assert displays.end() == ()
    add(displays, "b")
    assert texts(displays.end()) == ["b"], "the clear belonged to the last attempt"


def test_an_update_changes_all_displays_of_its_id_and_adds_none(displays: Displays) -> None:
    for text in ("1", "2"):
        add(displays, text, display_id="x")
    add(displays, "other", display_id="y")
    add(displays, "3", display_id="x", update=True)
    add(displays, "4", display_id="z", update=True)
    assert texts(displays.now()) == ["3", "3", "other"]


def test_clear_with_wait_takes_effect_with_the_next_display(displays: Displays) -> None:
    add(displays, "old")
    displays.clear(wait=True)
    assert texts(displays.now()) == ["old"]
    add(displays, "new")
    assert texts(displays.now()) == ["new"]


def test_the_newest_are_kept_and_the_dropped_ones_counted(displays: Displays) -> None:
    for i in range(MAX_DISPLAYS + 50):
        add(displays, str(i))
    note, *rest = texts(displays.now())
    assert note == "... 51 earlier outputs were dropped ..."
    assert rest == [str(i) for i in range(51, MAX_DISPLAYS + 50)]
    displays.clear()
    add(displays, "after")
    assert texts(displays.end()) == ["after"]


def test_all_together_are_bounded(displays: Displays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 1000)
    for i in range(10):
        add(displays, str(i) * 300)
    assert sum(map(len, displays.now()[1:])) <= 1000
    assert texts(displays.now()) == ["... 8 earlier outputs were dropped ...", "8" * 300, "9" * 300]


def test_a_too_large_display_keeps_its_smaller_formats(displays: Displays) -> None:
    displays.add({"image/png": b"x" * LARGEST, "text/html": "<b>", "text/plain": "figure"})
    (shown,) = map(json.loads, displays.now())
    assert sorted(shown["data"]) == ["text/html", "text/plain"]
    first, second = shown["data"]["text/plain"].splitlines()
    assert first == "figure"
    assert (
        second
        == f"image/png of {(LARGEST + 2) // 3 * 4 + 2:,} bytes was left out: the limit of an output is {LARGEST:,}"
    )


def test_values_that_json_lacks_are_converted(displays: Displays) -> None:
    displays.add({"application/json": {"set": {1}, ("not", "a key"): 2}, "text/plain": "a\udc80b"})
    (shown,) = map(json.loads, displays.now())
    assert shown["data"] == {"application/json": {"set": "{1}"}, "text/plain": "a?b"}


def test_a_display_for_the_end_is_shown_at_the_end(displays: Displays) -> None:
    state = {"text/plain": "begun"}
    displays.add(state, at_the_end=lambda: state)
    displays.add({"text/plain": "gone"}, at_the_end=lambda: None)
    displays.add({"text/plain": "broken"}, at_the_end=lambda: {}["x"])
    add(displays, "other")
    assert texts(displays.now()) == ["other"]
    state["text/plain"] = "ended"
    assert texts(displays.end()) == ["ended", "other"]
    displays.add(state, display_id="x", at_the_end=lambda: state)
    add(displays, "updated", display_id="x", update=True)
    assert texts(displays.end()) == ["updated"]


def test_only_new_displays_are_reported(displays: Displays) -> None:
    reporter = DisplayReporter(displays)
    assert reporter.report(5, 0.0) is None
    add(displays, "1", display_id="x")
    add(displays, "2")
    one, two = displays.now()
    assert reporter.report(5, 0.0) == Displayed(5, 2, 0, (one, two))
    add(displays, "3")
    assert reporter.report(5, 0.1) is None, "too soon"
    assert reporter.report(5, 1.0) == Displayed(5, 3, 2, displays.now()[2:])
    assert reporter.report(5, 9.0) is None
    add(displays, "2'", display_id="x", update=True)
    assert reporter.report(5, 9.0) == Displayed(5, 4, 0, displays.now())
    displays.clear()
    assert reporter.report(5, 19.0) == Displayed(5, 5, 0, ())


def test_everything_is_reported_for_a_new_controller_or_attempt(displays: Displays) -> None:
    reporter = DisplayReporter(displays)
    add(displays, "1")
    reporter.report(5, 0.0)
    reporter.forget()
    assert reporter.report(5, 0.0) == Displayed(5, 1, 0, displays.now())
    displays.end()
    add(displays, "2")
    assert reporter.report(6, 10.0) == Displayed(6, 1, 0, displays.now())


def test_large_reports_are_sent_less_often(displays: Displays) -> None:
    reporter = DisplayReporter(displays)
    add(displays, "x" * (LARGEST - 1000))
    assert reporter.report(5, 0.0) is not None
    add(displays, "y")
    assert reporter.report(5, DISPLAY_EVERY + 0.9 * LARGEST / PACE) is None
    assert reporter.report(5, DISPLAY_EVERY + LARGEST / PACE) is not None

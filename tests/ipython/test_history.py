from __future__ import annotations

import sys
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from tests.ipython.test_magics import error_of


@pytest.fixture
def ran(shell: Any, farm: Any) -> Any:
    """A shell whose tasks have ended, failed, run, and not started."""
    for cell in ("%%task fit\n1", "%task 2", "%task 3", "%task 4", "%task 5"):
        shell.run(cell)
    farm.set(0, state="succeeded", attempts=2, worker=1, elapsed=1.5, submitted=0.0)
    farm.set(1, state="failed", reason="timeout", attempts=1, worker=0, elapsed=70.0, message="it took\ntoo long")
    farm.set(2, state="running", attempts=1)
    farm.set(4, state="succeeded", owner="other.ipynb")
    shell.shown.clear()
    return shell


def test_the_rows_are_data(ran: Any) -> None:
    history = ran.run("%task history")
    assert [row["id"] for row in history.rows] == [0, 1, 2]
    assert history.rows[0] == {
        "id": 0,
        "name": "fit",
        "state": "succeeded",
        "reason": "",
        "submitted": datetime.fromtimestamp(0, UTC),
        "duration": 1.5,
        "attempts": 2,
        "worker": 1,
        "message": "",
    }
    assert history.rows[2]["worker"] is None
    assert [row["id"] for row in ran.run("%task history --all --limit 2").rows] == [2, 4]
    assert [row["id"] for row in ran.run("%task history 3,fit").rows] == [0, 3]


def test_it_is_shown_once_as_a_value_is(ran: Any, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    ran.run("h = %task history")
    assert not ran.shown
    assert not capsys.readouterr().out
    ran.run("%task history")
    out = capsys.readouterr().out
    assert out.count("this notebook") == 1
    assert not ran.shown
    assert "✘ failed (timeout)" in out
    assert "1:10 min" in out
    assert "it took too long" in out
    bundle = ran.ns["h"]._repr_mimebundle_()
    assert "<table>" in bundle["text/html"]


def test_a_hostile_name_is_text(shell: Any, farm: Any) -> None:
    shell.run("%task 1")
    farm.set(0, state="failed", message="<b>\x1b[2J</b>")
    bundle = shell.run("%task history")._repr_mimebundle_()
    assert "<b>" not in bundle["text/html"]
    assert "\x1b" not in bundle["text/plain"]


def test_a_farm_that_does_not_run_is_not_started(shell: Any, farm: Any) -> None:
    history = shell.run("%task history")
    assert (len(history), repr(history)) == (0, "no farm 'default' runs")
    assert not farm.runs


def test_pandas_is_imported_when_a_frame_is_wanted(ran: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    pandas = SimpleNamespace(DataFrame=lambda rows, columns: made.append((rows, columns)))
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    ran.run("h = %task history\nh.to_frame()")
    assert made == [(ran.ns["h"].rows, list(ran.ns["h"].rows[0]))]


def test_a_missing_pandas_is_one_line(
    ran: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    capsys.readouterr()
    assert isinstance(error_of(ran, "h = %task history\nh.to_frame()"), ModuleNotFoundError)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("ModuleNotFoundError: to_frame() needs pandas")
    assert line.endswith("; `%pip install pandas`, or use .rows")

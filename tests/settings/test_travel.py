"""Times at which the settings of this process are read again."""

from __future__ import annotations

from typing import Any

import pytest

from taskfc_ext.settings import travel


def test_one_slow_read_does_not_delay_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    cost = 0.001

    def tick() -> float:
        nonlocal now
        now += cost
        return now

    here = travel.SentSettings()
    monkeypatch.setattr(travel, "time", type("Clock", (), {"perf_counter": staticmethod(tick)}))
    level: list[Any] = ["usual"]
    setting = travel.Setting(
        name="level", read=lambda: 1, read_fully=lambda: level[0], write=bool, pack=lambda: level[0], unpack=bool
    )
    here._settings = [setting]
    here.update(1.0)
    here.update(1.0)
    cost = 0.1  # other load on the machine
    here.invalidate()
    here.update(1.0)
    level[0] = "set"
    before = here.body
    assert here.update(0.01) != before


def test_a_first_read_that_was_slow_delays_no_reading_beyond_a_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([float(n) for n in range(100)])  # each reading takes a second
    here = travel.SentSettings()
    monkeypatch.setattr(travel, "time", type("Clock", (), {"perf_counter": staticmethod(lambda: next(times))}))
    level: list[Any] = ["usual"]
    here._settings = [
        travel.Setting(
            name="level", read=lambda: 1, read_fully=lambda: level[0], write=bool, pack=lambda: level[0], unpack=bool
        )
    ]
    here.update(1.0)
    here.update(1.0)
    level[0] = "set"
    before = here.body
    assert here.update(0.001) != before

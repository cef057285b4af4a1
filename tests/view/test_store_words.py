"""The limits of a farm in words."""

from __future__ import annotations

from typing import Any

import pytest

from taskfc_ext.protocol.options import FarmOptions
from taskfc_ext.view.store_words import describe_limits


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {},
            "keeps finished tasks for 7 days, in a store of up to 10 GB; stops after 12 hours without use; "
            "survives the death of any process",
        ),
        (
            {"keep_days": 0.0, "keep_bytes": 0, "idle_stop": 0.0, "durability": "disk"},
            "keeps finished tasks until they are cleared; never stops by itself; survives a power cut",
        ),
        (
            {"keep_days": 0.5, "keep_bytes": 0, "idle_stop": 48.0},
            "keeps finished tasks for 12 hours; stops after 2 days without use; survives the death of any process",
        ),
        (
            {"store": "memory", "durability": "disk"},
            "keeps tasks in memory only: they are gone when it ends; finished ones for 7 days, in up to 10 GB of "
            "memory; stops after 12 hours without use",
        ),
    ],
)
def test_limits_in_words(given: dict[str, Any], expected: str) -> None:
    assert describe_limits(FarmOptions(n_workers=1, python="", cwd="", sys_path=(), **given)) == expected

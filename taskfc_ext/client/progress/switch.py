"""The switch of the bars of this process."""

from __future__ import annotations

import os

VARIABLE = "TASKFC_PROGRESS"
"""The environment variable that turns bars off: `0`, `off`, `no` or `false`."""

_OFF = ("0", "off", "no", "false")

_is_on = True


def turn(on: bool) -> None:
    """Turn bars on or off. `VARIABLE` turns them off all the same."""
    global _is_on
    _is_on = on


def is_on() -> bool:
    """Return whether bars may be shown."""
    return _is_on and os.environ.get(VARIABLE, "").strip().lower() not in _OFF

"""The outputs of an attempt, as in a notebook's file: its displays, and a cell's value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

MAX_DISPLAYS = 200
"""Displays of one attempt, such as figures and tables. Beyond that the oldest are dropped."""

DISPLAY = "display_data"
"""The `output_type` of a display."""

VALUE = "execute_result"
"""The `output_type` of a cell's value. Its `data` are empty if the value has displayed itself."""

PLAIN_TEXT = "text/plain"

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
"""The MIME type that names the model of a widget. The model lives in one process, so other processes cannot show it."""


def all_outputs_of(bodies: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return displays and a cell's value, in order."""
    return [json.loads(body) for body in bodies]


def is_value(output: Mapping[str, Any]) -> bool:
    """Return whether an output is a cell's value."""
    return output.get("output_type") == VALUE

"""The outputs of an attempt, in the form of outputs in a notebook's file: what it displays, and a cell's value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

MAX_DISPLAYS = 200
"""Displays of one attempt: figures, tables. Beyond that the oldest are dropped."""

DISPLAY = "display_data"
"""The `output_type` of what a task displays."""

VALUE = "execute_result"
"""The `output_type` of a cell's value. Its `data` are empty where the value has displayed itself."""

PLAIN_TEXT = "text/plain"

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
"""Names the model of a widget, which lives in one process: of no use in another."""


def all_outputs_of(bodies: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return displays and a cell's value, in order."""
    return [json.loads(body) for body in bodies]


def is_value(output: Mapping[str, Any]) -> bool:
    """Tell whether an output is a cell's value."""
    return output.get("output_type") == VALUE

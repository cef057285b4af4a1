"""What a task has displayed, sorted by where it is shown: on the card, or as outputs of its own beneath it. Pure.

Text stands on the card, in its own HTML. Everything else (figures, tables, HTML, Markdown, LaTeX, charts) goes to the
front end as it came from the task, as an output beneath the card: whatever shows or converts a notebook treats it as
the output of a cell, and it is shown under the front end's own rules of trust.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import dropwhile, takewhile
from typing import Any

from taskfc_ext.protocol.outputs import MAX_DISPLAYS

Output = Mapping[str, Any]
"""An output as notebooks keep it: `data` by MIME type, `metadata`."""

TEXT = "text/plain"

MOST = MAX_DISPLAYS
"""Outputs of a task that are shown, the newest: as many as are kept."""

LONGEST = 20_000
"""Characters of a text on a card, which is sent again with every update; a longer one stands beneath it."""


def select(outputs: Sequence[Output]) -> tuple[Output, ...]:
    """Return the outputs that are shown; those without contents are not."""
    return tuple([output for output in outputs if output.get("data")][-MOST:])


def text_of(output: Output) -> str:
    """Return an output as plain text: its own, else what kind it is."""
    data = output.get("data", {})
    text = data.get(TEXT)
    return text if isinstance(text, str) else f"[{', '.join(map(str, data)) or 'nothing'}]"


def is_text(output: Output) -> bool:
    """Tell whether an output is nothing but plain text."""
    return not set(output.get("data", {})) - {TEXT}


def on_card(outputs: Sequence[Output]) -> list[Output]:
    """Return what stands on the card: the texts before the first output that is none, so that order is kept."""
    return list(takewhile(_fits, outputs))


def beneath(outputs: Sequence[Output]) -> list[dict[str, Any]]:
    """Return what stands beneath the card: bundles with their metadata, as a display publisher takes them."""
    return [
        {"data": dict(output.get("data", {})), "metadata": dict(output.get("metadata") or {})}
        for output in dropwhile(_fits, outputs)
    ]


def _fits(output: Output) -> bool:
    return is_text(output) and len(text_of(output)) <= LONGEST

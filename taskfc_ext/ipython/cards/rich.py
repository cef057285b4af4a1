"""The outputs of a task, sorted by place: on the card, or as outputs of their own beneath it. Pure.

Text is shown on the card, in its HTML. Everything else (figures, tables, HTML, Markdown, LaTeX, charts) goes to the
front end unchanged, as an output beneath the card: front ends and converters treat it as the output of a cell, under
their own rules of trust.
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
"""The newest outputs of a task that are shown: as many as are kept."""

LONGEST = 20_000
"""Characters of a text on a card, which is sent with every update; a longer text goes beneath it."""


def select(outputs: Sequence[Output]) -> tuple[Output, ...]:
    """Return the newest outputs that have contents."""
    return tuple([output for output in outputs if output.get("data")][-MOST:])


def text_of(output: Output) -> str:
    """Return the plain text of an output, or the names of its types if it has none."""
    data = output.get("data", {})
    text = data.get(TEXT)
    return text if isinstance(text, str) else f"[{', '.join(map(str, data)) or 'nothing'}]"


def is_text(output: Output) -> bool:
    """Tell whether an output is only plain text."""
    return not set(output.get("data", {})) - {TEXT}


def on_card(outputs: Sequence[Output]) -> list[Output]:
    """Return the outputs on the card: the texts before the first other output, so that the order is kept."""
    return list(takewhile(_fits, outputs))


def beneath(outputs: Sequence[Output]) -> list[dict[str, Any]]:
    """Return the outputs beneath the card: bundles with metadata, as a display publisher takes them."""
    return [
        {"data": dict(output.get("data", {})), "metadata": dict(output.get("metadata") or {})}
        for output in dropwhile(_fits, outputs)
    ]


def _fits(output: Output) -> bool:
    return is_text(output) and len(text_of(output)) <= LONGEST

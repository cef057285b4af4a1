"""What a task has displayed, sorted by where it is shown: on the card, or as outputs of its own beneath it. Pure.

Text and images are inert, so the card has them in its own HTML: they are where the card is, in every front end and in
a saved notebook. Everything else (HTML, Markdown, LaTeX, what extensions draw) goes to the front end as it came from
the task, as an output beneath the card, and is shown under the front end's own rules of trust.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from typing import Any

Output = Mapping[str, Any]
"""A `display_data` as notebooks keep it: `data` by MIME type, `metadata`."""

RASTER = ("image/png", "image/jpeg", "image/gif", "image/webp")
SVG = "image/svg+xml"
TEXT = "text/plain"

MOST = 20
"""Outputs of a task that are shown, the newest; the future has them all."""

LARGEST_IMAGE = 4_000_000
"""Characters of an image on a card; a larger one stands beneath it."""

_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")


@dataclass(frozen=True, slots=True)
class Image:
    """An image as an `img` element takes it."""

    url: str
    alt: str


def shown(outputs: Sequence[Output]) -> tuple[Output, ...]:
    """Return those outputs that are shown."""
    return tuple(outputs[-MOST:])


def image_of(output: Output) -> Image | None:
    """Return the image that an output is, if it is one."""
    data = output.get("data", {})
    alt = _text(data.get(TEXT)) or "an image"
    for mime in RASTER:
        body = _text(data.get(mime))
        if body and len(body) <= LARGEST_IMAGE and _BASE64.fullmatch(body):
            return Image(f"data:{mime};base64,{''.join(body.split())}", alt)
    body = _text(data.get(SVG))
    if body and len(body) <= LARGEST_IMAGE:  # as an image, an SVG runs no script and loads nothing
        encoded = base64.b64encode(body.encode("utf-8", "replace")).decode()
        return Image(f"data:{SVG};base64,{encoded}", alt)
    return None


def text_of(output: Output) -> str:
    """Return an output as plain text: its own, else what kind it is."""
    data = output.get("data", {})
    return _text(data.get(TEXT)) or f"[{', '.join(map(str, data)) or 'nothing'}]"


def is_text(output: Output) -> bool:
    """Tell whether an output is nothing but plain text."""
    return not set(output.get("data", {})) - {TEXT}


def on_card(outputs: Sequence[Output]) -> list[Output]:
    """Return what stands on the card: texts and images up to the first that is neither, so that order is kept."""
    return list(takewhile(_fits, outputs))


def beneath(outputs: Sequence[Output]) -> list[dict[str, Any]]:
    """Return what stands beneath the card: bundles with their metadata, as a display publisher takes them."""
    return [
        {"data": dict(output.get("data", {})), "metadata": dict(output.get("metadata") or {})}
        for output in dropwhile(_fits, outputs)
    ]


def _fits(output: Output) -> bool:
    return is_text(output) or image_of(output) is not None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""

"""Widgets displayed by a task. Their models are in the worker, which the page cannot reach, so text replaces them.

Progress bars (`tqdm.notebook`) leave their final state; earlier states are reported as the task's progress.
ipywidgets is not imported here.
"""

from __future__ import annotations

import html
import re
import sys
from typing import Any

from taskfc_ext.protocol.outputs import PLAIN_TEXT, WIDGET_VIEW
from taskfc_ext.text import one_line
from taskfc_ext.worker.output.displays import AtTheEnd, Forms

_NOTE = "{} is a widget, and widgets live in the notebook: return its data from the task, and make the widget there"

_MAX_NAME = 60
"""Longest text of a widget in that note, in characters."""

_BAR_WIDTH = 10

_TEXTS = ("HTML", "HTMLMath", "Label")
_TAG = re.compile(r"<[^>]*>")


def without_view(data: Forms) -> tuple[Forms, AtTheEnd | None]:
    """Return a display without its widget and, for a progress bar, the function that makes its final contents."""
    if WIDGET_VIEW not in data:
        return data, None
    left = {mime: form for mime, form in data.items() if mime != WIDGET_VIEW}
    if set(left) - {PLAIN_TEXT}:  # the widget has contents that need no model
        return left, None
    widget = _widget_of(data[WIDGET_VIEW])
    if widget is not None and _bar_text(widget) is not None:
        return left, lambda: _final(widget)
    name = one_line(str(left.get(PLAIN_TEXT) or "this"))
    if len(name) > _MAX_NAME:
        name = f"{name[:_MAX_NAME]}…"
    return {PLAIN_TEXT: _NOTE.format(name)}, None


def is_widget(value: object) -> bool:
    """Return whether `value` is a widget."""
    widget = getattr(sys.modules.get("ipywidgets.widgets.widget"), "Widget", None)
    return widget is not None and isinstance(value, widget)


def _widget_of(view: Any) -> Any:
    module: Any = sys.modules.get("ipywidgets.widgets.widget")
    widgets = getattr(module, "_instances", None)  # ipywidgets 8
    if widgets is None:
        widgets = getattr(getattr(module, "Widget", None), "widgets", {})
    return widgets.get(view.get("model_id")) if isinstance(view, dict) else None


def _final(widget: Any) -> Forms | None:
    """Return the final contents of a progress bar; `None` for one that was closed or hidden."""
    if getattr(widget, "comm", None) is None or getattr(widget.layout, "visibility", None) == "hidden":
        return None
    return {PLAIN_TEXT: _bar_text(widget) or ""}


def _bar_text(widget: Any) -> str | None:
    """Return a progress bar and the texts around it as text; `None` for any other widget."""
    lines = _lines(widget)
    return None if lines is None or not _has_bar(widget) else "\n".join(lines)


def _lines(widget: Any) -> list[str] | None:
    """Return the text lines of a widget that only displays; `None` for an interactive one."""
    name = type(widget).__name__
    if name in _TEXTS:
        return [html.unescape(_TAG.sub("", widget.value)).replace("\u2007", " ")]
    if _is_bar(widget):
        return [_bar(widget)]
    children = getattr(widget, "children", None)
    if not isinstance(children, tuple):
        return None
    parts = [_lines(child) for child in children]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    if "VBox" in [kind.__name__ for kind in type(widget).__mro__]:
        return [line for part in known for line in part]
    return ["".join("\n".join(part) for part in known).strip()]


def _is_bar(widget: Any) -> bool:
    return type(widget).__name__ in ("FloatProgress", "IntProgress")


def _has_bar(widget: Any) -> bool:
    return _is_bar(widget) or any(map(_has_bar, getattr(widget, "children", ())))


def _bar(widget: Any) -> str:
    if widget.layout.width == "20px":  # as tqdm marks a bar of unknown length
        return ""
    span = widget.max - widget.min
    part = (widget.value - widget.min) / span if span else 1.0
    filled = round(_BAR_WIDTH * part)
    return f"|{'█' * filled}{' ' * (_BAR_WIDTH - filled)}|"

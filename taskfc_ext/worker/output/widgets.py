"""Widgets that a task shows. Their models are in the worker, out of a page's reach, so text takes their place.

Progress bars (`tqdm.notebook`) leave their final state; the state before it is the task's progress, reported as such.
Nothing of ipywidgets is imported here.
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
"""Characters of a widget's text in that note."""

_BAR_WIDTH = 10

_TEXTS = ("HTML", "HTMLMath", "Label")
_TAG = re.compile(r"<[^>]*>")


def without_view(data: Forms) -> tuple[Forms, AtTheEnd | None]:
    """Return the contents of a display without its widget, and how to make the final ones if that is a progress bar."""
    if WIDGET_VIEW not in data:
        return data, None
    left = {mime: form for mime, form in data.items() if mime != WIDGET_VIEW}
    if set(left) - {PLAIN_TEXT}:  # the widget has a form that needs no model
        return left, None
    widget = _widget_of(data[WIDGET_VIEW])
    if widget is not None and _bar_text(widget) is not None:
        return left, lambda: _final(widget)
    name = one_line(str(left.get(PLAIN_TEXT) or "this"))
    if len(name) > _MAX_NAME:
        name = f"{name[:_MAX_NAME]}…"
    return {PLAIN_TEXT: _NOTE.format(name)}, None


def is_widget(value: object) -> bool:
    """Tell whether `value` is a widget."""
    widget = getattr(sys.modules.get("ipywidgets.widgets.widget"), "Widget", None)
    return widget is not None and isinstance(value, widget)


def _widget_of(view: Any) -> Any:
    module: Any = sys.modules.get("ipywidgets.widgets.widget")
    widgets = getattr(module, "_instances", None)  # ipywidgets 8
    if widgets is None:
        widgets = getattr(getattr(module, "Widget", None), "widgets", {})
    return widgets.get(view.get("model_id")) if isinstance(view, dict) else None


def _final(widget: Any) -> Forms | None:
    """Return the final contents of a progress bar; `None` for one that was to vanish."""
    if getattr(widget, "comm", None) is None or getattr(widget.layout, "visibility", None) == "hidden":
        return None
    return {PLAIN_TEXT: _bar_text(widget) or ""}


def _bar_text(widget: Any) -> str | None:
    """Return a progress bar and the texts around it as text; `None` for any other widget."""
    lines = _lines(widget)
    return None if lines is None or not _has_bar(widget) else "\n".join(lines)


def _lines(widget: Any) -> list[str] | None:
    """Return what stands in a widget that only shows; `None` if it is to be used."""
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

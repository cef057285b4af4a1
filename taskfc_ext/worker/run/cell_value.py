"""The value of a cell among its displays, as a notebook shows it: by IPython's formatters.

The worker formats it, so that the notebook needs neither the value nor its libraries. An error of a formatter is
printed, as in a notebook; the result is not lost.
"""

from __future__ import annotations

import sys
from typing import Any

from taskfc_ext.protocol.outputs import PLAIN_TEXT, VALUE
from taskfc_ext.worker.output.displays import LARGEST, Displays, Forms
from taskfc_ext.worker.output.widgets import is_widget, without_view
from taskfc_ext.worker.run.tracebacks import user_traceback

PLAIN = frozenset((int, float, complex, str, bytes, list, tuple, dict, set))
"""Types without display methods. To call all formatters takes 0.2 ms, to make the text alone a tenth of that."""

_BEGINNING = 20_000
"""Characters that are shown of a text that is too long."""


def show_value(shell: Any, displays: Displays, value: Any) -> Any:
    """Add `value` to the displays, unless it is `None`; return the value to send.

    A value that displays itself (`_ipython_display_`) does so, and leaves an entry without contents. A widget is not
    sent: it would arrive without its model.

    Raises:
        BaseException: an interrupt of the task, nothing else.
    """
    if value is None:
        return None
    if type(value) in (str, bytes) and len(value) > LARGEST:
        displays.add({PLAIN_TEXT: f"{value[:_BEGINNING]!r}… ({len(value):,} long)"}, kind=VALUE)
        return value
    data, metadata = _format(shell, value)
    try:
        data, at_the_end = without_view(data)
        displays.add(data, metadata, kind=VALUE, at_the_end=at_the_end)
    except Exception as error:  # noqa: BLE001  the user's contents may not fit into JSON
        report(error)
        displays.add({PLAIN_TEXT: repr_of(value)}, kind=VALUE)
    return None if is_widget(value) else value


def _format(shell: Any, value: object) -> tuple[Forms, dict[str, Any]]:
    n_failed = shell.n_failed_forms
    formatter = shell.display_formatter
    try:
        if type(value) in PLAIN and _has_text_only(type(value), formatter):
            return {PLAIN_TEXT: formatter.formatters[PLAIN_TEXT](value)}, {}
        with shell.display_pub.showing(value):
            data, metadata = formatter.format(value)
    except (Exception, SystemExit) as error:  # noqa: BLE001  the user's code, and formatters of extensions
        report(error)
        return {PLAIN_TEXT: repr_of(value)}, {}
    if PLAIN_TEXT not in data and (data or shell.n_failed_forms > n_failed):
        data = {**data, PLAIN_TEXT: repr_of(value)}
    return data, metadata


def _has_text_only(kind: type, formatter: Any) -> bool:
    """Tell whether text is the only form that is registered for a type without display methods."""
    others = [each for mime, each in formatter.formatters.items() if mime != PLAIN_TEXT]
    return not any(
        each.deferred_printers or kind in each.type_printers or object in each.type_printers
        for each in (formatter.ipython_display_formatter, formatter.mimebundle_formatter, *others)
    )


def repr_of(value: object) -> str:
    """Return `value` as text where IPython has none: its `repr`, or the type of the error that this raises."""
    try:
        return repr(value)
    except (Exception, SystemExit) as error:  # noqa: BLE001  the user's __repr__
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"


def report(error: BaseException) -> None:
    """Print the traceback of an error in a formatter."""
    print(user_traceback(error), end="", file=sys.stderr)  # noqa: T201  the task's own output

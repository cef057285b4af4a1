"""The forms of a value that this process makes: all for a function's result, the notebook's own for a cell's value.

IPython's `DisplayFormatter.format` prints errors, and lets values display themselves, under the cell that runs at that
moment. This module does neither: a form that fails is left out.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from IPython.lib.pretty import pretty
from IPython.utils.dir2 import get_real_method

from taskfc_ext.ipython.cards import rich

PLAIN = (type(None), bool, int, float, complex, str, bytes, list, tuple, dict, set)
"""Types of function results that have no form but text."""

_USUAL = ("IPython", "builtins", "matplotlib_inline", "taskfc_ext")
"""Packages whose printers every worker has as well."""

_FIGURE_OPTIONS = {"fmt": "png", "base64": True, "bbox_inches": "tight"}
"""The options of matplotlib's inline backend, unless the notebook has set others (SVG, twice the pixels)."""

Forms = dict[str, Any]
"""Contents by MIME type."""


def text_form(value: object, formatter: Any = None) -> str:
    """Return `value` as text, made by `formatter` (a `DisplayFormatter`) with the `%precision` of the notebook."""
    plain = None if formatter is None else formatter.formatters[rich.TEXT]
    # `__call__` itself prints the error and returns nothing
    format_plainly = getattr(type(plain).__call__, "__wrapped__", None)
    try:
        text = pretty(value, max_seq_length=200) if format_plainly is None else format_plainly(plain, value)  # type: ignore[no-untyped-call]
        return str(text)
    except Exception as error:  # noqa: BLE001  the user's __repr__
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"


def other_forms(value: object, formatter: Any) -> list[rich.Output]:
    """Return the forms of `value` besides text: one output, or several if it displays itself."""
    if type(value) in PLAIN:
        return []
    data, metadata = _forms(value, formatter)
    if data:
        return [{"data": data, "metadata": metadata}]
    return _displayed_by_itself(value, formatter)


def has_own_printers(formatter: Any) -> bool:
    """Tell whether the notebook or one of its libraries has registered printers for types of values."""
    return any(map(_own_printers, formatter.formatters.values()))


def own_forms(value: object, formatter: Any) -> Forms:
    """Return `value` in the forms for which the notebook or one of its libraries has registered a printer."""
    forms: Forms = {}
    for mime, each in formatter.formatters.items():
        own = _own_printers(each)
        with _ignore_errors():
            if own and each.enabled and each.lookup(value) in own:
                form = text_form(value, formatter) if mime == rich.TEXT else _form(value, each)
                form = form[0] if isinstance(form, tuple) else form
                forms.update({} if form is None else {mime: _encode(form)})
    return forms


def _own_printers(formatter: Any) -> list[Any]:
    tables = (formatter.type_printers, formatter.deferred_printers, formatter.singleton_printers)
    printers = [printer for table in tables for printer in table.values()]
    return [printer for printer in printers if not _is_usual(printer)]


def _is_usual(printer: Any) -> bool:
    options = getattr(printer, "keywords", _FIGURE_OPTIONS)  # of a `partial`, as IPython makes for figures
    return options == _FIGURE_OPTIONS and _module_of(getattr(printer, "func", printer)).partition(".")[0] in _USUAL


def _module_of(printer: Any) -> str:
    return getattr(printer, "__module__", None) or type(printer).__module__


def _forms(value: object, formatter: Any) -> tuple[Forms, Forms]:
    data: Forms = {}
    metadata: Forms = {}
    with _ignore_errors():
        bundle = _form(value, formatter.mimebundle_formatter, include=None, exclude=None)
        bundle, about = bundle if isinstance(bundle, tuple) else (bundle, {})
        data.update(bundle or {})
        metadata.update(about or {})
    if not data and hasattr(type(value), "_ipython_display_"):
        return {}, {}
    for mime, each in formatter.formatters.items():
        if mime == rich.TEXT or not each.enabled or (mime in data and not _is_registered(value, each)):
            continue
        with _ignore_errors():
            form = _form(value, each)
            form, about = form if isinstance(form, tuple) else (form, None)
            if isinstance(form, str | dict | list | bytes):
                data[mime] = form
                metadata.update({} if about is None else {mime: about})
    return {mime: _encode(form) for mime, form in data.items()}, metadata


def _encode(form: Any) -> Any:
    return base64.b64encode(form).decode() if isinstance(form, bytes) else form


def _form(value: object, formatter: Any, **options: Any) -> Any:
    try:
        draw = formatter.lookup(value)
    except KeyError:
        method = get_real_method(value, formatter.print_method)
        return None if method is None else method(**options)
    return draw(value, **options)


def _is_registered(value: object, formatter: Any) -> bool:
    try:
        return formatter.lookup(value) is not None
    except KeyError:
        return False


@contextmanager
def _ignore_errors() -> Iterator[None]:
    try:
        yield
    except Exception:  # noqa: BLE001  user code: this form is left out
        pass


def _displayed_by_itself(value: object, formatter: Any) -> list[rich.Output]:
    method = get_real_method(value, "_ipython_display_")
    shell = formatter.parent
    if method is None or shell is None:
        return []
    displayed: list[rich.Output] = []
    with _ignore_errors(), _taking_displays(shell, displayed.append):
        method()
    return displayed


@contextmanager
def _taking_displays(shell: Any, take: Callable[[rich.Output], object]) -> Iterator[None]:
    """Take the outputs that this thread displays, so that they appear nowhere else."""
    publisher = shell.display_pub
    if hasattr(publisher, "register_hook"):  # of a kernel: it calls the hooks of the publishing thread

        def hook(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
            if message["header"]["msg_type"] != "display_data":
                return message
            take({key: message["content"][key] for key in ("data", "metadata")})
            return None

        publisher.register_hook(hook)
        try:
            yield
        finally:
            publisher.unregister_hook(hook)
    elif threading.current_thread() is threading.main_thread():
        from IPython.core.displaypub import CapturingDisplayPublisher

        taker = shell.display_pub = CapturingDisplayPublisher()  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            shell.display_pub = publisher
        for output in taker.outputs:
            take({key: output.get(key) or {} for key in ("data", "metadata")})
    else:  # in another thread this would take the displays of other code
        raise RuntimeError("a value displays itself in the main thread only")

"""A traceback as coloured HTML: text in spans, in the colours of the front end. Pure.

It goes line by line, in linear time: a worker's death note may hold anything, and Pygments' lexer of tracebacks ran
forever on one.
"""

from __future__ import annotations

import html
import re

from taskfc_ext.ipython.cards.look import ERROR, NUMBER, PATH

_PLACE = re.compile(r'( +File )("[^"]{0,1000}")(, line )([0-9]{1,9})(.*)')
_TYPE = re.compile(r"[A-Za-z_][\w.]{0,200}(?=:|$)")
_MARKS = frozenset(" ~^\t")


def traceback_html(text: str) -> str:
    """Return `text`, which is safe to print, as HTML; text that is not a traceback is in the colour of errors."""
    if not text.startswith("Traceback ") and "\nTraceback " not in text:
        return _span(ERROR, text)
    return "\n".join(_line_html(line) for line in text.split("\n"))


def _line_html(line: str) -> str:
    if line.startswith(" "):
        if not set(line) - _MARKS:
            return _span(ERROR, line)
        place = _PLACE.fullmatch(line)
        if place is None:
            return html.escape(line)
        before, file, between, number, after = map(html.escape, place.groups())
        return f"{before}{_colour_escaped(PATH, file)}{between}{_colour_escaped(NUMBER, number)}{after}"
    kind = _TYPE.match(line)
    if kind is None:
        return html.escape(line)
    return _span(f"{ERROR}; font-weight: bold", kind[0]) + html.escape(line[kind.end() :])


def _span(colour: str, text: str) -> str:
    return _colour_escaped(colour, html.escape(text))


def _colour_escaped(colour: str, escaped: str) -> str:
    return f'<span style="color: {colour}">{escaped}</span>' if escaped else ""

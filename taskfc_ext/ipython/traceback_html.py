"""A traceback as coloured HTML: text in spans, in the colours of the front end's editor. Pure."""

from __future__ import annotations

import html
from typing import Any

_COLOURS = {
    "Token.Keyword": "var(--jp-mirror-editor-keyword-color, #008000)",
    "Token.Literal.String": "var(--jp-mirror-editor-string-color, #ba2121)",
    "Token.Literal.Number": "var(--jp-mirror-editor-number-color, #080)",
    "Token.Comment": "var(--jp-mirror-editor-comment-color, #408080)",
    "Token.Operator.Word": "var(--jp-mirror-editor-keyword-color, #008000)",
    "Token.Generic.Error": "var(--jp-error-color1, #d32f2f); font-weight: bold",
    "Token.Punctuation.Marker": "var(--jp-error-color1, #d32f2f)",
    "Token.Other": "var(--jp-error-color1, #d32f2f)",
    "Token.Name.Builtin": "var(--jp-ui-font-color2, #616161)",  # where the file's name stands
}


def traceback_html(text: str) -> str:
    """Return `text`, which is safe to print, as HTML; what is no traceback is text in the colour of errors."""
    from pygments import lex  # IPython's own; only a failure waits for it
    from pygments.lexers import PythonTracebackLexer

    lexer: Any = PythonTracebackLexer(stripnl=False, ensurenl=False)
    pieces: list[tuple[str | None, str]] = []
    for token, piece in lex(text, lexer):
        colour = _colour(token)
        if pieces and pieces[-1][0] == colour:
            pieces[-1] = colour, pieces[-1][1] + piece
        else:
            pieces.append((colour, piece))
    return "".join(_span(colour, piece) for colour, piece in pieces)


def _colour(token: Any) -> str | None:
    while token is not None:
        if str(token) in _COLOURS:
            return _COLOURS[str(token)]
        token = token.parent
    return None


def _span(colour: str | None, text: str) -> str:
    escaped = html.escape(text, quote=True)
    return escaped if colour is None else f'<span style="color: {colour}">{escaped}</span>'

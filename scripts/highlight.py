"""Highlighting of notebook cells on the site: the body of `%%task` is Python.

A hook of MkDocs (`hooks:` in `mkdocs.yml`). IPython's lexer shows the body of a cell magic that it does not know as
plain text.
"""

from __future__ import annotations

from typing import Any

from ipython_pygments_lexers import IPython3Lexer
from pygments import lexers
from pygments.lexer import bygroups, using
from pygments.lexers import PythonLexer
from pygments.token import Keyword, Operator, Text

_TASK_CELL = (r"(?s)(%%)(task)([^\n]*\n)(.*)", bygroups(Operator, Keyword, Text, using(PythonLexer)))


class NotebookLexer(IPython3Lexer):
    """IPython code with `%%task` cells."""

    name = "Notebook cells"
    aliases = ("ipython",)
    tokens = {**IPython3Lexer.tokens, "root": [_TASK_CELL, *IPython3Lexer.tokens["root"]]}


def on_startup(**_: Any) -> None:
    """Register the lexer for `ipython` blocks. MkDocs calls this first."""
    # Pygments imports the module of a lexer that it does not have in its cache, and a hook is not importable
    lexers._lexer_cache[NotebookLexer.name] = NotebookLexer
    lexers.LEXERS["NotebookLexer"] = (__name__, NotebookLexer.name, NotebookLexer.aliases, (), ())

"""The site's reference of magics, commands and settings, read from the code while the site is built.

A hook of MkDocs (`hooks:` in `mkdocs.yml`): a line `<!-- reference: NAME -->` on a page becomes what `REFERENCES`
makes of that name. Nothing of it is kept in a file, so nothing can be stale. A name that is not there ends the build.
"""

from __future__ import annotations

import argparse
import os
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from taskfc_ext.cli import make_parser
from taskfc_ext.ipython.hints import ELSEWHERE
from taskfc_ext.ipython.magics import CELL_DOC, LINE_DOC, TaskMagics
from taskfc_ext.ipython.parse.grammar import cell_help, line_help, verb_help
from taskfc_ext.ipython.parse.tables import SUBMISSION, VERBS
from taskfc_ext.view.argument import Argument

WIDTH = 80
"""Characters of a line of help, as wide as the site shows without scrolling."""

_MARK = re.compile(r"^<!-- reference: (\S+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the reference in the place of its marks. MkDocs calls this for every page."""
    return _MARK.sub(lambda mark: REFERENCES[mark[1]](), markdown)


# magics


def cell_magic() -> str:
    """Return what `%%task?` says, and a table of the options."""
    usage = _usage(cell_help())
    return f"{_prose(CELL_DOC, cell_help())}\n\n{usage}\n\n{_arguments(SUBMISSION)}"


def line_magic() -> str:
    """Return what `%task?` says."""
    return _prose(LINE_DOC, line_help())


def verbs() -> str:
    """Return a section for each verb of `%task`."""
    return "\n\n".join(_verb(name) for name in VERBS)


def _verb(name: str) -> str:
    verb = VERBS[name]
    parts = [
        f"### `%task {name}` {{ #{name} }}",
        f"{_sentence(verb.summary)} {_escape(verb.more)}".strip(),
        _usage(verb_help(name)),
        _arguments(verb.arguments),
    ]
    return "\n\n".join(filter(None, parts))


def other_words() -> str:
    """Return what other tools call our verbs."""
    rows = ((f"`{word}`", f"[`{verb}`](#{verb})") for word, verb in sorted(ELSEWHERE.items()))
    return _table(("you look for", "here it is"), rows)


def _prose(text: str, generated: str) -> str:
    # the docstrings are written as Markdown; their generated part is shown as sections and tables instead
    before, found, after = text.partition(generated)
    if not found:
        raise ValueError("the docstring of a magic does not hold its help any more")
    return f"{before.strip()}\n\n{after.strip()}".strip()


def _usage(help_text: str) -> str:
    usage = " ".join(help_text.partition("\n\n")[0].split()).removeprefix("usage: ")
    tokens = re.sub(r" (?=[^][]*\])", "\0", usage)  # an option and its argument stay together
    lines = textwrap.wrap(tokens, WIDTH, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False)
    return _block("\n".join(lines).replace("\0", " "))


def _arguments(arguments: Iterable[Argument]) -> str:
    rows = [_argument(argument) for argument in arguments]
    return _table(("argument", "what it does"), rows) if rows else ""


def _argument(argument: Argument) -> tuple[str, str]:
    settings = argument.settings
    choices = ", ".join(settings.get("choices", ()))
    metavar = settings.get("metavar") or (f"{{{choices}}}" if choices else "")
    is_option = argument.flags[0].startswith("-")
    shown = [f"{flag} {metavar}".strip() for flag in argument.flags] if is_option else [metavar or argument.flags[0]]
    default = settings.get("default")
    more = f" (default: `{default}`)" if default not in (None, (), 0) else ""
    text = settings["help"].replace("%%", "%")
    return ", ".join(f"`{each}`" for each in shown), _sentence(text).removesuffix(".") + more


# the terminal


def commands() -> str:
    """Return a section for each command of `taskfc`."""
    with _width(WIDTH):
        parser = make_parser()
        parts = [_block(parser.format_help())]
        for name, child in _children(parser):
            parts.append(f"## `taskfc {name}` {{ #{name} }}\n\n{_block(child.format_help())}")
    return "\n\n".join(parts)


def _children(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:  # argparse tells it nowhere else
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


@contextmanager
def _width(columns: int) -> Iterator[None]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(columns + 2)  # argparse leaves two free
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


# settings


def settings() -> str:
    """Return a table of what can be configured of the magics."""
    traits = sorted(TaskMagics.class_own_traits(config=True).items())
    rows = ((f"`{name}`", f"`{trait.default()!r}`", _escape(trait.help)) for name, trait in traits)
    return _table(("`TaskMagics.`", "default", "what it does"), rows)


# Markdown


def _table(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    headers = list(headers)
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _block(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


def _sentence(text: str) -> str:
    text = text[0].upper() + text[1:]
    return _escape(text if text.endswith((".", ")")) else f"{text}.")


def _escape(text: str) -> str:
    return re.sub(r"([*_<\[])", r"\\\1", text) if "`" not in text else text


REFERENCES: dict[str, Callable[[], str]] = {
    "cell-magic": cell_magic,
    "line-magic": line_magic,
    "verbs": verbs,
    "other-words": other_words,
    "commands": commands,
    "settings": settings,
}

"""The place of a mutant in the sources of the core, and the source with the mistake made.

A mutant names the function that it changes, and is compared token by token. So a function that moves to another file,
other line breaks and other comments leave it valid.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from tests.core.mutants import Mutant

_TOKEN = re.compile(r'"""(?:.|\n)*?"""|"(?:\\.|[^"\\\n])*"|#[^\n]*|\w+|[^\w\s]')


class Token(NamedTuple):
    """A word, a string or a sign of the source, from `start` to `end`."""

    text: str
    start: int
    end: int


class Place(NamedTuple):
    """The text of `source` from `start` to `end`, in `file`."""

    file: Path
    source: str
    start: int
    end: int


def find(mutant: Mutant, core: Path) -> list[Place]:
    """Return the places in the folder `core` at which the text of `mutant` stands, in the function that it names."""
    wanted = [token.text for token in tokens_of(mutant.old)]
    places = []
    for file in sorted(core.rglob("*.py")):
        source = file.read_text()
        for name, start, end in scopes_in(file.stem, source):
            if not f".{name}".endswith(f".{mutant.where}"):
                continue
            tokens = tokens_of(source[start:end])
            texts = [token.text for token in tokens]
            for at in range(len(texts) - len(wanted) + 1):
                if texts[at : at + len(wanted)] == wanted:
                    last = tokens[at + len(wanted) - 1]
                    places.append(Place(file, source, start + tokens[at].start, start + last.end))
    return places


def mutate(mutant: Mutant, core: Path) -> tuple[Path, str]:
    """Return the file that `mutant` changes, and its source with the mistake made."""
    (place,) = find(mutant, core)
    line = place.source[: place.start].rpartition("\n")[2]
    indent = line[: len(line) - len(line.lstrip())]
    new = mutant.new.replace("\n", "\n" + indent)
    return place.file, place.source[: place.start] + new + place.source[place.end :]


def tokens_of(text: str) -> list[Token]:
    """Return the tokens of `text`, without comments and without commas before a closing bracket."""
    found = [Token(match[0], *match.span()) for match in _TOKEN.finditer(text) if not match[0].startswith("#")]
    following = [*(token.text for token in found[1:]), ""]
    return [
        token
        for token, then in zip(found, following, strict=True)
        if not (token.text == "," and then and then in ")]}")
    ]


@lru_cache(maxsize=256)
def scopes_in(module: str, source: str) -> list[tuple[str, int, int]]:
    """Return (name, start, end) of the functions, classes and constants of `module`."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return [
        (name, starts[node.lineno - 1], starts[node.end_lineno or node.lineno])
        for name, node in _named_nodes(module, ast.parse(source))
    ]


def _named_nodes(prefix: str, parent: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield f"{prefix}.{node.name}", node
            yield from _named_nodes(f"{prefix}.{node.name}", node)
        elif isinstance(parent, ast.Module) and isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield f"{prefix}.{node.targets[0].id}", node

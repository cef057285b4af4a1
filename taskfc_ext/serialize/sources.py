"""Source lines of cells, which only the notebook's process has: sent with the code, for tracebacks."""

from __future__ import annotations

import linecache
import os
from collections.abc import Iterable, Mapping

MAX_SOURCE = 256 * 1024
"""Longest source of a cell in characters that is sent."""


def remember_source(filename: str, lines: list[str]) -> None:
    """Make tracebacks show `lines` for code that was compiled under `filename`."""
    linecache.cache[filename] = (sum(map(len, lines)), None, lines, filename)  # no mtime: never checked against a file


def remember_sources(sources: Mapping[str, list[str]]) -> None:
    """Do the same for several sources, by file name."""
    for name, lines in sources.items():
        remember_source(name, lines)


def sources_of(filenames: Iterable[str]) -> dict[str, list[str]]:
    """Return the lines by name of the sources that are not files: cells, which only this process has."""
    found = {}
    for name in filenames:
        entry = linecache.cache.get(name)
        if entry is None or os.path.exists(name):
            continue
        lines = linecache.getlines(name)
        if sum(map(len, lines)) <= MAX_SOURCE:
            found[name] = lines
    return found

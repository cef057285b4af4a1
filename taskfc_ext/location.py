"""Location of this package on disk."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = os.path.dirname(os.path.abspath(__file__))
"""The package's folder: the beginning of the file names of its code objects."""

SOURCES = str(Path(__file__).resolve().parents[1])
"""The folder that holds the package, links resolved: the entry of `sys.path` that makes it importable."""


def add_sources(path: list[str]) -> None:
    """Add `SOURCES` to a module path, at its end: it is needed only where this package is not installed."""
    if SOURCES not in path:
        path.append(SOURCES)

"""Location of this package on disk."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = os.path.dirname(os.path.abspath(__file__))
"""The package's folder, as the file names of its code objects begin with it."""

SOURCES = str(Path(__file__).resolve().parents[1])
"""The folder that holds the package, links resolved: the entry of the module path that leads to it."""

"""The environment variables at the first import of this package, and the interpreter of this process."""

from __future__ import annotations

import os
import sys

AT_START = dict(os.environ)
"""Variables unchanged since import are not the user's edits: they are never sent or stored."""

EXECUTABLE = os.fsencode(sys.executable or "python")
"""The interpreter, as users name it."""

PREFIX = os.fsencode(os.path.realpath(sys.prefix))
"""The environment of the interpreter, the same for every link to it."""

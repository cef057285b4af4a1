"""What this process runs in: its environment when it first imported this package, and its interpreter."""

from __future__ import annotations

import os
import sys

AT_START = dict(os.environ)
"""What is as it was here is nobody's edit: it never travels, and no secret of it reaches a store."""

EXECUTABLE = os.fsencode(sys.executable or "python")
"""What people call our interpreter."""

PREFIX = os.fsencode(os.path.realpath(sys.prefix))
"""The environment that it belongs to: the same for every name and link that it can be called by."""

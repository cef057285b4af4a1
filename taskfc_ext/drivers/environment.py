"""The environment as this process had it when it first imported this package."""

from __future__ import annotations

import os

AT_START = dict(os.environ)
"""What is as it was here is nobody's edit: it never travels, and no secret of it reaches a store."""

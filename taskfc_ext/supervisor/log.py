"""The supervisor's log: lines on stderr, which is a file of the store."""

from __future__ import annotations

import sys
import time


def log(text: str) -> None:
    """Write a line with the time. (`logging` would take a third of the supervisor's start.)"""
    try:
        sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        sys.stderr.flush()
    except OSError:  # a full disk must not end the farm
        pass

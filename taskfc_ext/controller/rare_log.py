"""Log lines that a peer can cause at any rate: the first ones are written, then they are counted."""

from __future__ import annotations

import logging

FIRST = 10
"""Lines written in a row."""

EVERY = 60.0
"""Seconds after which the number of the others is written, and lines again."""


class RareLog:
    """Warnings of one kind. `now` is monotonic seconds."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._begun = float("-inf")
        self._n = 0

    def warning(self, now: float, text: str, *args: object) -> None:
        """Write a line, unless many were written a moment ago."""
        if now - self._begun >= EVERY:
            if self._n > FIRST:
                self._logger.warning("%d more lines like the last one were left out", self._n - FIRST)
            self._begun, self._n = now, 0
        self._n += 1
        if self._n <= FIRST:
            self._logger.warning(text, *args)
